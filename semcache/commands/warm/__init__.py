"""Scores and stores the requests of a file before they are asked."""
