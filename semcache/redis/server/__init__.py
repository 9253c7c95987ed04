"""A private redis-server with vector search that lives as long as its owner."""
