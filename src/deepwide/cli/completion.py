"""`deepwide completion`: how to get completion of commands, options and model names in a shell."""

from __future__ import annotations

import click

LINES = {
    "bash": 'eval "$(_DEEPWIDE_COMPLETE=bash_source deepwide)"   # in ~/.bashrc',
    "zsh": 'eval "$(_DEEPWIDE_COMPLETE=zsh_source deepwide)"    # in ~/.zshrc',
    "fish": "_DEEPWIDE_COMPLETE=fish_source deepwide | source   # in ~/.config/fish/completions/deepwide.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(LINES)))
def command(shell: str) -> None:
    """The line to add to SHELL's start-up file."""
    click.echo(LINES[shell])
