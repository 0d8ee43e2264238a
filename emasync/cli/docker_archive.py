"""Read an image tar of ``docker save`` and find what would keep an EM from running its image.

Reads local files (docker-archive, or an OCI layout with a manifest.json), unpacks nothing. Must not import the client.
"""

from __future__ import annotations

import json
import lzma
import shlex
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_MAX_JSON = 8 * 1024 * 1024
ARCHITECTURE = "arm64"
"""The architecture of the EM's processors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TarImage:
    """One image of a tar. `architecture` and `os` are None where its configuration does not say."""

    id: str
    tags: tuple[str, ...]
    architecture: str | None
    os: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCheck:
    """`name` is what to load the image as; `problems` say what is wrong, each with the next command."""

    name: str
    problems: tuple[str, ...]


def read_archive(file: Path) -> list[TarImage]:
    """The images of a tar, compressed or not. ValueError for a file that is no image tar, OSError from the disk."""
    try:
        with tarfile.open(file, _mode(file)) as tar:
            manifest = _json(tar, "manifest.json")
            return [_image(tar, described) for described in manifest]
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as broken:
        raise ValueError(f"{file} is no tar: {broken}; next: {_save('IMAGE', file)}") from None
    except (KeyError, ValueError, TypeError, AttributeError):
        raise ValueError(
            f"{file} has no usable manifest.json, so docker load would not know its name; next: {_save('IMAGE', file)}"
        ) from None


def _mode(file: Path) -> Literal["r:", "r:gz", "r:bz2", "r:xz"]:
    """By the file's first bytes: tarfile's own guess takes zeros for old LZMA, and unpacks them for minutes."""
    with file.open("rb") as opened:
        start = opened.read(6)
    if start.startswith(b"\x1f\x8b"):
        return "r:gz"
    if start.startswith(b"BZh"):
        return "r:bz2"
    return "r:xz" if start == b"\xfd7zXZ\0" else "r:"


def check_image(images: Sequence[TarImage], *, wanted: str, username: str, file: Path) -> ImageCheck:
    """Whether an EM can run what the tar holds as `wanted` (with or without the user's prefix).

    The EM runs an image only if its tag in the tar begins with ``<user>-``; see the vendor's notes on image load.
    """
    name = full_name(wanted, username=username)
    right = [image for image in images if name in map(_plain, image.tags)]
    if right:
        return ImageCheck(name=name, problems=tuple(_wrong_platform(right[0], name, file)))
    tags = [_plain(tag) for image in images for tag in image.tags]
    own = [tag for tag in tags if tag.startswith(f"{username}-")]
    if own:
        also = f"; next: emasync image push {shlex.quote(str(file))} --image {shlex.quote(own[0])}"
        return ImageCheck(name=name, problems=(f"the tar holds {', '.join(own)}, not {name}{also}",))
    problems = [f"{_named(tags)}; the EM runs only what is tagged {username}-...; next: {_retag(images, name, file)}"]
    return ImageCheck(name=name, problems=(*problems, *(_wrong_platform(images[0], name, file) if images else ())))


def full_name(image: str, *, username: str) -> str:
    """`image` with the user's prefix, once, and without ``:latest``."""
    plain = _plain(image)
    return plain if plain.startswith(f"{username}-") else f"{username}-{plain}"


def _plain(tag: str) -> str:
    return tag.strip().removeprefix("docker.io/library/").removesuffix(":latest")


def _named(tags: Sequence[str]) -> str:
    return f"the tar's tag is {', '.join(tags)}" if tags else "the image in the tar has no tag"


def _retag(images: Sequence[TarImage], name: str, file: Path) -> str:
    now = next((image.tags[0] if image.tags else image.id for image in images), "IMAGE")
    return f"docker tag {shlex.quote(now)} {shlex.quote(name)} && {_save(name, file)}"


def _save(name: str, file: Path) -> str:
    return f"docker save {name if name == 'IMAGE' else shlex.quote(name)} -o {shlex.quote(str(file))}"


def _wrong_platform(image: TarImage, name: str, file: Path) -> list[str]:
    if image.architecture == ARCHITECTURE and image.os in ("linux", None):
        return []
    found = f"{image.os or 'unknown'}/{image.architecture or 'unknown'}"
    build = f"docker buildx build --platform linux/{ARCHITECTURE} --load -t {shlex.quote(name)} ."
    return [f"the image is for {found}, the EM is linux/{ARCHITECTURE}; next: {build} && {_save(name, file)}"]


def _image(tar: tarfile.TarFile, described: Any) -> TarImage:
    config_name = str(described["Config"])
    config = _json(tar, config_name)
    return TarImage(
        id=config_name.rpartition("/")[2].removesuffix(".json"),
        tags=tuple(str(tag) for tag in described.get("RepoTags") or ()),
        architecture=config.get("architecture"),
        os=config.get("os"),
    )


def _json(tar: tarfile.TarFile, name: str) -> Any:
    member = tar.getmember(name)
    content = tar.extractfile(member)
    if content is None or member.size > _MAX_JSON:
        raise KeyError(name)
    return json.loads(content.read(_MAX_JSON))
