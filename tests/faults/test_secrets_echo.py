"""Password and tokens appear in requests to the base origin and nowhere else (I5), whatever the server says back."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emasync.http.redaction import Redactor
from emasync.wire import requests
from tests.faults.checker import leaks
from tests.faults.origins import ACCESS, AUTH_MODES, MODES, NETRC, PASSWORD, Echo, forbidden, proxies
from tests.faults.stage_secrets import SECRETS, call_trial


@pytest.fixture
async def everything(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """The debug log of all, asyncio's own included: every callback, with the repr of its task."""
    caplog.set_level(logging.DEBUG)
    for name in ("emasync", "asyncio", "aiohttp.client", "aiohttp.access", "aiohttp.internal"):
        caplog.set_level(logging.DEBUG, logger=name)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    yield
    loop.set_debug(False)


@pytest.fixture
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home with a netrc for every host, and no wait for listings that lag."""
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text(f"machine 127.0.0.1 login client1 password {NETRC}\n")
    (home / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NETRC", str(home / ".netrc"))
    monkeypatch.setattr("emasync.transfer.uplink._LISTING_DELAYS_S", (0.0,))


# Sabotage: `Redactor.redact_error` or `Redactor.redact` returns at once; `Attempt.__aexit__` judges before it closes
# the response; `parse_json` raises in its handlers (200 html: the parser's error has the whole answer);
# allow_redirects=True or trust_env=True in Transport.
@pytest.mark.parametrize("mode", [*MODES, *(f"auth {mode}" for mode in AUTH_MODES[::3])])
@pytest.mark.usefixtures("everything", "_home")
async def test_what_a_server_says_back_is_seen_nowhere(
    mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo = Echo(mode=mode)
    async with forbidden() as proxy:
        for name, value in proxies(proxy.url).items():
            monkeypatch.setenv(name, value)
        assert await call_trial(echo, tmp_path) == []
    assert proxy.connections == 0
    assert PASSWORD in echo.told
    assert mode.startswith("auth") or any(f"Authorization: Bearer {ACCESS}" in head for head in echo.heads)
    texts = {"log": caplog.text, "log arguments": repr([record.args for record in caplog.records])}
    assert "test_secrets_echo" in caplog.text  # the log is really there
    assert leaks([*SECRETS, NETRC], texts) == []


def test_a_password_that_is_a_word_changes_no_name() -> None:
    # Sabotage: _SECRET_LENGTH = 1.
    redactor = Redactor()
    redactor.register(requests.log_in("client1", "downlink"), None)
    listing = {"data": [{"type": "file", "name": "downlink.txt"}]}
    assert not redactor.is_repeated_in(requests.list_files(requests.Volume()), json.dumps(listing))
    assert redactor.redact(listing) == listing
