"""The reference page of all commands, made from their help: `python -m pipeline.reference FILE`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

import baseline.cli
import facecrop.cli
import harvest.cli
import labeler.cli
import pipeline.cli
import webapp.cli
from gleanset.cli import HELP

GROUPS = (pipeline.cli, harvest.cli, facecrop.cli, labeler.cli, baseline.cli, webapp.cli)
INTRODUCTION = """# Commands

Made from the programs' own help by `python -m pipeline.reference docs/commands.md`.

Exit codes, everywhere: 0 done (also when part of the work was done; the numbers say so), 1 a bug of
ours, 2 wrong usage, 3 input that cannot be used (also where `verify` found something wrong, or an
export left pictures out, after all else was done), 4 a site refused, was rate limited or has
changed, 5 a login or key is missing or was refused, 6 a component is missing, 130 interrupted.

`--progress json` is for a program that shows the bar. How far a command is comes as JSON objects on
stderr, one a line and at most five a second for each stage:

    {"stage": "features", "done": 40, "unit": "images", "total": 120, "rate": 19.8, "eta": 4.0}

`total`, `rate` (a second), `eta` (seconds) and `note` are there where they are known; the last line
of a stage has `"ended": true`, and stages may lie within each other. What is said comes as
`{"message": "..."}`. A line that is no JSON, such as an error, is for a person. The result is on
stdout as ever (`--json`).
"""


def reference() -> str:
    """Return the whole page as Markdown."""
    parts = [INTRODUCTION]
    for module in GROUPS:
        group = module.commands
        parts.append(f"## {group.name}\n\n{group.help}\n")
        parts += _commands(group)
    return "\n".join(parts)


def _commands(group: click.Group, parent: click.Context | None = None) -> Iterator[str]:
    # A width of its own, so that the page does not depend on the terminal it is made in.
    with click.Context(group, parent, info_name=group.name, **HELP, terminal_width=96) as above:
        for name, command in sorted(group.commands.items()):
            if command.hidden:
                continue
            with click.Context(command, parent=above, info_name=name) as context:
                text, path = command.get_help(context), context.command_path
            yield f"### {path}\n\n```text\n{text}\n```\n"
            if isinstance(command, click.Group):
                yield from _commands(command, above)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
