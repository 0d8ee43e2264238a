"""Docker images without Docker: the EM's checks of a Dockerfile and of an image tar, and a user's list of images.

Synchronous; reads the volume's files, so call it in a thread. Must not import anything of HTTP.
"""

from __future__ import annotations

import json
import lzma
import re
import shlex
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from emasync.simulator.volume import IllegalPathError, VolumeDirectory, is_regular

_NAME = re.compile(r"[a-z0-9]+(?:(?:[._/]|__|-+)[a-z0-9]+)*(?::[\w][\w.-]{0,127})?")
_LOG_LINES = 100
_MAX_MANIFEST = 1024 * 1024


class ImageError(Exception):
    """The image does not build or load. `log_tail`: the last lines of the tool's output, each with its line break."""

    def __init__(self, message: str, *, log: list[str]) -> None:
        super().__init__(message)
        self.log_tail: list[str] = [f"{line}\n" for line in log[-_LOG_LINES:]]


class ImageRegistry:
    """The images that `user` may run, by full name (``client1-echo-test``), with their sizes in bytes."""

    def __init__(self, user: str) -> None:
        self._prefix = f"{user}-"
        self._sizes: dict[str, int] = {}

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._sizes.items())

    def full_name(self, image: str) -> str:
        """`image` with the user's prefix (once) and without ``:latest``."""
        name = image.strip().removesuffix(":latest")
        return name if name.startswith(self._prefix) else self._prefix + name

    def find(self, image: str) -> str | None:
        """The full name of an image that can run, asked for with or without the prefix; None when there is none."""
        name = self.full_name(image)
        return name if name in self._sizes else None

    def add(self, image: str, *, size: int = 0) -> str:
        """Register an image without building it; returns its full name."""
        name = self.full_name(image)
        self._sizes[name] = size
        return name

    def build(self, volume: VolumeDirectory, image: str, *, dockerfile: str, context: str) -> str:
        """Check the Dockerfile against its context and register the image; ImageError says what is wrong."""
        if not _NAME.fullmatch(image.strip().removeprefix(self._prefix)):
            raise ImageError(f"invalid image name {image!r}", log=[f'invalid reference format: "{image}"'])
        file, folder = _resolve(volume, dockerfile), _resolve(volume, context)
        if file is None or not is_regular(file):
            raise ImageError(f"Dockerfile {dockerfile!r} not found", log=[f"unable to open {dockerfile}: no such file"])
        if folder is None or not folder.is_dir():
            raise ImageError(f"context {context!r} not found", log=[f"unable to prepare context: path {context!r}"])
        _check_steps(_instructions(file.read_text("utf-8", "replace")), volume, folder)
        return self.add(image, size=sum(item.stat().st_size for item in folder.rglob("*") if is_regular(item)))

    def load(self, volume: VolumeDirectory, image: str, *, tar: str) -> str | None:
        """Register what the tar names as `image`; None when the tar's tags lack the user's prefix: that loads, and can
        never be run. ImageError for a file that is no image tar, or one that holds another image of the user."""
        file = _resolve(volume, tar)
        if file is None or not is_regular(file):
            raise ImageError(f"tar file {tar!r} not found", log=[f"open {tar}: no such file or directory"])
        tags = [tag.removesuffix(":latest") for tag in _tags(file)]
        own = [tag for tag in tags if tag.startswith(self._prefix)]
        if not own:
            return None
        if self.full_name(image) not in own:
            raise ImageError(f"the tar does not hold {image!r}", log=[f"Loaded image: {tag}" for tag in tags])
        return self.add(image, size=file.stat().st_size)


def _resolve(volume: VolumeDirectory, path: str) -> Path | None:
    try:
        return volume.resolve(path)
    except IllegalPathError:
        return None


def _instructions(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    return [line.strip() for line in joined.splitlines() if line.strip()]


def _check_steps(steps: list[str], volume: VolumeDirectory, folder: Path) -> None:
    log = [f"Sending build context to Docker daemon from {folder.name or '.'}"]
    words = [step.split(None, 1) for step in steps]
    if not any(word[0].upper() == "FROM" and len(word) == 2 for word in words):
        raise ImageError("the Dockerfile has no FROM", log=[*log, "Error: no build stage in current context"])
    for number, (step, word) in enumerate(zip(steps, words, strict=True), 1):
        log.append(f"Step {number}/{len(steps)} : {step}")
        if word[0].upper() not in ("COPY", "ADD"):
            continue
        for source in _sources(word[1] if len(word) == 2 else ""):
            if not _exists(volume, folder, source):
                log.append(f"COPY failed: file not found in build context: stat {source}: file does not exist")
                raise ImageError(f"{word[0].upper()} failed: {source} is not in the context", log=log)


def _sources(arguments: str) -> list[str]:
    """The paths in the context that a COPY or ADD names; none for other stages, URLs, variables and here-documents."""
    try:
        found = json.loads(arguments) if arguments.startswith("[") else shlex.split(arguments)
    except ValueError:
        return [arguments]
    words = [str(word) for word in found]
    if any(word.startswith("--from=") for word in words):
        return []
    plain = [word for word in words if not word.startswith("--")][:-1]
    return [word for word in plain if not ("://" in word or "$" in word or word.startswith("<<"))]


def _exists(volume: VolumeDirectory, folder: Path, source: str) -> bool:
    """Whether the context contains `source`; a file behind a link out of the volume does not count."""
    parts = [part for part in source.split("/") if part not in ("", ".")]
    if ".." in parts:
        return False
    try:
        return not parts or any(volume.holds(found) for found in folder.glob("/".join(parts)))
    except ValueError:  # not a valid pattern, or a NUL in it
        return False


def _tags(file: Path) -> list[str]:
    """The RepoTags of a tar made by ``docker save``."""
    try:
        with tarfile.open(file) as tar:
            member = tar.extractfile("manifest.json")
            if member is None:
                raise KeyError("manifest.json")
            manifest = json.loads(member.read(_MAX_MANIFEST))
            return [str(tag) for image in manifest for tag in image.get("RepoTags") or []]
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ImageError("not an image tar", log=["open: invalid tar header"]) from error
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ImageError("the tar has no usable manifest.json", log=["open manifest.json: no such file"]) from error
