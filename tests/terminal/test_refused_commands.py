"""Unknown options of every command: what is printed, and that nothing is written."""

import shlex
from pathlib import Path

import pytest
from advice import LEAVES
from screens import WIDTH, run_on_screen


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_unknown_option_is_refused(words: list[str], tmp_path: Path) -> None:
    printed = run_on_screen([*words, "--no-such-option"], tmp_path)
    assert printed.code == 2
    error = next(line for line in printed.lines if line.startswith("Error: "))
    assert error.startswith("Error: No such option '--no-such-option'")
    assert [line for line in printed.lines if len(line) > WIDTH] == []
    assert f"Try '{shlex.join(words)} --help' for help." in printed.lines
    assert list(tmp_path.iterdir()) == []
