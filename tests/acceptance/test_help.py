"""Every command of both programs explains itself."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from pipeline.cli import garant
from testbench.cli import cli

PROGRAMS = {"garant": garant, "testbench": cli}


def _walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, f"{path} lists {name}, which does not exist"
            yield from _walk(f"{path} {name}", found)


COMMANDS = [pair for name, program in PROGRAMS.items() for pair in _walk(name, program)]


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_a_command_teaches_how_it_is_used(path: str, command: click.Command) -> None:
    """Its help says what it does and shows a line that can be typed, with that very command in it."""
    text = command.get_help(click.Context(command, info_name=path))
    after = text.partition("Usage:")[2].partition("\n")[2]

    assert "cannot be loaded" not in text
    assert "not available" not in text
    program = path.partition(" ")[0]
    lines = [line.strip() for line in after.splitlines()]
    examples = [line for line in lines if line.startswith(f"{program} ") and path in line]
    assert examples, text
    assert command.get_short_help_str(60), text


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[path for path, _ in COMMANDS])
def test_every_option_is_explained(path: str, command: click.Command) -> None:
    """No option without a word on what it is for."""
    unexplained = {
        parameter.opts[-1]
        for parameter in command.params
        if isinstance(parameter, click.Option) and not (parameter.help or parameter.hidden)
    }

    # Its name says it, and the command's text too.
    assert unexplained - {"--reason"} == set(), path


@pytest.mark.parametrize(
    ("path", "command"),
    [pair for pair in COMMANDS if not isinstance(pair[1], click.Group)],
    ids=[path for path, command in COMMANDS if not isinstance(command, click.Group)],
)
def test_every_command_answers_programs(path: str, command: click.Command) -> None:
    """`--json` is there, except where a command answers nothing."""
    without = {
        "garant worker",  # runs until it is told to stop
        "garant db revise",  # writes a file for a developer
    }
    names = {name for parameter in command.params for name in parameter.opts}

    assert ("--json" in names) is (path not in without)
