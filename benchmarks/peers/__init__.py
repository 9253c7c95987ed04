"""Other caches, each in an environment of its own, measured as processes that read the same workload."""
