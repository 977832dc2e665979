"""Long texts of the status bar are elided with a tooltip; Qt formats every translated text."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drawn_faces import FaceSet, hint
from person import VIEW_NAMES, InstallLanguage, OpenWindow, Person, settle
from PySide6.QtCore import QtMsgType, qInstallMessageHandler
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
    window.worker.save_delayed.emit(LONG)
    settle(window)
    bar = window.statusBar()
    assert isinstance(bar, MessageBar)
    for part in (*bar.findChildren(QLabel), *bar.findChildren(QToolButton)):
        if part.isVisible() and part.text():
            assert bar.rect().contains(part.geometry()), part.text()
            assert part.width() >= part.sizeHint().width() or part.toolTip(), part.text()
    window.worker.show_message(LONG, bad=True)
    assert bar.currentMessage() == LONG
    assert plain_text(bar.toolTip()) == LONG
    elided = bar.elided_message()
    assert elided.endswith("…")
    assert LONG.startswith(elided.removesuffix("…"))
    assert bar.fontMetrics().horizontalAdvance(elided) <= bar._message_rect().width()
    window.worker.show_message("short")
    assert bar.elided_message() == "short"


def test_long_parts_are_elided(person: Person) -> None:
    status = person.window.status
    person.window.worker.save_delayed.emit(LONG)
    assert status.saved.text().endswith("…")
    assert plain_text(status.saved.toolTip()).endswith(LONG.strip())
    person.window.worker.save_delayed.emit("")
    assert (status.saved.text(), status.saved.toolTip()) == ("saved", "")
    person.window.worker.decide(lambda session: session.add_class(LONG_NAME))
    settle(person.window)
    assert status.undo.text().endswith("…")
    assert LONG_NAME in plain_text(status.undo.toolTip())


@pytest.fixture
def qt_messages() -> Iterator[list[str]]:
    messages: list[str] = []

    def note(kind: QtMsgType, context: object, message: str) -> None:
        messages.append(message)

    before = qInstallMessageHandler(note)
    yield messages
    qInstallMessageHandler(before)


def test_qt_formats_every_translated_text(
    install_language: InstallLanguage,
    open_window: OpenWindow,
    faces: FaceSet,
    qt_messages: list[str],
) -> None:
    hint(faces, 0.97)
    install_language("ja")
    window = open_window(faces.root)
    for name in VIEW_NAMES:
        window.show_view(name)
        settle(window)
    window.sheet.toggle()
    QApplication.processEvents()
    window.sheet.toggle()
    window.show_settings()
    window.drops.offer([faces.root])
    QApplication.processEvents()
    window.drops.close_dialog()
    settle(window)
    assert [text for text in qt_messages if "QString::arg" in text] == []
