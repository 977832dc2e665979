"""Write the command reference: `python -m tools.command_reference docs/commands.md`."""

import inspect
import re
import sys
import textwrap
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

GROUPS = (
    pipeline.cli,
    harvest.cli,
    facecrop.cli,
    labeler.cli,
    baseline.cli,
    webapp.cli,
)
COMMON_OPTIONS = ("-j,", "-q,", "--progress ", "-v,", "-h,")
"""Options of all commands, described in the introduction of the page."""
SHORTENED_OPTIONS = {
    "-d, --dataset DIR": "-d DIR",
    "-s, --simulate": "-s",
    "--allow-private": "--allow-private",
}
"""Options of many commands, described there too; commands only list their names."""
MAX_COLUMNS = 130


def render_reference(page: str) -> str:
    """Return the page: its existing introduction, then all commands' help."""
    parts = [page.partition("\n## ")[0]]
    for module in GROUPS:
        group = module.commands
        parts.append(f"## {group.name}\n\n{_escape(group.help or '')}\n")
        parts += _render_commands(group)
    return "\n".join(parts)


def _render_commands(
    group: click.Group, parent: click.Context | None = None
) -> Iterator[str]:
    with click.Context(group, parent, info_name=group.name, **HELP) as group_context:
        for name, command in sorted(group.commands.items()):
            if command.hidden:
                continue
            with click.Context(
                command, parent=group_context, info_name=name
            ) as context:
                yield "\n\n".join(_render_sections(command, context)) + "\n"
            if isinstance(command, click.Group):
                yield from _render_commands(command, group_context)


def _render_sections(command: click.Command, context: click.Context) -> Iterator[str]:
    path = context.command_path
    yield f"### {path}"
    yield f"`{' '.join([path, *command.collect_usage_pieces(context)])}`"
    yield from map(
        _render_paragraph, inspect.cleandoc(command.help or "").split("\n\n")
    )
    records = (
        parameter.get_help_record(context) for parameter in command.get_params(context)
    )
    options = [
        record for record in records if record and record[1] and _is_own(record[0])
    ]
    lines = [
        _render_option(*record)
        for record in options
        if record[0] not in SHORTENED_OPTIONS
    ]
    if frequent := [
        f"`{SHORTENED_OPTIONS[names]}`"
        for names, _ in options
        if names in SHORTENED_OPTIONS
    ]:
        lines.insert(0, f"- {', '.join(frequent)}")
    if lines:
        yield "\n".join(lines)
    if command.epilog:
        title, _, example = command.epilog.partition(": ")
        yield f"{_escape(title)}: `{example}`"


def _render_paragraph(text: str) -> str:
    if not text.startswith("\b\n"):
        return _wrap(_escape(text))
    # click prints these lines as they are: a word, and what it means.
    rows = (line.strip().partition(" ") for line in text.splitlines()[1:])
    return "\n".join(_render_option(word, meaning.strip()) for word, _, meaning in rows)


def _is_own(names: str) -> bool:
    return not names.startswith(COMMON_OPTIONS)


def _render_option(names: str, text: str) -> str:
    return _wrap(f"- `{names}`: {_escape(text)}", "  ")


def _wrap(text: str, indent: str = "") -> str:
    return textwrap.fill(
        " ".join(text.split()),
        MAX_COLUMNS,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _escape(text: str) -> str:
    return re.sub(r"([*_<])", r"\\\1", text)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(
        render_reference(file.read_text(encoding="utf-8")), encoding="utf-8"
    )
