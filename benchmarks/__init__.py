"""Benchmark programs, ``python -m benchmarks``: emasync against others on the same work. None is a test."""
