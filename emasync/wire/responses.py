"""Parsing the JSON of responses with status 200 into values of the model; listings are parsed in `listing`.

A field that cannot be read is None, and stays in `.raw`; a response of the wrong shape is a ProtocolError. Other
statuses are handled in `error_mapping`. Must not import config or other modules of wire.
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
    """How many files and KB the server says it stored, None where it does not say. A listing must confirm it."""

    file_count: int | None
    total_size_kb: float | None


def tokens(body: Any) -> tuple[str, str | None]:
    """``access`` and, where given, ``refresh`` of the response to a log-in or a refresh."""
    access, refresh = _require_object(body, "log-in").get("access"), _require_object(body, "log-in").get("refresh")
    if not isinstance(access, str) or not access or not access.isascii() or not access.isprintable():
        raise ProtocolError("the log-in answer holds no usable access token")
    return access, refresh if isinstance(refresh, str) and refresh else None


def check_success(body: Any) -> None:
    """ProtocolError if a response with status 200 carries an ``error``: the request failed all the same."""
    error = body.get("error") if isinstance(body, dict) else None
    if error:
        message = server_message(body)
        text = f"{error}: {message}" if message else str(error)
        raise ProtocolError("the answer has status 200 and says that the call failed", detail=text)


def server_message(body: Any) -> str | None:
    """The ``message`` or ``detail`` of a response, which explain why it lacks the requested data."""
    if not isinstance(body, dict):
        return None
    texts = (body.get(key) for key in ("message", "detail"))
    return next((text for text in texts if isinstance(text, str) and text), None)


def uplink_receipt(body: Any) -> UplinkReceipt:
    """The receipt in ``{"data": {"file_count", "total_size_kb"}}``, every part optional."""
    data = _require_object(body, "uplink").get("data")
    data = data if isinstance(data, dict) else {}
    size = data.get("total_size_kb")
    try:
        size_kb = float(size) if isinstance(size, int | float | str) and not isinstance(size, bool) else None
    except (ValueError, OverflowError):
        size_kb = None
    if size_kb is not None and not math.isfinite(size_kb):
        size_kb = None
    return UplinkReceipt(file_count=integer(data.get("file_count")), total_size_kb=size_kb)


def images(body: Any) -> list[Image]:
    """The images of ``{"data": [...]}``: strings, or objects with the name under one of the usual keys."""
    data = _require_object(body, "image list").get("data")
    if not isinstance(data, list):
        raise ProtocolError("the answer holds no list of images", detail=server_message(body))
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


def nodes(body: Any) -> list[NodeStatus]:
    """The nodes of ``{"data": [{"name", "status": "True"}, ...]}``."""
    data = _require_object(body, "node status").get("data")
    if not isinstance(data, list):
        raise ProtocolError("the node status is not a list")
    ready = {"true": True, "false": False}
    elements = [_require_object(element, "node") for element in data]
    return [
        NodeStatus(name=str(raw.get("name", "")), ready=ready.get(str(raw.get("status")).lower()), raw=raw)
        for raw in elements
    ]


def pod_status(body: Any) -> PodStatus:
    """The status in ``{"data": {"state": {...}}}``; no ``data`` or an empty ``state`` is PodPhase.NONE.

    A response of another shape, or with an ``error`` or a ``detail``, describes no pod: ProtocolError.
    """
    response = _require_object(body, "pod status")
    if response.get("error"):
        raise ProtocolError("the pod status answer is an error, not a status", detail=str(response["error"]))
    data = response.get("data") or None  # anything empty means that there is no pod
    state = (data.get("state") or None) if isinstance(data, dict) else None
    describes_no_pod = response.get("detail") or not isinstance(data, dict | None) or not isinstance(state, dict | None)
    if describes_no_pod or (isinstance(data, dict) and data.get("error")):
        raise ProtocolError("the pod status answer says nothing of a pod", detail=server_message(response))
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
        started_at=_datetime(facts.get("startedAt")),
        finished_at=_datetime(facts.get("finishedAt")),
        exit_code=integer(facts.get("exitCode")),
        raw=state,
    )


def integer(value: Any) -> int | None:
    """An integer written as a number or as a decimal string; anything else is None (never a bool, never a fraction)."""
    if type(value) is int:
        return value
    if isinstance(value, str) and len(value) <= 20 and value.strip().removeprefix("-").isdecimal():
        return int(value)
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _datetime(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)  # Kubernetes writes UTC


def _require_object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, Sequence) and not isinstance(value, str) else type(value).__name__
        raise ProtocolError(f"the {what} answer is {kind}, not an object")
    return value
