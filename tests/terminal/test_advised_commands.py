"""Hints in the source: each command of ours in them is valid as it is printed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from advice import (
    SourceHint,
    commands_in,
    has_placeholder,
    parse,
    source_hints,
    takes_dataset,
)

from gleanset.cli import _add_dataset_option
from gleanset.errors import UsageError

ELSEWHERE = Path("another folder")
OPTION = " -d 'another folder'"


@pytest.fixture(scope="module")
def hints() -> list[SourceHint]:
    """Return the hints of the source.

    Not parameters of the tests: every process that collects them would read the source.
    """
    return list(source_hints())


def list_faults(hints: list[SourceHint], is_right: Callable[[str], bool]) -> list[str]:
    """List the hints, printed for a dataset elsewhere, with a command that is not right."""
    faults = list[str]()
    for hint in hints:
        error = UsageError("something is wrong", hint.text)
        _add_dataset_option(error, ELSEWHERE)
        if not all(map(is_right, commands_in(error.fix))):
            faults.append(f"{hint.place}: {error.fix}")
    return faults


def is_valid(command: str) -> bool:
    return has_placeholder(command) or parse(command) == ""


def test_hints_of_the_source_are_found(hints: list[SourceHint]) -> None:
    assert len(hints) > 50
    assert any(hint.text == "list them: labeler classes list" for hint in hints)


def test_hints_end_in_valid_commands(hints: list[SourceHint]) -> None:
    assert list_faults(hints, is_valid) == []


def test_hints_name_a_dataset_that_is_elsewhere(hints: list[SourceHint]) -> None:
    def has_dataset(command: str) -> bool:
        return " -d " in command or not takes_dataset(command)

    assert list_faults(hints, has_dataset) == []
