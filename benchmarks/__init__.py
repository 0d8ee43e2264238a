"""Benchmark programs: ``make bench``. Each prints its figures and what they are compared with; none is a test."""
