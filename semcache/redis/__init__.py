"""The only rooms that speak to Redis: an embedded server, connections, the index and the store."""
