"""``semcache top``: the figures of a running server, in a terminal."""
