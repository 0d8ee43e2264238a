"""The check of a build before it: what a Dockerfile needs, and what a .dockerignore leaves of its context."""

from __future__ import annotations

import pytest

from emasync.cli.dockerfile import build_problems, dockerignore_patterns, read_dockerfile
from emasync.model import RemotePath
from emasync.transfer.planning.filters import Filters


def faults(text: str, *names: str) -> list[str]:
    return build_problems(read_dockerfile(text), names)


def sent(names: list[str], *ignore: str) -> list[str]:
    patterns = dockerignore_patterns(names, ignore, keep={"Dockerfile", ".dockerignore"})
    return [name for name in names if Filters(exclude=tuple(patterns)).takes(RemotePath(name))]


@pytest.mark.parametrize(
    ("text", "bases"),
    [
        ("FROM alpine", ("alpine",)),
        ("# syntax=x\nfrom --platform=linux/arm64 alpine:3 AS one\nFROM one\nFROM scratch", ("alpine:3",)),
        ("ARG TAG=3\nFROM alpine:${TAG}\nFROM ${OTHER:-busybox}\nFROM $UNKNOWN", ("alpine:3", "busybox", "$UNKNOWN")),
        ("FROM alpine\nRUN <<EOF\nFROM inside\nEOF\nFROM \\\n  # a comment\n  debian", ("alpine", "debian")),
    ],
)
def test_the_images_a_dockerfile_starts_from_are_found(text: str, bases: tuple[str, ...]) -> None:
    assert read_dockerfile(text).bases == bases


def test_a_source_that_is_there_as_file_folder_or_pattern_is_no_fault() -> None:
    text = 'FROM a\nCOPY a.sh ./src /x/\nCOPY --chown=1 *.txt /\nADD ["with space", "/"]\nCOPY . /\nCOPY /src/deep /'

    assert faults(text, "a.sh", "src/deep/b.py", "c.txt", "with space") == []


def test_what_cannot_be_known_is_left_to_the_builder() -> None:
    text = "FROM a AS b\nCOPY --from=b /x /y\nCOPY $WHAT /\nCOPY <<EOF /z\nCOPY nothing /\nEOF\nCOPY 'open /"

    assert faults(text) == []


def test_a_source_that_is_missing_outside_or_on_the_network_is_a_fault_with_its_line() -> None:
    # Sabotage: return None at once from preflight._why_not.
    found = faults("FROM a\n\nCOPY gone.sh /\nCOPY ../up /\nADD https://example.com/x /", "there")

    assert [fault.partition(": ")[0] for fault in found] == [
        "Dockerfile line 3",
        "Dockerfile line 4",
        "Dockerfile line 5",
    ]
    assert [word in fault for word, fault in zip(("no such file", "outside", "network"), found, strict=True)] == [
        True
    ] * 3


def test_a_dockerfile_without_a_from_is_a_fault() -> None:
    assert faults("RUN true") == ["the Dockerfile has no FROM"]
    assert faults("FROM scratch") == []


def test_a_dockerignore_is_read_as_docker_reads_it() -> None:
    # Sabotage: hand the lines to gitignore as they are.
    names = ["Dockerfile", ".dockerignore", "a.log", "src/a.log", "docs/x/README.md", "docs/y.txt", "[odd] name!"]

    assert sent(names, "*.log") == [name for name in names if name != "a.log"]  # a plain pattern speaks of the root
    assert sent(names, "**/*.log", "# no", "") == [name for name in names if not name.endswith(".log")]
    assert "docs/x/README.md" in sent(names, "docs", "!docs/x/README.md")  # which gitignore could not bring back
    assert "docs/y.txt" not in sent(names, "docs", "!docs/x/README.md")
    assert sent(names, "*") == ["Dockerfile", ".dockerignore"]
    assert "[odd] name!" not in sent(names, "/[[]odd] name!")


def test_a_folder_of_which_nothing_stays_is_one_pattern() -> None:
    names = [f"node_modules/m{index}/x.js" for index in range(500)] + ["Dockerfile"]

    assert dockerignore_patterns(names, ["node_modules"], keep={"Dockerfile"}) == ["/node_modules/"]
