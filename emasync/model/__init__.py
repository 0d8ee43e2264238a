"""The nouns: values that cross every border of emasync.

Owns: frozen values, their own small questions (`status.ended`, `report.ok`) and nothing that waits.
May import errors only. Knows nothing of HTTP, JSON shapes on the wire, files on disk or retries.
"""

from emasync.model.decisions import SyncDecisions, SyncReason
from emasync.model.file_table import FileEntry, FileTable
from emasync.model.files import FileTree
from emasync.model.glob import Glob
from emasync.model.images import Image
from emasync.model.lazy_sequence import LazySequence
from emasync.model.outcome import (
    Direction,
    Outcome,
    OutcomeAction,
    OutcomeState,
    Overwrite,
    SyncAction,
    SyncDecision,
    SyncSummary,
    Verified,
    Verify,
)
from emasync.model.paths import RemotePath
from emasync.model.pods import Node, NodeStatus, PodPhase, PodRun, PodStatus
from emasync.model.report import TransferReport
from emasync.model.result_store import OutcomeLog, Outcomes
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
