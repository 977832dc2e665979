"""The command reference matches the commands' help."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from gleanset.cli import HELP
from tools.command_reference import GROUPS, render_reference

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")


def test_reference_page_is_current() -> None:
    assert render_reference(PAGE) == PAGE, "run: python -m tools.command_reference docs/commands.md"


@pytest.mark.parametrize("module", GROUPS, ids=lambda module: module.__name__)
def test_shared_options_are_documented_once(module: object) -> None:
    introduction = " ".join(PAGE.partition("\n## ")[0].split())
    for name, command in module.commands.commands.items():  # type: ignore[attr-defined]
        with click.Context(command, info_name=name, **HELP, terminal_width=96) as context:
            text = command.get_help(context)
        shared_options = re.findall(
            r"^  (?:-[djqsvh],|--progress|--on|--allow-private) .*\n?(?: {6}.*\n)*",
            text,
            re.MULTILINE,
        )
        assert [
            option for option in shared_options if " ".join(option.split()) not in introduction
        ] == []


@pytest.mark.parametrize("module", GROUPS, ids=lambda module: module.__name__)
def test_every_command_has_an_example(module: object) -> None:
    for name, command in module.commands.commands.items():  # type: ignore[attr-defined]
        assert "Example:" in (command.epilog or ""), name
        assert command.help, name
