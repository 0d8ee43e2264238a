"""The EM API's requests as values: one function for each endpoint. Does no I/O.

Covers the seed generation and the optional fields of the later ones; a field that is unset is never sent. Must not
import other modules of wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from posixpath import normpath
from typing import Any

from emasync.model import Node


class Kind(StrEnum):
    """What a request does to the EM; decides which row of the retry table applies."""

    READ = "read"  # list, status, images, nodes: repeating one changes nothing
    DOWNLINK = "downlink"
    UPLINK = "uplink"
    DELETE = "delete"
    JOB = "job"  # build, load, run: repeating one would do something twice
    AUTH = "auth"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """One request. It has `form` or `json` or neither; the transport takes an uplink's body separately.

    `long` marks requests whose response may take hours after the last byte was sent, `listing` the one whose response
    may be large.
    """

    kind: Kind
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    long: bool = False
    listing: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def subject(self) -> str | None:
        """The path in the volume, or the image, that the request is about, for messages."""
        fields = {**self.query, **(self.form or {}), **(self.json or {})}
        return next(
            (str(fields[name]) for name in ("filepath", "tarfile", "dockerfile", "image") if name in fields), None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """The volume and pod of a request; with `name` None the user's default one, for which no field is sent."""

    name: str | None = None
    fields: tuple[str, ...] = ("pod_name", "pvc_name")

    def __post_init__(self) -> None:
        if self.name is not None and not self.name.strip():
            raise ValueError("a volume name must not be empty; None means the default volume")

    def add_to(self, values: Mapping[str, str]) -> dict[str, str]:
        """`values` and the fields that name the volume, if it has a name."""
        return {**values, **(dict.fromkeys(self.fields, self.name) if self.name is not None else {})}


def log_in(username: str, password: str) -> ApiRequest:
    """``POST auth/`` with a form."""
    return ApiRequest(kind=Kind.AUTH, method="POST", path="auth/", form={"username": username, "password": password})


def refresh(token: str) -> ApiRequest:
    """``POST auth/refresh`` with JSON."""
    return ApiRequest(kind=Kind.AUTH, method="POST", path="auth/refresh", json={"refresh": token})


def list_files(volume: Volume) -> ApiRequest:
    """``GET em/files/list``."""
    return ApiRequest(kind=Kind.READ, method="GET", path="em/files/list", query=volume.add_to({}), listing=True)


def downlink(volume: Volume, path: str) -> ApiRequest:
    """``GET em/files/downlink``; `path` is sent as given."""
    return ApiRequest(
        kind=Kind.DOWNLINK,
        method="GET",
        path="em/files/downlink",
        query=volume.add_to({"filepath": _require_path(path, "filepath")}),
    )


def uplink() -> ApiRequest:
    """``POST em/files/uplink``; its multipart body has the fields of `uplink_fields` and the files."""
    return ApiRequest(kind=Kind.UPLINK, method="POST", path="em/files/uplink", long=True)


def uplink_fields(volume: Volume, dest: str) -> dict[str, str]:
    """The form fields of an uplink: ``dest_path`` (``""`` is the root of the volume) and the volume."""
    return volume.add_to({"dest_path": dest})


def delete(volume: Volume, path: str) -> ApiRequest:
    """``POST em/files/delete``. ValueError for the root of the volume."""
    if normpath(f"/{_require_path(path, 'filepath')}").strip("/") == "":  # also "a/.."
        raise ValueError(f"refusing to delete {path!r}: that is the whole volume; name a file or folder in it")
    return ApiRequest(kind=Kind.DELETE, method="POST", path="em/files/delete", form=volume.add_to({"filepath": path}))


def build_image(volume: Volume, image: str, *, dockerfile: str, context: str) -> ApiRequest:
    """``POST em/pod/image/build``; both paths lie in the volume."""
    form = {
        "dockerfile": _require_path(dockerfile, "dockerfile"),
        "image": _require_image_name(image),
        "context": _require_path(context, "context"),
    }
    return ApiRequest(kind=Kind.JOB, method="POST", path="em/pod/image/build", form=volume.add_to(form), long=True)


def load_image(volume: Volume, image: str, *, tarfile: str) -> ApiRequest:
    """``POST em/pod/image/load``; the tar lies in the volume."""
    form = {"tarfile": _require_path(tarfile, "tarfile"), "image": _require_image_name(image)}
    return ApiRequest(kind=Kind.JOB, method="POST", path="em/pod/image/load", form=volume.add_to(form), long=True)


def list_images(volume: Volume) -> ApiRequest:
    """``GET em/pod/image/list``."""
    return ApiRequest(kind=Kind.READ, method="GET", path="em/pod/image/list", query=volume.add_to({}))


def run_pod(  # noqa: PLR0913 - one parameter for each field of the request
    volume: Volume,
    image: str,
    *,
    node: Node,
    max_duration: int | timedelta,
    command: str | None = None,
    scheduled_time: datetime | None = None,
    args: Sequence[str] | None = None,
    envs: Mapping[str, str] | None = None,
    ports: Sequence[int] | None = None,
) -> ApiRequest:
    """``POST em/pod/run``: a form, or JSON if `args`, `envs` or `ports` are given, which a form cannot carry."""
    fields: dict[str, Any] = {
        "image": _require_image_name(image),
        "node": Node(node).value,
        "max_duration": whole_minutes(max_duration),
    }
    if command is not None:
        fields["command"] = command
    if scheduled_time is not None:
        fields["scheduled_time"] = require_time_zone(scheduled_time, "scheduled_time").isoformat()
    if args is None and envs is None and ports is None:
        form = volume.add_to({name: str(value) for name, value in fields.items()})
        return ApiRequest(kind=Kind.JOB, method="POST", path="em/pod/run", form=form)
    if isinstance(args, str):
        raise TypeError(f"args is a list of strings, not the string {args!r}")
    later = {
        "args": None if args is None else list(args),
        "envs": None if envs is None else dict(envs),
        "ports": None if ports is None else list(ports),
    }
    fields |= {name: value for name, value in later.items() if value is not None}
    return ApiRequest(kind=Kind.JOB, method="POST", path="em/pod/run", json={**fields, **volume.add_to({})})


def pod_status(volume: Volume) -> ApiRequest:
    """``GET em/pod/status``."""
    return ApiRequest(kind=Kind.READ, method="GET", path="em/pod/status", query=volume.add_to({}))


def nodes_status() -> ApiRequest:
    """``GET em/nodes/status`` (later generations)."""
    return ApiRequest(kind=Kind.READ, method="GET", path="em/nodes/status")


def whole_minutes(duration: int | timedelta) -> int:
    """`max_duration` in minutes, as the EM takes it: at least one. ValueError for a fraction of a minute."""
    if isinstance(duration, timedelta):
        number, rest = divmod(duration, timedelta(minutes=1))
        if rest:
            raise ValueError(
                f"max_duration {duration} is not a whole number of minutes; the EM counts whole minutes only"
            )
    elif isinstance(duration, bool) or not isinstance(duration, int):
        raise TypeError(f"max_duration is whole minutes as an int, or a timedelta, not {duration!r}")
    else:
        number = duration
    if number < 1:
        raise ValueError(f"max_duration must be at least one minute, not {duration!r}")
    return number


def require_time_zone(moment: datetime, what: str) -> datetime:
    """`moment` if it has a time zone, else ValueError: the EM would read a naive time in a zone of its own."""
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError(
            f"{what} {moment.isoformat()} has no time zone, so the EM and you could mean different moments; "
            f"write datetime(..., tzinfo=UTC) or {moment.isoformat()}+00:00"
        )
    return moment


def _require_path(path: str, what: str) -> str:
    if not path:
        raise ValueError(f"{what} must not be empty")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in path):
        raise ValueError(f"{what} {path!r} holds a control character")
    return path


def _require_image_name(image: str) -> str:
    if not image.strip():
        raise ValueError("image must not be empty")
    return image
