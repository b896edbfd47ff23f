"""Benchmarks: ratios against a reference in the same interleaved run, medians; never a gate in a timed test. `make bench`."""
