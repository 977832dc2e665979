"""What every command prints in the states in which a person meets it, as snapshots.

Numbers, paths, hashes and times are masked. After a change of the output, look at the difference
and renew the snapshots: `pytest tests/terminal --snapshot-update`.

Each command runs on a terminal and, in some states, also on pipes, which print the same words. The
commands that it advises run in a copy of its folder.
"""

import pytest
from commands_to_run import AGAIN, COMMANDS, REFUSED, list_commands
from printed_lines import PrintedLines
from states import STATES, States
from syrupy.assertion import SnapshotAssertion

ON_PIPES = ("nothing", "trained", "tracked")
"""States whose commands also run without a terminal."""

pytestmark = [
    pytest.mark.usefixtures("site_logins", "no_display"),
    pytest.mark.slow,
]


@pytest.mark.parametrize("state", STATES)
def test_commands_print(
    state: str, states: States, snapshot: SnapshotAssertion
) -> None:
    lines = PrintedLines(states, states.make(state))
    for line in list_commands(state):
        lines.run(line, on_pipe=state in ON_PIPES)
    lines.check(snapshot)


def test_second_run_prints(states: States, snapshot: SnapshotAssertion) -> None:
    lines = PrintedLines(states, states.make("trained"))
    for line in AGAIN:
        lines.run(f"{line} && {line.split(' && ')[-1]}")
    lines.check(snapshot)


def test_refusals_print(states: States, snapshot: SnapshotAssertion) -> None:
    lines = PrintedLines(states, states.make("trained"))
    for line in REFUSED:
        assert lines.run(line, on_pipe=True).code not in (0, 1), line
    lines.check(snapshot)


def test_every_command_runs_without_a_terminal() -> None:
    on_pipes = {line for state in ON_PIPES for line in list_commands(state)}
    assert [line for line in COMMANDS if line not in on_pipes] == []
