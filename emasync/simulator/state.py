"""The EM's state: users, their volumes, images and pods, the valid tokens and the lock.

Synchronous; the time is passed in. Must not import anything of HTTP or tasks.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from emasync.simulator.images import ImageRegistry
from emasync.simulator.pods import Pod
from emasync.simulator.tokens import TokenRegistry
from emasync.simulator.volume import VolumeDirectory

Generation = Literal["seed", "pods", "pvc"]
"""Which EM API is spoken: ``seed``; ``pods`` (Dec 2025: named pods, JSON bodies, raw downlinks); ``pvc`` (Jan 2026)."""

_VOLUME_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class User:
    """One user's volumes, pods and images, by name; None is the name of the default volume and pod.

    `replaced_pods`: of each name, the pod before the one in `pods`.
    """

    def __init__(self, name: str, password: str, *, root: Path) -> None:
        self.name = name
        self.images: ImageRegistry = ImageRegistry(name)
        self.pods: dict[str | None, Pod] = {}
        self.replaced_pods: dict[str | None, Pod] = {}
        self._password = password
        self._root = root
        self._volumes: dict[str | None, VolumeDirectory] = {}
        self.volume(None)

    def accepts(self, password: str) -> bool:
        """Whether `password` is this user's."""
        return hmac.compare_digest(self._password.encode(), password.encode("utf-8", "surrogatepass"))

    def volume(self, name: str | None) -> VolumeDirectory:
        """The volume `name`, made when first asked for; ValueError for a name that Kubernetes would not accept."""
        if name is not None and not _VOLUME_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a volume name")
        if name not in self._volumes:
            self._volumes[name] = VolumeDirectory(
                self._root / "default" if name is None else self._root / "named" / name
            )
        return self._volumes[name]

    @property
    def volume_names(self) -> list[str]:
        """The names of the named volumes, sorted."""
        return sorted(name for name in self._volumes if name is not None)


class Lock:
    """The EM's lock: one request at a time where it is `exclusive`, any number where it is not."""

    def __init__(self, *, exclusive: bool) -> None:
        self.exclusive = exclusive
        self.held: int = 0

    def take(self) -> bool:
        """Take the lock without waiting; returns whether that was possible."""
        if self.exclusive and self.held:
            return False
        self.held += 1
        return True

    def release(self) -> None:
        """Release what `take` took."""
        self.held -= 1


class SimulatorState:
    """The whole state; its files lie below the folder `root`. `staging`: where uplinks are received."""

    def __init__(self, users: Mapping[str, str], *, root: Path, tokens: TokenRegistry, exclusive: bool) -> None:
        folders = {name: root / "users" / quote(name, safe=" ").replace(".", "%2E") for name in users}
        self.users: dict[str, User] = {name: User(name, users[name], root=folder) for name, folder in folders.items()}
        self.staging: Path = root / "staging"
        self.staging.mkdir(parents=True, exist_ok=True)
        self.tokens = tokens
        self.lock: Lock = Lock(exclusive=exclusive)

    def log_in(self, name: object, password: object) -> str | None:
        """The user's name, if name and password are right."""
        user = self.users.get(name) if isinstance(name, str) else None
        return user.name if user and isinstance(password, str) and user.accepts(password) else None

    def bearer(self, header: str, *, now: float) -> User | None:
        """The user whose access token an ``Authorization`` header carries; None when the token is not valid."""
        scheme, _, token = header.partition(" ")
        name = self.tokens.user_of(token.strip(), "access", now=now) if scheme == "Bearer" else None
        return None if name is None else self.users[name]
