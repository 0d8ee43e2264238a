"""Scanning: what sources mean, what is refused, and that odd trees neither break nor trap the walk."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from emasync.errors import EMError, ForbiddenError, NotFoundError, UnsafePathError
from emasync.model import Glob
from emasync.transfer.planning.filters import Filters
from emasync.transfer.planning.packing import plan_uplink
from emasync.transfer.planning.scan import Scan, scan, scan_folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(path, encoding="utf-8")


def landed(scanned: Scan) -> dict[str, str]:
    return {one.relative: str(Path(one.local_path)) for one in scanned.found}


def refused(scanned: Scan) -> dict[str, EMError]:
    return {one.remote: one.error for one in scanned.refused}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("top.txt", {"top.txt"}),
        ("./top.txt", {"top.txt"}),
        ("src/a/x.log", {"x.log"}),
        ("src", {"src/main.py", "src/a/x.log", "src/a/b/y.log"}),
        (Path("src/"), {"src/main.py", "src/a/x.log", "src/a/b/y.log"}),
        ("src/", {"main.py", "a/x.log", "a/b/y.log"}),
        ("src//", {"main.py", "a/x.log", "a/b/y.log"}),
        ("src/.", {"main.py", "a/x.log", "a/b/y.log"}),
        ("src/a/..", {"main.py", "a/x.log", "a/b/y.log"}),
        ("src/a", {"a/x.log", "a/b/y.log"}),
        (".", {"top.txt", "src/main.py", "src/a/x.log", "src/a/b/y.log"}),
        ("src/*.py", {"main.py"}),
        ("src/**/*.log", {"a/x.log", "a/b/y.log"}),
        ("src/*/b", {"a/b/y.log"}),
        ("*", {"top.txt", "src/main.py", "src/a/x.log", "src/a/b/y.log"}),
        ("s*c/a/*.log", {"src/a/x.log"}),
        ("**/y.log", {"src/a/b/y.log"}),
        ("src/**", {"main.py", "a/x.log", "a/b/y.log"}),
    ],
)
def test_a_source_says_where_its_files_land(source: str | Path, expected: set[str]) -> None:
    files("top.txt", "src/main.py", "src/a/x.log", "src/a/b/y.log")
    scanned = scan([source])
    assert set(landed(scanned)) == expected
    assert not scanned.refused
    for one in scanned.found:
        assert Path(one.local_path).read_text(encoding="utf-8").endswith(one.relative)
        assert one.fingerprint.size == Path(one.local_path).stat().st_size


def test_absolute_sources_work_like_relative_ones(here: Path) -> None:
    files("src/x")
    assert landed(scan([here / "src", f"{here}/src/*"])) == {"src/x": f"{here}/src/x", "x": f"{here}/src/x"}


def test_a_file_named_like_a_pattern_is_that_file() -> None:
    # sabotage: expand patterns before looking for the file
    files("a*.txt", "ab.txt")
    assert set(landed(scan(["a*.txt"]))) == {"a*.txt"}


def test_question_marks_and_brackets_are_ordinary_characters_of_a_source() -> None:
    # sabotage: `wildcards = "*?["` for a str too in PathPattern.of, and no escape there
    files("a1.txt", "ab.txt", "d[1]/x.log", "d1/y.log")
    for source in ("a[1].txt", "a?.txt", "a[1]*.txt", "d?/*.log"):
        scanned = scan([source])
        assert (landed(scanned), type(scanned.refused[0].error)) == ({}, NotFoundError), source
    assert landed(scan(["d[1]/*.log"])) == {"x.log": "d[1]/x.log"}


def test_a_glob_is_always_a_pattern(here: Path) -> None:
    # sabotage: hand a Glob's text to walk.source in scan
    files("run[1].log", "run1.log", "d[1]/x", "d1/y")
    assert set(landed(scan([Glob("run[1].log")]))) == {"run1.log"}
    assert set(landed(scan([Glob("d[1]")]))) == {"d1/y"}
    assert set(landed(scan([Glob(f"{here}/d1/?")]))) == {"y"}
    assert isinstance(scan([Glob("z?")]).refused[0].error, NotFoundError)
    with pytest.raises(TypeError, match="list"):
        scan(Glob("*"))  # type: ignore[arg-type]


def test_a_slash_at_the_end_of_a_pattern_selects_folders_only() -> None:
    # sabotage: leave out the `**` that PathPattern.of appends
    files("logs.txt", "logs1/a", "logs2/b/c")
    assert set(landed(scan(["logs*/"]))) == {"logs1/a", "logs2/b/c"}


def test_the_folder_of_a_sync_is_never_a_pattern() -> None:
    # sabotage: drop `literal=True` in scan_folder: where "data*" is gone, "data1" would be synced in its place
    files("data1/x")
    scanned = scan_folder(Path("data*"))
    assert (landed(scanned), type(scanned.refused[0].error)) == ({}, NotFoundError)
    files("data*/y")
    assert set(landed(scan_folder(Path("data*")))) == {"y"}


@pytest.mark.parametrize("source", ["gone", "gone/", "gone/*.txt", "*.none", "file/", "file/*"])
def test_a_source_that_is_not_there_is_refused(source: str) -> None:
    files("file")
    scanned = scan([source])
    assert not scanned.found
    assert len(scanned.refused) == 1
    assert isinstance(scanned.refused[0].error, EMError)
    if source.startswith("gone") or "none" in source:
        assert isinstance(scanned.refused[0].error, NotFoundError)


def test_pipes_sockets_and_devices_are_refused_without_being_opened() -> None:
    # sabotage: skip the S_ISREG check; the engine would then wait for a writer of the pipe for ever
    files("d/file")
    os.mkfifo("d/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("d/sock")
        scanned = scan(["d", "/dev/null"])
    assert set(landed(scanned)) == {"d/file"}
    texts = {path: str(error) for path, error in refused(scanned).items()}
    assert "named pipe" in texts["d/pipe"]
    assert "socket" in texts["d/sock"]
    assert "device" in texts["null"]


def test_links_are_followed_and_loops_are_found() -> None:
    # sabotage: drop lies_in; the walk then ends in ELOOP some forty levels deeper
    files("outside/x", "d/real/y")
    Path("d/link").symlink_to("../outside")
    Path("d/real/up").symlink_to("..")
    Path("d/real/self").symlink_to("self")
    Path("d/file").symlink_to("real/y")
    Path("d/dangling").symlink_to("nowhere")
    scanned = scan(["d"])
    assert set(landed(scanned)) == {"d/link/x", "d/real/y", "d/file"}
    errors = refused(scanned)
    assert set(errors) == {"d/real/up", "d/real/self", "d/dangling"}
    assert "a folder that it lies in" in str(errors["d/real/up"])
    assert isinstance(errors["d/dangling"], NotFoundError)
    assert "nowhere" in str(errors["d/dangling"])


def test_with_links_not_followed_each_link_is_refused() -> None:
    files("outside/x", "d/y")
    Path("d/link").symlink_to("../outside")
    Path("top").symlink_to("d")
    scanned = scan(["d", "top"], follow_symlinks=False)
    assert set(landed(scanned)) == {"d/y"}
    assert set(refused(scanned)) == {"d/link", "top"}
    assert set(landed(scan(["top/"], follow_symlinks=False))) == {"y"}


def test_an_unreadable_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    files("d/ok", "d/shut/x")
    really = os.scandir

    def scandir(path: str) -> object:
        if path.endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)  # the tests may run as root, whom no mode keeps out
    scanned = scan(["d"])
    assert set(landed(scanned)) == {"d/ok"}
    assert isinstance(refused(scanned)["d/shut"], ForbiddenError)


def test_names_that_are_not_utf8_are_refused_and_shown(here: Path) -> None:
    (here / "d").mkdir()
    try:
        (here / "d" / os.fsdecode(b"caf\xe9")).touch()
        (here / "d" / os.fsdecode(b"dir\xff")).mkdir()
        (here / "d" / os.fsdecode(b"dir\xff") / "inside").touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    scanned = scan(["d", "d/" + os.fsdecode(b"dir\xff") + "/", "d/" + os.fsdecode(b"dir\xff")])
    assert set(landed(scanned)) == {"inside"}  # the folder's own name is not sent
    assert set(refused(scanned)) == {"d/caf\\xe9", "d/dir\\xff", "dir\\xff"}
    assert all(isinstance(error, UnsafePathError) for error in refused(scanned).values())


def test_excluded_folders_are_not_walked(monkeypatch: pytest.MonkeyPatch) -> None:
    # sabotage: filter files only
    files("d/keep", "d/node_modules/x", "d/a/node_modules/y")
    walked: list[str] = []
    really = os.scandir

    def scandir(path: str) -> object:
        walked.append(path)
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    scanned = scan(["d"], filters=Filters(exclude=("node_modules",)))
    assert set(landed(scanned)) == {"d/keep"}
    assert walked == ["d", "d/a"]
    assert scanned.excluded == 2


def test_ignore_files_are_heeded_at_the_root_and_below() -> None:
    files("d/a.log", "d/b.txt", "d/sub/a.log", "d/sub/keep.log", "d/cache/x", "d/sub/cache/x")
    Path("d/.emignore").write_text("*.log\n/cache\n", encoding="utf-8")
    Path("d/sub/.emignore").write_text("!keep.log\n", encoding="utf-8")
    expected = {".emignore", "b.txt", "sub/.emignore", "sub/keep.log", "sub/cache/x"}
    scanned = scan(["d/"])
    assert set(landed(scanned)) == expected
    assert set(landed(scan(["d"]))) == {f"d/{path}" for path in expected}
    # the same filters tell a sync what of the EM's files is none of its business
    assert all(scanned.filters.takes(one.relative) for one in scanned.found)
    assert not scanned.filters.takes(next(iter(scanned.found)).relative.parent / "cache" / "x")


def test_an_ignore_file_that_cannot_be_understood_refuses_its_folder() -> None:
    # sabotage: go on without the rules, and what was to be ignored is sent
    files("d/secret", "d/sub/x", "fine")
    Path("d/.emignore").write_text("!\n", encoding="utf-8")
    scanned = scan(["."])
    assert set(landed(scanned)) == {"fine"}
    assert ".emignore" in str(refused(scanned)["d"])


def test_our_own_temporary_files_are_left_out() -> None:
    files("d/x", "d/.emasync-1a2b", "d/.emasync-state/journal")
    assert set(landed(scan(["d"]))) == {"d/x"}


def test_empty_folders_are_notes() -> None:
    files("d/full/x")
    Path("d/void/inner").mkdir(parents=True)
    scanned = scan(["d"])
    assert scanned.folders == ("d", "d/full", "d/void", "d/void/inner")
    assert scanned.notes == ("d/void/inner: an empty folder, nothing to move",)


def test_misuse_is_a_type_or_value_error() -> None:
    with pytest.raises(TypeError, match="list"):
        scan("src")
    with pytest.raises(ValueError, match="empty"):
        scan([""])


def test_a_tree_three_hundred_folders_deep_is_walked(here: Path) -> None:
    folder = here / "deep"
    for _ in range(300):
        folder = folder / "d"
    folder.mkdir(parents=True)
    (folder / "x").touch()
    scanned = scan(["deep", "deep/**/x"], filters=Filters(exclude=("nothing",)))
    assert [len(one.relative.parts) for one in scanned.found] == [302, 301]
    assert plan_uplink(scanned.found).files == 2


def test_many_files_are_scanned_at_once(here: Path) -> None:
    (here / "many").mkdir()
    base = here / "many" / "seed"
    base.touch()
    for number in range(2000):
        os.link(base, here / "many" / f"f{number}")  # cheaper to make than files
    scanned = scan(["many/"] * 5)
    # No figure here: the time limit of every test is the guard, something quadratic takes minutes.
    assert len(scanned.found) == 5 * 2001
