"""This machine's files: names, saving and reading, in threads of our own. POSIX only (Linux, macOS).

Owns: everything between bytes and a disk. May import errors, model, config and wire (pure parts).
Knows nothing of HTTP, retries or plans.
"""

from emasync.disk.atomic_file import Unchanged
from emasync.disk.directory import Pin, flush_folder
from emasync.disk.executor import FileThreads
from emasync.disk.fingerprint import Fingerprint
from emasync.disk.reader import (
    Digest,
    Small,
    Source,
    SourceReader,
    digest_file,
    fingerprint,
    read_small,
    reading,
)
from emasync.disk.remove import remove_file
from emasync.disk.safe_paths import TEMP_PREFIX, local_parts, name_problem, twin_key
from emasync.disk.sweep import sweep
from emasync.disk.writer import SMALL, Save, Saved, SmallSave, exists, is_there, saving, sync_folder

__all__ = [
    "Digest",
    "FileThreads",
    "Fingerprint",
    "Pin",
    "SMALL",
    "Save",
    "Saved",
    "SmallSave",
    "Small",
    "Source",
    "SourceReader",
    "TEMP_PREFIX",
    "Unchanged",
    "digest_file",
    "exists",
    "fingerprint",
    "flush_folder",
    "is_there",
    "local_parts",
    "name_problem",
    "read_small",
    "reading",
    "remove_file",
    "saving",
    "sweep",
    "sync_folder",
    "twin_key",
]
