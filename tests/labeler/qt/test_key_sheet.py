"""The sheet of keys: what the docs say of them, and whether all of it can be read."""

from __future__ import annotations

from pathlib import Path

from labeler.qt.key_sheet import parts

ROOT = Path(__file__).parents[3]


def test_the_docs_name_the_same_keys() -> None:
    page = (ROOT / "docs" / "labeling.md").read_text(encoding="utf-8")
    part = page.split("## All keys")[1].split("\n## ")[0]
    rows = [line.strip("| \n").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    wanted = [line for name, keys in parts() for line in ([name, ""], *map(list, keys))]
    assert [row if len(row) == 2 else [row[0].strip(" |"), ""] for row in rows] == wanted
