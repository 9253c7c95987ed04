"""Puts caches through faults of Redis, of models and of programs, with requests going on: ``python -m tests.faults``."""
