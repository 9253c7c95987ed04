"""The connection to a Redis server: pools, circuit breaker, commands and scripts, translated errors."""
