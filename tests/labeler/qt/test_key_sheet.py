"""The sheet of keys: what the docs say of them, and whether all of it can be read."""

from __future__ import annotations

from pathlib import Path

from drawn_faces import FaceSet
from person import Opened, settle
from PySide6.QtWidgets import QLabel

from labeler.qt.key_sheet import parts

ROOT = Path(__file__).parents[3]


def test_the_docs_name_the_same_keys() -> None:
    page = (ROOT / "docs" / "labeling.md").read_text(encoding="utf-8")
    part = page.split("## All keys")[1].split("\n## ")[0]
    rows = [line.strip("| \n").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    wanted = [line for name, keys in parts() for line in ([name, ""], *map(list, keys))]
    assert [row if len(row) == 2 else [row[0].strip(" |"), ""] for row in rows] == wanted


def test_all_of_it_is_seen_in_a_small_window(opened: Opened, few: FaceSet) -> None:
    window = opened(few.root, size=(1280, 720))
    settle(window)
    window.sheet.toggle()
    assert window.rect().contains(window.sheet.geometry())
    for label in window.sheet.findChildren(QLabel):
        assert label.width() >= label.sizeHint().width(), label.text()
