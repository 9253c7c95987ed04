"""Measures semcache on the user's own machine, Redis and models."""
