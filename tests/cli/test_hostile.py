"""What a hostile server says never steers the terminal: names, error texts, times, node names, file contents."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.cli.canned_em import canned_em
from tests.cli.child import EMASYNC, login
from tests.cli.terminal import control_bytes, on_terminal

EVIL = "\x1b[2Jgone\x1b]52;c;cHduZWQ=\x07\u202egnp.exe\x9b31m[bold red]mark[/]\x7f\r\x08\u2066"
_LISTING = {
    "data": [
        {"type": "file", "name": f"a{EVIL}", "size": "3", "time": EVIL, "hash": 1},
        {"type": "directory", "name": f"d{EVIL}", "contents": [{"type": "file", "name": EVIL, "size": "1"}]},
    ]
}
_CONTENT = {"filename": EVIL, "content": base64.b64encode(EVIL.encode()).decode()}
_REFUSAL = (400, {"error": EVIL, "message": EVIL, "detail": EVIL, "log_tail": [EVIL]})


@pytest.mark.parametrize(
    "words",
    [
        ["ls"],
        ["ls", "-l"],
        ["ls", "--json"],
        ["ls", EVIL.replace("\0", "")],
        ["cat", "a"],
        ["node", "ls"],
        ["rm", "-y", "**"],
        ["rm", "**"],
        ["doctor"],
    ],
    ids=lambda words: " ".join(words)[:12].encode("ascii", "ignore").decode().replace("\x1b", ""),
)
def test_no_control_character_of_a_server_reaches_the_terminal(home: Path, words: list[str]) -> None:
    # Sabotage: print(text) in place of safe(text) in Output.result, Output.error or rm's question.
    answers = {
        "/em/files/list": (200, _LISTING),
        "/em/files/downlink": (200, _CONTENT),
        "/em/files/delete": _REFUSAL,
        "/em/nodes/status": (200, {"data": [{"name": EVIL, "status": EVIL}]}),
        "/em/pod/status": _REFUSAL,
    }
    with canned_em(answers) as url:
        code, shown = on_terminal(*EMASYNC, *words, "-vv", home=home, env=login(url), when={b"[y/N]": b"y\n"})

    assert b"gone" in shown or words[0] == "doctor"
    assert control_bytes(shown) == set()
    assert b"Traceback" not in shown
    assert code in (0, 1, 2, 3)


@pytest.mark.parametrize("words", [["ls"], ["auth", "login"], ["auth", "status"], ["doctor"]], ids=" ".join)
def test_a_log_in_refused_in_hostile_words_is_harmless_too(home: Path, words: list[str]) -> None:
    with canned_em({"/auth/": (401, {"detail": EVIL})}) as url:
        code, shown = on_terminal(*EMASYNC, *words, home=home, env=login(url))

    assert b"gone" in shown
    assert control_bytes(shown) == set()
    assert code == 4
