"""Every example in a docstring of the package runs and prints what it says, and every public name has one.

Examples are written as for ``python -m asyncio``, so `await`, `async with` and `async for` stand at the top level. Each
docstring runs in an empty folder, with the names of `emasync` and of the simulator, `asyncio` and `Path` imported. An
example that says `em` (or `sim`) finds an open Client (or the simulator it talks to), whose volume holds
``results/a.txt`` and ``results/b.txt``, whose user may run the image ``echo``.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import inspect
import io
import linecache
import pkgutil
import re
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import emasync
import emasync.simulator
from emasync.api import Files, Images, Pods
from emasync.client import Client
from emasync.simulator import Fault, Simulator

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_QUICK = emasync.Settings(retry=emasync.RetryPolicy(base_s=0.001, cap_s=0.01))
_NAMES = {name: getattr(emasync, name) for name in emasync.__all__} | {
    name: getattr(emasync.simulator, name) for name in emasync.simulator.__all__
}


def _modules() -> Iterator[Any]:
    for info in pkgutil.walk_packages(emasync.__path__, "emasync."):
        if info.name != "emasync.__main__":
            yield importlib.import_module(info.name)


def _tests() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(recurse=True, exclude_empty=True)
    found = [test for module in _modules() for test in finder.find(module)]
    return sorted((test for test in found if test.examples), key=lambda test: test.name)


class _Session:
    """Runs the examples of one docstring, one after the other, in one event loop."""

    def __init__(self, test: doctest.DocTest, runner: asyncio.Runner) -> None:
        self._test = test
        self._runner = runner
        self.names: dict[str, Any] = dict(test.globs) | _NAMES | {"asyncio": asyncio, "Path": Path}

    def output(self, number: int, example: doctest.Example) -> str:
        """What the example prints; for an error, a traceback in doctest's form."""
        filename = f"<{self._test.name}[{number}]>"
        linecache.cache[filename] = (len(example.source), None, example.source.splitlines(keepends=True), filename)
        printed = io.StringIO()
        with redirect_stdout(printed):
            try:
                code = compile(example.source, filename, "single", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
                result = eval(code, self.names)
                if inspect.iscoroutine(result):
                    self._runner.run(result)
            except Exception as error:
                if example.exc_msg is None:
                    raise
                printed.write(traceback.format_exception_only(error)[-1])
        return printed.getvalue()

    def check(self) -> None:
        """Run all examples; the first that prints something else fails the test."""
        checker = doctest.OutputChecker()
        for number, example in enumerate(self._test.examples):
            wanted = example.want if example.exc_msg is None else example.exc_msg
            got = self.output(number, example)
            if example.exc_msg is not None:  # a module's path in front of the class is of no interest
                got, wanted = re.sub(r"^[\w.]+\.(?=\w+)", "", got), re.sub(r"^[\w.]+\.(?=\w+)", "", wanted)
            if not checker.check_output(wanted, got, _FLAGS):
                pytest.fail(f"{self._test.name}: {example.source}expected {wanted!r}, got {got!r}", pytrace=False)


@pytest.mark.parametrize("test", _tests(), ids=lambda test: test.name)
def test_an_example_prints_what_it_says(test: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    needs_em = any(re.search(r"\b(em|sim)\b", example.source) for example in test.examples)
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict("os.environ", EMASYNC_STATE_DIR=""))  # an example may set more
        runner = stack.enter_context(asyncio.Runner())
        session = _Session(test, runner)
        if needs_em:
            sim, em = runner.run(_open_em(stack, runner))
            session.names |= {"sim": sim, "em": em}
        session.check()


async def _open_em(stack: ExitStack, runner: asyncio.Runner) -> tuple[Simulator, Client]:
    simulator = Simulator({"client1": "secret"}, generation="pods", downlink_form="json", pod_start=0.0, pod_run=0.0)
    sim = await simulator.__aenter__()
    stack.callback(lambda: runner.run(sim.__aexit__(None, None, None)))
    em = await Client(sim.url, username="client1", password="secret", settings=_QUICK).__aenter__()
    stack.callback(lambda: runner.run(em.__aexit__(None, None, None)))
    results = sim.volume("client1") / "results"
    results.mkdir()
    (results / "a.txt").write_bytes(b"hello\n")
    (results / "b.txt").write_bytes(b"hello again\n")
    sim.add_image("client1", "echo")
    return sim, em


def _public() -> Iterator[tuple[str, Any]]:
    for name in emasync.__all__:
        if not name.startswith("_"):
            yield name, getattr(emasync, name)
    for owner in (Client, Files, Images, Pods, Simulator, Fault):
        for name, member in vars(owner).items():
            if not name.startswith("_") and not inspect.ismemberdescriptor(member):
                yield f"{owner.__name__}.{name}", getattr(owner, name)


@pytest.mark.parametrize(("name", "value"), [pytest.param(*item, id=item[0]) for item in _public()])
def test_every_public_name_has_an_example(name: str, value: Any) -> None:
    assert ">>>" in (inspect.getdoc(value) or ""), f"{name}: append an example to its docstring"
