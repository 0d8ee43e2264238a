"""``emasync demo`` on the EM that the environment names: it does its job there, disturbs nothing, cleans up."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.child import CANARY, EM, EMASYNC, end, login, read_until, run, simulator, start


def names(volume: Path) -> list[str]:
    return sorted(path.relative_to(volume).as_posix() for path in volume.rglob("*"))


@pytest.fixture(scope="module", autouse=True)
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A demo on an EM that is not there, begun early: it tries for some seconds, meanwhile the other tests run."""
    with start(*EMASYNC, "demo", home=tmp_path_factory.mktemp("nowhere"), env=login("http://127.0.0.1:9/")) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("generation", ["seed", "pvc"])
def test_the_demo_succeeds_on_old_and_new_generations_and_leaves_the_volume_as_it_was(
    home: Path, generation: str
) -> None:
    # Sabotage: do not register the demo's pod in cli/commands/simulator.py; do not delete the folder in demo._remove.
    with simulator(home, "-q", "--generation", generation, "--pod-start", "0.1", "--pod-run", "0.3") as em:
        (em.volume / "precious.txt").write_text("mine\n")

        result = run(*EMASYNC, "demo", "--files", "6", "--replace", home=home, env=em.login)

        assert (result.returncode, result.stderr) == (0, "")
        assert f"Everything verified on {em.url}\n" in result.stdout
        assert "8 files byte for byte, 6 checksums from the pod" in result.stdout
        assert names(em.volume) == ["precious.txt"]
        assert (em.volume / "precious.txt").read_text() == "mine\n"


def test_it_works_a_second_time_where_an_earlier_pod_has_ended_and_on_an_exclusive_em(home: Path) -> None:
    with simulator(home, "-q", "--exclusive", "--pod-start", "0.6", "--pod-run", "0.3") as em:
        first = run(*EMASYNC, "demo", "--files", "2", "--replace", home=home, env=em.login)
        second = run(*EMASYNC, "demo", "--files", "2", "--replace", home=home, env=em.login)

    assert (first.returncode, first.stderr) == (second.returncode, second.stderr) == (0, "")
    assert "waiting: ContainerCreating" in second.stdout
    assert "4 files byte for byte, 2 checksums from the pod" in second.stdout


def test_a_wrong_password_is_exit_4_and_says_whose_and_where_it_comes_from(em: EM, home: Path) -> None:
    result = run(*EMASYNC, "demo", home=home, env=login(em.url, password="not-" + CANARY))

    assert result.returncode == 4
    assert "'client1'" in result.stderr
    assert "EMASYNC_USERNAME, EMASYNC_PASSWORD" in result.stderr
    assert CANARY not in result.stdout + result.stderr


def test_a_missing_password_is_exit_2_and_names_the_variable(em: EM, home: Path) -> None:
    result = run(*EMASYNC, "demo", home=home, env={"EMASYNC_URL": em.url, "EMASYNC_USERNAME": "client1"})

    assert (result.returncode, result.stdout) == (2, "")
    assert "set EMASYNC_PASSWORD" in result.stderr


def test_a_password_in_the_url_is_refused_and_not_repeated(home: Path) -> None:
    result = run(*EMASYNC, "demo", home=home, env=login(f"http://client1:{CANARY}@127.0.0.1:9/"))

    assert result.returncode == 2
    assert CANARY not in result.stdout + result.stderr


def test_a_build_that_fails_is_exit_20_with_its_log_made_harmless(em: EM, home: Path) -> None:
    # Sabotage: show error.log_tail without safe() in demo.
    base = "alpine:\x1b]0;owned\x07\u202e\nCOPY not-there /"
    result = run(*EMASYNC, "demo", "--files", "2", "--replace", "--base", base, home=home, env=em.login)

    assert result.returncode == 20
    assert "✗ Step 1/4 : FROM alpine:\\x1b]0;owned\\x07\\u202e" in result.stderr
    assert "stat not-there: file does not exist" in result.stderr  # the builder's own last line
    assert [char for char in result.stdout + result.stderr if char in "\x1b\x07\u202e"] == []
    assert "is gone; 1 files left in the volume" in result.stdout
    assert names(em.volume) == ["precious.txt"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_in_the_middle_removes_the_demos_folder_from_the_em(
    em: EM, home: Path, number: signal.Signals, code: int
) -> None:
    # Sabotage: shield=False in demo._clean_up.
    with start(*EMASYNC, "demo", "--files", "6", "--replace", home=home, env=em.login) as process:
        read_until(process, "* Run it as a pod")
        assert [name for name in names(em.volume) if name.endswith("/Dockerfile")] != []
        result = end(process, number)

    assert result.returncode == code
    assert result.stderr == "✗ interrupted: cleaning up what the demo has put on the EM\n"
    assert names(em.volume) == ["precious.txt"]


def test_a_reader_that_goes_away_does_not_leave_the_folder_on_the_em(em: EM, home: Path) -> None:
    # Sabotage: drop suppress(BrokenPipeError) in demo._clean_up.
    with start(*EMASYNC, "demo", "--files", "6", "--replace", home=home, env=em.login) as process:
        read_until(process, "✓ built")
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        result = end(process)

    assert (result.returncode, result.stderr) == (1, "")
    assert names(em.volume) == ["precious.txt"]


def test_the_password_is_in_no_output_not_even_in_debug_mode(em: EM, home: Path) -> None:
    env = em.login | {"PYTHONASYNCIODEBUG": "1"}

    result = run("-X", "dev", *EMASYNC, "demo", "--files", "1", "--replace", home=home, env=env)

    assert result.returncode == 0
    assert CANARY not in result.stdout + result.stderr
    assert "eyJ" not in result.stdout + result.stderr  # how every token of the EM begins


def test_an_em_that_is_not_there_is_exit_5_and_says_where_it_was_looked_for(nowhere: subprocess.Popen[str]) -> None:
    result = end(nowhere)

    assert result.returncode == 5
    assert "127.0.0.1:9" in result.stderr
    assert CANARY not in result.stdout + result.stderr
