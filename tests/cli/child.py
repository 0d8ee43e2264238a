"""The command line as its users have it: a process with arguments, an environment and two streams.

Owns: starting children of this interpreter without anything of the developer's own settings, and their end.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

LIMIT_S = 40.0
CANARY = "canary-pw-5f1e"
ROOT = Path(__file__).parents[2]
EMASYNC = ("-m", "emasync")


@dataclass(frozen=True, slots=True, kw_only=True)
class EM:
    """An ``emasync simulator`` that runs. `volume` is the folder of `client1`; the password is the canary."""

    url: str
    volume: Path
    process: subprocess.Popen[str]

    @property
    def login(self) -> dict[str, str]:
        """What a child needs in its environment to work on it."""
        return login(self.url)


def login(url: str, *, password: str = CANARY) -> dict[str, str]:
    """The environment of somebody who works on the EM at `url`."""
    return {"EMASYNC_URL": url, "EMASYNC_USERNAME": "client1", "EMASYNC_PASSWORD": password}


def environment(home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A user's environment with an empty home, and `extra`."""
    ours = {name: text for name, text in os.environ.items() if not name.startswith(("EMASYNC_", "PYTHON"))}
    places = {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "TMPDIR": str(home)}
    return ours | places | {"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"} | dict(extra or {})


# asyncio's debug mode (-X dev) logs every callback above 100 ms: that tells of the machine, not of the program.
_SLOW_MACHINE = re.compile(r"^Executing <.*> took [\d.]+ seconds\n", re.MULTILINE)


def start(
    *arguments: str, home: Path, env: Mapping[str, str] | None = None, stdout: int | IO[str] = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start this Python with `arguments`; whoever starts it ends it."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=environment(home, env),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def run(*arguments: str, home: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    with start(*arguments, home=home, env=env) as process:
        return end(process)


def emasync(em: EM, home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run ``emasync WORDS`` on `em` to its end, with `more` in its environment."""
    return run(*EMASYNC, *words, home=home, env={**em.login, **more})


def end(process: subprocess.Popen[str], number: signal.Signals | None = None) -> subprocess.CompletedProcess[str]:
    """Wait for a child, after sending it a signal if one is given; it is killed when it does not end in time."""
    if number is not None:
        process.send_signal(number)
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    told = _SLOW_MACHINE.sub("", err or "")
    return subprocess.CompletedProcess(process.args, process.returncode, out or "", told)


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    """PlainProgress of its stdout up to the first one that holds `text`."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"{text!r} never came: {lines}")


@contextmanager
def simulator(home: Path, *flags: str) -> Iterator[EM]:
    """``emasync simulator`` on a free port, until the block ends; it must then end well."""
    with start(*EMASYNC, "simulator", "--port", "0", "--user", f"client1:{CANARY}", *flags, home=home) as process:
        try:
            first = read_until(process, "an EM at ")[0]
            url, _, volume = first.removeprefix("an EM at ").partition(", volume of client1 at ")
            yield EM(url=url, volume=Path(volume.rstrip("\n")), process=process)
        finally:
            if process.poll() is None:
                result = end(process, signal.SIGINT)
                assert result.returncode == 0, result.stderr
