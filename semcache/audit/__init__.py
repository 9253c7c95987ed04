"""Measures in the background what reuse costs, and adjusts how far cached scores are trusted."""
