"""Unknown options of every command: what is printed, and that nothing is written."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from advice import PROGRAMS
from screens import WIDTH, run_on_screen


def list_leaves(command: click.Command, words: list[str]) -> Iterator[list[str]]:
    """Yield the words of each command that is not a group."""
    if not isinstance(command, click.Group):
        yield words
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None and inner.name not in PROGRAMS:
            yield from list_leaves(inner, [*words, name])


LEAVES = [
    leaf for name, program in PROGRAMS.items() for leaf in list_leaves(program, [name])
]


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_unknown_option_is_refused(words: list[str], tmp_path: Path) -> None:
    printed = run_on_screen([*words, "--no-such-option"], tmp_path)
    assert printed.code == 2
    error = next(line for line in printed.lines if line.startswith("Error: "))
    assert error.startswith("Error: No such option '--no-such-option'")
    assert [line for line in printed.lines if len(line) > WIDTH] == []
    assert f"Try '{shlex.join(words)} --help' for help." in printed.lines
    assert list(tmp_path.iterdir()) == []
