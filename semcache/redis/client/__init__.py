"""Connections to a Redis server, its circuit breaker, scripts and error messages."""
