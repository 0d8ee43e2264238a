"""Image tars as ``docker save`` writes them: a docker-archive, and since Docker 25 an OCI layout with a manifest.json.

Owns: their bytes. Needs no Docker.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any


def save_image(
    file: Path, *tags: str, architecture: str = "arm64", oci: bool = False, manifest: bool = True, mode: str = "w"
) -> Path:
    """Write a tar with one image of one layer."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as inner:
        _add(inner, "hello.txt", b"hello\n")
    blob = layer.getvalue()
    config = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(blob).hexdigest()}"]},
        }
    ).encode()
    id_ = hashlib.sha256(config).hexdigest()
    config_name = f"blobs/sha256/{id_}" if oci else f"{id_}.json"
    layer_name = f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}" if oci else f"{id_[:12]}/layer.tar"
    listed: list[dict[str, Any]] = [{"Config": config_name, "RepoTags": list(tags) or None, "Layers": [layer_name]}]
    with tarfile.open(file, mode) as tar:  # type: ignore[call-overload]
        _add(tar, layer_name, blob)
        _add(tar, config_name, config)
        if oci:
            _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
            _add(tar, "index.json", b'{"schemaVersion": 2, "manifests": []}')
        if manifest:
            _add(tar, "manifest.json", json.dumps(listed).encode())
    return file


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))
