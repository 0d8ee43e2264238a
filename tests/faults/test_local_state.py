"""A state folder that cannot be used costs the journal and one line that says so; what was asked for is done."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.checker import Run, violations
from tests.faults.stage_local import (
    NO_OVERRIDE,
    USER,
    Ended,
    an_em,
    emasync,
    journals,
    missing,
    on_tiny_disk,
    some_files,
)

SAID = "no journal is kept, an interrupted run cannot be resumed: "
FILES = some_files(random.Random(9), 12)


def said(end: Ended) -> list[str]:
    """The lines that tell of the state folder."""
    return [line for line in end.err.splitlines() if "journal" in line or "state" in line or "cache" in line]


async def moved(folder: Path, way: str, *wrap: str) -> tuple[Ended, list[str]]:
    """All files one way in `folder`, from a home that is `folder / "home"`; and what the checker says."""
    home = folder / "home"
    async with an_em(folder / "em", FILES if way != "up" else None) as sim:
        for name, data in FILES.items() if way == "up" else ():
            (folder / "src" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "src" / name).write_bytes(data)
        out = folder / "out"
        words = {
            "up": ("up", f"{folder}/src/"),
            "down": ("down", "/", "--into", str(out)),
            "sync": ("sync", "down", "/", str(out)),
        }[way]
        end = await emasync(sim.url, home, *words, wrap=wrap)
        destination = sim.volume(USER) if way == "up" else out
        run = Run(
            direction="up" if way == "up" else "down", wanted=FILES, destination=destination, ended_ok=end.code == 0
        )
        return end, violations(run) + end.ugly()


# sabotage: leave `except OSError` out of `_Job.__enter__`.
@pytest.mark.parametrize("way", ["up", "down", "sync"])
async def test_a_home_that_cannot_be_written_costs_one_line(tmp_path: Path, way: str) -> None:
    if why := missing("setpriv"):
        pytest.skip(why)
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o555)
    end, wrong = await moved(tmp_path, way, *NO_OVERRIDE)
    assert (end.code, wrong) == (0, []), end.err
    assert [SAID in line and "ermission denied" in line for line in said(end)] == [True]
    assert list((tmp_path / "home").iterdir()) == []


# sabotage: as above; a sync says it once, too: with `_log.warning` for a hash cache that is not there it is two lines.
@pytest.mark.parametrize("way", ["down", "sync"])
async def test_a_state_folder_that_is_a_file_costs_one_line(tmp_path: Path, way: str) -> None:
    file = tmp_path / "state"
    file.write_text("mine")
    (tmp_path / "out").mkdir()
    same = next(iter(FILES))  # in a sync its content is asked for, so that the hash cache is wanted
    (tmp_path / "out" / same).parent.mkdir()
    (tmp_path / "out" / same).write_bytes(FILES[same])
    end, wrong = await moved(tmp_path, way, "env", f"EMASYNC_STATE_DIR={file}/emasync")
    assert (end.code, wrong) == (0, []), end.err
    assert [SAID in line for line in said(end)] == [True]
    assert file.read_text() == "mine"


# sabotage: no `except OSError` in `open_transfer_journal` (the journal cannot be made); `optional = None` there (it
# cannot be written).
@pytest.mark.parametrize("size", [8192, 20480])
async def test_a_full_state_disk_costs_one_line_whenever_it_is_full(tmp_path: Path, size: int) -> None:
    if why := missing("unshare"):
        pytest.skip(why)
    for name in ("state", "copy"):
        (tmp_path / name).mkdir()
    wrap = on_tiny_disk(tmp_path / "state", size=size, copy=tmp_path / "copy")
    end, wrong = await moved(tmp_path, "down", *wrap, "env", f"EMASYNC_STATE_DIR={tmp_path}/state")
    assert (end.code, wrong) == (0, []), end.err
    assert [SAID in line for line in said(end) if "recorded" not in line] == [True]


# sabotage: leave `obj=Resumed(...)` out of jobs_resume: it goes on without a journal.
async def test_jobs_resume_refuses_where_its_state_cannot_be_written(tmp_path: Path) -> None:
    if why := missing("setpriv"):
        pytest.skip(why)
    home = tmp_path / "home"
    async with an_em(tmp_path / "em", FILES) as sim:
        in_the_way = home / "out" / next(iter(FILES))
        in_the_way.mkdir(parents=True)
        first = await emasync(sim.url, home, "down", "/", "--into", "out", "-q")
        in_the_way.rmdir()
        (journal,) = journals(home)
        journal.parent.chmod(0o555)
        end = await emasync(sim.url, home, "jobs", "resume", journal.stem, wrap=NO_OVERRIDE)
        journal.parent.chmod(0o755)
    assert (first.code, end.code) == (6, 4)
    assert end.ugly() == []
    assert not in_the_way.exists()
