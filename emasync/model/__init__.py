"""Values that every part of emasync uses: paths, files, outcomes, reports, pods.

Frozen values, or packed collections of them, with the questions that they alone can answer. No I/O, nothing async.
`report` carries errors and imports `emasync.errors`; the other modules must not: errors carry some of their values.
"""

from emasync.model.file_table import FileEntry, FileTable
from emasync.model.files import FileTree
from emasync.model.glob import Glob
from emasync.model.outcome import (
    Direction,
    Outcome,
    OutcomeAction,
    OutcomeState,
    Overwrite,
    SyncAction,
    SyncDecision,
    SyncReason,
    SyncSummary,
    Verified,
    Verify,
)
from emasync.model.paths import RemotePath
from emasync.model.pods import Image, Node, NodeStatus, PodPhase, PodRun, PodStatus
from emasync.model.report import TransferReport
from emasync.model.result_store import LazySequence, OutcomeLog, Outcomes, SyncDecisions
from emasync.model.text import safe
from emasync.model.token import Token

__all__ = [
    "Direction",
    "FileEntry",
    "FileTable",
    "FileTree",
    "Glob",
    "Image",
    "LazySequence",
    "Node",
    "NodeStatus",
    "Outcome",
    "OutcomeAction",
    "OutcomeLog",
    "OutcomeState",
    "Outcomes",
    "Overwrite",
    "PodPhase",
    "PodRun",
    "PodStatus",
    "RemotePath",
    "SyncAction",
    "SyncDecision",
    "SyncDecisions",
    "SyncReason",
    "SyncSummary",
    "Token",
    "TransferReport",
    "Verified",
    "Verify",
    "safe",
]
