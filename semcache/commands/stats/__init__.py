"""Shows what a namespace holds, what was learned in it, and what was decided about its rerankers."""
