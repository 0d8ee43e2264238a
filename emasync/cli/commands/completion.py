"""``emasync completion``: print the shell's completion script, which click generates."""

from __future__ import annotations

import sys

import click

_HOW = {
    "bash": 'eval "$(emasync completion bash)"   # in ~/.bashrc (bash 4.4 or later)',
    "zsh": 'eval "$(emasync completion zsh)"   # in ~/.zshrc, after compinit',
    "fish": "emasync completion fish > ~/.config/fish/completions/emasync.fish",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(tuple(_HOW)))
def completion(shell: str) -> None:
    """Print the completion script of your shell, for the shell to read.

    \b
    eval "$(emasync completion bash)"
    emasync completion fish > ~/.config/fish/completions/emasync.fish
    """
    from click.shell_completion import get_completion_class

    from emasync.cli import emasync

    kind = get_completion_class(shell)
    assert kind is not None
    print(kind(emasync, {}, "emasync", "_EMASYNC_COMPLETE").source())
    if sys.stdout.isatty():
        print(f"\nThat is for the shell, not for reading:\n  {_HOW[shell]}", file=sys.stderr)
