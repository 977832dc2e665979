"""Output for users: it fits the width of a terminal and cannot control it."""

from __future__ import annotations

import pytest

from gleanset.binomial import Interval
from gleanset.credit import clean_credit_text
from gleanset.named_files import format_short_path
from gleanset.terminal import (
    count_columns,
    escape_name,
    format_result,
    format_table,
    get_line_width,
    has_controls,
    join_pairs,
    pad,
    replace_controls,
    truncate,
    wrap,
    wrap_named,
)


@pytest.mark.parametrize(("columns", "expected"), [("", 80), ("132", 132), ("7", 40)])
def test_line_width_follows_columns_variable(
    monkeypatch: pytest.MonkeyPatch, columns: str, expected: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.__stdout__", None)
    assert get_line_width() == expected


def test_wrap_breaks_at_spaces() -> None:
    lines = wrap("  as many words as stand here are too many for one line", max_width=24)
    assert lines == ["  as many words as stand", "    here are too many", "    for one line"]
    assert wrap("short", max_width=24) == ["short"]
    assert "".join(wrap("猫 " * 20, max_width=24)).replace(" ", "") == "猫" * 20
    assert max(map(count_columns, wrap("猫 " * 20, max_width=24))) <= 24


@pytest.mark.parametrize(
    "text",
    [
        "/work/a folder/with a long name/report.html",
        "labeler accept hints -d 'my dataset of many faces'",
        "https://a.example/a?b=c d e f g h i j k l m n",
        "C:\\Users\\a b\\a long folder\\report.html",
    ],
)
def test_wrap_named_keeps_paths_and_commands_whole(text: str) -> None:
    assert wrap_named("next", text, max_width=30) == ["next:", f"  {text}"]
    assert wrap_named("next", text, max_width=99) == [f"next: {text}"]


def test_join_pairs_truncates_long_names() -> None:
    values = [("added", "4"), ("duplicate", "1"), ("a class with a name", "12"), ("known", "0")]
    lines = join_pairs(values, max_width=24)
    assert lines == ["added: 4, duplicate: 1,", "  a class with a n…: 12,", "  known: 0"]


def test_format_result_nests_sections() -> None:
    result = {"added": 3, "known": 0, "interval": Interval(0.25, 2 / 3)}
    reasons = {"too large": 2, "blank": 0}
    assert format_result({**result, "reasons": reasons, "left": ["a", "b"]}) == [
        "added: 3, interval: 0.25 to 0.6667",
        "reasons:",
        "  too large: 2, blank: 0",
        "left:",
        "  a",
        "  b",
    ]


def test_format_result_keeps_first_zero() -> None:
    assert format_result({"added": 0, "known": 0, "rejected": 2}) == ["added: 0, rejected: 2"]


def test_wide_table_continues_below() -> None:
    rows = [("run", "accuracy", "loss"), ("20260101-transfer", "0.912", "0.3")]
    assert format_table(rows, max_width=60) == [
        "run                accuracy  loss",
        "20260101-transfer     0.912   0.3",
    ]
    narrow = format_table(rows, max_width=36)
    assert narrow == ["run                accuracy  loss", "20260101-transfer     0.912   0.3"]
    assert format_table(rows, max_width=30) == [
        "run              accuracy",
        "20260101-trans…     0.912",
        "run              loss",
        "20260101-trans…   0.3",
    ]


def test_truncate_and_pad_count_columns() -> None:
    assert truncate("猫猫猫", 5) == "猫猫…"
    assert pad("猫", 4) == "猫  "


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
def test_names_of_all_scripts_are_kept(name: str) -> None:
    assert not has_controls(name)
    assert replace_controls(name, "\ufffd") == escape_name(name) == name
    assert format_short_path(f"folder/{name}") == f"folder/{name}"
    joined = clean_credit_text(name)
    assert joined is not None
    assert joined.split() == name.split(), "an author's name is one line"


@pytest.mark.parametrize("text", ACTING)
def test_control_characters_are_replaced(text: str) -> None:
    name = f"a{text}b.png"
    assert has_controls(name)
    replaced = replace_controls(name, "\ufffd")
    assert replaced != name
    assert not has_controls(replaced)
    for shown in (escape_name(name), format_short_path(name), clean_credit_text(name) or ""):
        assert text not in shown
