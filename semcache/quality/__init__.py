"""Watches what reuse costs, and how far cached scores may be trusted."""
