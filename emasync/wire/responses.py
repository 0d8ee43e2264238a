"""What an answer of the EM means: JSON values to the nouns, tolerant of shape and strict in use.

Owns: the shapes of 200 answers but listings (`emasync.wire.listing`). May import model and errors. Errors are read in
`emasync.wire.error_mapping`. A value that cannot be read is None, and stays in `.raw`; an answer of the wrong kind
altogether is a ProtocolError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from emasync.errors import ProtocolError
from emasync.model import Image, NodeStatus, PodPhase, PodStatus

_PHASES = {"waiting": PodPhase.WAITING, "running": PodPhase.RUNNING, "terminated": PodPhase.TERMINATED}


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkReceipt:
    """What the server says it took; `file_count` None where it does not say. It proves little: compare and list."""

    file_count: int | None
    total_size_kb: float | None


def tokens(reply: Any) -> tuple[str, str | None]:
    """``access`` and, where given, ``refresh`` of a log-in or refresh answer."""
    access, refresh = _object(reply, "log-in").get("access"), _object(reply, "log-in").get("refresh")
    if not isinstance(access, str) or not access or not access.isascii() or not access.isprintable():
        raise ProtocolError("the log-in answer holds no usable access token")
    return access, refresh if isinstance(refresh, str) and refresh else None


def check_success(reply: Any) -> None:
    """ProtocolError if an answer of status 200 carries an ``error``: it says that the call failed."""
    error = reply.get("error") if isinstance(reply, dict) else None
    if error:
        text = f"{error}: {said(reply)}" if said(reply) else str(error)
        raise ProtocolError("the answer has status 200 and says that the call failed", detail=text)


def said(reply: Any) -> str | None:
    """The server's own words in an answer that is not what was asked for."""
    if not isinstance(reply, dict):
        return None
    texts = (reply.get(key) for key in ("message", "detail"))
    return next((text for text in texts if isinstance(text, str) and text), None)


def uplink_receipt(reply: Any) -> UplinkReceipt:
    """``{"data": {"file_count", "total_size_kb"}}``, every part optional."""
    data = _object(reply, "uplink").get("data")
    data = data if isinstance(data, dict) else {}
    size = data.get("total_size_kb")
    try:
        size_kb = float(size) if isinstance(size, int | float | str) and not isinstance(size, bool) else None
    except (ValueError, OverflowError):
        size_kb = None
    if size_kb is not None and not math.isfinite(size_kb):
        size_kb = None
    return UplinkReceipt(file_count=whole(data.get("file_count")), total_size_kb=size_kb)


def images(reply: Any) -> list[Image]:
    """``{"data": [...]}``: strings, or objects that carry the name under one of the usual keys."""
    data = _object(reply, "image list").get("data")
    if not isinstance(data, list):
        raise ProtocolError("the answer holds no list of images", detail=said(reply))
    return [_image(element) for element in data]


def _image(element: Any) -> Image:
    if isinstance(element, str):
        return Image(name=element, raw={"name": element})
    if isinstance(element, dict):
        for key in ("name", "image", "Name", "repository", "Repository", "tags", "RepoTags", "tag", "names"):
            value = element.get(key)
            if isinstance(value, list) and value:
                value = value[0]
            if isinstance(value, str) and value:
                return Image(name=value, raw=element)
        return Image(name="", raw=element)
    return Image(name="", raw={"name": element})


def nodes(reply: Any) -> list[NodeStatus]:
    """``{"data": [{"name", "status": "True"}, ...]}``."""
    data = _object(reply, "node status").get("data")
    if not isinstance(data, list):
        raise ProtocolError("the node status is not a list")
    ready = {"true": True, "false": False}
    found = [_object(element, "node") for element in data]
    return [
        NodeStatus(name=str(raw.get("name", "")), ready=ready.get(str(raw.get("status")).lower()), raw=raw)
        for raw in found
    ]


def pod_status(reply: Any) -> PodStatus:
    """``{"data": {"state": {...}}}``; no ``data`` or an empty ``state`` is PodPhase.NONE.

    An answer of another shape, or one that names an ``error`` or a ``detail``, says nothing of a pod: ProtocolError.
    """
    answer = _object(reply, "pod status")
    if answer.get("error"):
        raise ProtocolError("the pod status answer is an error, not a status", detail=str(answer["error"]))
    data = answer.get("data") or None  # whatever is empty says that there is none
    state = (data.get("state") or None) if isinstance(data, dict) else None
    says_nothing = answer.get("detail") or not isinstance(data, dict | None) or not isinstance(state, dict | None)
    if says_nothing or (isinstance(data, dict) and data.get("error")):
        raise ProtocolError("the pod status answer says nothing of a pod", detail=said(answer))
    if not isinstance(state, dict) or not any(value is not None for value in state.values()):
        return PodStatus(phase=PodPhase.NONE, raw=state if isinstance(state, dict) else {})
    key = next((key for key in _PHASES if state.get(key) is not None), None)
    if key is None:
        return PodStatus(phase=PodPhase.UNKNOWN, raw=state)
    facts = state[key] if isinstance(state[key], dict) else {}
    return PodStatus(
        phase=_PHASES[key],
        reason=_text(facts.get("reason")),
        message=_text(facts.get("message")),
        started_at=_moment(facts.get("startedAt")),
        finished_at=_moment(facts.get("finishedAt")),
        exit_code=whole(facts.get("exitCode")),
        raw=state,
    )


def whole(value: Any) -> int | None:
    """An integer written as a number or as a decimal string; anything else is None (never a bool, never a fraction)."""
    if type(value) is int:
        return value
    if isinstance(value, str) and len(value) <= 20 and value.strip().removeprefix("-").isdecimal():
        return int(value)
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)  # Kubernetes writes UTC


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, Sequence) and not isinstance(value, str) else type(value).__name__
        raise ProtocolError(f"the {what} answer is {kind}, not an object")
    return value
