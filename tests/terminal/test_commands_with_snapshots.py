"""Every command of the programs has a snapshot in an empty dataset, refused, and run again."""

import pytest
from advice import LEAVES
from commands_to_run import (
    AGAIN,
    DEMOS,
    DOCTORS,
    INSTALLATION_REFUSED,
    REFUSED,
    list_commands,
)
from test_printed_searches import SEARCHES

LINES = {
    "empty dataset": [
        *list_commands("empty"),
        *DOCTORS,
        *DEMOS,
        *INSTALLATION_REFUSED,
    ],
    "refused": [*REFUSED, *INSTALLATION_REFUSED],
    "second run": [*AGAIN, *DOCTORS, *DEMOS, *SEARCHES],
}
EXEMPT = {
    (
        "empty dataset",
        "harvest login",
    ): "asks for a key, which a terminal does not show",
    ("empty dataset", "labeler serve"): "runs until Ctrl-C",
    ("refused", "labeler serve"): "runs until Ctrl-C",
    ("second run", "facecrop docker"): "needs an engine, and minutes",
    ("second run", "harvest login"): "waits for a person",
    ("second run", "labeler open"): "waits for a person",
    ("second run", "labeler serve"): "runs until Ctrl-C",
    ("second run", "webapp serve"): "runs until Ctrl-C",
}


@pytest.mark.parametrize("state", LINES)
def test_every_command_has_a_snapshot(state: str) -> None:
    lines = [f"{line.split(' && ')[-1]} " for line in LINES[state]]
    without = {
        command
        for command in map(" ".join, LEAVES)
        if not any(line.startswith(f"{command} ") for line in lines)
    }
    assert without == {command for other, command in EXEMPT if other == state}
