"""Models by name: where their files are, and how they are run."""
