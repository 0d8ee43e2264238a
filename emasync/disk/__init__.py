"""This machine's files: names, saving and reading, in threads of our own. POSIX only (Linux, macOS).

Owns: everything between bytes and a disk. May import errors, model, config and wire (pure parts).
Knows nothing of HTTP, retries or plans.
"""

from emasync.disk.folder import flush_folder
from emasync.disk.names import TEMP_PREFIX, local_parts, name_problem, twin_key
from emasync.disk.remove import remove_file
from emasync.disk.save import Save, Saved, exists, save_small, saving, sync_folder
from emasync.disk.source import Digest, Fingerprint, Source, SourceReader, digest_file, fingerprint, reading
from emasync.disk.sweep import sweep
from emasync.disk.threads import FileThreads

__all__ = [
    "Digest",
    "FileThreads",
    "Fingerprint",
    "Save",
    "Saved",
    "Source",
    "SourceReader",
    "TEMP_PREFIX",
    "digest_file",
    "exists",
    "fingerprint",
    "flush_folder",
    "local_parts",
    "name_problem",
    "reading",
    "remove_file",
    "save_small",
    "saving",
    "sweep",
    "sync_folder",
    "twin_key",
]
