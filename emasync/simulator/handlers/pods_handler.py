"""em/pod/run, em/pod/status and em/nodes/status.

Owns: validating a run as DRF would, and their answers. May import exchange, answers, pods.
Knows nothing of how a pod is carried: it hands a `Pod` to the one who does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from emasync.model import Node
from emasync.simulator.exchange import Exchange
from emasync.simulator.pods import Pod, PodSpec
from emasync.simulator.responses import invalid, reply
from emasync.simulator.volume import Volume

_DATETIME = (
    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)
_MOST_MINUTES = 2**31 - 1  # what the database behind the real server holds

Launch = Callable[[Pod, Volume], None]
"""Takes over a new pod, which is already the one that status tells of, and starts its life."""


async def run(ex: Exchange, launch: Launch, stop: Callable[[Pod], None]) -> web.StreamResponse:
    """POST em/pod/run: the user's previous pod of that name is stopped, the new one takes its place."""
    fields = await ex.read_fields()
    spec, volume, name = _spec(ex, fields), ex.volume(fields), ex.volume_name(fields)
    await ex.busy_for(0)
    not_before = 0.0
    if (previous := ex.account.pods.get(name)) is not None:
        not_before = previous.replace(now=ex.clock.now())
        stop(previous)
        ex.account.replaced_pods[name] = previous
    pod = ex.account.pods[name] = Pod(spec=spec, not_before=not_before)
    launch(pod, volume)
    return reply({"message": f"Pod with image {spec.image} scheduled successfully."})


async def status(ex: Exchange) -> web.StreamResponse:
    """em/pod/status; `earlier_status` and `no_pod` strike here."""
    fields = await ex.read_fields()
    await ex.busy_for(0)
    pods = ex.account.replaced_pods if ex.has("earlier_status") else ex.account.pods
    pod = pods.get(ex.volume_name(fields))
    if pod is None or ex.has("no_pod"):
        return reply({"message": "No pod found.", "data": {"state": {}}})
    state = pod.state(now=ex.clock.now(), times=ex.rules.pod_times)
    return reply({"message": "Pod status retrieved.", "data": {"state": state}})


async def nodes(ex: Exchange) -> web.StreamResponse:
    """GET em/nodes/status (later generations)."""
    await ex.read_fields()
    await ex.busy_for(0)
    return reply({"data": [{"name": node.value.lower(), "status": "True"} for node in Node]})


def _spec(ex: Exchange, fields: dict[str, Any]) -> PodSpec:
    for name in ("image", "node"):
        if not fields.get(name):
            raise invalid(name, "This field is required.")
    if fields["node"] not in list(Node):
        raise invalid("node", f'"{fields["node"]}" is not a valid choice.')
    image, images = str(fields["image"]), ex.account.images
    spec: dict[str, Any] = {
        "image": images.full_name(image),
        "known": images.find(image) is not None,
        "node": str(fields["node"]),
        "max_duration": _minutes(fields.get("max_duration", 1)),
        "command": str(fields["command"]) if fields.get("command") else None,
        "scheduled_at": _when(fields.get("scheduled_time")),
    }
    # In a form these three have no meaning, and the seed generation does not know them at all.
    later = _containers(fields) if ex.rules.later and ex.request.content_type == "application/json" else {}
    return PodSpec(**spec, **later)


def _minutes(value: Any) -> int:
    try:
        minutes = int(str(value))
    except ValueError:
        raise invalid("max_duration", "A valid integer is required.") from None
    if minutes < 1:
        raise invalid("max_duration", "Ensure this value is greater than or equal to 1.")
    if minutes > _MOST_MINUTES:
        raise invalid("max_duration", f"Ensure this value is less than or equal to {_MOST_MINUTES}.")
    return minutes


def _when(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        moment = datetime.fromisoformat(str(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):  # the last hours of the year 9999 are in UTC no date any more
        raise invalid("scheduled_time", _DATETIME) from None


def _containers(fields: dict[str, Any]) -> dict[str, Any]:
    args, envs, ports = fields.get("args") or [], fields.get("envs") or {}, fields.get("ports") or []
    for name, value in (("args", args), ("ports", ports)):
        if not isinstance(value, list):
            raise invalid(name, f'Expected a list of items but got type "{type(value).__name__}".')
    if not isinstance(envs, dict):
        raise invalid("envs", f'Expected a dictionary of items but got type "{type(envs).__name__}".')
    if not all(isinstance(port, int) and 0 < port < 65536 for port in ports):
        raise invalid("ports", "A valid port number is required.")
    pairs = {str(name): str(value) for name, value in envs.items()}
    return {"args": tuple(str(arg) for arg in args), "envs": pairs, "ports": tuple(ports)}
