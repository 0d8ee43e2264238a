"""``emasync cat``: one file of the volume on stdout, in bounded memory, verified at its end.

Owns: how a file's bytes reach stdout. A terminal gets no control characters of the file; a pipe gets the file.
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import BinaryIO

import anyio
import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import CommandContext, run_on_em
from emasync.cli.options import GlobalOptions, with_em
from emasync.model import safe


@click.command("cat")
@click.argument("path")
@with_em
def cat(asked: GlobalOptions, *, path: str) -> None:
    """Print a file of the volume: its bytes as they are, into a pipe or a file. PATH is the file's name, no pattern.

    On a terminal, control characters of the file are shown as \\xNN. The file is verified as far as the EM says what it
    should be; that is known at the end only, so a script must look at the exit code (7: not the right bytes).
    --json changes nothing here.

    \b
    emasync cat results/log.txt
    emasync cat results/frames.tar | tar -t
    """
    run_on_em(replace(asked, json=False), partial(print_file, path=path))


async def print_file(at: CommandContext, *, path: str) -> ExitCode:
    """The verb itself; also ``down PATH -``."""
    stdout = sys.stdout.buffer
    put = _Shown(stdout).put if sys.stdout.isatty() else partial(_put, stdout)
    async with at.em.files.stream(path) as chunks:
        async for chunk in chunks:
            await _in_thread(put, chunk)
    if sys.stdout.isatty():
        await _in_thread(put, b"")
    return ExitCode.DONE


async def _in_thread(put: Callable[[bytes], None], chunk: bytes) -> None:
    """A reader that does not read must not keep Ctrl-C from ending this: the write is left behind then."""
    await anyio.to_thread.run_sync(put, chunk, abandon_on_cancel=True)


def _put(stdout: BinaryIO, chunk: bytes) -> None:
    stdout.write(chunk)
    stdout.flush()


class _Shown:
    """Bytes as text on a terminal: whatever does not print is written as its number, but newlines and tabs."""

    def __init__(self, stdout: BinaryIO) -> None:
        self._stdout = stdout
        self._decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode

    def put(self, chunk: bytes) -> None:
        """Write `chunk`; empty is the end of the file."""
        text = self._decode(chunk, not chunk).replace("\r\n", "\n")
        shown = "\n".join(
            "\t".join(safe(part, limit=sys.maxsize) for part in line.split("\t")) for line in text.split("\n")
        )
        _put(self._stdout, shown.encode(sys.stdout.encoding, "backslashreplace"))
