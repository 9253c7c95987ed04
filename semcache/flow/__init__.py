"""One rerank, decided step by step without I/O, and the drivers that carry the steps out."""
