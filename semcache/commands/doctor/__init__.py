"""``semcache doctor``: checks of settings, Redis and models, each with its remedy."""
