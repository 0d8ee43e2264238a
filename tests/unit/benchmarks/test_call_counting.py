import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from benchmarks.calls_per_file import PACKAGE, CallCounter, cost_of_a_file, is_resumption, module_of, report
from emasync import RemotePath


def test_the_cost_of_a_file_is_what_more_files_add() -> None:
    few = Counter({"a:once": 7, "b:each": 50})
    many = Counter({"a:once": 7, "b:each": 150, "c:every_fourth": 25})
    assert cost_of_a_file(few, many, files=100) == {"b:each": 1.0, "c:every_fourth": 0.25}


def test_the_report_gives_the_median_and_the_costly_functions_first() -> None:
    costs = [{"m:f": 2.0}, {"m:f": 4.0, "n:g": 5.0}, {"m:f": 3.0}]
    assert list(report(costs, functions=1)) == [
        "3.0 calls a file (2.0 to 9.0 in 3 runs)",
        "1 modules take part in every other file or more: m",
        "    3.00  m:f",
    ]


def test_only_functions_of_the_package_are_counted_and_the_simulators_are_not() -> None:
    counter = CallCounter()
    with counter.counting():
        Path("a").joinpath("b")
        _ = RemotePath("a/b").name
    assert {name.partition(".")[0] for name in counter.total()} == {"model"}
    assert module_of(compile("", str(PACKAGE / "simulator" / "server.py"), "exec")) is None
    assert module_of(compile("", str(PACKAGE / "wire" / "jwt.py"), "exec")) == "wire.jwt"


def test_going_on_with_a_generator_is_no_call() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        yield 2

    resumptions = []

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name == "numbers":
            resumptions.append(is_resumption(frame))

    sys.setprofile(profile)
    try:
        list(numbers())
    finally:
        sys.setprofile(None)
    assert resumptions == [False, True, True]
