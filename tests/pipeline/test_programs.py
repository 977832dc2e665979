"""One program: each of the others is a group of it, and its name that group's short form."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools_for_tests import run_here

from pipeline.cli import PROGRAMS


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_is_a_group_of_gleanset(program: str) -> None:
    there = run_here("pipeline.cli", program, "--help")
    here = run_here(f"{program}.cli", "--help")
    listed = run_here("pipeline.cli", "--help").stdout
    assert f"\n  {program}  " in listed
    assert there.stdout.partition("Options")[2] == here.stdout.partition("Options")[2]


def test_a_command_does_the_same_under_both_names(tmp_path: Path) -> None:
    words = ("classes", "add", "hana", "-d", tmp_path / "pets", "--json")
    run_here("pipeline.cli", "init", "-d", tmp_path / "pets")
    assert run_here("pipeline.cli", "labeler", *words).code == 0
    listed = run_here("labeler.cli", "classes", "list", "-d", tmp_path / "pets", "--json").json
    assert [row["name"] for row in listed["classes"]] == ["hana"]


def test_a_name_that_two_programs_have_is_asked_about() -> None:
    ran = run_here("pipeline.cli", "export", "out")
    assert ran.code == 2
    assert "gleanset labeler export or gleanset baseline export or" in ran.stderr
