"""Forks, threads and event loops: what objects need that outlive them."""
