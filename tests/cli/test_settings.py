"""``auth``, ``config``, ``doctor``, ``completion``: exit code, stdout, and what is written down."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from emasync.cli import emasync
from tests.cli.canned_em import Canned, canned_em
from tests.cli.child import CANARY, EM, EMASYNC, environment, login, run, simulator
from tests.cli.terminal import on_terminal

KEYRING = """
import json, pathlib
_FILE = pathlib.Path.home() / "ring.json"
def _all(): return json.loads(_FILE.read_text()) if _FILE.exists() else {}
def set_password(service, user, password): _FILE.write_text(json.dumps({**_all(), f"{service}|{user}": password}))
def get_password(service, user): return _all().get(f"{service}|{user}")
def delete_password(service, user):
    ring = _all()
    del ring[f"{service}|{user}"]
    _FILE.write_text(json.dumps(ring))
"""


def config(home: Path) -> Path:
    return home / "config.toml"


def env(em: EM, home: Path, **more: str) -> dict[str, str]:
    return {**em.login, "EMASYNC_CONFIG": str(config(home)), **more}


def nobody(home: Path, **more: str) -> dict[str, str]:
    """The environment of somebody who has set nothing but where the file is."""
    return {"EMASYNC_CONFIG": str(config(home)), **more}


def test_log_in_writes_a_profile_without_the_password_and_ls_then_works(em: EM, home: Path) -> None:
    result = run(*EMASYNC, "auth", "login", home=home, env=env(em, home))
    after = run(*EMASYNC, "ls", "precious.txt", home=home, env=nobody(home, EMASYNC_PASSWORD=CANARY))

    assert result.returncode == 0, result.stderr
    assert result.stdout == f"logged in as client1 at {em.url}; profile default is in {config(home)}\n"
    assert "next: emasync ls" in result.stderr
    assert tomllib.loads(config(home).read_text()) == {"default": {"url": em.url, "username": "client1"}}
    assert config(home).stat().st_mode & 0o777 == 0o600
    assert (after.returncode, after.stdout) == (0, "/\n└── precious.txt\n")


def test_log_in_asks_on_a_terminal_for_what_is_missing(em: EM, home: Path) -> None:
    typed = {
        b"URL of the EM": f"{em.url}\n".encode(),
        b"User name": b"client1\n",
        b"Password of client1": f"{CANARY}\n".encode(),
    }
    code, shown = on_terminal(*EMASYNC, "auth", "login", "--profile", "lab", home=home, env=nobody(home), when=typed)

    assert code == 0, shown
    assert CANARY.encode() not in shown
    assert tomllib.loads(config(home).read_text()) == {"lab": {"url": em.url, "username": "client1"}}


def test_a_log_in_that_is_refused_writes_nothing(em: EM, home: Path) -> None:
    result = run(*EMASYNC, "auth", "login", home=home, env=env(em, home, EMASYNC_PASSWORD="wrong-one"))

    assert (result.returncode, result.stdout) == (4, "")
    assert not config(home).exists()


def test_log_in_without_anything_is_exit_2_and_names_what_is_missing(home: Path) -> None:
    result = run(*EMASYNC, "auth", "login", home=home, env=nobody(home))

    assert (result.returncode, result.stdout) == (2, "")
    assert "EMASYNC_URL" in result.stderr
    assert "EMASYNC_USERNAME" in result.stderr


def test_the_keyring_keeps_the_password_and_log_out_forgets_it(em: EM, home: Path) -> None:
    (home / "keyring.py").write_text(KEYRING)
    ring = {"PYTHONPATH": f"{environment(home)['PYTHONPATH']}:{home}"}
    kept = run(*EMASYNC, "auth", "login", "--keyring", home=home, env=env(em, home, **ring))
    status = run(*EMASYNC, "auth", "status", home=home, env=nobody(home, **ring))
    out = run(*EMASYNC, "auth", "logout", home=home, env=nobody(home, **ring))

    assert (kept.returncode, status.returncode, out.returncode) == (0, 0, 0), kept.stderr + status.stderr
    assert "from keyring" in status.stdout
    assert out.stdout == "profile default is gone, and its password in the keyring\n"
    assert json.loads((home / "ring.json").read_text()) == {}
    assert CANARY not in config(home).read_text() + kept.stdout + status.stdout


def test_without_the_keyring_extra_the_flag_says_how_to_get_it(em: EM, home: Path) -> None:
    (home / "keyring.py").write_text("raise ImportError")
    ring = {"PYTHONPATH": f"{home}:{environment(home)['PYTHONPATH']}"}
    result = run(*EMASYNC, "auth", "login", "--keyring", home=home, env=env(em, home, **ring))

    assert result.returncode == 2
    assert "pip install 'emasync[keyring]'" in result.stderr


def test_status_says_who_where_by_which_origin_and_how_long_a_token_lives(em: EM, home: Path) -> None:
    result = run(*EMASYNC, "auth", "status", "--json", "--username", "client1", home=home, env=env(em, home))

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    resolved = {line["name"]: line["origin"] for line in lines if line["type"] == "setting"}
    wanted = {"url": "EMASYNC_URL", "username": "--username", "volume": "default", "password": "EMASYNC_PASSWORD"}
    assert (result.returncode, resolved) == (0, wanted)
    assert next(line for line in lines if line["type"] == "login")["token_life_s"] == 300


def test_show_names_the_origin_of_each_value_and_no_password(em: EM, home: Path) -> None:
    run(*EMASYNC, "config", "set", "volume", "pod-a", home=home, env=nobody(home))
    lines = run(*EMASYNC, "config", "show", "--retries", "2", "--json", home=home, env=env(em, home)).stdout

    shown = {line["name"]: (line["value"], line["origin"]) for line in map(json.loads, lines.splitlines()[:-1])}
    assert shown["volume"] == ("pod-a", "profile default")
    assert shown["url"] == (em.url, "EMASYNC_URL")
    assert shown["retries"] == ("2", "--retries")
    assert shown["busy_timeout"] == ("1800 s", "default")
    assert shown["password"] == (None, "from EMASYNC_PASSWORD")
    assert CANARY not in lines


@pytest.mark.parametrize("words", [["config", "show"], ["auth", "status"], ["doctor"]])
def test_a_password_in_the_url_is_not_shown(home: Path, words: list[str]) -> None:
    # Sabotage: leave check_base_url out of commands/doctor.py, or _without_secrets out of commands/config.py.
    result = run(*EMASYNC, *words, home=home, env=login(f"https://client1:{CANARY}@em.example.com/"))

    assert CANARY not in result.stdout + result.stderr
    assert "must not hold" in result.stdout + result.stderr


def test_set_writes_a_value_and_path_says_where(home: Path) -> None:
    path = run(*EMASYNC, "config", "path", home=home, env=nobody(home))
    result = run(*EMASYNC, "config", "set", "--profile", "lab", "url", "https://em/", home=home, env=nobody(home))
    bad = run(*EMASYNC, "config", "set", "url", f"https://u:{CANARY}@em/", home=home, env=nobody(home))
    secret = run(*EMASYNC, "config", "set", "password", CANARY, home=home, env=nobody(home))

    assert (path.returncode, path.stdout) == (0, f"{config(home)}\n")
    assert (result.returncode, result.stdout) == (0, "url of profile lab is 'https://em/' now\n")
    assert tomllib.loads(config(home).read_text()) == {"lab": {"url": "https://em/"}}
    assert (bad.returncode, secret.returncode) == (2, 2)
    assert CANARY not in bad.stderr + secret.stderr


def test_an_unknown_profile_is_exit_2_and_names_those_there_are(home: Path) -> None:
    config(home).write_text("[lab]\n")
    result = run(*EMASYNC, "config", "show", "--profile", "lb", home=home, env=nobody(home))

    assert (result.returncode, result.stdout) == (2, "")
    assert "(there: lab)" in result.stderr


def checks(stdout: str) -> dict[str, tuple[str, str]]:
    lines = [json.loads(line) for line in stdout.splitlines()]
    return {line["name"]: (line["level"], line["found"]) for line in lines if line["type"] == "check"}


def test_doctor_finds_out_how_the_em_behaves(em: EM, home: Path) -> None:
    result = run(*EMASYNC, "doctor", "--learn", "--json", home=home, env=em.login)

    found = checks(result.stdout)
    assert result.returncode == 0, result.stdout
    assert {level for level, _ in found.values()} == {"ok"}
    assert list(found) == [
        *("settings", "reachable", "TLS", "log-in", "clock", "round trip"),
        *("generation", "listing", "content tag", "concurrency", "width"),
    ]
    assert found["generation"][1].startswith("seed")
    assert found["width"][1].startswith("at least 32")


_WELL: dict[str, Canned] = {"/em/pod/status": (200, {}), "/em/files/list": (200, {})}


def test_doctor_says_that_a_strict_em_takes_one_call_at_once(home: Path) -> None:
    # Sabotage: no `except BusyError` in emasync/cli/commands/doctor.py's count_refused.
    strict = home / "strict"
    strict.mkdir()
    with simulator(strict, "-q", "--exclusive", "--hold", "0.1", "--generation", "pvc") as em:
        (em.volume / "a").write_text("a")
        result = run(*EMASYNC, "doctor", "--learn", "--json", home=home, env=em.login)

    found = checks(result.stdout)
    assert result.returncode == 0, result.stdout
    assert found["generation"][1].startswith("2026")
    assert found["content tag"][0] == "ok"
    assert "of 4 calls at once are refused" in found["concurrency"][1]
    assert found["width"][1].startswith("1 calls")


def test_doctor_goes_on_after_a_check_that_fails(home: Path) -> None:
    with canned_em({**_WELL, "/em/files/list": (500, {"detail": "broken"})}) as url:
        result = run(*EMASYNC, "doctor", "--json", home=home, env=login(url))

    found = checks(result.stdout)
    assert result.returncode == 5
    assert (found["listing"][0], found["content tag"][0]) == ("fail", "none")


@pytest.mark.parametrize(
    ("more", "code", "row"),
    [
        ({"EMASYNC_PASSWORD": "wrong-one"}, 4, "log-in"),
        ({"EMASYNC_URL": "http://127.0.0.1:1/"}, 5, "reachable"),
        ({"EMASYNC_URL": ""}, 2, "settings"),
    ],
)
def test_doctor_says_which_row_fails_and_what_to_do(
    em: EM, home: Path, more: dict[str, str], code: int, row: str
) -> None:
    result = run(*EMASYNC, "doctor", home=home, env=env(em, home, **more))

    last = [line for line in result.stdout.splitlines() if line.startswith("FAIL")]
    assert result.returncode == code, result.stdout
    assert last[0].split()[1] == row
    assert "  > " in result.stdout


def test_doctor_warns_of_a_clock_that_differs_and_finds_a_tag_rule_that_does_not_hold(home: Path) -> None:
    two = {"data": [{"type": "file", "name": name, "size": "5", "hash": 7} for name in ("a", "b")]}
    answers = {**_WELL, "/em/files/list": (200, two), "/em/files/downlink": (200, {"content": "aGVsbG8="})}
    with canned_em(answers, date="Sat, 01 Jan 2000 00:00:00 GMT") as url:
        result = run(*EMASYNC, "doctor", "--json", home=home, env=login(url))

    found = checks(result.stdout)
    assert result.returncode == 0
    assert (found["clock"][0], found["content tag"][0]) == ("warn", "warn")


def test_doctor_concludes_nothing_from_one_file_whose_tag_is_another_one(home: Path) -> None:
    # Sabotage: `_TAG_FILES = 1`: a file that a pod rewrites makes the EM one that counts tags in another way.
    listing = {"data": [{"type": "file", "name": "a", "size": "5", "hash": 7}]}
    answers = {**_WELL, "/em/files/list": (200, listing), "/em/files/downlink": (200, {"content": "aGVsbG8="})}
    with canned_em(answers) as url:
        result = run(*EMASYNC, "doctor", "--json", home=home, env=login(url))

    assert checks(result.stdout)["content tag"][0] == "none"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shells_own_script(home: Path, shell: str) -> None:
    result = run(*EMASYNC, "completion", shell, home=home)

    assert (result.returncode, result.stderr) == (0, "")
    assert "_EMASYNC_COMPLETE" in result.stdout


def test_completion_in_bash_knows_the_commands(home: Path) -> None:
    words = {"_EMASYNC_COMPLETE": "bash_complete", "COMP_WORDS": "emasync co", "COMP_CWORD": "1"}
    result = run(*EMASYNC, home=home, env=words)

    assert (result.returncode, result.stdout) == (0, "plain,completion\nplain,config\n")


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_version_and_help_import_click_and_nothing_heavy(home: Path, flag: str) -> None:
    # Sabotage: import emasync.cli.options' users, or anything of emasync, at the top of emasync/cli/main.py.
    program = (
        "import sys; sys.argv = ['emasync', sys.argv[1]]; import emasync.cli; "
        "emasync.cli.emasync(standalone_mode=False); "
        "names = ('aiohttp', 'anyio', 'rich', 'asyncio', 'platformdirs', 'emasync.config', 'emasync.model'); "
        "sys.exit(', '.join(name for name in names if name in sys.modules) or None)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, flag], env=environment(home), capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        *(["ls"], ["cat"], ["rm"], ["node", "ls"], ["auth", "login"], ["auth", "status"], ["auth", "logout"]),
        *(["config", "show"], ["config", "path"], ["config", "set"], ["doctor"], ["completion"]),
    ],
    ids=" ".join,
)
def test_the_help_of_each_command_has_two_real_examples(words: list[str]) -> None:
    result = CliRunner().invoke(emasync, [*words, "--help"], prog_name="emasync")

    command = " ".join(["emasync", *words])
    assert result.exit_code == 0
    assert sum(command in line for line in result.output.splitlines() if "Usage:" not in line) >= 2
