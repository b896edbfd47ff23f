"""Planted bugs: does the test suite notice when the code breaks a promise? `make planted`, `python -m tests.planted [--bug NAME]`."""
