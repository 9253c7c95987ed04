"""Moves the entries of a former embedder into the scope of the present one while requests go on."""
