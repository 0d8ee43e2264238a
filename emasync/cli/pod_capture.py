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
    """The captured output. `exit_code` is None where the command was stopped before it wrote one; `cut`: the files hold
    more than these texts."""

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
    directory = shlex.quote(f"/data/{folder}")
    script = (
        f"mkdir -p {directory} || exit 126; "
        f"/bin/sh -c {shlex.quote(inner)} >{directory}/stdout 2>{directory}/stderr; "
        f"code=$?; echo $code >{directory}/exit; exit $code"
    )
    return f"/bin/sh -c {shlex.quote(script)}"


async def download_captured(context: CommandContext, folder: str, *, into: Path) -> Captured | None:
    """Download the captured files into `into`, then remove them from the EM; None if there are none.

    Raises the first error of a file; then nothing is removed.
    """
    tree = await context.em.files.list()
    if not tree.is_folder(folder):
        if not tree.is_known(folder):
            raise ProtocolError(f"the EM's listing does not tell whether {folder} is there")
        return None
    report = await context.em.downlink([f"{folder}/"], into=into)
    report.raise_for_failures()
    await _remove(context, folder)
    return await to_thread.run_sync(_read, into, {outcome.path.name for outcome in report.outcomes})


def print_captured(context: CommandContext, captured: Captured) -> None:
    """The pod's stdout on stdout, its stderr on stderr; in JSON both in one line."""
    if context.output.as_json:
        context.output.result(
            "capture",
            "",
            folder=str(captured.folder),
            exit_code=captured.exit_code,
            stdout=captured.stdout,
            stderr=captured.stderr,
            cut=captured.cut,
        )
    elif captured.stdout:
        context.output.result("capture", captured.stdout.removesuffix("\n").split("\n"))
    if captured.stderr and not context.output.as_json:
        for line in captured.stderr.removesuffix("\n").split("\n"):
            print(safe(line, limit=2000), file=sys.stderr, flush=True)
    rest = ", the rest too" if captured.cut else ""
    context.output.info(f"captured in {captured.folder}{rest}")


async def _remove(context: CommandContext, folder: str) -> None:
    with anyio.move_on_after(_CLEAN_UP_S) as scope:
        try:
            await context.em.files.delete(RemotePath(folder))
        except EMError as error:
            context.output.info(f"could not delete {folder} from the volume: {safe(error)}; next: emasync rm {folder}/")
    if scope.cancelled_caught:
        context.output.info(f"gave up deleting {folder} from the volume; next: emasync rm {folder}/")


def _read(folder: Path, names: Collection[str]) -> Captured:
    # Only files of this download: an `exit` of an earlier run in the same directory is not this run's.
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
    """The start of a file as text, and whether the file is longer."""
    with file.open("rb") as opened:
        data = opened.read(_SHOWN + 1)
    return data[:_SHOWN].decode("utf-8", "replace"), len(data) > _SHOWN
