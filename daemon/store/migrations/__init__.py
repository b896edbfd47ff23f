"""The store's migrations, shipped in the wheel. Their sum is `schema.metadata`; a test compares the two."""
