"""The command line with a disk call that never returns: fsync says so in a file, then waits for ever.

Arguments: the file to say it in, the seconds of grace that the first signal gives, then those of ``emasync``.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import emasync.cli.runner
from emasync.__main__ import main


def _stuck(told: Path) -> None:
    def fsync(_: object) -> None:
        told.touch()
        threading.Event().wait()

    setattr(os, "fsync", fsync)  # noqa: B010 - a plain assignment would need its exact type


if __name__ == "__main__":
    _stuck(Path(sys.argv[1]))
    emasync.cli.runner._GRACE_S = float(sys.argv[2])
    del sys.argv[1:3]
    main()
