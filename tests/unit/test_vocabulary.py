"""One name for one thing: names that were given up do not come back.

`CONTRIBUTING.md` says which terms are used. Here are the ones that were used before for the same things, with what
replaced them. As words of a sentence they are free, but for the phrases at the end.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "emasync"

PENDING: frozenset[str] = frozenset()
"""Parts of the package that still use retired names. Nothing may be added, and at the end it is empty."""

RETIRED_WORDS = {
    "ceiling": "known_limit",
    "crew": "runner",
    "doomed": "fatal",
    "ear": "callback",
    "gate": "limiter, permit, breakpoint",
    "gates": "breakpoints",
    "hear": "call",
    "joblog": "job_store",
    "knobs": "options",
    "landed": "received",
    "lane": "limiter",
    "lanes": "limiter",
    "ledger": "tracker, journal",
    "lesson": "estimate",
    "lessons": "samples",
    "nap": "sleep",
    "naps": "tasks",
    "origins": "settings",
    "pin": "root_guard",
    "pump": "dispatch",
    "recipe": "dockerfile",
    "roster": "tracker",
    "shrinker": "projector",
    "story": "state",
    "strike": "redact",
    "struck": "redacted",
    "tally": "stats, summary",
    "tokenbook": "token_registry",
    "twin": "case_fold",
    "wish": "request",
    "wishes": "options",
}
"""Words of an identifier (``_LaneCore`` has lane and core), each with what is said instead."""

RETIRED_NAMES = {
    "Account": "RequestStats, User",
    "Asked": "GlobalOptions",
    "At": "CommandContext",
    "Batches": "ChunkBuffer",
    "CallEnd": "RequestResult",
    "Caller": "RequestPipeline",
    "Direct": "UnretriedClient",
    "DownlinkFacts": "ResponseMetadata",
    "Ending": "FileResult",
    "Fetch": "FileDownlink",
    "History": "AttemptHistory",
    "Keywords": "TransferOptions",
    "Link": "TransferContext",
    "Moving": "TransferOptions",
    "Next": "RetryAction",
    "Reply": "Response",
    "Running": "ActiveTransfers",
    "Save": "FileWriter",
    "Sender": "UplinkRequestSender",
    "Sent": "PendingConfirmation",
    "SmallSave": "BufferedFileWriter",
    "TagRule": "TagCompatibility",
    "Turn": "AdmissionDecision",
    "Verbs": "LazyGroup",
    "account": "stats, user",
    "box": "simulator",
    "caller": "pipeline",
    "ending": "result, summary",
    "endings": "results",
    "leads_to": "resolves_to",
    "link": "context",
    "one": "the thing's own noun",
    "place": "local_path",
    "s_byte": "seconds_per_byte",
}
"""Whole identifiers, leading underscores apart."""

EXEMPT = {
    ("model/outcome.py", "place"): "public: the local path of an outcome as text",
    ("transfer/planning/scan.py", "link"): "a symbolic link",
}

RETIRED_PHRASES = (
    "a lane", "the lane", "this lane", "lane's", "the roster", "the ledger", "the crew", "the knobs", "the gate",
    "busy gate", "in a box", "front door", "its room", "this room", "their room", "on the ground", "say at most one",
)  # fmt: skip
"""What docstrings and comments no longer say."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def words_of(identifier: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", identifier)
    return [word for word in spaced.lower().split("_") if word]


def identifiers(tree: ast.Module) -> Iterator[str]:
    """Every name that the module gives to something."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield name
            case _:
                pass


def is_retired(identifier: str) -> bool:
    return identifier.lstrip("_") in RETIRED_NAMES or not RETIRED_WORDS.keys().isdisjoint(words_of(identifier))


def retired_identifiers(path: Path) -> list[str]:
    name = path.relative_to(PACKAGE).as_posix()
    given = {path.stem, *identifiers(ast.parse(path.read_text(encoding="utf-8")))}
    return sorted(one for one in given if is_retired(one) and (name, one) not in EXEMPT)


def prose(source: str) -> Iterator[str]:
    """The docstrings, and the texts that stand where a docstring could; the comments, those in a row together."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    row, block = -1, ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != row + 1:
                yield block
                block = ""
            row, block = token.start[0], f"{block} {token.string.lstrip('# ')}"
    yield block


def retired_phrases(source: str) -> list[str]:
    text = "\n".join(" ".join(piece.lower().split()) for piece in prose(source))
    return [phrase for phrase in RETIRED_PHRASES if re.search(rf"\b{re.escape(phrase)}\b", text)]


def checked() -> list[Path]:
    return [path for path in modules() if part_of(path) not in PENDING]


def test_no_retired_name_comes_back() -> None:
    # Sabotage: call a variable `lane`.
    found = {path.relative_to(PACKAGE).as_posix(): retired_identifiers(path) for path in checked()}
    assert {name: names for name, names in found.items() if names} == {}


def test_no_retired_phrase_comes_back() -> None:
    # Sabotage: write "the roster" in a comment.
    sources = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in checked()}
    found = {name: retired_phrases(source) for name, source in sources.items()}
    assert {name: phrases for name, phrases in found.items() if phrases} == {}


def test_every_exemption_is_needed() -> None:
    given = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in modules()
        for name in identifiers(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert EXEMPT.keys() - given == set()


def test_words_are_found_in_every_spelling() -> None:
    assert words_of("_LaneCore") == ["lane", "core"]
    assert words_of("TokenBOOK2x") == ["token", "book2x"]
    assert words_of("HTTPGate") == ["http", "gate"]
    assert is_retired("lane_width")
    assert is_retired("_caller")
    assert not is_retired("plane")
    assert not is_retired("placement")


def test_a_phrase_is_found_across_lines() -> None:
    assert retired_phrases('"""It passes the\n    gate."""\n') == ["the gate"]
    assert retired_phrases("x = 1  # in this\n# room\n") == ["this room"]
    assert retired_phrases('x = "the gate"\n') == []
