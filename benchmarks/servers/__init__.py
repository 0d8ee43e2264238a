"""EMs for benchmarks, in a process of their own: ``python -m benchmarks.servers``."""
