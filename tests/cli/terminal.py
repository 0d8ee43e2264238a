"""A terminal of a test's own: what a command writes to it, and what a user types.

Owns: one pseudo-terminal per command, as its standard input, output and error.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cli.child import environment

OURS = re.compile(rb"\x1b\[[0-9;]*m")  # colours


def on_terminal(
    *arguments: str,
    home: Path,
    env: Mapping[str, str],
    when: Mapping[bytes, bytes | Callable[[subprocess.Popen[bytes]], None]] | None = None,
) -> tuple[int, bytes]:
    """Run this Python on a terminal; `when` a text appears, type what it is mapped to, or call it. Exit code and all
    that the terminal got."""
    ours, theirs = pty.openpty()
    waiting = dict(when or {})
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment(home, {"TERM": "xterm-256color", **env}),
        cwd=home,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := _read(ours):
            shown += chunk
            for text in [text for text in waiting if text in shown]:
                react = waiting.pop(text)
                if isinstance(react, bytes):
                    os.write(ours, react)
                else:
                    react(process)
        return process.wait(timeout=20), shown
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says EIO when the last writer has gone
        return b""


def control_bytes(shown: bytes) -> set[int]:
    """The control characters among `shown` but newline, CR and our own colours; C1 and bidi marks count too."""
    text = OURS.sub(b"", shown).decode("utf-8", "surrogateescape")
    hidden = {0x200E, 0x200F, 0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069}
    codes = {ord(char) for char in text} - {0x0A, 0x0D}
    return {code for code in codes if code < 0x20 or 0x7F <= code < 0xA0 or code in hidden or 0xDC80 <= code <= 0xDCFF}
