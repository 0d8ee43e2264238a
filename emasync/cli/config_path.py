"""``emasync config path``: where the configuration file is. Owns nothing but that line."""

from __future__ import annotations

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.job import finish
from emasync.cli.options import GlobalOptions, with_em
from emasync.cli.out import Out
from emasync.config import profile_file


@click.command("path")
@with_em
def config_path(asked: GlobalOptions) -> None:
    """Say where the configuration file is, also if there is none yet; EMASYNC_CONFIG names another place.

    \b
    emasync config path
    $EDITOR "$(emasync config path)"
    """
    out = Out(as_json=asked.json, quiet=asked.quiet)

    def tell() -> ExitCode:
        file = profile_file()
        out.result("config_file", str(file), path=str(file), exists=file.exists())
        return ExitCode.DONE

    finish(out, tell)
