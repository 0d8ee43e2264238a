"""What is taken as a base URL, and that nothing secret in it is repeated."""

from __future__ import annotations

import pytest
from yarl import URL

from emasync.config import Limits, Timeouts
from emasync.http import Transport, check_base_url
from emasync.http.transport import is_exposed


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://h:8000", "http://h:8000/"),
        ("http://h:8000/", "http://h:8000/"),
        ("https://h/api/v1", "https://h/api/v1/"),
        ("  https://h/api/ \n", "https://h/api/"),
        ("http://[::1]:8000", "http://[::1]:8000/"),
        ("http://h/a%2Fb%20c", "http://h/a%2Fb%20c/"),
    ],
)
def test_a_base_url_ends_with_one_slash_and_is_otherwise_as_given(given: str, base: str) -> None:
    # Sabotage: `url.with_path(url.path + "/")`: the escaped slash becomes a real one.
    assert str(check_base_url(given)) == base


def test_every_path_joins_to_one_clean_address() -> None:
    assert str(check_base_url("http://h/api").join(URL("em/files/list"))) == "http://h/api/em/files/list"


@pytest.mark.parametrize(
    "given", ["", "host", "host:8000", "ftp://h/", "http://", "http:///x", "http://h:99999/", "/x"]
)
def test_what_cannot_be_a_base_url_is_a_value_error(given: str) -> None:
    with pytest.raises(ValueError, match="base URL"):
        check_base_url(given)


@pytest.mark.parametrize("given", ["http://h/?a=1", "http://h/#f", "http://h/?token=canary"])
def test_a_query_or_fragment_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(ValueError, match="query or fragment") as caught:
        check_base_url(given)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    ["http://u:canary@h/", "http://canary@h/", "client1:canary@h:8000", "http:/u:canary@h", "http://u:canary@h:99999/"],
)
def test_credentials_are_refused_and_never_repeated(given: str) -> None:
    # Sabotage: put `text` into the message of the third refusal: "client1:canary@h" has the scheme "client1".
    with pytest.raises(ValueError) as caught:
        check_base_url(given)
    assert "canary" not in str(caught.value)


# Sabotage: `is_exposed` returns False; or look at the scheme alone.
@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("http://em.example.com/", True),
        ("http://EM.EXAMPLE.COM.:8000/x/", True),
        ("http://8.8.8.8/", True),
        ("http://[2001:4860:4860::8888]/", True),
        ("https://em.example.com/", False),
        ("http://127.0.0.1:8000/", False),
        ("http://[::1]/", False),
        ("http://10.1.2.3/", False),
        ("http://172.16.0.1/", False),
        ("http://192.168.0.9/", False),
        ("http://169.254.1.1/", False),
        ("http://[fd00::1]/", False),
        ("http://localhost/", False),
        ("http://em/", False),
        ("http://em.local/", False),
    ],
)
def test_plain_http_is_safe_on_private_networks_only(url: str, exposed: bool) -> None:
    assert is_exposed(check_base_url(url)) is exposed


# Sabotage: warn in `send`: once for each call; or leave the warning out.
async def test_plain_http_to_a_public_host_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    for url in ("http://once.example.com/", "https://once.example.com/", "http://127.0.0.1:1/"):
        async with Transport(url, timeouts=Timeouts(), limits=Limits()):
            pass
    (told,) = [record for record in caplog.records if record.name == "emasync"]
    assert told.levelname == "WARNING"
    assert "http:// to once.example.com is not encrypted" in told.getMessage()
