"""Check a Dockerfile against the files of its build context, before anything is sent.

Pure: reads no files; the text and the file names are passed in. Must not import anything of emasync but model.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from emasync.model import RemotePath
from emasync.model.paths import matches

_HEREDOC = re.compile(r"<<-?([\"']?)([A-Za-z_]\w*)\1")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a COPY or ADD takes from the context. `step` is ``COPY`` or ``ADD``, `line` counts from 1."""

    step: str
    path: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A Dockerfile, as far as it can be checked. `bases`: images that must be on the EM already, each once;
    `stages` counts every FROM."""

    stages: int
    bases: tuple[str, ...]
    sources: tuple[Source, ...]


def read_dockerfile(text: str) -> Dockerfile:
    """The images a Dockerfile starts from, and what it takes from its context.

    Earlier stages and ``scratch`` are no bases; what is copied from a stage, a here-document or through a variable is
    no source. Nothing is raised: what cannot be read is left for the builder to refuse.
    """
    defaults: dict[str, str] = {}
    count, stages = 0, {"scratch"}
    bases: dict[str, None] = {}
    sources: list[Source] = []
    for line, step, rest in _instructions(text):
        if step == "ARG" and not count:
            name, _, default = rest.partition("=")
            defaults[name.strip()] = default.strip().strip("\"'")
        elif step == "FROM":
            count += 1
            words = [word for word in rest.split() if not word.startswith("--")]
            base = _filled(words[0], defaults) if words else ""
            if base and base.lower() not in stages:
                bases[base] = None
            if len(words) == 3 and words[1].upper() == "AS":
                stages.add(words[2].lower())
        elif step in ("COPY", "ADD"):
            sources += [Source(step=step, path=path, line=line) for path in _sources(rest)]
    return Dockerfile(stages=count, bases=tuple(bases), sources=tuple(sources))


def build_problems(dockerfile: Dockerfile, names: Collection[str]) -> list[str]:
    """Why the build would fail, one sentence each; `names` are the files of the context that will be sent."""
    problems = [] if dockerfile.stages else ["the Dockerfile has no FROM"]
    existing = {RemotePath(name) for name in names}
    existing |= {folder for name in existing for folder in _folders_above(name)}
    for source in dockerfile.sources:
        if why := _why_not(source, existing):
            problems.append(f"Dockerfile line {source.line}: {source.step} {source.path}: {why}")
    return problems


def dockerignore_patterns(names: Iterable[str], ignore: Sequence[str], *, keep: Collection[str]) -> list[str]:
    """The lines of a .dockerignore as exact gitignore patterns for `names`: whole folders where nothing in them stays.

    The last line that matches a file, or a folder above it, decides, as in Docker. `keep` stays whatever they say.
    """
    rules = [_rule(line) for line in ignore if line.strip() and not line.startswith("#")]
    paths = [RemotePath(name) for name in names]
    dropped = {path for path in paths if path not in keep and _is_ignored(path, rules)}
    occupied = {folder for path in paths if path not in dropped for folder in _folders_above(path)}
    patterns: dict[str, None] = {}
    for path in sorted(dropped):
        whole = next((folder for folder in _folders_above(path) if folder not in occupied), None)
        patterns[f"/{_escaped(whole or path)}" + ("/" if whole else "")] = None
    return list(patterns)


def _instructions(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, keyword and arguments of each instruction; comments, continuations and here-documents are taken care of."""
    lines = enumerate(text.splitlines(), 1)
    for number, first in lines:
        if not first.strip() or first.lstrip().startswith("#"):
            continue
        whole = first.strip()
        while whole.endswith("\\"):
            more = next(lines, (0, ""))[1].strip()
            whole = whole if more.startswith("#") else f"{whole[:-1]} {more}"
        step, _, rest = whole.partition(" ")
        if step.upper() in ("RUN", "COPY", "ADD"):
            for _, word in _HEREDOC.findall(rest):
                next((line for _, line in lines if line.strip() == word), None)
        yield number, step.upper(), rest.strip()


def _filled(text: str, defaults: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda found: defaults.get(found[1] or found[3]) or found[2] or found[0], text)


def _sources(rest: str) -> list[str]:
    words = rest.split()
    while words and words[0].startswith("--"):
        if words.pop(0).startswith("--from="):
            return []
    plain = " ".join(words)
    try:
        found = json.loads(plain) if plain.startswith("[") else shlex.split(plain)
    except ValueError:
        return []
    paths = [str(word) for word in found][:-1]
    return [path for path in paths if not ("$" in path or path.startswith("<<"))]


def _why_not(source: Source, existing: Collection[RemotePath]) -> str | None:
    if "://" in source.path or source.path.startswith("git@"):
        return "the EM builds without a network; put the file into the context"
    path = RemotePath(source.path)
    if ".." in path.parts:
        return "it lies outside the context; copy it into the context first"
    if not path or path in existing or any(matches(name, path) for name in existing):
        return None
    return "no such file in the context (or an ignore file leaves it out)"


def _folders_above(path: RemotePath) -> list[RemotePath]:
    """From the outermost folder to the one that holds it."""
    parts = path.parts
    return [RemotePath("/".join(parts[:depth])) for depth in range(1, len(parts))]


def _rule(line: str) -> tuple[bool, RemotePath]:
    text = line.strip()
    return not text.startswith("!"), RemotePath(text.removeprefix("!").strip())


def _is_ignored(path: RemotePath, rules: Sequence[tuple[bool, RemotePath]]) -> bool:
    paths = [*_folders_above(path), path]
    for ignores, pattern in reversed(rules):
        if any(matches(candidate, pattern) for candidate in paths):
            return ignores
    return False


def _escaped(path: str) -> str:
    special = re.sub(r"([\\*?\[\]!#])", r"\\\1", path)
    return special[:-1] + "\\ " if special.endswith(" ") else special
