"""``python -m emasync`` and the ``emasync`` command."""

from __future__ import annotations

from emasync.cli import emasync


def main() -> None:
    """Run the command line; ends the process with one of its exit codes."""
    emasync(prog_name="emasync")


if __name__ == "__main__":
    main()
