"""``python -m emasync`` and the ``emasync`` command."""

from __future__ import annotations

import os
import sys

from emasync.cli import emasync


def main() -> None:
    """Run the command line; ends the process with one of its exit codes."""
    _open_streams()
    emasync(prog_name="emasync")


def _open_streams() -> None:
    """Streams that were closed by whoever started this (``2>&-``) lead nowhere, rather than into the next file or
    socket that is opened."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            if os.open(os.devnull, os.O_RDWR) != number:  # the lowest free number is the one that is missing
                raise SystemExit(1)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for good


if __name__ == "__main__":
    main()
