"""What an earlier version had says what to use instead."""

from __future__ import annotations

import pytest
from tools_for_tests import run_here


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (("--view", "reports"), "webapp serve --owner"),
        (("find", "image.jpg"), "harvest folder IMAGE"),
        (("audit", "--sheet", "leaks.png"), "jq .pairs"),
        (("split", "--most", "pixiv=20%"), "--limit N"),
        (("gallery", "out.html", "--hint", "hana"), "gleanset list samples"),
        (("classes", "add", "--from", "names.txt"), "xargs"),
        (("quality", "--simulate"), "leave --simulate out"),
    ],
)
def test_what_is_gone_says_what_to_use(words: tuple[str, ...], instead: str) -> None:
    ran = run_here("labeler.cli", *words)
    assert ran.code == 2
    assert "any more" in ran.stderr
    assert instead in ran.stderr.replace("\n", " ")
