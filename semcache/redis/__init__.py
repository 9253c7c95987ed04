"""Everything that speaks to Redis: the store and its operations, connections, and an embedded server."""
