"""A face enlarged: its whole picture with the box, and the frames of its video before and after.

It lies over a grid. Keys of classes and places act on the face, whichever frame is shown.
"""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QRect, Qt, QTimer
from PySide6.QtGui import QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QWidget

from gleanset.db.regions import FrameFace, SampleRegion
from gleanset.db.sorting import SampleTile
from labeler.qt.classes.keys import ClassKeyReader
from labeler.qt.grid.gesture_view import COMMANDS, GestureView, GridCommand
from labeler.qt.grid.model import TileMark
from labeler.qt.images import BrokenThumbnail, ImageLoader, ThumbnailLoader, draw_fitted
from labeler.qt.theme import backdrop, draw_box, em
from labeler.qt.translations import tr
from labeler.qt.widgets import announce
from labeler.sorting.sample_images import PictureWalk, WholePicture, walk_from

Key = Qt.Key
ACTS = (
    GridCommand.REJECT,
    GridCommand.LATER,
    GridCommand.OTHER,
    GridCommand.QUEUE,
    GridCommand.KEEP_ALL,
)
"""Commands that mean one face; all others wait until it is put away."""


class Overlay(QWidget):
    """Lies over a grid, as large as that, until a click or a key puts it away."""

    def __init__(self, over: QWidget, name: str) -> None:
        super().__init__(over)
        self._over = over
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(name)
        over.installEventFilter(self)
        self.hide()

    def cover(self) -> None:
        self.setGeometry(self._over.rect())
        self.show()
        self.raise_()
        self.setFocus()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.end()

    def end(self) -> None:
        """Put it away; the keys are the grid's again."""
        self.hide()
        self._over.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self.setGeometry(self._over.rect())
        return False


class EnlargedFaceOverlay(Overlay):
    """Shown with `show_row`, put away with Esc, Space or a click.

    Left and right lead through the video, up and down from face to face of the grid.
    """

    def __init__(self, view: GestureView) -> None:
        super().__init__(view, tr("Face in its image"))
        self.codes = ClassKeyReader(view.worker, self)
        self._view, self._worker = view, view.worker
        self._id = -1
        self._walk, self.at = PictureWalk(), 0
        self._picture: QPixmap | str = "…"
        self._loader = ImageLoader(view.worker)
        self._loader.loaded.connect(self._loaded)
        view.tiles.dataChanged.connect(self._changed)
        view.tiles.sections_changed.connect(self._replaced)

    # -- what is shown

    def show_row(self, row: int) -> None:
        """Enlarge a tile; of a stack its first face."""
        self._id = self._view.tiles.id(row)
        self._walk, self.at, self._picture = PictureWalk(), 0, "…"
        self._view.setFocusProxy(self)  # no key may act on the tiles that it covers
        self.cover()
        sample = self._id
        self._worker.ask(
            lambda session: (sample, walk_from(session.dataset, sample)), self._walk_came
        )

    def _walk_came(self, answer: tuple[int, PictureWalk]) -> None:
        sample, walk = answer
        if sample == self._id and self.isVisible():
            self._walk = walk
            self._turn_to(walk.place)

    def _turn_to(self, place: int) -> None:
        if not self._walk.pictures:
            self._picture = self.tr("This face no longer exists")
            self.update()
            return
        self.at = min(max(place, 0), len(self._walk.pictures) - 1)
        self._loader.ask(self.shown.path)
        announce(self, self.words())
        self.update()

    @property
    def shown(self) -> WholePicture:
        return self._walk.pictures[self.at]

    @property
    def row(self) -> int:
        """The tile of the face, -1 where it is not in the grid any more."""
        return self._view.tiles.row_of(self._id)

    @property
    def ready(self) -> bool:
        return not isinstance(self._picture, str)

    def _loaded(self, path: Path, image: QImage | str) -> None:
        if self.isVisible() and self._walk.pictures and path == self.shown.path:
            self._picture = image if isinstance(image, str) else QPixmap.fromImage(image)
            self.update()

    def _changed(self) -> None:
        if self.isVisible():
            self.update()

    def _replaced(self) -> None:
        if self.isVisible() and self.row < 0:
            self.end()

    # -- painting

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), backdrop(self.palette()))
        painter.setPen(self.palette().text().color())
        line = em(self, 1.7)
        area = self.rect().adjusted(4, 4, -4, -2 * line)
        place = draw_fitted(painter, area, self._picture)
        if self.ready:
            for face in self.shown.frame.faces:
                self._draw_box(painter, place, face)
        centre = Qt.AlignmentFlag.AlignCenter
        painter.setPen(self.palette().text().color())
        lower = QRect(0, self.height() - 2 * line, self.width(), line)
        elided = Qt.TextElideMode.ElideRight
        words = painter.fontMetrics().elidedText(self.words(), elided, lower.width() - 8)
        painter.drawText(lower, centre, words)
        painter.drawText(lower.translated(0, line), centre, self.hint())

    def box_on_screen(self, target: QRect, face: FrameFace) -> QRect:
        """Return where the box of a face is, of a picture that is painted into `target`."""
        across = target.width() / max(1, self.shown.frame.width)
        down = target.height() / max(1, self.shown.frame.height)
        x, y, width, height = face.box
        return QRect(
            target.left() + round(x * across),
            target.top() + round(y * down),
            round(width * across),
            round(height * down),
        )

    def _draw_box(self, painter: QPainter, target: QRect, face: FrameFace) -> None:
        """A box in a frame of the ground's colour; of other faces a thin one with the class."""
        own, box = face.id == self._id, self.box_on_screen(target, face)
        palette = self.palette()
        draw_box(painter, box, palette, 3 if own else 1)
        if face.label and not own:
            metrics = painter.fontMetrics()
            place = metrics.boundingRect(face.label).adjusted(-4, -1, 4, 1)
            place.moveTopLeft(box.bottomLeft())
            painter.fillRect(place, palette.base())
            painter.setPen(palette.text().color())
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, face.label)

    def words(self) -> str:
        """Return what became of the face, its picture's name, and which frame is shown."""
        row = self.row
        tile = self._view.tiles.tile(row) if row >= 0 else None
        parts = [self._standing(row, tile), tile.title if tile else ""]
        if len(self._walk.pictures) > 1:
            text = self.tr("frame {number} of {count}")
            count = len(self._walk.pictures)
            parts.append(text.format(number=self.at + 1, count=count))
            if self.at != self._walk.place:
                parts.append(f"{self.at - self._walk.place:+d}")
        time = self.shown.frame.time if self._walk.pictures else None
        if time is not None:
            parts.append(f"{int(time) // 60}:{time % 60:04.1f}")
        return "   ·   ".join(part for part in parts if part)

    def _standing(self, row: int, tile: SampleTile | None) -> str:
        if row < 0:
            return ""
        state, proposed = self._view.tiles.state(row), self._view.tiles.proposal(row)
        if state.kind in (TileMark.SENT, TileMark.DONE):
            return f"→ {state.target}"
        if tile is not None and tile.label:
            return tile.label
        return f"{proposed.label}?" if proposed.label else ""

    def key_state(self) -> tuple[bool, int, int]:
        return self.isVisible(), self._id, self.at

    def hint(self) -> str:
        if len(self._walk.pictures) > 1:
            return self.tr("← →: video frames · ↑ ↓: other faces · class keys · Esc: back")
        return self.tr("← → ↑ ↓: other faces · class keys · Esc: back")

    # -- keys and mouse

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Act on the face, step, or put it away; nothing reaches the grid below by accident."""
        event.accept()
        if event.isAutoRepeat() and event.key() not in (Key.Key_Left, Key.Key_Right):
            return
        code = self.codes.read(event)
        if code is None:
            return
        if code:
            if self.row >= 0:
                self._view.keyed.emit([self.row], code, False)
        elif event.key() in (Key.Key_Escape, Key.Key_Space):
            self.end()
        elif not self._stepped(event.key()) and not self._command(event.key()):
            self._worker.show_message(
                self.tr("This key does nothing here: press Esc to return to the grid")
            )

    def _command(self, key: int) -> bool:
        command = COMMANDS.get(Key(key))
        if command in ACTS and self.row >= 0:
            self._view.commanded.emit(command, [self.row])
        return command in ACTS

    def _stepped(self, key: int) -> bool:
        across = {Key.Key_Left: -1, Key.Key_Right: 1}.get(Key(key), 0)
        down = {Key.Key_Up: -1, Key.Key_Down: 1}.get(Key(key), 0)
        if across and len(self._walk.pictures) > 1:
            self._turn_to(self.at + across)
        elif across or down:
            row = min(max(self.row + across + down, 0), self._view.tiles.rowCount() - 1)
            if row != self.row and row >= 0:
                self._view.set_point(row)
                self._view.scrollTo(self._view.tiles.index(row))
                self.show_row(row)
        return bool(across or down)

    def end(self) -> None:
        """Put it away; what was enlarged is pointed at."""
        self.codes.forget()
        self._picture = "…"
        self._view.setFocusProxy(None)  # type: ignore[arg-type]  # the stub knows no None
        super().end()
        if self.row >= 0:
            self._view.set_point(self.row)  # covered, the grid has lost the mouse


BLINK_MS = 500


class BlinkOverlay(Overlay):
    """Lies over its parent until a key or a click; B or Space turns by hand from then on.

    Nothing is shown before both pictures are there: the one before is never taken for one of
    these.
    """

    def __init__(self, parent: QWidget, thumbs: ThumbnailLoader) -> None:
        super().__init__(parent, tr("Blink comparison"))
        self._thumbs = thumbs
        self._pair: tuple[tuple[SampleRegion, str], ...] = ()
        self.second = False
        self._timer = QTimer(self, interval=BLINK_MS)
        self._timer.timeout.connect(self.turn)
        thumbs.ready.connect(self._came)

    def show_pair(self, *pair: tuple[SampleRegion, str]) -> None:
        """Show two samples in turn, each with a line of text."""
        self._pair, self.second = pair, False
        self.cover()
        self._timer.start()

    def turn(self) -> None:
        if self.pictures() is not None:
            self.second = not self.second
            self.update()

    def pictures(self) -> list[QPixmap | BrokenThumbnail] | None:
        """Return both pictures, or None while one of them comes."""
        pictures = [self._thumbs.get(seen, 512) for seen, _ in self._pair]
        there = [picture for picture in pictures if picture is not None]
        return there if len(there) == len(pictures) else None

    def _came(self, key: str) -> None:
        if self.isVisible():
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), backdrop(self.palette()))
        painter.setPen(self.palette().text().color())
        line = em(self, 2)
        area = self.rect().adjusted(line, line, -line, -2 * line)
        text = QRect(0, self.height() - 2 * line, self.width(), 2 * line)
        both = self.pictures()
        if both is None:
            draw_fitted(painter, area, "…")
            return
        draw_fitted(painter, area, both[self.second])
        words = self._pair[self.second][1]
        mark = ("●○", "○●")[self.second]
        painter.drawText(text, Qt.AlignmentFlag.AlignCenter, f"{mark}   {words}")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Turn by hand with B and Space; end it with every other key."""
        if event.key() in (Qt.Key.Key_B, Qt.Key.Key_Space):
            self._timer.stop()
            self.turn()
        else:
            self.end()

    def end(self) -> None:
        self._timer.stop()
        super().end()
