"""Each program is also a command group of `gleanset`."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import click
import pytest
from tools_for_tests import run_here

from pipeline.cli import PROGRAMS


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_is_group_of_gleanset(program: str) -> None:
    group_help = run_here("pipeline.cli", program, "--help")
    program_help = run_here(f"{program}.cli", "--help")
    listed = run_here("pipeline.cli", "--help").stdout
    assert f"\n  {program}  " in listed
    assert group_help.stdout.partition("Options")[2] == program_help.stdout.partition("Options")[2]


def test_command_works_under_both_names(tmp_path: Path) -> None:
    words = ("classes", "add", "hana", "-d", tmp_path / "pets", "--json")
    run_here("pipeline.cli", "init", "-d", tmp_path / "pets")
    assert run_here("pipeline.cli", "labeler", *words).code == 0
    listed = run_here("labeler.cli", "classes", "list", "-d", tmp_path / "pets", "--json").json
    assert [row["name"] for row in listed["classes"]] == ["hana"]


def test_ambiguous_command_lists_programs() -> None:
    ran = run_here("pipeline.cli", "export", "out")
    assert ran.code == 2
    assert "gleanset labeler export or gleanset baseline export or" in ran.stderr


@pytest.mark.parametrize("program", ["pipeline", *PROGRAMS])
def test_help_lists_each_command_once_with_whole_summary(program: str) -> None:
    group = import_module(f"{program}.cli").commands
    help_text = run_here(f"{program}.cli", "--help").stdout
    for name in group.list_commands(click.Context(group)):
        (summary,) = re.findall(rf"^  {name} +(\S.*)$", help_text, re.MULTILINE)
        assert summary.endswith((".", ")")), summary
        assert not summary.endswith("..."), summary
