"""Local files: safe names, atomic writing, reading and hashing, in threads of this package. POSIX only.

May import errors, model, config and wire (its pure parts). Knows nothing of HTTP, retries or plans.
"""

from emasync.disk.atomic_file import Unchanged, remove_file, sweep
from emasync.disk.directory import RootGuard, is_there
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
from emasync.disk.safe_paths import TEMP_PREFIX, case_fold_key, local_parts, name_problem
from emasync.disk.writer import SMALL, BufferedFileWriter, FileWriter, Saved, exists, open_writer

__all__ = [
    "Digest",
    "FileExecutor",
    "FileWriter",
    "Fingerprint",
    "RootGuard",
    "SMALL",
    "Saved",
    "BufferedFileWriter",
    "SmallFile",
    "Source",
    "SourceReader",
    "TEMP_PREFIX",
    "Unchanged",
    "case_fold_key",
    "digest_file",
    "exists",
    "fingerprint",
    "is_there",
    "local_parts",
    "name_problem",
    "open_writer",
    "read_small",
    "reading",
    "remove_file",
    "sweep",
]
