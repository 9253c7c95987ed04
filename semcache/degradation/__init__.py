"""A ladder of rerankers that leaves a slow primary alone."""
