"""The command line in a process of its own, beside a simulator in this one, with something of the machine held back.

Owns: starting it (plain, or under prlimit, setpriv, unshare), and reading its JSON lines as the report they tell.
May import emasync's public names and its simulator. Judges nothing: that is the checker's.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import anyio

from emasync import EMError, Outcome, OutcomeState, RemotePath, TransferReport
from emasync.model import Direction
from emasync.simulator import Simulator
from tests.cli.child import environment, login

USER: Final = "client1"
PASSWORD: Final = "canary-pw-77aa"
USERS: Final = {USER: PASSWORD}
LIMIT_S: Final = 50.0
_SLOW_MACHINE: Final = re.compile(r"^Executing <.*> took [\d.]+ seconds\n", re.MULTILINE)
_UGLY: Final = re.compile(r"Traceback|[A-Za-z]*Warning:|Exception ignored|never retrieved|was destroyed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended. `code` is negative for a signal that killed it."""

    code: int
    out: str
    err: str

    @property
    def report(self) -> TransferReport:
        """What its JSON lines say of each file."""
        lines: list[dict[str, Any]] = [json.loads(line) for line in self.out.splitlines()]
        return TransferReport(outcomes=tuple(_outcome(line) for line in lines if line["type"] == "file"))

    def ugly(self) -> list[str]:
        """What no user should ever see: tracebacks, warnings of the interpreter, an end by our own hand."""
        found = _UGLY.search(self.err)
        wrong = [f"stderr has {found[0]!r}: {self.err[-1500:]}"] if found else []
        return wrong + ([f"signal {-self.code} ended it: {self.err[-500:]}"] if self.code < 0 else [])


def _outcome(line: Mapping[str, Any]) -> Outcome:
    return Outcome(
        path=RemotePath(line["path"]),
        place=line["local"],
        direction=Direction(line["direction"]),
        state=OutcomeState(line["state"]),
        bytes=line["bytes"],
        sha256=line["sha256"],
        reason=line["reason"],
        error=None if line["error"] is None else EMError(f"{line['error_type']}: {line['error']}"),
    )


@asynccontextmanager
async def started(
    url: str, home: Path, *words: str, wrap: Sequence[str] = (), script: Sequence[str] = ("-m", "emasync")
) -> AsyncIterator[asyncio.subprocess.Process]:
    """``emasync WORDS`` (or another `script`) in `home`, behind the command `wrap`; killed if the block is left."""
    home.mkdir(parents=True, exist_ok=True)
    env = environment(home, {**login(url, password=PASSWORD), "PYTHONWARNINGS": "error"})
    process = await asyncio.create_subprocess_exec(
        *(*wrap, sys.executable, *script, *words),
        env=env,
        cwd=home,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            with anyio.CancelScope(shield=True):
                await process.communicate()


async def ended(process: asyncio.subprocess.Process, *, limit_s: float = LIMIT_S) -> Ended:
    """Wait for its end; TimeoutError (and the process is killed by `started`) when it hangs."""
    with anyio.fail_after(limit_s):
        out, err = await process.communicate()
    assert process.returncode is not None
    told = _SLOW_MACHINE.sub("", err.decode("utf-8", "replace"))
    return Ended(code=process.returncode, out=out.decode("utf-8", "replace"), err=told)


async def emasync(
    url: str, home: Path, *words: str, wrap: Sequence[str] = (), script: Sequence[str] = ("-m", "emasync")
) -> Ended:
    """Run it to its end."""
    async with started(url, home, *words, wrap=wrap, script=script) as process:
        return await ended(process)


def some_files(
    rng: random.Random, count: int, *, small: int = 20_000, large: int = 0, folders: int = 4
) -> dict[str, bytes]:
    """`count` files in `folders` folders, the first one empty; `large` of them have 150 to 300 kB."""
    sizes = [0, *(rng.randrange(1, small) for _ in range(count - 1 - large))]
    sizes += [rng.randrange(150_000, 300_000) for _ in range(large)]
    return {f"d{index % folders}/f{index:03}": rng.randbytes(size) for index, size in enumerate(sizes)}


def journals(home: Path) -> list[Path]:
    """The journals of jobs that are not done."""
    return sorted(home.rglob("*.journal"))


@cache
def missing(*tools: str) -> str | None:
    """Why a test that needs these programs (and, for `unshare`, a mount namespace) cannot run; None if it can."""
    for tool in tools:
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if "unshare" in tools:
        tried = subprocess.run(
            ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
        )
        if tried.returncode:
            return "no mount namespace may be made here"
    if "setpriv" in tools:
        tried = subprocess.run([*NO_OVERRIDE, "true"], capture_output=True, check=False)
        if tried.returncode:
            return "root's capabilities cannot be dropped here"
    return None


NO_OVERRIDE: Final = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
"""Permissions bind even root behind this. A change of user would not do: the interpreter may lie in root's home."""


def on_tiny_disk(folder: Path, *, size: int, copy: Path) -> tuple[str, ...]:
    """Behind this, `folder` is an empty file system of `size` bytes; what it held in the end is then in `copy`."""
    script = 'mount -t tmpfs -o "size=$1" none "$2" || exit 99; copy=$3; disk=$2; shift 3; "$@"; code=$?; '
    script += 'cp -a "$disk/." "$copy/" || exit 98; exit $code'
    return ("unshare", "-m", "sh", "-c", script, "sh", str(size), str(folder), str(copy))


@asynccontextmanager
async def an_em(root: Path, files: Mapping[str, bytes] | None = None, **options: Any) -> AsyncIterator[Simulator]:
    """A simulator at `root` whose volume holds `files`."""
    async with Simulator(USERS, root=root, **options) as sim:
        for name, data in (files or {}).items():
            path = sim.volume(USER) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        yield sim
