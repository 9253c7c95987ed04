"""A replay of invented traffic against real models and a real Redis, to show what the cache does."""
