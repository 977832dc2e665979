"""The panel at the right: the face large, where it is from, and what it is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from gleanset.db.regions import SampleRegion
from gleanset.db.sorting import SampleTile
from labeler.qt.pictures import ThumbnailLoader, draw_fitted
from labeler.qt.theme import draw_box
from labeler.qt.widgets import below, beside, timer
from labeler.sorting.sample_images import whole

HOVER_MS = 150
SQUARE, WIDE = 1.0, 0.5625
LARGEST = 512
FEW = 8
"""Letters of a name that stay in one line."""


class SamplePicture(QWidget):
    """One picture that is fetched when it is painted, with a box drawn into it if wanted.

    It is as wide as there is room, and `shape` times as high.
    """

    def __init__(self, thumbs: ThumbnailLoader, shape: float, name: str) -> None:
        super().__init__()
        self._thumbs = thumbs
        self._shape = shape
        self._seen: SampleRegion | None = None
        self._box: QRect | None = None
        self.setAccessibleName(name)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        thumbs.ready.connect(self._came)

    def hasHeightForWidth(self) -> bool:
        """Return True: its shape stays."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Return the height that belongs to a width."""
        return min(round(width * self._shape), LARGEST)

    def sizeHint(self) -> QSize:
        """Return a small one: the panel has its own width."""
        return QSize(48, self.heightForWidth(48))

    def show_seen(self, seen: SampleRegion | None, box: QRect | None = None) -> None:
        """Show a region of an image; `box` in the image's own pixels."""
        self._seen, self._box = seen, box
        self.update()

    def _came(self, key: str) -> None:
        if self._seen is not None and self._seen.key == key:
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the picture as large as there is room, or why there is none."""
        painter = QPainter(self)
        if self._seen is None:
            return
        side = max(self.width(), self.height())
        picture = self._thumbs.get(self._seen, side, self.devicePixelRatioF())
        place = draw_fitted(painter, self.rect(), picture)
        if isinstance(picture, QPixmap):
            self._draw_box(painter, place)

    def _draw_box(self, painter: QPainter, target: QRect) -> None:
        if self._box is None or self._seen is None:
            return
        scale = target.width() / max(1, self._seen.region.box.width)
        box = QRect(self._box.topLeft() * scale, self._box.bottomRight() * scale)
        draw_box(painter, box.translated(target.topLeft()), self.palette(), 2)


class DetailPanel(QWidget):
    """Follows what is pointed at, a little later, so that sweeping does not flicker."""

    def __init__(self, thumbs: ThumbnailLoader) -> None:
        super().__init__()
        self._face = SamplePicture(thumbs, SQUARE, self.tr("The face, large"))
        self._frame = SamplePicture(thumbs, WIDE, self.tr("The picture it is in"))
        self._about, self._top = QLabel(), QLabel()
        neighbour = self.tr("A sure neighbour")
        self._near = [SamplePicture(thumbs, SQUARE, neighbour) for _ in range(4)]
        self._near_label = QLabel(self.tr("Nearest of those decided"))
        for label in (self._about, self._top, self._near_label):
            label.setWordWrap(True)
            label.setMinimumWidth(1)  # a long word would push the faces from below the mouse
            label.setTextFormat(Qt.TextFormat.PlainText)
        self._lay_out()
        self._due: Callable[[], None] | None = None
        self.shown: int | None = None
        self._timer = timer(self, self._show_due, HOVER_MS)
        self.show_tile(None)

    def _lay_out(self) -> None:
        faces = beside(*self._near)
        faces.setSpacing(4)
        texts = (self._about, self._top, self._near_label)
        whole = below(self._face, self._frame, *texts, faces, None)
        whole.setContentsMargins(8, 8, 8, 8)
        whole.setSpacing(8)
        self.setLayout(whole)

    def point(self, tile: SampleTile | None, more: Callable[[], None] | None = None) -> None:
        """Show a tile in a moment; `more` then asks for its neighbours."""

        def show() -> None:
            self.show_tile(tile)
            if more is not None:
                more()

        self._due = show
        self._timer.start()

    def _show_due(self) -> None:
        if self._due is not None:
            self._due()

    def show_tile(self, tile: SampleTile | None) -> None:
        """Show a tile now; None for nothing."""
        self.shown = tile.id if tile else None
        self._face.show_seen(tile.seen if tile else None)
        self._face.setVisible(tile is not None)
        box = QRect(*tile.seen.region.box) if tile else None
        self._frame.show_seen(whole(tile.seen) if tile else None, box)
        self._frame.setVisible(tile is not None and not _is_whole(tile.seen))
        nothing = self.tr("Point at a face: here it is shown large, with where it is from.")
        self._about.setText(self._words(tile) if tile else nothing)
        self.show_proposals(())
        self.show_neighbours(())

    def _words(self, tile: SampleTile) -> str:
        text = self.tr("{w} x {h} of {width} x {height} pixels")
        if _is_whole(tile.seen):
            text = self.tr("{width} x {height} pixels")
        box = tile.seen.region.box
        size = text.format(
            w=box.width, h=box.height, width=tile.seen.width, height=tile.seen.height
        )
        title = _breakable(tile.title or "")
        return "\n".join(part for part in (title, tile.label, size) if part)

    def show_proposals(self, top: Sequence[tuple[str, str, float]]) -> None:
        """Show the first three proposals: key, class, confidence."""
        self._top.setText(
            "\n".join(f"{key or '·'}  {label}  {round(sure * 100)} %" for key, label, sure in top)
        )

    def show_neighbours(self, near: Sequence[SampleTile], of: int | None = None) -> None:
        """The nearest samples that were decided on; nothing where another than `of` is shown."""
        if of is not None and of != self.shown:
            return
        self._near_label.setVisible(bool(near))
        for place, picture in enumerate(self._near):
            picture.setVisible(place < len(near))
            picture.show_seen(near[place].seen if place < len(near) else None)


def _breakable(name: str) -> str:
    """Return a name that may go on in another line after each few letters."""
    return "\u200b".join(name[at : at + FEW] for at in range(0, len(name), FEW))


def _is_whole(seen: SampleRegion) -> bool:
    """Return whether a sample is all of its picture."""
    box = seen.region.box
    return (box.width, box.height) == (seen.width, seen.height)
