"""What an earlier version had says what to use instead."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest


@pytest.mark.parametrize(
    ("words", "instead"),
    [(("--view", "reports"), "webapp serve --owner")],
)
def test_what_is_gone_says_what_to_use(
    labeler: Callable[..., subprocess.CompletedProcess[str]],
    words: tuple[str, ...],
    instead: str,
) -> None:
    ran = labeler(*words)
    assert ran.returncode == 2
    assert "any more" in ran.stderr
    assert instead in ran.stderr
