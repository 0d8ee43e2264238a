"""The EM's state: users, their volumes, images and pods, the tokens in force and the lock.

Owns: who may do what, and what exists. Synchronous; the time is handed in. May import its parts (volume, images, pods,
tokens). Knows nothing of HTTP or tasks.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from emasync.simulator.images import Images
from emasync.simulator.pods import Pod
from emasync.simulator.tokens import TokenRegistry
from emasync.simulator.volume import Volume

Generation = Literal["seed", "pods", "pvc"]
"""Which EM API is spoken: ``seed``; ``pods`` (Dec 2025: named pods, JSON bodies, raw downlinks); ``pvc`` (Jan 2026)."""

_VOLUME_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class User:
    """What one user has. Volumes and pods go by name; None is the default one. `replaced_pods`: those before them."""

    def __init__(self, name: str, password: str, *, root: Path) -> None:
        self.name = name
        self.images = Images(name)
        self.pods: dict[str | None, Pod] = {}
        self.replaced_pods: dict[str | None, Pod] = {}
        self._password = password
        self._root = root
        self._volumes: dict[str | None, Volume] = {}
        self.volume(None)

    def accepts(self, password: str) -> bool:
        """Whether that is the password."""
        return hmac.compare_digest(self._password.encode(), password.encode("utf-8", "surrogatepass"))

    def volume(self, name: str | None) -> Volume:
        """The volume of that name, made empty at first sight; ValueError for a name that Kubernetes would not take."""
        if name is not None and not _VOLUME_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a volume name")
        if name not in self._volumes:
            self._volumes[name] = Volume(self._root / "default" if name is None else self._root / "named" / name)
        return self._volumes[name]

    @property
    def volume_names(self) -> list[str]:
        """The named volumes."""
        return sorted(name for name in self._volumes if name is not None)


class Lock:
    """The EM's lock: one call at a time where it is `exclusive`, no lock at all where it is not."""

    def __init__(self, *, exclusive: bool) -> None:
        self.exclusive = exclusive
        self.held = 0

    def take(self) -> bool:
        """Take it, if it is to be had now."""
        if self.exclusive and self.held:
            return False
        self.held += 1
        return True

    def release(self) -> None:
        """Give it back."""
        self.held -= 1


class SimulatorState:
    """All of it, below the folder `root`."""

    def __init__(self, users: Mapping[str, str], *, root: Path, tokens: TokenRegistry, exclusive: bool) -> None:
        folders = {name: root / "users" / quote(name, safe=" ").replace(".", "%2E") for name in users}
        self.accounts = {name: User(name, users[name], root=folder) for name, folder in folders.items()}
        self.staging = root / "staging"
        self.staging.mkdir(parents=True, exist_ok=True)
        self.tokens = tokens
        self.lock = Lock(exclusive=exclusive)

    def log_in(self, name: object, password: object) -> str | None:
        """The user, if name and password are right."""
        account = self.accounts.get(name) if isinstance(name, str) else None
        return account.name if account and isinstance(password, str) and account.accepts(password) else None

    def bearer(self, header: str, *, now: float) -> User | None:
        """Whose access token an ``Authorization`` header carries; None when it is not valid."""
        scheme, _, token = header.partition(" ")
        user = self.tokens.user_of(token.strip(), "access", now=now) if scheme == "Bearer" else None
        return None if user is None else self.accounts[user]
