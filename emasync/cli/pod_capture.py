"""``pod run --capture``: wrap a pod's command so that its output lands in the volume, then download that.

Needs /bin/sh in the image and the volume at /data in the pod, as the vendor's client document has it.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

from emasync.cli.runner import CommandContext
from emasync.errors import EMError, ProtocolError
from emasync.model import RemotePath, safe

_SHOWN = 64 * 1024  # bytes of each stream; the files have all of it
_CLEAN_UP_S = 20.0
_STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What came down. `exit_code` is None where the command did not live to write it; `cut` where more is in the
    files than in these texts."""

    folder: Path
    stdout: str
    stderr: str
    exit_code: int | None
    cut: bool


def wrapped(command: str, *, args: Sequence[str] = (), folder: str) -> str:
    """`command` with `args`, run so that its streams and exit code land in `folder` of the volume.

    It runs in a shell of its own, so that an ``exit`` or a syntax error in it is captured like anything else; the exit
    code is the command's.
    """
    inner = " ".join([command, *map(shlex.quote, args)])
    place = shlex.quote(f"/data/{folder}")
    script = (
        f"mkdir -p {place} || exit 126; "
        f"/bin/sh -c {shlex.quote(inner)} >{place}/stdout 2>{place}/stderr; "
        f"code=$?; echo $code >{place}/exit; exit $code"
    )
    return f"/bin/sh -c {shlex.quote(script)}"


async def bring_down(at: CommandContext, folder: str, *, into: Path) -> Captured | None:
    """Fetch what was captured into `into`, and remove it from the EM once it is all here; None if there is nothing.

    Raises the first file's own error if one does not come; then nothing is removed.
    """
    tree = await at.em.files.list()
    if not tree.is_folder(folder):
        if not tree.is_known(folder):
            raise ProtocolError(f"the EM's listing does not tell whether {folder} is there")
        return None
    report = await at.em.downlink([f"{folder}/"], into=into)
    report.raise_for_failures()
    await _remove(at, folder)
    return await to_thread.run_sync(_read, into, {outcome.path.name for outcome in report.outcomes})


def show(at: CommandContext, captured: Captured) -> None:
    """The pod's stdout on stdout, its stderr on stderr; in JSON both in one line."""
    if at.out.as_json:
        at.out.result(
            "capture",
            "",
            folder=str(captured.folder),
            exit_code=captured.exit_code,
            stdout=captured.stdout,
            stderr=captured.stderr,
            cut=captured.cut,
        )
    elif captured.stdout:
        at.out.result("capture", captured.stdout.removesuffix("\n").split("\n"))
    if captured.stderr and not at.out.as_json:
        for line in captured.stderr.removesuffix("\n").split("\n"):
            print(safe(line, limit=2000), file=sys.stderr, flush=True)
    rest = ", the rest too" if captured.cut else ""
    at.out.say(f"captured in {captured.folder}{rest}")


async def _remove(at: CommandContext, folder: str) -> None:
    with anyio.move_on_after(_CLEAN_UP_S) as scope:
        try:
            await at.em.files.delete(RemotePath(folder))
        except EMError as error:
            at.out.say(f"could not delete {folder} from the volume: {safe(error)}; next: emasync rm {folder}/")
    if scope.cancelled_caught:
        at.out.say(f"gave up deleting {folder} from the volume; next: emasync rm {folder}/")


def _read(folder: Path, names: Collection[str]) -> Captured:
    # Only what came now: an `exit` of an earlier run in the same folder must not speak for this one.
    texts = {name: _start(folder / name) if name in names else ("", False) for name in (*_STREAMS, "exit")}
    code = texts["exit"][0].strip()
    return Captured(
        folder=folder,
        stdout=texts["stdout"][0],
        stderr=texts["stderr"][0],
        exit_code=int(code) if code.isascii() and code.isdigit() else None,
        cut=any(texts[name][1] for name in _STREAMS),
    )


def _start(file: Path) -> tuple[str, bool]:
    """The start of a file as text, and whether there is more of it."""
    with file.open("rb") as opened:
        data = opened.read(_SHOWN + 1)
    return data[:_SHOWN].decode("utf-8", "replace"), len(data) > _SHOWN
