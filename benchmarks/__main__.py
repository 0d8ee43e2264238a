"""All benchmark programs, one after the other."""

from __future__ import annotations

from benchmarks import lane

if __name__ == "__main__":
    lane.main()
