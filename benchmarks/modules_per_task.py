"""The modules that a reader opens to follow one task: ``python -m benchmarks.modules_per_task``.

Three tasks are traced while they run against a simulator in its own process: from log-in to header, from socket to
disk, from a vanished file to the report. For three options every place is listed where the source names them. Must not
import emasync beyond its public names: it also measures other versions.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import multiprocessing
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import BuiltinFunctionType, FrameType
from typing import Any

from benchmarks.calls_per_file import PACKAGE, function_name, module_of
from emasync import Client, Settings
from emasync.simulator import Simulator

MIB = 1 << 20
_LARGE = 8 * MIB  # above what the client holds in memory
OPTIONS = {"deadline": ("deadline", "deadline_s"), "on_event": ("on_event",), "verify": ("verify",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the source names an option. `kind`: parameter, keyword, attribute or variable."""

    module: str
    line: int
    kind: str


class Tracer:
    """Records the modules of the package whose functions run between `start` and `stop`, in all threads."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.await_chain: list[str] = []
        self._active = False
        self._stop_at_token = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, *, stop_at_token: bool = False) -> None:
        """Record from now on; with `stop_at_token` until aiohttp is handed a request with a token."""
        self._active, self._stop_at_token = True, stop_at_token
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Record no more."""
        self._active = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Look on in this thread and in those that start meanwhile."""
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if not self._active:
            return
        if event == "call":
            module = module_of(frame.f_code)
            if module is not None:
                self.modules.add(module)
            elif self._stop_at_token and carries_token(frame):
                self.stop()
        elif event == "c_call" and not self.await_chain and writes_to_disk(argument):
            self._record_await_chain(frame)

    def _record_await_chain(self, frame: FrameType) -> None:
        """A write in a thread is held up until the event loop has said which coroutines wait for it."""
        assert self._loop is not None
        if threading.current_thread() is threading.main_thread():
            self.await_chain = [f"{function_name(frame.f_code)} (not in a thread)"]
            return
        done = threading.Event()

        def snapshot() -> None:
            chains = [await_chain(task.get_coro()) for task in asyncio.all_tasks()]
            writing = [chain for chain in chains if any("write" in name for name in chain)]
            self.await_chain = max(writing or chains, key=len)
            done.set()

        self._loop.call_soon_threadsafe(snapshot)
        done.wait(10)


def carries_token(frame: FrameType) -> bool:
    """Whether this is aiohttp's own request method, called with a token."""
    if frame.f_code.co_name != "_request" or "aiohttp" not in frame.f_code.co_filename:
        return False
    return "Authorization" in (frame.f_locals.get("headers") or ())


def writes_to_disk(function: object) -> bool:
    """Whether a called C function is one that writes to a file."""
    return isinstance(function, BuiltinFunctionType) and function.__name__ in ("write", "writev", "pwrite")


def await_chain(coroutine: object) -> list[str]:
    """The suspended coroutines and generators below `coroutine`, outermost first; `...` for foreign ones."""
    names, awaited = [], coroutine
    while awaited is not None:
        for prefix, link in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            if hasattr(awaited, f"{prefix}_code"):
                code = getattr(awaited, f"{prefix}_code")
                names.append(function_name(code) or f"... {code.co_qualname}")
                awaited = getattr(awaited, link)
                break
        else:  # the step of an asynchronous generator shows the generator to the garbage collector only
            awaited = next((held for held in gc.get_referents(awaited) if hasattr(held, "ag_code")), None)
    return names


def find_places(package: Path, names: Sequence[str]) -> list[Place]:
    """Every parameter, keyword argument, attribute and variable below `package` that has one of `names`."""
    found = []
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(package).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name, kind = _named(node)
            if name in names:
                found.append(Place(module=module, line=getattr(node, "lineno", 0), kind=kind))
    return sorted(set(found), key=lambda place: (place.module, place.line, place.kind))


def _named(node: ast.AST) -> tuple[str | None, str]:
    match node:
        case ast.arg(arg=name):
            return name, "parameter"
        case ast.keyword(arg=name):
            return name, "keyword"
        case ast.Attribute(attr=name):
            return name, "attribute"
        case ast.AnnAssign(target=ast.Name(id=name)):
            return name, "variable"
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name, "variable"
        case _:
            return None, ""


def serve(connection: Connection, keywords: dict[str, Any]) -> None:
    """The simulator's process: send the URL and the volume's folder, serve until the other end closes."""

    async def run() -> None:
        async with Simulator(users={"client1": "secret"}, **keywords) as sim:
            connection.send((sim.url, str(sim.volume("client1"))))
            await asyncio.to_thread(connection.poll, None)

    asyncio.run(run())


@contextmanager
def simulator(**keywords: Any) -> Iterator[tuple[str, Path]]:
    """URL and volume of a simulator in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, keywords))
    process.start()
    try:
        url, volume = ours.recv()
        yield url, Path(volume)
        ours.send("end")
    finally:
        process.join(10)


def client(url: str) -> Client:
    """A client that keeps nothing between runs."""
    settings = Settings(state_dir=None, workers=1)
    return Client(url, username="client1", password="secret", settings=settings)


async def log_in(tracer: Tracer, url: str, volume: Path) -> None:
    """A first call: it logs in, then sends the token."""
    async with client(url) as em:
        tracer.start(stop_at_token=True)
        await em.pods.status()
        tracer.stop()


async def receive_chunks(tracer: Tracer, url: str, volume: Path) -> None:
    """The middle of a large downlink: chunks come and go to disk, nothing begins or ends."""
    await asyncio.to_thread((volume / "large.bin").write_bytes, bytes(range(256)) * (_LARGE // 256))

    def on_event(event: object) -> None:
        received = getattr(event, "bytes", 0) if type(event).__name__ == "Progress" else 0
        if _LARGE // 4 < received < _LARGE // 2 and not tracer.modules:
            tracer.start()
        elif received > _LARGE * 3 // 4:
            tracer.stop()

    with tempfile.TemporaryDirectory() as into:
        async with client(url) as em:
            report = await em.downlink("large.bin", into=into, on_event=on_event)
    report.raise_for_failures()


async def lose_a_source(tracer: Tracer, url: str, volume: Path) -> None:
    """A local file vanishes when its uplink begins; traced from there to the report."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "vanishes.txt"
        await asyncio.to_thread(source.write_bytes, b"content")

        def on_event(event: object) -> None:
            if type(event).__name__ == "Started" and source.exists():
                source.unlink()
                tracer.start()

        async with client(url) as em:
            report = await em.uplink([source], on_event=on_event)
            tracer.stop()
    if len(report.failed) != 1:
        raise RuntimeError("the file should have failed")


Task = Callable[[Tracer, str, Path], Coroutine[Any, Any, None]]
TASKS: dict[str, Task] = {
    "a token, from log-in to header": log_in,
    "one base64 chunk, from socket to disk": receive_chunks,
    "a file that vanishes while it is sent, to the report": lose_a_source,
}


def trace(task: Task) -> Tracer:
    """Run `task` against a simulator of its own."""
    tracer = Tracer()
    with simulator() as (url, volume), tracer.installed():
        asyncio.run(task(tracer, url, volume))
    return tracer


def main() -> None:
    for title, task in TASKS.items():
        tracer = trace(task)
        print(f"{title}: {len(tracer.modules)} modules: {' '.join(sorted(tracer.modules))}")
        if tracer.await_chain and task is receive_chunks:
            ours = sum(not name.startswith("...") for name in tracer.await_chain)
            print(f"  {len(tracer.await_chain)} frames wait for the write, {ours} of the package, outermost first:")
            print(*(f"    {name}" for name in tracer.await_chain), sep="\n")
    for option, names in OPTIONS.items():
        places = find_places(PACKAGE, names)
        modules = sorted({place.module for place in places})
        print(f"{option}: {len(places)} places in {len(modules)} modules")
        for module in modules:
            inside = [f"{place.line} {place.kind}" for place in places if place.module == module]
            print(f"  {module}: {', '.join(inside)}")


if __name__ == "__main__":
    main()
