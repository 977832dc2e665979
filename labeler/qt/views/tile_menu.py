"""What can be done with faces by the right button: all that keys do, and what has no key."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QLabel, QMenu, QWidget, QWidgetAction

from gleanset.db.sorting import SampleTile
from labeler.qt.session_worker import SessionWorker
from labeler.sorting.sample_images import originals_at_hand
from labeler.sorting.session import Place

if TYPE_CHECKING:
    from labeler.sorting.proposals import ProposalReasons


class TileMenu(QMenu):
    """The menu of some faces; `tiles` are those that are known, the first is the one pointed at."""

    def __init__(self, parent: QWidget, worker: SessionWorker, tiles: list[SampleTile]) -> None:
        super().__init__(parent)
        self._worker, self._tiles = worker, tiles
        self._why: QMenu | None = None

    def show_at(self, point: QPoint) -> None:
        """Show it; nothing waits for an answer."""
        self.aboutToHide.connect(self.deleteLater)
        self.popup(point)

    def add_sending(self, send: Callable[[str], object]) -> None:
        """Offer all classes and places; `send` takes the target."""
        self.add_classes(send)
        places = (
            (self.tr("Later"), "L", Place.LATER),
            (self.tr("Other faces"), "O", Place.OTHER),
            (self.tr("Not a face"), "Del", Place.REJECT),
            (self.tr("Back to the queue"), "Q", Place.QUEUE),
        )
        for text, key, place in places:
            self.addAction(f"{text}\t{key}", partial(send, place.target))
        self.addSeparator()

    def add_classes(self, send: Callable[[str], object]) -> None:
        """Offer all classes."""
        keys = self._worker.keys
        classes = self.addMenu(self.tr("Send to class"))
        classes.setEnabled(bool(keys))
        for name, key in keys.items():
            text = f"{name}\t{key.upper()}".replace("&", "&&")
            classes.addAction(text, partial(send, name))

    def add_looking(
        self,
        enlarge: Callable[[], object],
        show_class: Callable[[str], object],
        show_moment: Callable[[int, str], object],
    ) -> None:
        """Offer to look closer, at the class and at the moment of the first face."""
        self.addAction(self.tr("Enlarge") + "\t" + self.tr("Space"), enlarge)
        if not self._tiles:
            return
        first = self._tiles[0]
        self.addAction(self.tr("Open the whole picture"), self._open)
        if first.label:
            text = self.tr("Show the class {label}").format(label=first.label).replace("&", "&&")
            self.addAction(text, lambda: show_class(str(first.label)))
        title = first.title or first.key[:8]
        self.addAction(self.tr("Show its moment"), lambda: show_moment(first.id, title))
        self._why = self.addMenu(self.tr("Why was this proposed?"))
        self._why.aboutToShow.connect(self._ask_why)
        self._line("…")
        self.addSeparator()
        self.addAction(self.tr("Copy the name"), self._copy_names)
        self.addAction(self.tr("Copy the path"), self._copy_paths)

    # -- files

    def _files(self, then: Callable[[list[str]], None]) -> None:
        seen = [tile.seen for tile in self._tiles]
        self._worker.ask(lambda session: originals_at_hand(session.dataset, seen), then)

    def _open(self) -> None:
        self._files(open_file)

    def _copy_names(self) -> None:
        self._copy([tile.title or tile.key for tile in self._tiles])

    def _copy_paths(self) -> None:
        worker = self._worker
        self._files(lambda paths: copy_text(worker, paths))

    def _copy(self, lines: list[str]) -> None:
        copy_text(self._worker, lines)

    # -- why

    def _ask_why(self) -> None:
        sample = self._tiles[0].id
        from labeler.sorting.proposals import reasons_for

        self._worker.ask(lambda session: reasons_for(session, sample), self._tell_why)

    def _tell_why(self, reasons: ProposalReasons) -> None:
        if self._why is None:
            return
        self._why.clear()
        for name, sure in reasons.presorted:
            text = self.tr("The presort says {label}, {percent} %")
            self._line(text.format(label=name, percent=round(sure * 100)))
        if reasons.hint:
            self._line(self.tr("Where it is from it is called {hint}").format(hint=reasons.hint))
        for name, alike in reasons.alike:
            text = self.tr("It looks like a face of {label} ({likeness})")
            self._line(text.format(label=name, likeness=f"{alike:.2f}"))
        for name in reasons.refused:
            self._line(self.tr("Somebody said that it is not {label}").format(label=name))
        if self._why.isEmpty():
            self._line(self.tr("Nothing is known of it yet"))

    def _line(self, text: str) -> None:
        """Add a line that is read, and not chosen: not a greyed entry either."""
        assert self._why is not None
        words, line = QLabel(text), QWidgetAction(self._why)
        words.setMargin(6)
        words.setTextFormat(Qt.TextFormat.PlainText)
        line.setText(text)
        line.setDefaultWidget(words)
        self._why.addAction(line)


def open_file(paths: list[str]) -> None:
    """Open the first of some files with the desktop's own program."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(paths[0]))


def copy_text(worker: SessionWorker, lines: list[str]) -> None:
    """Put lines on the clipboard, and say so."""
    QGuiApplication.clipboard().setText("\n".join(lines))
    worker.say(lines[0] if len(lines) == 1 else f"{lines[0]} … ({len(lines):,})")
