from __future__ import annotations

from pathlib import Path

import pytest

from emasync.simulator.state import Lock, SimulatorState
from emasync.simulator.tokens import TokenRegistry


def make_state(root: Path, users: dict[str, str] | None = None) -> SimulatorState:
    tokens = TokenRegistry(b"key", lifetime_s=10.0, refresh_s=20.0)
    return SimulatorState(
        users or {"client1": "secret", "client2": "geheim ü"}, root=root, tokens=tokens, exclusive=True
    )


def test_only_the_right_password_logs_in(tmp_path: Path) -> None:
    em = make_state(tmp_path)
    assert em.log_in("client1", "secret") == "client1"
    assert em.log_in("client2", "geheim ü") == "client2"
    for name, password in (("client1", "geheim ü"), ("client1", ""), ("nobody", "secret"), (1, 2), (None, None)):
        assert em.log_in(name, password) is None


def test_a_bearer_token_finds_its_user(tmp_path: Path) -> None:
    em = make_state(tmp_path)
    token = em.tokens.issue("client2", "access", now=0.0)
    user = em.bearer(f"Bearer {token}", now=1.0)
    assert user is em.users["client2"]
    for header in (f"Basic {token}", token, "Bearer", "", f"Bearer {token}x"):
        assert em.bearer(header, now=1.0) is None
    assert em.bearer(f"Bearer {token}", now=10.0) is None


def test_users_and_names_have_volumes_of_their_own(tmp_path: Path) -> None:
    em = make_state(tmp_path)
    user = em.users["client1"]
    roots = {user.volume(None).root, user.volume("pod-a").root, em.users["client2"].volume(None).root}
    assert len(roots) == 3
    assert user.volume("pod-a") is user.volume("pod-a")
    assert user.volume_names == ["pod-a"]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-a", "a\n", "x" * 64])
def test_a_volume_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a volume name"):
        make_state(tmp_path).users["client1"].volume(name)


@pytest.mark.parametrize("user", ["..", "../../x", "a/b", "/etc", "ü b"])
def test_a_user_name_stays_below_the_root(tmp_path: Path, user: str) -> None:
    em = make_state(tmp_path / "root", {user: "x"})
    assert em.users[user].volume(None).root.parent.parent == (tmp_path / "root" / "users").resolve()


def test_an_exclusive_lock_is_taken_once() -> None:
    strict, loose = Lock(exclusive=True), Lock(exclusive=False)
    assert (strict.take(), strict.take()) == (True, False)
    strict.release()
    assert strict.take()
    assert (loose.take(), loose.take(), loose.held) == (True, True, 2)
