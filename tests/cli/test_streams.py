"""What a shell hands over that is no use: streams that are closed, full or left, files of another kind.

The work is done where it can be, and the exit code tells when results got lost or nothing could begin.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.child import EM, LIMIT_S, environment


def shell(em: EM, home: Path, redirect: str, *words: str) -> subprocess.CompletedProcess[str]:
    """``emasync WORDS REDIRECT``, as a shell starts it."""
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -m emasync "$@" {redirect}', sys.executable, *words],
        env=environment(home, em.login),
        cwd=home,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        check=False,
    )


# Sabotage: leave out `_open_streams()` in __main__.py: with 2>&- messages go to stdout, or the transfer ends with 1.
@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize("redirect", ["2>&-", ">&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_does_not_keep_a_file_from_coming(em: EM, home: Path, redirect: str, form: list[str]) -> None:
    result = shell(em, home, redirect, "down", "precious.txt", "--into", "out", *form)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (home / "out/precious.txt").read_text() == "mine\n"
    if form:
        assert all(json.loads(line) for line in result.stdout.splitlines())
    else:
        assert "note" not in result.stdout


# Sabotage: catch only BrokenPipeError at the end of `finish`.
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_results_that_a_full_disk_does_not_take_are_an_error_without_a_traceback(
    em: EM, home: Path, form: list[str]
) -> None:
    result = shell(em, home, ">/dev/full", "down", "precious.txt", "--into", "out", *form)
    assert result.returncode == 1
    assert "No space left" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


# Sabotage: let what `ssl.create_default_context` raises through.
@pytest.mark.parametrize(("name", "reason"), [("gone.pem", "No such file"), ("notes.txt", "no certificate in it")])
def test_a_ca_file_that_is_none_is_a_usage_error_that_names_it(em: EM, home: Path, name: str, reason: str) -> None:
    (home / "notes.txt").write_text("not a certificate")
    result = shell(em, home, "", "ls", "--ca", name)
    assert result.returncode == 2
    assert f"--ca: {name} is not a CA certificate in PEM form" in result.stderr
    assert reason in result.stderr
