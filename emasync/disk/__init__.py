"""This machine's files: names, saving and reading, in threads of our own. POSIX only (Linux, macOS).

Owns: everything between bytes and a disk. May import errors, model, config and wire (pure parts).
Knows nothing of HTTP, retries or plans.
"""

from emasync.disk.atomic_file import Unchanged
from emasync.disk.directory import RootGuard, flush_folder
from emasync.disk.executor import FileExecutor
from emasync.disk.fingerprint import Fingerprint
from emasync.disk.reader import (
    Digest,
    SmallFile,
    Source,
    SourceReader,
    digest_file,
    fingerprint,
    read_small,
    reading,
)
from emasync.disk.remove import remove_file
from emasync.disk.safe_paths import TEMP_PREFIX, case_fold_key, local_parts, name_problem
from emasync.disk.sweep import sweep
from emasync.disk.writer import SMALL, BufferedFileWriter, FileWriter, Saved, exists, is_there, open_writer, sync_folder

__all__ = [
    "Digest",
    "FileExecutor",
    "Fingerprint",
    "RootGuard",
    "SMALL",
    "FileWriter",
    "Saved",
    "BufferedFileWriter",
    "SmallFile",
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
    "open_writer",
    "sweep",
    "sync_folder",
    "case_fold_key",
]
