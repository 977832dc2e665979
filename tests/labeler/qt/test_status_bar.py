"""Long texts of the status bar are elided, with a tooltip."""

from __future__ import annotations

from drawn_faces import FaceSet
from person import InstallLanguage, OpenWindow, settle
from PySide6.QtGui import QTextDocument
from PySide6.QtWidgets import QApplication, QLabel, QToolButton

from labeler.qt.status_bar import MessageBar

LONG_NAME = "a long name " * 7 + "indeed"
LONG = "the disk /mnt/a-network-drive/with-a-long-name is full: " * 8 + "make room on it"


def plain_text(tooltip: str) -> str:
    document = QTextDocument()
    document.setHtml(tooltip)
    return document.toPlainText()


def test_long_texts_fit_a_small_window(
    install_language: InstallLanguage, open_window: OpenWindow, faces: FaceSet
) -> None:
    install_language("ja")
    window = open_window(faces.root, size=(800, 600))
    window.worker.decide(lambda session: session.add_class(LONG_NAME))
    settle(window)
    window.worker.save_delayed.emit(LONG)
    QApplication.processEvents()
    bar = window.statusBar()
    assert isinstance(bar, MessageBar)
    for part in (*bar.findChildren(QLabel), *bar.findChildren(QToolButton)):
        if part.isVisible() and part.text():
            assert bar.rect().contains(part.geometry()), part.text()
            assert part.width() >= part.sizeHint().width() or part.toolTip(), part.text()
    status = window.status
    assert status.saved.text().endswith("…")
    assert plain_text(status.saved.toolTip()).endswith(LONG.strip())
    assert status.undo.text().endswith("…")
    assert LONG_NAME in plain_text(status.undo.toolTip())
    window.worker.save_delayed.emit("")
    assert status.saved.toolTip() == ""
    window.worker.show_message(LONG, bad=True)
    assert bar.currentMessage() == LONG
    assert plain_text(bar.toolTip()) == LONG
