"""``emasync simulator``: it says where it is, serves, logs, and goes without a trace."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from tests.cli.child import CANARY, EM, EMASYNC, end, read_until, run, simulator, start

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(em: EM, path: str, *, token: str = "", form: dict[str, str] | None = None) -> tuple[str, bytes]:
    """The content type and the body of an answer, asked for without emasync's own client."""
    data = urllib.parse.urlencode(form).encode() if form else None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(em.url + path, data=data, headers=headers)
    with _DIRECT.open(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read()


def log_in(em: EM) -> str:
    _, body = ask(em, "auth/", form={"username": "client1", "password": CANARY})
    return str(json.loads(body)["access"])


@pytest.mark.parametrize(
    ("generation", "kind", "has_nodes"),
    [("seed", "application/json", False), ("pods", "application/octet-stream", True), ("pvc", "", True)],
)
def test_it_prints_where_it_is_and_answers_in_each_generation(
    home: Path, generation: str, kind: str, has_nodes: bool
) -> None:
    with simulator(home, "-q", "--generation", generation) as em:
        assert em.url.startswith("http://127.0.0.1:")
        (em.volume / "note.txt").write_bytes(b"hello")
        token = log_in(em)

        assert b'"note.txt"' in ask(em, "em/files/list", token=token)[1]
        assert ask(em, "em/files/downlink?filepath=note.txt", token=token)[0].startswith(kind)
        if has_nodes:
            assert b'"gpu"' in ask(em, "em/nodes/status", token=token)[1]
        else:
            with pytest.raises(urllib.error.HTTPError, match="404"):
                ask(em, "em/nodes/status", token=token)
        result = end(em.process, signal.SIGINT)

    assert (result.returncode, result.stderr) == (0, "")  # -q is quiet


def test_the_second_line_is_what_to_paste_and_hides_the_password(home: Path) -> None:
    with start(*EMASYNC, "simulator", "--port", "0", "--user", f"client1:{CANARY}", home=home) as process:
        lines = read_until(process, "export ")
        result = end(process, signal.SIGINT)

    url = lines[0].split()[3].rstrip(",")
    assert lines[1] == f"export EMASYNC_URL={url} EMASYNC_USERNAME=client1 EMASYNC_PASSWORD=...\n"
    assert CANARY not in "".join(lines) + result.stdout + result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_0_and_its_temporary_folder_is_gone(home: Path, number: signal.Signals) -> None:
    # Sabotage: listen for SIGINT only in cli/commands/simulator.py.
    with simulator(home, "-q") as em:
        (em.volume / "note.txt").write_bytes(b"hello")
        with socket.create_connection(("127.0.0.1", int(em.url.rsplit(":", 1)[1].rstrip("/"))), timeout=5):
            result = end(em.process, number)  # also while somebody is connected

    assert (result.returncode, result.stderr) == (0, "")
    assert not em.volume.exists()
    assert list(home.iterdir()) == []


def test_root_keeps_the_files_from_one_run_to_the_next(home: Path) -> None:
    root = home / "kept"
    with simulator(home, "-q", "--root", str(root)) as em:
        (em.volume / "note.txt").write_bytes(b"hello")
    with simulator(home, "-q", "--root", str(root)) as em:
        assert b'"note.txt"' in ask(em, "em/files/list", token=log_in(em))[1]

    assert [path.read_bytes() for path in root.rglob("note.txt")] == [b"hello"]


def test_there_is_a_line_on_stderr_for_every_request_up_to_the_last(home: Path) -> None:
    # Sabotage: drop the finally of cli/commands/simulator.py's _log.
    with simulator(home) as em:
        token = log_in(em)
        with pytest.raises(urllib.error.HTTPError):
            ask(em, "em/files/downlink?filepath=%1B%5D0%3Bnot-there", token=token)
        with pytest.raises(urllib.error.HTTPError):
            ask(em, "%1B%5D0%3Bnot-there", token=token)
        ask(em, "em/files/list", token=token)
        result = end(em.process, signal.SIGINT)

    told = [line.split()[:3] for line in result.stderr.splitlines()]
    assert told[0] == ["200", "POST", "auth/"]
    assert told[1] == ["404", "GET", "em/files/downlink"]
    assert told[2][:2] == ["404", "GET"]
    assert told[3] == ["200", "GET", "em/files/list"]
    assert len(told) == 4
    assert "\x1b" not in result.stderr
    assert CANARY not in result.stderr
    assert token not in result.stderr


def test_a_port_that_is_taken_is_exit_1_and_says_what_to_do(em: EM, home: Path) -> None:
    port = em.url.rsplit(":", 1)[1].rstrip("/")

    result = run(*EMASYNC, "simulator", "--port", port, home=home)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"Error: cannot serve on port {port}: address already in use; try --port 0\n"
    assert list(home.iterdir()) == []


def test_a_root_that_cannot_be_is_exit_1_and_is_not_blamed_on_the_port(home: Path) -> None:
    (home / "file").write_bytes(b"")

    result = run(*EMASYNC, "simulator", "--port", "0", "--root", str(home / "file" / "em"), home=home)

    assert result.returncode == 1
    assert result.stderr == f"Error: cannot keep volumes at {home / 'file' / 'em'}: not a directory\n"
