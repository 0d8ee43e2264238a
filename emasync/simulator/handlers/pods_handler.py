"""em/pod/run, em/pod/status and em/nodes/status: a run's fields are validated as Django REST framework does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from emasync.model import Node
from emasync.simulator.exchange import Exchange
from emasync.simulator.pods import Pod, PodSpec
from emasync.simulator.request_fields import read_fields, requested_volume, requested_volume_name, required_fields
from emasync.simulator.responses import json_response, validation_error

_DATETIME = (
    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)
_MAX_MINUTES = 2**31 - 1  # what the database behind the real server holds


async def handle_run(ex: Exchange) -> web.StreamResponse:
    """POST em/pod/run: the user's previous pod of that name is stopped, the new one takes its place."""
    fields = await read_fields(ex)
    spec, volume, name = _spec(ex, fields), requested_volume(ex, fields), requested_volume_name(ex, fields)
    await ex.hold()
    user, pod_runner, not_before = ex.user, ex.context.pod_runner, 0.0
    if (previous := user.pods.get(name)) is not None:
        not_before = previous.replace(now=ex.clock.now())
        pod_runner.stop_pod(previous)
        user.replaced_pods[name] = previous
    pod = user.pods[name] = Pod(spec=spec, not_before=not_before)
    pod_runner.launch(pod, user=user.name, volume=volume.root)
    return json_response({"message": f"Pod with image {spec.image} scheduled successfully."})


async def handle_pod_status(ex: Exchange) -> web.StreamResponse:
    """em/pod/status, with the faults `earlier_status` and `no_pod`."""
    fields = await read_fields(ex)
    await ex.hold()
    pods = ex.user.replaced_pods if ex.fault_if("earlier_status") else ex.user.pods
    pod = pods.get(requested_volume_name(ex, fields))
    if pod is None or ex.fault_if("no_pod"):
        return json_response({"message": "No pod found.", "data": {"state": {}}})
    state = pod.state(now=ex.clock.now(), times=ex.config.pod_times)
    return json_response({"message": "Pod status retrieved.", "data": {"state": state}})


async def handle_node_status(ex: Exchange) -> web.StreamResponse:
    """GET em/nodes/status (later generations)."""
    await read_fields(ex)
    await ex.hold()
    return json_response({"data": [{"name": node.value.lower(), "status": "True"} for node in Node]})


def _spec(ex: Exchange, fields: dict[str, Any]) -> PodSpec:
    image, node = map(str, required_fields(fields, "image", "node"))
    if fields["node"] not in list(Node):
        raise validation_error("node", f'"{node}" is not a valid choice.')
    images = ex.user.images
    spec: dict[str, Any] = {
        "image": images.full_name(image),
        "known": images.find(image) is not None,
        "node": node,
        "max_duration": _minutes(fields.get("max_duration", 1)),
        "command": str(fields["command"]) if fields.get("command") else None,
        "scheduled_at": _scheduled_at(fields.get("scheduled_time")),
    }
    # A form cannot carry args, envs and ports, and the seed generation does not know them at all.
    has_containers = ex.config.after_seed and ex.request.content_type == "application/json"
    return PodSpec(**spec, **(_containers(fields) if has_containers else {}))


def _minutes(value: Any) -> int:
    try:
        minutes = int(str(value))
    except ValueError:
        raise validation_error("max_duration", "A valid integer is required.") from None
    if minutes < 1:
        raise validation_error("max_duration", "Ensure this value is greater than or equal to 1.")
    if minutes > _MAX_MINUTES:
        raise validation_error("max_duration", f"Ensure this value is less than or equal to {_MAX_MINUTES}.")
    return minutes


def _scheduled_at(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        moment = datetime.fromisoformat(str(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):  # the last hours of the year 9999 have no date in UTC
        raise validation_error("scheduled_time", _DATETIME) from None


def _containers(fields: dict[str, Any]) -> dict[str, Any]:
    args, envs, ports = fields.get("args") or [], fields.get("envs") or {}, fields.get("ports") or []
    for name, value in (("args", args), ("ports", ports)):
        if not isinstance(value, list):
            raise validation_error(name, f'Expected a list of items but got type "{type(value).__name__}".')
    if not isinstance(envs, dict):
        raise validation_error("envs", f'Expected a dictionary of items but got type "{type(envs).__name__}".')
    if not all(isinstance(port, int) and 0 < port < 65536 for port in ports):
        raise validation_error("ports", "A valid port number is required.")
    pairs = {str(name): str(value) for name, value in envs.items()}
    return {"args": tuple(str(arg) for arg in args), "envs": pairs, "ports": tuple(ports)}
