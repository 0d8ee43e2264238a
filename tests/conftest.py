"""What every test shares: nothing of the user's own settings or state is read or written."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import pytest


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    state: Path = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as environment:  # its own: a test's `monkeypatch` must be undone before this
        environment.setenv("EMASYNC_STATE_DIR", str(state))
        environment.setenv("EMASYNC_CONFIG", str(state / "config.toml"))
        for name in ("URL", "USERNAME", "PASSWORD", "PASSWORD_FILE", "VOLUME", "PROFILE"):
            environment.delenv(f"EMASYNC_{name}", raising=False)
        yield


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses.aioresponses]:
    """Small canned answers in place of aiohttp's own; data paths are tested over real sockets.

    aiohttp 3.14 wants a `stream_writer` of every response, which aioresponses 0.7.9 does not give. Its answers have
    no flow control either: they hold at most 128 KiB.
    """
    response = partial(aiohttp.ClientResponse, stream_writer=Mock(output_size=0))
    monkeypatch.setattr(aioresponses.core, "ClientResponse", response)
    with aioresponses.aioresponses() as answers:
        yield answers
