"""Faults of the world around real daemon processes: disks that fill up or fail, paused processes, jumping clocks, files taken away."""
