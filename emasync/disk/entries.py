"""`FlushedEntries`: which folders of one transfer have their entry in the parent folder on the disk for certain.

Owns: one fsync of the parent for each folder, whoever made it, shared by all threads that need it. Synchronous: runs in
a file thread. Imports nothing of emasync. Knows no paths: folders are descriptors.
"""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import Future

_NO_SUCH_THING = (errno.EINVAL, errno.EROFS)  # a file system that flushes no folders, or that never changes


class FlushedEntries:
    """A file is on the disk only if the entry of its folder is. That a folder is there says nothing of that: another
    thread, another process, or a run that was killed may have made it and not have flushed its parent.

    Memory: a number for each folder. An fsync that failed counts for nobody: the next who asks tries again.
    """

    __slots__ = ("_flushed", "_lock", "_running")

    def __init__(self) -> None:
        self._flushed: set[int] = set()
        self._running: dict[int, Future[None]] = {}
        self._lock = threading.Lock()

    def flush(self, parent: int, folder: int) -> None:
        """Return once an fsync of `parent` has ended that began when `folder` was in it. OSError if that failed."""
        found = os.fstat(folder)
        key = found.st_dev << 64 | found.st_ino
        with self._lock:
            if key in self._flushed:
                return
            running = self._running.get(key)
            mine: Future[None] = Future()
            if running is None:
                self._running[key] = mine
        if running is not None:
            failure = running.exception()
            if isinstance(failure, OSError):
                raise OSError(failure.errno, failure.strerror)  # a new one: each caller names its own file in it
            return
        self._fsync(parent, key, mine)

    def _fsync(self, parent: int, key: int, mine: Future[None]) -> None:
        try:
            fsync_folder(parent)
        except OSError as error:
            with self._lock:
                del self._running[key]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._running[key]
            self._flushed.add(key)
        mine.set_result(None)


def fsync_folder(folder: int) -> None:
    """fsync of a folder's descriptor: the names in it survive a power cut. Where no folder can be flushed, nothing."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_SUCH_THING:
            raise
