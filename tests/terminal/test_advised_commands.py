"""Hints in the source: each command of ours in them is valid as it is printed."""

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
from gleanset.removed import REMOVED_COMMANDS, REMOVED_SOURCE_OPTIONS

ELSEWHERE = Path("another folder")
OPTION = " -d 'another folder'"
HINTS = list(source_hints())


def test_hints_of_the_source_are_found() -> None:
    assert len(HINTS) > 50
    assert any(hint.text == "list them: labeler classes list" for hint in HINTS)


@pytest.mark.parametrize("hint", HINTS, ids=lambda hint: hint.place)
def test_hint_ends_in_a_valid_command(hint: SourceHint) -> None:
    error = UsageError("something is wrong", hint.text)
    _add_dataset_option(error, ELSEWHERE)
    for command in commands_in(error.fix):
        assert has_placeholder(command) or parse(command) == "", error.fix


@pytest.mark.parametrize("hint", HINTS, ids=lambda hint: hint.place)
def test_hint_names_a_dataset_that_is_elsewhere(hint: SourceHint) -> None:
    error = UsageError("something is wrong", hint.text)
    _add_dataset_option(error, ELSEWHERE)
    for command in commands_in(error.fix):
        assert " -d " in command or not takes_dataset(command), error.fix


@pytest.mark.parametrize("name", [*REMOVED_COMMANDS, *REMOVED_SOURCE_OPTIONS])
def test_replacement_of_a_removed_command_is_valid(name: str) -> None:
    text = (REMOVED_COMMANDS | REMOVED_SOURCE_OPTIONS)[name]
    for command in commands_in(text):
        assert has_placeholder(command) or parse(command) == "", text
