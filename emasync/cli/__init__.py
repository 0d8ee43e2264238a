"""The command line: the only package that prints, reads argv, handles signals and ends the process."""

from emasync.cli.main import emasync

__all__ = ["emasync"]
