"""Answers that are far too large, and plans of very many files: bounded in memory and time, and open to signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.flood_server import Flood, flooding, listing_of
from tests.faults.stage_plans import JOBS, plan_many

_CLI = str(Path(__file__).with_name("peak_child.py"))
_LISTS = b'{"data":[' + b"[]," * (63 * 2**20 // 3) + b"[]]}"  # just within the bound of a listing
_PEAK_KIB = 128 * 1024


def _started(flood: Flood, home: Path, *words: str) -> subprocess.Popen[str]:
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("EMASYNC_")},
        "EMASYNC_URL": flood.url,
        "EMASYNC_USERNAME": "u",
        "EMASYNC_PASSWORD": "p",
        "EMASYNC_STATE_DIR": "",
        "EMASYNC_CONFIG": str(home / "config.toml"),
    }
    command = [sys.executable, _CLI, *words]
    return subprocess.Popen(command, env=env, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# sabotage: the bound in `Response.json` is `listing_reply` (status: 1.5 GB); the reader takes its pieces in `finish`
# only.
@pytest.mark.parametrize(("path", "words"), [("/em/pod/status", ("pod", "status")), ("/em/files/list", ("ls",))])
def test_64_mib_of_lists_are_an_error_at_once_in_bounded_memory(
    tmp_path: Path, path: str, words: tuple[str, ...]
) -> None:
    with flooding({path: _LISTS}) as flood, _started(flood, tmp_path, *words, "--retries", "0") as process:
        assert flood.reached(1, timeout_s=30)
        began = time.monotonic()
        out, err = process.communicate(timeout=50)
        took_s = time.monotonic() - began
    peak_kib = int(err.splitlines()[-1])
    assert process.returncode not in (0, -9), (out, err)
    assert "larger than" in err or "is a list, not an object" in err
    assert peak_kib <= _PEAK_KIB
    assert took_s <= 2.0  # a quarter of a second, as a rule


# sabotage: the reader takes its pieces in `finish` only: the signal waits for the parser.
@pytest.mark.parametrize(
    ("number", "share", "later_s"), [(signal.SIGINT, 0.5, 0.0), (signal.SIGINT, 1.0, 0.3), (signal.SIGTERM, 1.0, 0.3)]
)
def test_a_signal_ends_the_command_while_a_large_listing_is_parsed(
    tmp_path: Path, number: signal.Signals, share: float, later_s: float
) -> None:
    body = listing_of(600_000)
    with flooding({"/em/files/list": body}) as flood, _started(flood, tmp_path, "ls") as process:
        assert flood.reached(int(len(body) * share), timeout_s=30)
        time.sleep(later_s)  # what is still on its way arrives, and is parsed for seconds
        process.send_signal(number)
        began = time.monotonic()
        out, err = process.communicate(timeout=50)
        took_s = time.monotonic() - began
    assert process.returncode == 128 + number, (out[-500:], err)
    assert out == ""
    assert took_s <= 2.0  # as a rule less than half a second; one is promised


# sabotage (each tried): keep a list beside what is packed: of found files in `_Walk` (up), of entries in `_Listing`
# (plan down), of entries with their paths in `_ListedFiles` (sync down).
@pytest.mark.slow
@pytest.mark.timeout(150)
def test_plans_and_dry_syncs_of_very_many_files_are_bounded_in_memory(tmp_path: Path) -> None:
    wrong, note = plan_many(tmp_path, JOBS, count=25_000, limit_s=60)

    assert wrong == [], note


def test_the_listing_that_is_served_is_one() -> None:
    assert len(json.loads(listing_of(5000))["data"]) == 3
