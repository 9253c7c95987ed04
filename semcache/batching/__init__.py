"""One model for many callers: requests that wait are merged into its calls."""
