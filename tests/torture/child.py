"""One row in a process of its own: ``python -m tests.torture.child MODULE --seed N --scale X --folder F --result R``.

Owns: running `run(order)` and writing what it counted, or that it broke, to R. The parent judges a missing R.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import traceback
from dataclasses import asdict
from pathlib import Path

from tests.torture.row import Order, Row


def main(argv: list[str] | None = None) -> int:
    """0 whenever the row came back with a Row or an exception; what it says is in the result."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.child")
    parser.add_argument("module")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--scale", type=float, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    args = parser.parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    try:
        module = importlib.import_module(args.module)
        row = module.run(Order(seed=args.seed, scale=args.scale, folder=args.folder))
        assert isinstance(row, Row), f"{args.module}.run gave {type(row).__name__}"
    except Exception as error:  # noqa: BLE001 -- a broken row is a line of the table too
        traceback.print_exc()
        last = "; ".join(line.strip() for line in traceback.format_exception(error)[-2:])
        row = Row(name=args.module.rpartition("rows_")[2], tries=0, failures=(f"the row itself broke: {last}",))
    args.result.write_text(json.dumps(asdict(row)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
