"""What acts on a terminal is told from spaces of other scripts, joiners and marks."""

from __future__ import annotations

import pytest

from gleanset.credit import credit_text
from gleanset.named_files import short_name
from gleanset.terminal import has_controls, replace_controls, shown_name
from webapp.uploads import text_of

KEPT = [
    "初音\u3000ミク.png",
    "Screenshot 2025-02-26 at 12.53.24\u202fPM.png",
    "\U0001f469\u200d\U0001f3a4.png",
    "a\u00a0b.png",
    "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.png",  # Persian, with a non-joiner
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f.png",  # a flag of tags
    "❤\ufe0f.png",
    "\u05e9\u05dc\u05d5\u05dd\u200f!.png",
    "soft\u00adhyphen.png",
]
ACTING = ["\0", "\x1b[2J", "\n", "\x85", "\u2028", "\u202e", "\u2066", "\ud800", "\uffff", "\u0378"]


@pytest.mark.parametrize("name", KEPT)
def test_names_of_all_scripts_stay(name: str) -> None:
    assert not has_controls(name)
    assert text_of(name, 200) == shown_name(name) == name
    assert short_name(f"folder/{name}") == f"folder/{name}"
    joined = credit_text(name)
    assert joined is not None
    assert joined.split() == name.split(), "an author's name is one line"


@pytest.mark.parametrize("text", ACTING)
def test_what_acts_is_replaced(text: str) -> None:
    name = f"a{text}b.png"
    assert has_controls(name)
    assert text_of(name, 200) == replace_controls(name, "\ufffd") != name
    assert not has_controls(text_of(name, 200))
    for shown in (shown_name(name), short_name(name), credit_text(name) or ""):
        assert text not in shown
