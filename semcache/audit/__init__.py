"""Work in the background: measures what reuse costs, learns to prune, scores degraded requests later."""
