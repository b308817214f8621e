"""The reference page describes the commands that there are, and all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from emp_core.cli import emp

PAGE = Path(__file__).parents[2].joinpath("docs/reference/command.md").read_text()


def commands(group: click.Group, name: str = "emp") -> Iterator[tuple[str, click.Command]]:
    """Give every command below a group, with its whole name."""
    ctx = click.Context(group)
    for each in group.list_commands(ctx):
        command = group.get_command(ctx, each)
        assert command is not None
        yield f"{name} {each}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {each}")


def options_of(command: click.Command) -> set[str]:
    """Give the names of a command's options as they are typed."""
    options = [each for each in command.params if isinstance(each, click.Option)]
    return {name for option in options for name in (*option.opts, *option.secondary_opts)}


def sections() -> dict[str, set[str]]:
    """Give what the page says: the options in the table below each command's heading."""
    found = {}
    for part in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        heading = re.match(r"`(emp(?: [a-z]+)+)", part)
        assert heading is not None, part
        cells = re.findall(r"^\| (`-.*?) \|", part, re.MULTILINE)
        found[heading[1]] = {name for cell in cells for name in re.findall(r"`(--?[a-z-]+)`", cell)}
    return found


def test_the_page_has_every_command_with_its_options():
    assert sections() == {name: options_of(command) for name, command in commands(emp)}
