"""Measures what reuse costs, and decides how far cached scores may be trusted; without I/O."""
