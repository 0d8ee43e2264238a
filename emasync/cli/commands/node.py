"""``emasync node ls``: the EM's nodes and whether they are ready."""

from __future__ import annotations

import click

from emasync.cli.exit_codes import ExitCode
from emasync.cli.main import LazyGroup
from emasync.cli.options import GlobalOptions, with_global_options
from emasync.cli.runner import CommandContext, run_on_em
from emasync.errors import NotFoundError
from emasync.model import safe


@click.command(
    "node", cls=LazyGroup, lazy_commands={"ls": ("node:node_ls", "list the EM's nodes and whether they are up")}
)
def node() -> None:
    """The EM's nodes: the processors on which pods run.

    \b
    emasync node ls
    emasync node ls --json
    """


_WORDS = {True: "ready", False: "not ready", None: "unknown"}


@click.command("ls")
@with_global_options
def node_ls(options: GlobalOptions) -> None:
    """List the EM's nodes and whether they are up. EMs of the seed generation have no such list (exit code 3).

    \b
    emasync node ls
    emasync node ls --json | jq -r 'select(.ready) | .name'
    """
    run_on_em(options, _node_ls)


async def _node_ls(context: CommandContext) -> ExitCode:
    try:
        nodes = await context.em.nodes()
    except NotFoundError as error:
        raise NotFoundError(
            "this EM does not list its nodes (an early generation); `emasync pod run --node FPGA|GPU|MPU` names one",
            call=error.call,
            status=error.status,
        ) from None
    names = [safe(node.name) for node in nodes]
    width = max(map(len, names), default=0)
    for node, name in zip(nodes, names, strict=True):
        context.output.result("node", f"{name:<{width}}  {_WORDS[node.ready]}", name=node.name, ready=node.ready)
    return ExitCode.DONE
