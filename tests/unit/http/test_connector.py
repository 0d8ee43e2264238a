"""aiohttp's private names that the connector is built on: each is named here before anything else breaks."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import aiohttp
import pytest

import emasync.http
from emasync.http.connector import PRIVATE_NAMES, DownlinkConnector, disable_silent_retry

_HTTP = Path(emasync.http.__file__).parent


async def _instance_of(kind: type) -> object:
    if kind is aiohttp.ClientSession:
        async with aiohttp.ClientSession() as session:
            return session
    connector = aiohttp.TCPConnector()
    await connector.close()
    return connector


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in PRIVATE_NAMES.items() for name in names])
async def test_aiohttp_still_has_this_private_name(kind: type, name: str) -> None:
    # Sabotage: misspell a name in PRIVATE_NAMES.
    assert hasattr(await _instance_of(kind), name), f"aiohttp {aiohttp.__version__} has no {kind.__name__}.{name}"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_get", ["self", "key", "traces"]),
        ("_release", ["self", "key", "protocol", "should_close"]),
        ("connect", ["self", "req", "traces", "timeout"]),
    ],
)
def test_aiohttp_still_calls_what_the_connector_overrides_in_the_same_way(name: str, parameters: list[str]) -> None:
    overridden = getattr(aiohttp.TCPConnector, name)
    assert list(inspect.signature(overridden).parameters) == parameters, f"aiohttp {aiohttp.__version__}: {name}"
    assert inspect.iscoroutinefunction(overridden) == inspect.iscoroutinefunction(getattr(DownlinkConnector, name))


async def test_aiohttp_still_pools_by_a_mapping_of_keys_to_connections() -> None:
    connector = aiohttp.TCPConnector()
    assert hasattr(connector._conns, "popitem")
    assert "self._conns" in inspect.getsource(aiohttp.TCPConnector._get)
    await connector.close()


async def test_the_silent_retry_of_aiohttp_is_still_switched_by_the_name_that_we_set() -> None:
    # Sabotage: `pass` for the body of `disable_silent_retry`.
    async with aiohttp.ClientSession() as session:
        disable_silent_retry(session)
        assert session._retry_connection is False
    assert "self._retry_connection" in inspect.getsource(aiohttp.ClientSession._request)


def test_no_other_module_uses_a_private_name_of_aiohttp() -> None:
    # Sabotage: set `session._retry_connection` in transport.py.
    names = {name for some in PRIVATE_NAMES.values() for name in some}
    found = {
        path.name
        for path in _HTTP.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in names
    }
    assert found == {"connector.py"}
