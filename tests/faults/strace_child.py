"""The command line with a single file thread, so that the N-th system call of a save is the same in every run."""

from __future__ import annotations

import emasync.client
from emasync.__main__ import main
from emasync.disk import FileExecutor


class _OneThread(FileExecutor):
    def __init__(self, *, size: int = 1) -> None:
        super().__init__(size=1)


if __name__ == "__main__":
    setattr(emasync.client, "FileExecutor", _OneThread)  # noqa: B010 - a plain assignment is no type of its own
    main()
