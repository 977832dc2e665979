"""The reference page of all commands, made from their help: `python -m pipeline.reference FILE`."""

from __future__ import annotations

import re
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
# Options that commands have alike, with their lines of help: the page's introduction tells them.
_ALIKE = re.compile(
    r"^  (?:(-d, --dataset DIR) |-j, |-q, |--progress |-v, |-h, ).*\n?(?: {6}.*\n)*", re.MULTILINE
)


def reference(page: str) -> str:
    """Return the page as Markdown: its own introduction, and what the commands say today."""
    parts = [page.partition("\n## ")[0]]
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
            yield f"### {path}\n\n```text\n{_own(text)}\n```\n"
            if isinstance(command, click.Group):
                yield from _commands(command, above)


def _own(text: str) -> str:
    """Leave out what commands have alike; of the dataset's option keep the name."""
    own = _ALIKE.sub(lambda option: f"  {option[1]}\n" if option[1] else "", text)
    return own.replace("Options:\n\n", "")


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(reference(file.read_text(encoding="utf-8")), encoding="utf-8")
