"""An overlay on a grid: a face in its full image and video."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QRect, Qt
from PySide6.QtGui import QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QWidget

from gleanset.db.regions import FrameFace
from gleanset.db.sorting import SampleTile
from labeler.qt.classes.keys import ClassKeyReader
from labeler.qt.grid.gesture_view import COMMAND_BY_KEY, GestureView, GridCommand
from labeler.qt.grid.model import TileMark
from labeler.qt.images import ImageLoader, draw_fitted
from labeler.qt.theme import backdrop, draw_box, em
from labeler.qt.widgets import announce
from labeler.sorting.sample_images import FrameFile, FrameWalk, frames_around

Key = Qt.Key
FACE_COMMANDS = (
    GridCommand.REJECT,
    GridCommand.LATER,
    GridCommand.OTHER,
    GridCommand.QUEUE,
    GridCommand.KEEP_ALL,
)
"""Commands that work on an enlarged face."""


class EnlargedFaceOverlay(QWidget):
    """One face in its full image; closed with Esc, Space or a click.

    Left and right step through the frames of the video, up and down through the faces of the grid.
    Class keys act on the face, whichever frame is shown.
    """

    def __init__(self, view: GestureView) -> None:
        super().__init__(view)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(self.tr("Face in its image"))
        self.hide()
        self.codes = ClassKeyReader(view.worker, self)
        self._view, self._worker = view, view.worker
        self._id = -1
        self._frames, self.at = FrameWalk(), 0
        self._image: QPixmap | str = "…"
        self._loader = ImageLoader(view.worker)
        self._loader.loaded.connect(self._loaded)
        view.tiles.dataChanged.connect(self._repaint)
        view.tiles.sections_changed.connect(self._close_if_gone)
        view.installEventFilter(self)

    # -- what is shown

    def show_row(self, row: int) -> None:
        """Enlarge the first face of a tile."""
        self._id = self._view.tiles.id(row)
        self._frames, self.at, self._image = FrameWalk(), 0, "…"
        self._view.setFocusProxy(self)  # keys must not act on the covered tiles
        self.setGeometry(self._view.rect())
        self.show()
        self.raise_()
        self.setFocus()
        sample = self._id
        self._worker.ask(
            lambda session: (sample, frames_around(session.dataset, sample)), self._show_frames
        )

    def _show_frames(self, answer: tuple[int, FrameWalk]) -> None:
        sample, frames = answer
        if sample == self._id and self.isVisible():
            self._frames = frames
            self._show_frame(frames.place)

    def _show_frame(self, index: int) -> None:
        if not self._frames.files:
            self._image = self.tr("This face no longer exists")
            self.update()
            return
        self.at = min(max(index, 0), len(self._frames.files) - 1)
        self._loader.ask(self.frame_file.path)
        announce(self, self.caption())
        self.update()

    @property
    def frame_file(self) -> FrameFile:
        return self._frames.files[self.at]

    @property
    def row(self) -> int:
        """Row of the face; -1 if it is no longer in the grid."""
        return self._view.tiles.row_of(self._id)

    @property
    def ready(self) -> bool:
        return not isinstance(self._image, str)

    def _loaded(self, path: Path, image: QImage | str) -> None:
        if self.isVisible() and self._frames.files and path == self.frame_file.path:
            self._image = image if isinstance(image, str) else QPixmap.fromImage(image)
            self.update()

    def _repaint(self) -> None:
        if self.isVisible():
            self.update()

    def _close_if_gone(self) -> None:
        if self.isVisible() and self.row < 0:
            self.end()

    # -- painting

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), backdrop(self.palette()))
        painter.setPen(self.palette().text().color())
        line = em(self, 1.7)
        area = self.rect().adjusted(4, 4, -4, -2 * line)
        target = draw_fitted(painter, area, self._image)
        if self.ready:
            for face in self.frame_file.frame.faces:
                width = 3 if face.id == self._id else 1
                draw_box(painter, self.box_on_screen(target, face), self.palette(), width)
        centre = Qt.AlignmentFlag.AlignCenter
        painter.setPen(self.palette().text().color())
        lower = QRect(0, self.height() - 2 * line, self.width(), line)
        elided = Qt.TextElideMode.ElideRight
        caption = painter.fontMetrics().elidedText(self.caption(), elided, lower.width() - 8)
        painter.drawText(lower, centre, caption)
        painter.drawText(lower.translated(0, line), centre, self.hint())

    def box_on_screen(self, target: QRect, face: FrameFace) -> QRect:
        """Return the box of a face when the image is painted into `target`."""
        across = target.width() / max(1, self.frame_file.frame.width)
        down = target.height() / max(1, self.frame_file.frame.height)
        x, y, width, height = face.box
        return QRect(
            target.left() + round(x * across),
            target.top() + round(y * down),
            round(width * across),
            round(height * down),
        )

    def caption(self) -> str:
        """Return the label of the face, the name of its image and the frame shown."""
        row = self.row
        tile = self._view.tiles.tile(row) if row >= 0 else None
        parts = [self._label_text(row, tile), tile.title if tile else ""]
        if len(self._frames.files) > 1:
            text = self.tr("frame {number} of {count}")
            count = len(self._frames.files)
            parts.append(text.format(number=self.at + 1, count=count))
            if self.at != self._frames.place:
                parts.append(f"{self.at - self._frames.place:+d}")
        time = self.frame_file.frame.time if self._frames.files else None
        if time is not None:
            parts.append(f"{int(time) // 60}:{time % 60:04.1f}")
        return "   ·   ".join(part for part in parts if part)

    def _label_text(self, row: int, tile: SampleTile | None) -> str:
        if row < 0:
            return ""
        state, proposed = self._view.tiles.state(row), self._view.tiles.prediction(row)
        if state.mark in (TileMark.SENT, TileMark.DONE):
            return f"→ {state.target}"
        if tile is not None and tile.label:
            return tile.label
        return f"{proposed.label}?" if proposed.label else ""

    def hint(self) -> str:
        if len(self._frames.files) > 1:
            return self.tr("← →: video frames · ↑ ↓: other faces · class keys · Esc: back")
        return self.tr("← → ↑ ↓: other faces · class keys · Esc: back")

    # -- keys and mouse

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.end()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self.setGeometry(self._view.rect())
        return False

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Act on the face, step or close; no key reaches the grid below."""
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
        elif not self._step(event.key()) and not self._run_command(event.key()):
            self._worker.show_message(
                self.tr("This key does nothing here: press Esc to return to the grid")
            )

    def _run_command(self, key: int) -> bool:
        command = COMMAND_BY_KEY.get(Key(key))
        if command in FACE_COMMANDS and self.row >= 0:
            self._view.commanded.emit(command, [self.row])
        return command in FACE_COMMANDS

    def _step(self, key: int) -> bool:
        across = {Key.Key_Left: -1, Key.Key_Right: 1}.get(Key(key), 0)
        down = {Key.Key_Up: -1, Key.Key_Down: 1}.get(Key(key), 0)
        if across and len(self._frames.files) > 1:
            self._show_frame(self.at + across)
        elif across or down:
            row = min(max(self.row + across + down, 0), self._view.tiles.rowCount() - 1)
            if row != self.row and row >= 0:
                self._view.set_point(row)
                self._view.scrollTo(self._view.tiles.index(row))
                self.show_row(row)
        return bool(across or down)

    def end(self) -> None:
        """Close, and point at the face in the grid."""
        self.codes.forget()
        self._image = "…"
        self._view.setFocusProxy(None)  # type: ignore[arg-type]  # the stub knows no None
        self.hide()
        self._view.setFocus()
        if self.row >= 0:
            self._view.set_point(self.row)  # the covered grid has lost the mouse
