"""The reference page is what the programs' help says today."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.reference import GROUPS, reference

ROOT = Path(__file__).resolve().parents[2]


def test_reference_page_is_current() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m pipeline.reference docs/commands.md"


@pytest.mark.parametrize("module", GROUPS, ids=lambda module: module.__name__)
def test_every_command_has_an_example(module: object) -> None:
    for name, command in module.commands.commands.items():  # type: ignore[attr-defined]
        assert "Example:" in (command.epilog or ""), name
        assert command.help, name
