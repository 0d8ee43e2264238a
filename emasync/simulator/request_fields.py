"""The fields of a request: its query, form or JSON as one mapping, and the volume that they name.

Must not import handlers or server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from emasync.simulator.exchange import Exchange
from emasync.simulator.multipart import MultipartError, MultipartParser, PartBegin, PartData, boundary_of
from emasync.simulator.responses import RefusedError, error_response, json_response, validation_error
from emasync.simulator.volume import VolumeDirectory

_FORM_LIMIT_BYTES = 2_621_440  # Django's DATA_UPLOAD_MAX_MEMORY_SIZE
_SECRET_FIELDS = ("password", "refresh")
_VOLUME_FIELDS = {"seed": (), "pods": ("pod_name",), "pvc": ("pvc_name", "pod_name")}


async def read_fields(ex: Exchange) -> dict[str, Any]:
    """Read the whole body; return query, form and JSON fields as one mapping. All but secrets go into the log."""
    content_type = ex.request.content_type
    boundary = boundary_of(ex.request.headers.get("Content-Type", ""))
    body = bytearray()
    async for chunk in ex.body():
        body += chunk
        if len(body) > _FORM_LIMIT_BYTES:
            raise RefusedError(error_response("BAD_REQUEST", "The request body is too large."))
    ex.body_received()
    fields: dict[str, Any] = dict(ex.request.query)
    if content_type == "application/json" and body:
        fields |= _json_fields(ex, bytes(body))
    elif boundary is not None:
        fields |= _multipart_fields(boundary, bytes(body))
    elif content_type == "application/x-www-form-urlencoded":
        fields |= parse_qsl(bytes(body).decode("utf-8", "replace"), keep_blank_values=True)
    ex.entry.detail |= {name: value for name, value in fields.items() if name not in _SECRET_FIELDS}
    return fields


def required_fields(fields: Mapping[str, Any], *names: str) -> list[Any]:
    """The values of the fields `names`; a validation error for the first one that is missing or empty."""
    for name in names:
        if not fields.get(name):
            raise validation_error(name, "This field is required.")
    return [fields[name] for name in names]


def requested_volume_name(ex: Exchange, fields: Mapping[str, Any]) -> str | None:
    """The name of the volume that the request names; None, the default volume, in the seed generation."""
    names = _VOLUME_FIELDS[ex.config.generation]
    return next((str(fields[name]) for name in names if fields.get(name)), None)


def requested_volume(ex: Exchange, fields: Mapping[str, Any]) -> VolumeDirectory:
    """The user's volume that the request names; a validation error for a name that no volume can have."""
    try:
        return ex.user.volume(requested_volume_name(ex, fields))
    except ValueError as error:
        raise validation_error("pod_name", str(error)) from error


def parse_error(error: MultipartError) -> RefusedError:
    """The response to a malformed multipart body."""
    return RefusedError(json_response({"detail": f"Multipart form parse error - {error}"}, status=400))


def _json_fields(ex: Exchange, body: bytes) -> Mapping[str, Any]:
    if not ex.config.after_seed and ex.endpoint != "auth/refresh":
        text = 'Unsupported media type "application/json" in request.'
        raise RefusedError(json_response({"detail": text}, status=415))
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedError(json_response({"detail": f"JSON parse error - {error}"}, status=400)) from error
    if not isinstance(fields, dict):
        text = f"Invalid data. Expected a dictionary, but got {type(fields).__name__}."
        raise validation_error("non_field_errors", text)
    return fields


def _multipart_fields(boundary: bytes, body: bytes) -> dict[str, str]:
    fields: dict[str, bytes] = {}
    name: str | None = None
    try:
        for event in MultipartParser(boundary).feed(body):
            if isinstance(event, PartBegin):
                name = event.name if event.filename is None else None
                if name is not None:
                    fields[name] = b""
            elif isinstance(event, PartData) and name is not None:
                fields[name] += event.data
    except MultipartError as error:
        raise parse_error(error) from error
    return {name: value.decode("utf-8", "replace") for name, value in fields.items()}
