"""Puts caches through faults of Redis, models and programs while requests go on: ``python -m tests.faults``."""
