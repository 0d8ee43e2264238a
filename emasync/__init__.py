"""emasync: async transfer engine, client and simulator for DPhi Space's EM API.

Start with `Client`; `emasync.simulator.Simulator` is a test double of an EM. A public name is imported when it is first
used, so that `emasync --version`, or a program that needs one error, does not load aiohttp.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from emasync._version import __version__

if TYPE_CHECKING:
    from emasync.client import Client
    from emasync.config import Limits, RetryPolicy, Settings, Timeouts
    from emasync.errors import (
        AuthError,
        BadRequestError,
        BuildFailedError,
        BusyError,
        DeletionRefusedError,
        EMError,
        ForbiddenError,
        ImageLoadError,
        IntegrityError,
        NotFoundError,
        PodFailedError,
        PodVanishedError,
        ProtocolError,
        ServerError,
        SourceChangedError,
        TargetChangedError,
        TimedOutError,
        TooLargeError,
        UnknownOutcomeError,
        UnreachableError,
        UnsafePathError,
    )
    from emasync.model import (
        Direction,
        FileEntry,
        FileTree,
        Glob,
        Image,
        Node,
        NodeStatus,
        Outcome,
        OutcomeAction,
        OutcomeState,
        PodPhase,
        PodRun,
        PodStatus,
        RemotePath,
        SyncDecision,
        SyncSummary,
        TransferReport,
        Verified,
    )
    from emasync.transfer.transfer import Transfer

_NAMES = {
    "emasync.client": "Client",
    "emasync.config": "Limits RetryPolicy Settings Timeouts",
    "emasync.errors": """
        AuthError BadRequestError BuildFailedError BusyError DeletionRefusedError EMError ForbiddenError ImageLoadError
        IntegrityError NotFoundError PodFailedError PodVanishedError ProtocolError ServerError SourceChangedError
        TargetChangedError TimedOutError TooLargeError UnknownOutcomeError UnreachableError UnsafePathError
    """,
    "emasync.model": """
        Direction FileEntry FileTree Glob Image Node NodeStatus Outcome OutcomeAction OutcomeState PodPhase PodRun
        PodStatus RemotePath SyncDecision SyncSummary TransferReport Verified
    """,
    "emasync.transfer.transfer": "Transfer",
}
_MODULE_OF_NAME = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "AuthError",
    "BadRequestError",
    "BuildFailedError",
    "BusyError",
    "Client",
    "DeletionRefusedError",
    "Direction",
    "EMError",
    "FileEntry",
    "FileTree",
    "ForbiddenError",
    "Glob",
    "Image",
    "ImageLoadError",
    "IntegrityError",
    "Limits",
    "Node",
    "NodeStatus",
    "NotFoundError",
    "Outcome",
    "OutcomeAction",
    "OutcomeState",
    "PodFailedError",
    "PodPhase",
    "PodRun",
    "PodStatus",
    "PodVanishedError",
    "ProtocolError",
    "RemotePath",
    "RetryPolicy",
    "ServerError",
    "Settings",
    "SourceChangedError",
    "SyncDecision",
    "SyncSummary",
    "TargetChangedError",
    "TimedOutError",
    "Timeouts",
    "TooLargeError",
    "Transfer",
    "TransferReport",
    "UnknownOutcomeError",
    "UnreachableError",
    "UnsafePathError",
    "Verified",
    "__version__",
]


if not TYPE_CHECKING:  # a type checker must see the names above, and no others

    def __getattr__(name: str) -> Any:
        """Import a public name from its module, once."""
        module = _MODULE_OF_NAME.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(module), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
