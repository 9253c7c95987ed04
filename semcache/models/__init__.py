"""Model files, the libraries that run them, and what these libraries accept and return."""
