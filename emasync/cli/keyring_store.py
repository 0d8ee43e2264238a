"""The password in the system's keyring, for those who want that.

Owns: the name under which it is kept, as `origins` looks it up. Imports keyring (an extra) when it is asked to.
"""

from __future__ import annotations

from types import ModuleType


def require_keyring() -> ModuleType:
    """The keyring module; ValueError with the way to get it where it is not installed."""
    try:
        import keyring  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ValueError("the keyring extra is not installed: pip install 'emasync[keyring]'") from None
    found: ModuleType = keyring
    return found


def keep_password(url: str, *, username: str, password: str) -> None:
    """Store it. OSError when the keyring refuses (locked, or none on this machine)."""
    keyring = require_keyring()
    try:
        keyring.set_password(_service(url), username, password)
    except Exception as error:  # noqa: BLE001 - a backend's own kinds; their text is about the keyring, not the secret
        raise OSError(f"the keyring took no password ({type(error).__name__}); leave --keyring away") from None


def forget_password(url: str, *, username: str) -> bool:
    """Remove it; False if there was none, or no keyring is installed."""
    try:
        require_keyring().delete_password(_service(url), username)
    except Exception:  # noqa: BLE001 - a backend's own kinds: none stored, locked, none here
        return False
    return True


def _service(url: str) -> str:
    return f"emasync {url}"
