"""Names and bytes of what is remembered."""
