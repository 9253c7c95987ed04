"""All that tells one reranker or embedder from another: its name, its content, and what it says about fixed probes."""
