"""The command line in a process that says at its end, in the last line on stderr, how far it took memory, in KiB."""

from __future__ import annotations

import atexit
import sys
from pathlib import Path

from emasync.__main__ import main


def _tell() -> None:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            sys.stderr.write(f"{line.split()[1]}\n")


if __name__ == "__main__":
    atexit.register(_tell)
    main()
