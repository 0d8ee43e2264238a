"""``ls``, ``cat``, ``rm`` and ``node ls``: exit code and stdout."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.canned_em import Canned, Held, canned_em
from tests.cli.child import CANARY, EM, EMASYNC, end, login, run, simulator, start
from tests.cli.terminal import on_terminal


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EM]:
    """An EM of the newest generation, strict about its lock."""
    with simulator(tmp_path_factory.mktemp("later"), "-q", "--generation", "pvc", "--exclusive") as em:
        yield em


@pytest.fixture
def folder(em: EM, request: pytest.FixtureRequest) -> Iterator[str]:
    """A folder of the volume with three files, of this test alone."""
    name = f"test-{abs(hash(request.node.name)):x}"
    for path, text in (("a.txt", "one\n"), ("b.log", "two two\n"), ("sub/c.log", "")):
        place = em.volume / name / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (em.volume / name / "empty").mkdir()
    yield name
    subprocess.run(["rm", "-rf", str(em.volume / name)], check=True)


def test_ls_draws_a_tree(em: EM, home: Path, folder: str) -> None:
    result = run(*EMASYNC, "ls", folder, home=home, env=em.login)

    assert result.returncode == 0
    lines = [f"{folder}/", "├── a.txt", "├── b.log", "├── empty/", "└── sub/", "    └── c.log"]
    assert result.stdout.splitlines() == lines
    assert result.stderr == "3 files in 2 folders, 12 B\n"


def test_ls_l_has_bytes_time_tag_and_path(em: EM, home: Path, folder: str) -> None:
    result = run(*EMASYNC, "ls", "-l", "-q", f"{folder}/**/*.log", home=home, env=em.login)

    rows = [line.split() for line in result.stdout.splitlines()]
    assert (result.returncode, result.stderr) == (0, "")
    assert [(row[0], row[-1]) for row in rows] == [("8", f"{folder}/b.log"), ("0", f"{folder}/sub/c.log")]
    assert rows[1][2] == "-1621285313438006658"  # the tail of the MD5 of nothing


def test_ls_json_is_a_line_per_entry_with_the_tag_as_a_string_and_exit_last(em: EM, home: Path, folder: str) -> None:
    result = run(*EMASYNC, "ls", "--json", folder, home=home, env=em.login)

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["folder", "folder", "file", "file", "file", "exit"]
    assert lines[2]["path"] == f"{folder}/a.txt"
    assert (lines[2]["size"], type(lines[2]["content_tag"])) == (4, str)
    assert lines[-1] == {"type": "exit", "schema": 1, "code": 0, "reason": "done"}


@pytest.mark.parametrize("words", [["ls", "not-there"], ["ls", "not*there"], ["cat", "not-there"], ["rm", "-y", "no"]])
def test_what_is_not_there_is_exit_3(em: EM, home: Path, words: list[str]) -> None:
    result = run(*EMASYNC, *words, home=home, env=em.login)

    assert (result.returncode, result.stdout) == (3, "")
    assert words[-1] in result.stderr


def test_cat_gives_the_bytes_as_they_are(em: EM, home: Path, folder: str) -> None:
    data = bytes(range(256)) * 5000
    (em.volume / folder / "data.bin").write_bytes(data)
    with (home / "out").open("w") as out:
        process = start(*EMASYNC, "cat", f"{folder}/data.bin", "--json", home=home, env=em.login, stdout=out)
        result = end(process)

    assert (result.returncode, result.stderr) == (0, "")
    assert (home / "out").read_bytes() == data


def test_cat_of_wrong_bytes_is_exit_7(home: Path) -> None:
    # Sabotage: drop FileContent.verify from emasync/api/files.py's _verified.
    content = {"content": base64.b64encode(b"hello").decode(), "size": 5, "hash": "0" * 64}
    with canned_em({"/em/files/downlink": (200, content)}) as url:
        result = run(*EMASYNC, "cat", "a.txt", home=home, env=login(url))

    assert (result.returncode, result.stdout) == (7, "hello")
    assert "emasync: " in result.stderr


def test_rm_without_a_terminal_and_without_y_is_exit_2_and_deletes_nothing(em: EM, home: Path, folder: str) -> None:
    result = run(*EMASYNC, "rm", folder, home=home, env=em.login)

    assert (result.returncode, result.stdout) == (2, "")
    assert "-y" in result.stderr
    assert (em.volume / folder / "a.txt").exists()


def test_rm_y_deletes_files_folders_and_patterns_each_once(em: EM, home: Path, folder: str) -> None:
    wanted = [f"{folder}/*.log", f"{folder}/sub/c.log", f"{folder}/sub", f"{folder}/b.log"]
    result = run(*EMASYNC, "rm", "-y", *wanted, home=home, env=em.login)

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"deleted {folder}/b.log\ndeleted {folder}/sub/ with 1 files\n"
    assert sorted(path.name for path in (em.volume / folder).iterdir()) == ["a.txt", "empty"]


@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, False), (b"n\n", 1, True), (b"\n", 1, True)])
def test_rm_asks_on_a_terminal_and_says_how_many(
    em: EM, home: Path, folder: str, answer: bytes, code: int, left: bool
) -> None:
    typed = {b"Delete 3 files (12 B)? [y/N]": answer}
    ended, shown = on_terminal(*EMASYNC, "rm", folder, home=home, env=em.login, when=typed)

    assert ended == code, shown
    assert (em.volume / folder).exists() is left


def test_ctrl_c_at_the_question_ends_it_at_once_with_130(em: EM, home: Path, folder: str) -> None:
    # Sabotage: click.confirm in place of wait_readable in emasync/cli/output.py.
    typed = {b"[y/N]": lambda process: process.send_signal(signal.SIGINT)}
    ended, shown = on_terminal(*EMASYNC, "rm", folder, home=home, env=em.login, when=typed)

    assert ended == 130, shown
    assert (em.volume / folder).exists()


def test_rm_refuses_the_whole_volume(em: EM, home: Path) -> None:
    result = run(*EMASYNC, "rm", "-y", "/", home=home, env=em.login)

    assert result.returncode == 2
    assert (em.volume / "precious.txt").exists()


_ONE_FILE = {"data": [{"type": "file", "name": "a", "size": "1"}]}


@pytest.mark.parametrize(
    ("answers", "words", "code"),
    [
        ({"/em/files/list": (301, {})}, ["ls"], 1),
        ({"/em/files/list": (423, {"detail": "busy"})}, ["ls", "--no-wait"], 11),
        ({"/em/files/list": (500, {"detail": "broken"})}, ["ls", "--retries", "0"], 5),
        ({"/em/files/list": (403, {"detail": "no"})}, ["ls"], 4),
        ({"/em/files/list": (200, _ONE_FILE), "/em/files/delete": None}, ["rm", "-y", "a"], 12),
    ],
)
def test_each_exit_code_that_an_answer_leads_to(
    home: Path, answers: dict[str, Canned], words: list[str], code: int
) -> None:
    with canned_em(answers) as url:
        result = run(*EMASYNC, *words, "--json", home=home, env=login(url))

    assert result.returncode == code, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["code"] == code
    assert "Traceback" not in result.stderr


def test_a_wrong_password_is_exit_4_and_an_address_where_nobody_is_exit_5(em: EM, home: Path) -> None:
    wrong = run(*EMASYNC, "ls", home=home, env=login(em.url, password="wrong-one"))
    nobody = run(*EMASYNC, "ls", "--retries", "0", home=home, env=login("http://127.0.0.1:1/"))

    assert (wrong.returncode, wrong.stdout) == (4, "")
    assert "wrong-one" not in wrong.stderr
    assert (nobody.returncode, nobody.stdout) == (5, "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_while_a_listing_is_on_its_way_ends_it(home: Path, number: signal.Signals, code: int) -> None:
    held = Held()
    with canned_em({"/em/files/list": held}) as url:
        process = start(*EMASYNC, "ls", home=home, env=login(url))
        assert held.asked.wait(20)
        result = end(process, number)
        held.release.set()

    assert (result.returncode, result.stdout) == (code, "")


def test_node_ls_says_who_is_up(later: EM, home: Path) -> None:
    text = run(*EMASYNC, "node", "ls", home=home, env=later.login)
    lines = run(*EMASYNC, "node", "ls", "--json", home=home, env=later.login).stdout.splitlines()

    assert (text.returncode, text.stdout, text.stderr) == (0, "fpga  ready\ngpu   ready\nmpu   ready\n", "")
    assert json.loads(lines[0]) == {"type": "node", "schema": 1, "name": "fpga", "ready": True}


def test_node_ls_on_the_seed_generation_is_exit_3_and_says_what_to_do(em: EM, home: Path) -> None:
    result = run(*EMASYNC, "node", "ls", home=home, env=em.login)

    assert (result.returncode, result.stdout) == (3, "")
    assert "pod run --node" in result.stderr


def test_a_reader_that_goes_away_is_no_traceback(em: EM, home: Path, folder: str) -> None:
    (em.volume / folder / "big").write_bytes(b"x" * 2_000_000)
    with start(*EMASYNC, "cat", f"{folder}/big", home=home, env=em.login) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr is not None
        assert (process.stderr.read(), process.wait(20)) == ("", 1)


def test_the_password_is_in_no_output_and_no_file(em: EM, home: Path, folder: str) -> None:
    # Sabotage: print the environment in emasync/cli/runner.py.
    state = home / "state"
    env = {**em.login, "EMASYNC_STATE_DIR": str(state), "EMASYNC_CONFIG": str(home / "config.toml")}
    said = ""
    for words in (
        ["ls"],
        ["cat", "precious.txt"],
        ["rm", "-y", f"{folder}/a.txt"],
        ["node", "ls"],
        ["auth", "login"],
        ["auth", "status"],
        ["config", "show"],
        ["config", "set", "volume", ""],
        ["doctor", "--learn"],
        ["auth", "logout"],
    ):
        result = run(*EMASYNC, *words, "-vv", home=home, env=env)
        said += result.stdout + result.stderr
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())

    assert CANARY not in said
    assert CANARY.encode() not in kept


def _write(em: EM, folder: str, *names: str) -> None:
    for name in names:
        place = em.volume / folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(name)


def test_a_removal_made_again_removes_nothing_else_and_is_exit_3(em: EM, home: Path, folder: str) -> None:
    # Sabotage: `Glob(path)` for every path in remote_selection.paths_or_globs.
    _write(em, folder, "run[1].log", "run1.log")
    first, again = (run(*EMASYNC, "rm", "-y", f"{folder}/run[1].log", home=home, env=em.login) for _ in range(2))

    assert (first.returncode, first.stdout) == (0, f"deleted {folder}/run[1].log\n")
    assert (again.returncode, again.stdout) == (3, "")
    assert (em.volume / folder / "run1.log").exists()


def test_rm_takes_stars_as_a_pattern_and_literal_and_glob_say_otherwise(em: EM, home: Path, folder: str) -> None:
    # Sabotage: hand literal=False to select_removals in rm, or glob=False to paths_or_globs there.
    _write(em, folder, "x*", "x1", "y?", "y1")
    literal = run(*EMASYNC, "rm", "-y", "--literal", f"{folder}/x*", home=home, env=em.login)
    gone = run(*EMASYNC, "rm", "-y", "--literal", f"{folder}/x*", home=home, env=em.login)
    plain = run(*EMASYNC, "rm", "-y", f"{folder}/y?", home=home, env=em.login)
    glob = run(*EMASYNC, "rm", "-y", "--glob", f"{folder}/y?", home=home, env=em.login)
    _write(em, folder, "x*")
    both = run(*EMASYNC, "rm", "-y", f"{folder}/x*", home=home, env=em.login)

    assert [literal.stdout, plain.stdout, glob.stdout] == [f"deleted {folder}/{name}\n" for name in ("x*", "y?", "y1")]
    assert (gone.returncode, gone.stdout) == (3, "")
    assert sorted(both.stdout.splitlines()) == [f"deleted {folder}/x*", f"deleted {folder}/x1"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.txt/"], "a file, not a folder"),
        (["su*/"], "a pattern selects files"),
        (["a.txt", "--literal", "--glob"], "contradict"),
    ],
)
def test_a_removal_of_something_that_is_not_what_it_is_named_as_is_exit_2(
    em: EM, home: Path, folder: str, words: list[str], said: str
) -> None:
    # Sabotage: drop the `means_contents` of select_named, or either one of removal._chosen.
    result = run(*EMASYNC, "rm", "-y", f"{folder}/{words[0]}", *words[1:], home=home, env=em.login)

    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr
    assert (em.volume / folder / "sub/c.log").exists()
    assert (em.volume / folder / "a.txt").exists()


@pytest.mark.parametrize("path", ["", "/", ".", "./", "//"])
def test_no_spelling_of_the_root_lets_rm_delete_the_volume(em: EM, home: Path, path: str) -> None:
    result = run(*EMASYNC, "rm", "-y", path, home=home, env=em.login)

    assert (result.returncode, result.stdout) == (2, "")
    assert (em.volume / "precious.txt").exists()


def test_ls_cat_and_down_take_brackets_as_they_are_and_glob_as_a_pattern(em: EM, home: Path, folder: str) -> None:
    # Sabotage: `Glob(path)` for every path in remote_selection.paths_or_globs.
    _write(em, folder, "run[1].log", "run1.log")
    name, missing = f"{folder}/run[1].log", f"{folder}/run[2].log"

    def said(*words: str) -> tuple[int, str]:
        result = run(*EMASYNC, *words, home=home, env=em.login)
        return result.returncode, result.stdout

    assert said("ls", "-l", name)[1].split()[-1] == name
    assert said("ls", "-l", "--glob", name)[1].split()[-1] == f"{folder}/run1.log"
    assert said("cat", name) == said("down", name, "-") == (0, "run[1].log")
    assert said("ls", missing) == (3, "")
    assert said("cat", missing)[0] == said("down", missing)[0] == 3
    assert said("down", "--glob", name, "-")[0] == 2
    assert said("ls", "--glob", "")[0] == said("down", "--glob", "/")[0] == 2
    assert said("down", name, "--into", "out")[0] == said("down", "--glob", name, "--into", "out")[0] == 0
    assert sorted(path.name for path in (home / "out").iterdir()) == ["run1.log", "run[1].log"]


def test_rm_deletes_nothing_where_one_name_cannot_be_asked_for(em: EM, home: Path, folder: str) -> None:
    # Sabotage: leave out `_check_name` in rm: what comes before that name is deleted.
    _write(em, folder, "new1", "new\n2")
    result = run(*EMASYNC, "rm", "-y", f"{folder}/new*", home=home, env=em.login)

    assert (result.returncode, result.stdout) == (2, "")
    assert "nothing was deleted" in result.stderr
    assert (em.volume / folder / "new1").exists()
