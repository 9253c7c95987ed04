"""Names and bytes of remembered queries: fingerprints and ids, packed scores, and the values of an entry."""
