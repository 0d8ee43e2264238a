"""Every call of the library and every verb of the command, made on an EM that says back all it was told.

Owns: making them, and what could be read afterwards: results, errors, tracebacks, streams, journals, state. May import
emasync; judges with the independent checker only.
"""

from __future__ import annotations

import signal
import subprocess
import traceback
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from emasync import Client, EMError, Node, RetryPolicy, Settings, Timeouts
from tests.cli.child import EMASYNC, end, start
from tests.faults.checker import leaks
from tests.faults.origins import ACCESS, NETRC, PASSWORD, REFRESH, Echo, Origin, echoing, forbidden, proxies, stray

SECRETS: Final = (PASSWORD, ACCESS, REFRESH)
RETRY: Final = RetryPolicy(retries=1, base_s=0.001, cap_s=0.001, busy_timeout_s=0.02, retry_after_cap_s=0.01)
TIMEOUTS: Final = Timeouts(connect_s=5.0, stall_s=5.0, answer_s=5.0, long_answer_s=5.0)
Call = Callable[[Client, Path], Awaitable[Any]]

CALLS: Final[Mapping[str, Call]] = {
    "list": lambda em, folder: em.files.list(),
    "read": lambda em, folder: em.files.read("a.txt"),
    "delete": lambda em, folder: em.files.delete("a.txt"),
    "build": lambda em, folder: em.images.build("echo", dockerfile="Dockerfile", context="."),
    "load": lambda em, folder: em.images.load("client1-echo", tarfile="image.tar"),
    "images": lambda em, folder: em.images.list(),
    "run": lambda em, folder: em.pods.run("echo", node=Node.FPGA, max_duration=1),
    "status": lambda em, folder: em.pods.status(),
    "wait": lambda em, folder: em.pods.wait(timeout=0.05),
    "nodes": lambda em, folder: em.nodes(),
    "uplink": lambda em, folder: em.uplink([folder / "up"], journal=folder / "journal-up"),
    "downlink": lambda em, folder: em.downlink(["a.txt", ""], into=folder / "down", journal=folder / "journal-down"),
    "sync up": lambda em, folder: em.sync_up(folder / "up", "up", delete=True, journal=folder / "journal-sync"),
    "sync down": lambda em, folder: em.sync_down("", folder / "synced", journal=folder / "journal-synced"),
}


def shown(error: BaseException) -> Iterator[str]:
    """An error as a program, a debugger or a bug report would show it, and all that hangs on it."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield from (str(one), repr(one), "".join(traceback.format_exception(one)), repr(vars(one)))
        waiting += [one.__cause__, one.__context__, getattr(one, "cause", None)]


async def call_trial(echo: Echo, folder: Path) -> list[str]:
    """Make every call of the library on `echo`, which is served meanwhile; what they gave away."""
    async with forbidden() as elsewhere, echoing(echo):
        echo.elsewhere = elsewhere.url
        texts = await every_call(echo, folder)
        found = misplaced(echo, elsewhere)
    return found + leaks([*SECRETS, NETRC], texts, [folder])


async def every_call(echo: Echo, folder: Path) -> dict[str, str]:
    """Make every call there is on `echo`; all that could be read of them."""
    (folder / "up").mkdir()
    (folder / "up" / "a.txt").write_text("x")
    settings = Settings(retry=RETRY, timeouts=TIMEOUTS, state_dir=folder / "state")
    texts: dict[str, str] = {}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        async with Client(echo.url, username="client1", password=PASSWORD, settings=settings) as em:
            for name, call in CALLS.items():
                try:
                    result = await call(em, folder)
                except EMError as error:
                    texts[name] = "\n".join(shown(error))
                    continue
                texts[name] = f"{result!r} {getattr(result, 'raw', '')!r}"
                for number, outcome in enumerate(getattr(result, "outcomes", ())):
                    texts[f"{name} {number}"] = f"{outcome!r} " + "\n".join(shown(outcome.error or ValueError()))
            texts["client"] = f"{em!r} {vars(em)!r} {em.settings!r} {em.files!r} {em.pods!r}"
        texts["warnings"] = repr([str(one.message) for one in warned])
    return texts


def misplaced(echo: Echo, elsewhere: Origin) -> list[str]:
    """Log-in data that went where it does not belong: to another origin, into a head, or that of elsewhere to this."""
    found = stray(echo)
    if elsewhere.connections:
        found.append(f"{elsewhere.connections} connections to another origin: {elsewhere.heads!r}")
    heads = "\n".join(echo.heads).encode("latin-1").decode("utf-8", "replace")
    return found + leaks([PASSWORD, REFRESH], {"the heads": heads})


VERBS: Final[Mapping[str, tuple[str, ...]]] = {
    "ls": ("ls", "-l"),
    "ls json": ("ls", "--json"),
    "cat": ("cat", "a.txt"),
    "rm": ("rm", "-y", "a.txt"),
    "up": ("up", "here", "--deadline", "3s", "--report", "report"),
    "up json": ("up", "here", "--deadline", "3s", "--json", "--report", "report"),
    "down": ("down", "a.txt", "/", "--into", "down", "--report", "report"),
    "down json": ("down", "/", "--into", "down", "--json", "--report", "report"),
    "sync up": ("sync", "up", "here", "--deadline", "3s", "there", "--delete", "--report", "report"),
    "sync down": ("sync", "down", "/", "synced", "--json", "--report", "report"),
    "check": ("check", "here", "there"),
    "image build": ("image", "build", "echo", "--context", "here"),
    "image load": ("image", "load", "echo", "image.tar"),
    "image ls": ("image", "ls", "--json"),
    "pod run": ("pod", "run", "echo", "--wait", "--interval", "0.1s"),
    "pod status": ("pod", "status", "--json"),
    "pod wait": ("pod", "wait"),
    "node ls": ("node", "ls"),
    "doctor": ("doctor", "--json"),
    "auth login": ("auth", "login"),
    "auth status": ("auth", "status", "--json"),
    "config show": ("config", "show", "--json"),
    "jobs ls": ("jobs", "ls", "--json"),
}
"""The command line of every verb that talks to the EM, or of what was said to it."""


async def verb_trial(verb: str, echo: Echo, home: Path) -> list[str]:
    """Run a verb with ``-vv`` on `echo`, which is served meanwhile; what it gave away."""
    (home / "here").mkdir()
    (home / "here" / "a.txt").write_text("x")
    (home / "here" / "Dockerfile").write_text("FROM scratch\n")
    (home / ".netrc").write_text(f"default login client1 password {NETRC}\n")
    (home / ".netrc").chmod(0o600)
    async with forbidden() as elsewhere, echoing(echo):
        echo.elsewhere = elsewhere.url
        env = {"EMASYNC_URL": echo.url, "EMASYNC_USERNAME": "client1", "EMASYNC_PASSWORD": PASSWORD}
        env |= proxies(elsewhere.url) | {"NETRC": str(home / ".netrc"), "EMASYNC_STATE_DIR": str(home / "state")}
        env |= {"EMASYNC_BUSY_TIMEOUT": "0.1s", "EMASYNC_RETRIES": "1", "PYTHONASYNCIODEBUG": "1"}
        patient = ("-X", "dev", *EMASYNC, *VERBS[verb], *(("-vv",) if verb not in _QUIET else ()))

        slow: list[str] = []

        def child() -> subprocess.CompletedProcess[str]:
            with start(*patient, home=home, env=env) as process:
                try:
                    out, err = process.communicate(timeout=_PATIENCE_S * (3 if verb == "image build" else 1))
                except subprocess.TimeoutExpired:
                    if not verb.startswith("pod "):  # one that never ends, as this EM tells it
                        slow.append(f"{verb}: still running after {_PATIENCE_S:g} s")
                    return end(process, signal.SIGINT)
                return subprocess.CompletedProcess(process.args, process.returncode, out, err)

        result = await anyio.to_thread.run_sync(child)
        found = misplaced(echo, elsewhere) + slow
    (home / ".netrc").unlink()
    texts = {"stdout": result.stdout, "stderr": result.stderr}
    if "Traceback" in result.stderr or result.returncode not in (*range(24), 130):
        found.append(f"ended with {result.returncode}: {result.stderr[-1500:]}")
    return found + leaks([*SECRETS, NETRC], texts, [home])


_PATIENCE_S: Final = 15.0
_QUIET: Final = frozenset({"jobs ls"})  # talks to nobody and takes no -v
