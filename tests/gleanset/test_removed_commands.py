"""Removed commands and options: errors that name the replacement."""

from __future__ import annotations

import pytest
from tools_for_tests import run_here

from gleanset.gone import REMOVED_COMMANDS


@pytest.mark.parametrize("name", REMOVED_COMMANDS)
def test_removed_command_error_names_replacement(name: str) -> None:
    program, *words = name.split()
    module = "pipeline.cli" if program == "gleanset" else f"{program}.cli"
    ran = run_here(module, *words)
    assert ran.code == 2
    assert ran.stderr.startswith(f"{program}: {name} no longer exists\nhint: ")
    assert REMOVED_COMMANDS[name].split()[0] in ran.stderr


def test_removed_command_error_under_gleanset() -> None:
    ran = run_here("pipeline.cli", "labeler", "find", "image.jpg")
    assert ran.code == 2
    assert "harvest folder IMAGE" in ran.stderr
