"""`FileExecutor`: the few threads in which all file work of one client is done.

Runs a call in a thread, bounds how many that use the processor run at once, and waits for calls even when the caller
is cancelled. Must not import other modules of emasync. The queue is bounded by the callers: each waits for one call (a
reader has one more that reads ahead, and one that computes the content tag).
"""

from __future__ import annotations

import asyncio
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from queue import SimpleQueue
from typing import ParamSpec, TypeVar, TypeVarTuple

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

_BUSY = 2
_SLOW_S, _WAITING = 0.02, 8  # a call has mostly waited if it took longer than that, and than 8 times its processor time

T = TypeVar("T")
P = ParamSpec("P")
Ts = TypeVarTuple("Ts")


class FileExecutor:
    """At most `size` threads, started when first needed. Use it as ``async with FileExecutor(size=4) as executor``.

    They are daemon threads: the standard library's pool is joined at interpreter exit, so one call that hangs in the
    kernel (a dead network mount) would keep the process alive for ever.
    """

    def __init__(self, *, size: int = 4) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        self._size = size
        self._pool = _DaemonPool(size)
        self._busy = anyio.CapacityLimiter(min(_BUSY, size))
        self.new_file_mode: int = new_file_mode()
        """The mode of new files, read once: that takes as long as the rest of writing a small file."""

    @property
    def pool(self) -> Executor:
        """The threads as a `concurrent.futures.Executor`, for libraries that take one; it must not be shut down."""
        return self._pool

    async def run(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """``fn(*args)`` in a thread: its result or its exception.

        Cancellation never abandons a call that has begun: `run` waits for its end. In a cancelled scope `run` then
        returns the result, and the next await raises. After ``task.cancel()`` it raises once the call has ended, and
        the result is lost: a call that acquires something must store it where the cleanup of its owner finds it.
        """
        await checkpoint_if_cancelled()  # a shield alone would let a loop of calls outlive its cancelled scope
        return await wait_uncancelled(self.start(fn, *args))

    async def run_busy(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """`run`, for calls that use the processor more than they wait: two at a time, because more would compete for
        the interpreter lock (2,000 small files took twice as long to read in sixteen threads). Once a call has mostly
        waited (for a cold or remote disk) as many run as there are threads.
        """

        def timed() -> T:
            began, busy = time.perf_counter(), time.thread_time()
            try:
                return fn(*args)
            finally:
                waited = time.perf_counter() - began > max(_SLOW_S, _WAITING * (time.thread_time() - busy))
                slow.append(waited)

        slow: list[bool] = []
        async with self._busy:
            try:
                return await self.run(timed)
            finally:
                if any(slow):
                    self._busy.total_tokens = self._size

    def start(self, fn: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Begin ``fn(*args)``; the caller must pass the future to `wait_uncancelled`. RuntimeError after `aclose`."""
        return asyncio.get_running_loop().run_in_executor(self._pool, fn, *args)

    async def aclose(self, *, grace_s: float = 5.0) -> None:
        """Refuse new calls and wait up to `grace_s` seconds for those that were accepted; a call that hangs is left."""
        with anyio.CancelScope(shield=True):
            if ends := self._pool.stop():
                await asyncio.wait([asyncio.wrap_future(end) for end in ends], timeout=grace_s)

    async def __aenter__(self) -> FileExecutor:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


async def wait_uncancelled(job: asyncio.Future[T]) -> T:
    """The result of a call begun by `FileExecutor.start`; waits for its end even when cancelled, as `run` does."""
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not job.done():
            try:
                # wait() leaves the job alone when it is cancelled itself; awaiting the job would cancel it.
                await asyncio.wait((job,))
            except asyncio.CancelledError as error:  # task.cancel(), which no scope can hold off
                cancelled = error
    if cancelled is not None:
        if not job.cancelled():
            job.exception()  # retrieved, so that asyncio does not report it as never retrieved
        raise cancelled
    return job.result()


class _DaemonPool(Executor):
    """The part of ThreadPoolExecutor that asyncio and aiofiles use, on daemon threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._ends: list[Future[None]] = []
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._stopped = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def job() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = fn(*args, **kwargs)
                except BaseException as error:  # noqa: BLE001 - handed to the waiting caller, as every executor does
                    future.set_exception(error)
                else:
                    future.set_result(result)

        with self._lock:
            if self._stopped:
                raise RuntimeError("the file executor is closed")
            if not self._idle.acquire(blocking=False) and len(self._ends) < self._size:
                self._add_thread()  # before the job is queued: a refused job must not run
            self._jobs.put(job)
        return future

    def _add_thread(self) -> None:
        end: Future[None] = Future()
        name = f"emasync-file-{len(self._ends) + 1}"
        try:
            threading.Thread(target=self._work, args=(end,), name=name, daemon=True).start()
        except RuntimeError:  # the system allows no more threads: go on with those that exist
            if not self._ends:
                raise
        else:
            self._ends.append(end)

    def _work(self, end: Future[None]) -> None:
        job = self._jobs.get()
        while job is not None:
            job()
            del job  # an idle thread must not keep the last chunk alive
            self._idle.release()
            job = self._jobs.get()
        end.set_result(None)

    def stop(self) -> list[Future[None]]:
        """Take no more jobs; the futures are done when the threads have ended."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                for _ in self._ends:
                    self._jobs.put(None)
            return list(self._ends)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        raise RuntimeError("FileExecutor.aclose() ends these threads")


def new_file_mode() -> int:
    """The mode bits of a new file of this process: 0666 less the umask, which is read without changing it."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("Umask:"):
                return 0o666 & ~int(line.split()[1], 8)
    except OSError:
        pass  # no /proc: make a file and look. os.umask() would change the umask for other threads for a moment.
    with tempfile.TemporaryDirectory(prefix="emasync-") as directory:
        probe = Path(directory) / "probe"
        probe.touch(mode=0o666)
        return stat.S_IMODE(probe.stat().st_mode)
