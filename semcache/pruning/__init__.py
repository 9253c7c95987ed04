"""Learns from a reranker's own scores what it need not be asked about."""
