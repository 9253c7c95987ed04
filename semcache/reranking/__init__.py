"""The parts of a CachedReranker: the flow of each request, the calls that perform it, and what its caller gets."""
