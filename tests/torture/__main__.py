"""The torture program: ``python -m tests.torture [--seed N] [--scale X] [--only NAME ...] [--soak MINUTES] ...``.

Owns: finding the rows (rows_*.py beside this file), running each in a process of its own within a time limit, and the
exit code: 0 only if nothing failed and, at scale 1.0 and over all rows, enough was tried. May import row and table.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.torture.row import Row
from tests.torture.table import FLOORS, Line, as_json, complaints, drawn

_HERE: Final = Path(__file__).parent
_ROOT: Final = _HERE.parents[1]
_SOAK: Final = "soak"  # runs when asked for only; its scale 1.0 is so many minutes:
_SOAK_MINUTES: Final = 20.0
_TAIL: Final = 12  # lines of a dead row's own words


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rows that were asked for; prints the table to stdout and progress to stderr."""
    args = _parser().parse_args(argv)
    seed = secrets.randbits(32) if args.seed is None else args.seed
    there = sorted(path.stem.removeprefix("rows_") for path in args.rows.glob("rows_*.py"))
    if unknown := sorted({*args.only} - {*there}):
        _parser().error(f"no such row: {', '.join(unknown)}; there are {', '.join(there)}")
    chosen = args.only or [name for name in there if name != _SOAK]
    if args.soak is not None and _SOAK not in chosen:
        chosen = [_SOAK, *chosen]  # first: it takes longest
    _say(f"torture: {len(chosen)} rows, seed {seed}, scale {args.scale:g}")
    lines = _lines(chosen, args, seed=seed)
    whole = args.scale >= 1.0 and not args.only
    found = complaints(lines, floors=FLOORS if whole else {})
    sys.stdout.write(f"{drawn(lines)}\n\nseed {seed}, scale {args.scale:g}\n")
    if not whole:
        sys.stdout.write("(not all rows at full scale: the floors of a full run were not asked for)\n")
    sys.stdout.writelines(f"NOT GOOD: {finding}\n" for finding in found)
    if args.json is not None:
        table = as_json(lines, seed=seed, scale=args.scale, found=found)
        args.json.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    return 1 if found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description="Everything that may go wrong, often.")
    parser.add_argument("--seed", type=int, help="repeat a run; a new one by default, always shown")
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 is the full measure, 0.05 a smoke test")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these rows")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="the soak too, for so long")
    parser.add_argument(
        "--limit", type=float, default=1800.0, metavar="SECONDS", help="of one row, the soak's time beside"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="rows at once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument("--rows", type=Path, default=_HERE, metavar="FOLDER", help="where rows_*.py are (for tests)")
    return parser


def _lines(chosen: Sequence[str], args: argparse.Namespace, *, seed: int) -> list[Line]:
    """All rows, `--jobs` at a time; when this is interrupted their processes end with it."""
    running: set[subprocess.Popen[bytes]] = set()
    with ThreadPoolExecutor(args.jobs) as pool:
        lines = [pool.submit(_line, name, args, running, seed=seed) for name in chosen]
        try:
            return [line.result() for line in lines]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in tuple(running):
                _end(child)
            raise


def _line(name: str, args: argparse.Namespace, running: set[subprocess.Popen[bytes]], *, seed: int) -> Line:
    """One row, whatever becomes of it."""
    scale, limit = args.scale, args.limit
    repeat = f"python -m tests.torture --seed {seed} --scale {scale:g} --only {name}"
    if name == _SOAK:
        minutes = _SOAK_MINUTES * scale if args.soak is None else args.soak
        scale, limit = minutes / _SOAK_MINUTES, limit + minutes * 60
        repeat = f"python -m tests.torture --seed {seed} --only {name} --soak {minutes:g}"
    _say(f"{name} ...")
    begun = time.monotonic()
    with _scratch(name) as scratch:
        options = ["--seed", str(seed), "--scale", str(scale), "--folder", str(scratch / "work")]
        ended = _child(
            name, args.rows, [*options, "--result", str(scratch / "result.json")], scratch, running, limit_s=limit
        )
        row = _row(name, scratch / "result.json", ended)
    line = Line(row=row, seconds=time.monotonic() - begun, repeat=repeat)
    _say(f"{name}: {'FAILED' if line.bad else 'good'}, {row.tries:,} tries in {line.seconds:.0f} s")
    return line


def _child(
    name: str, rows: Path, options: list[str], scratch: Path, running: set[subprocess.Popen[bytes]], *, limit_s: float
) -> str:
    """Run the row; how it ended, as words that are of use when it left no result."""
    package = "tests.torture." if rows == _HERE else ""
    command = [sys.executable, "-m", "tests.torture.child", f"{package}rows_{name}", *options]
    _say(f"  {shlex.join(command[1:6])} ...")
    log = scratch / "log.txt"
    places = [str(_ROOT), *([] if package else [str(rows)])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    with log.open("wb") as out:
        child = subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )
        running.add(child)
        try:
            ended = f"exit {child.wait(limit_s)}"
        except subprocess.TimeoutExpired:
            ended = f"still running after {limit_s:g} s"
        finally:
            _end(child)
            running.discard(child)
    words = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
    return "\n    ".join([ended, *words])


def _end(child: subprocess.Popen[bytes]) -> None:
    """The child and all that it started and left running: they share a session that is theirs alone."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def _row(name: str, result: Path, ended: str) -> Row:
    try:
        told = json.loads(result.read_text(encoding="utf-8"))
        return Row(**{**told, "failures": tuple(told["failures"])})
    except (OSError, ValueError, KeyError, TypeError):
        return Row(name=name, tries=0, failures=(f"the row's process gave no result: {ended}",))


@contextmanager
def _scratch(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
