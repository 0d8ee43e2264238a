"""The small file that remembers a width."""

from __future__ import annotations

from pathlib import Path

import pytest

from emasync.http.limiter.aimd import LimiterState
from emasync.http.limiter.limiter import load_state, save_state

URL = "http://em.example:8000/"
LEARNED = LimiterState(width=1, known_limit=2, learned_at=1000.0)


def only_file(folder: Path) -> Path:
    (file,) = folder.iterdir()
    return file


def test_what_was_remembered_is_recalled(tmp_path: Path) -> None:
    assert save_state(tmp_path / "state", URL, LEARNED)
    assert load_state(tmp_path / "state", URL, now=1001.0) == LEARNED


def test_an_open_em_is_remembered_without_a_ceiling(tmp_path: Path) -> None:
    state = LimiterState(width=16, known_limit=None, learned_at=1000.0)
    save_state(tmp_path, URL, state)
    assert load_state(tmp_path, URL, now=1000.0) == state


def test_each_em_has_its_own_memory(tmp_path: Path) -> None:
    save_state(tmp_path, URL, LEARNED)
    assert load_state(tmp_path, "http://em.example:8001/", now=1001.0) is None
    assert load_state(tmp_path, "http://EM.example:8000", now=1001.0) == LEARNED


@pytest.mark.parametrize("now", [999.0, 1000.0 + 86_400.0, 1e12])
def test_a_memory_older_than_a_day_or_from_the_future_is_none(tmp_path: Path, now: float) -> None:
    # Sabotage: return `state` without looking at its age.
    save_state(tmp_path, URL, LEARNED)
    assert load_state(tmp_path, URL, now=now) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b"null",
        b"\xff\xfe",
        b"[" * 4000,
        b'{"width": 0, "ceiling": null, "learned_at": 1000}',
        b'{"width": true, "ceiling": null, "learned_at": 1000}',
        b'{"width": 4, "ceiling": "2", "learned_at": 1000}',
        b'{"width": 4, "ceiling": null, "learned_at": NaN}',
        b'{"width": 4, "learned_at": 1000}',
        b'{"width": 1e400, "ceiling": null, "learned_at": 1000}',
        b'{"width": 9999999, "ceiling": null, "learned_at": 1000}',
    ],
)
def test_a_broken_memory_is_none(tmp_path: Path, content: bytes) -> None:
    save_state(tmp_path, URL, LEARNED)
    only_file(tmp_path).write_bytes(content)
    assert load_state(tmp_path, URL, now=1001.0) is None


def test_no_log_in_data_reaches_the_folder(tmp_path: Path) -> None:
    # Sabotage: hash or write the address with its user part.
    save_state(tmp_path, "http://client1:canary@em.example:8000/", LEARNED)
    file = only_file(tmp_path)
    assert "canary" not in file.name + file.read_text()
    assert load_state(tmp_path, URL, now=1001.0) == LEARNED, "the user part is no part of the address"


def test_a_folder_that_cannot_be_written_fails_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_bytes(b"")
    assert not save_state(blocker, URL, LEARNED)
    assert load_state(blocker, URL, now=1001.0) is None


def test_a_failed_replacement_leaves_the_old_memory_and_no_temp_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Sabotage: write the target itself, or drop the unlink.
    save_state(tmp_path, URL, LEARNED)

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    assert not save_state(tmp_path, URL, LimiterState(width=9, known_limit=None, learned_at=2000.0))
    assert only_file(tmp_path).suffix == ".json"
    assert load_state(tmp_path, URL, now=1001.0) == LEARNED
