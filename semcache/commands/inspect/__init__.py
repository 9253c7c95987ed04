"""Says what would be served for a query and why, and changes nothing."""
