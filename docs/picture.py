"""Draw the README's picture from a real run of the demo: ``make picture``."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import anyio
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from emasync.cli.commands.demo import run_demo
from emasync.cli.display import RichDisplay


def main() -> None:
    os.environ.pop("EMASYNC_URL", None)
    console = Console(
        record=True, file=io.StringIO(), width=104, force_terminal=True, highlight=False, markup=False, emoji=False
    )
    anyio.run(run_demo, RichDisplay(console, live=False), 60, "alpine", False)
    without_web_fonts = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    console.save_svg(str(Path(__file__).parent / "demo.svg"), title="make demo", code_format=without_web_fonts)


if __name__ == "__main__":
    main()
