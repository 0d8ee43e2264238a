"""The simulator's endpoints: which handler serves which path, by generation. A module for each group of endpoints.

Handlers must not import server or simulator, nor touch a socket: an `Exchange` is all they see of a connection.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from emasync.simulator.config import SimulatorConfig
from emasync.simulator.exchange import Exchange
from emasync.simulator.handlers.auth_handler import handle_log_in, handle_refresh
from emasync.simulator.handlers.downlink_handler import handle_downlink
from emasync.simulator.handlers.files_handler import handle_delete, handle_list_files, handle_list_volumes
from emasync.simulator.handlers.images_handler import handle_build, handle_list_images, handle_load
from emasync.simulator.handlers.pods_handler import handle_node_status, handle_pod_status, handle_run
from emasync.simulator.handlers.uplink_handler import handle_uplink

Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The handler of an endpoint and the methods it accepts."""

    methods: tuple[str, ...]
    handler: Handler


def routes(config: SimulatorConfig) -> dict[str, Route]:
    """The endpoints of the configured generation, by path."""
    get, post = ("GET",), ("POST",)
    read = ("GET", "POST") if config.generation == "pvc" else get
    table = {
        "auth/": Route(methods=post, handler=handle_log_in),
        "auth/refresh": Route(methods=post, handler=handle_refresh),
        "em/files/uplink": Route(methods=post, handler=handle_uplink),
        "em/files/list": Route(methods=read, handler=handle_list_files),
        "em/files/downlink": Route(methods=get, handler=handle_downlink),
        "em/files/delete": Route(methods=post, handler=handle_delete),
        "em/pod/image/build": Route(methods=post, handler=handle_build),
        "em/pod/image/load": Route(methods=post, handler=handle_load),
        "em/pod/image/list": Route(methods=get, handler=handle_list_images),
        "em/pod/run": Route(methods=post, handler=handle_run),
        "em/pod/status": Route(methods=read, handler=handle_pod_status),
    }
    if config.after_seed:
        table["em/nodes/status"] = Route(methods=get, handler=handle_node_status)
    if config.generation == "pvc":
        table["em/pvc/list"] = Route(methods=read, handler=handle_list_volumes)
    return table
