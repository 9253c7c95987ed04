"""Forks, threads and event loops: what objects need that outlive them, and waits that end in time."""
