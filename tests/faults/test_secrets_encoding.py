"""A password that cannot be encoded is refused before it can get into an exception (I5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from emasync import Client


# Sabotage: leave out the check in `Client.__init__`: a UnicodeEncodeError carries the password.
def test_a_password_that_is_no_utf_8_is_in_no_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"canary-\xfc-secret")
    for name, value in {"URL": "http://127.0.0.1:1/", "USERNAME": "u", "PASSWORD_FILE": str(file)}.items():
        monkeypatch.setenv(f"EMASYNC_{name}", value)
    monkeypatch.delenv("EMASYNC_PASSWORD", raising=False)
    with pytest.raises(ValueError, match="UTF-8") as caught:
        Client.from_env()
    assert "canary" not in repr(caught.value)
    assert caught.value.__context__ is None
