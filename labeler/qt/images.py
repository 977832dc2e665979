"""Images for widgets, decoded on threads, no larger than a screen; and the panel at the right."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PySide6.QtCore import QObject, QPoint, QRect, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from gleanset import Dataset
from gleanset.db.regions import SampleRegion
from gleanset.db.sorting import SampleTile
from gleanset.errors import Unreadable
from gleanset.platform import lower_thread_priority
from gleanset.records import Region
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import draw_box
from labeler.qt.widgets import below, beside, plain_label, timer
from labeler.sorting.sample_images import SIDES, ThumbnailCache, whole

if TYPE_CHECKING:
    from PIL import Image


THREADS = 2
CACHE_BYTES = 64_000_000
MAX_WAITING_THUMBNAILS = 600
RETRY_BROKEN_MS = 5000
Name = tuple[str, Region, int]


class BrokenThumbnail(NamedTuple):
    """A picture that cannot be shown, and why."""

    reason: str
    known_at: float = 0.0

    def age_ms(self) -> float:
        return 1000 * (time.monotonic() - self.known_at)


class ThumbnailLoader(QObject):
    """`get` gives what is there and asks for what is not; `ready` (key) tells when it came."""

    ready = Signal(str)
    _made = Signal(object, object)

    def __init__(self, thumbs: ThumbnailCache) -> None:
        super().__init__()
        self._thumbs = thumbs
        self._kept: OrderedDict[Name, QPixmap | BrokenThumbnail] = OrderedDict()
        self._sides: set[int] = set()  # in which thumbnails were made: a few
        self._bytes = 0
        self._wanted: OrderedDict[Name, SampleRegion] = OrderedDict()
        self._under_way: set[Name] = set()
        self._more = threading.Condition()
        self._ended = False
        self._made.connect(self._take, Qt.ConnectionType.QueuedConnection)
        self._threads = [
            threading.Thread(target=self._run, name=f"thumbs-{n}", daemon=True)
            for n in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> ThumbnailLoader:
        cache = dataset.cache
        return cls(ThumbnailCache(cache, dataset.originals(cache), dataset.crops(cache)))

    @property
    def waiting(self) -> int:
        return len(self._wanted) + len(self._under_way)

    def get(
        self, seen: SampleRegion, side: float, ratio: float = 1.0
    ) -> QPixmap | BrokenThumbnail | None:
        """Return the picture of a sample for a tile of `side` logical pixels; None while it
        comes.
        """
        name = (seen.key, seen.region, min(max(1, round(side * ratio)), SIDES[-1]))
        picture = self._kept.get(name)
        if picture is None:
            self._want(name, seen)
            return self._another_size(seen)
        self._kept.move_to_end(name)
        if isinstance(picture, BrokenThumbnail) and picture.age_ms() >= RETRY_BROKEN_MS:
            self._want(name, seen)
        return picture

    def _another_size(self, seen: SampleRegion) -> QPixmap | BrokenThumbnail | None:
        sizes = ((seen.key, seen.region, side) for side in self._sides)
        return next((self._kept[name] for name in sizes if name in self._kept), None)

    def _want(self, name: Name, seen: SampleRegion) -> None:
        with self._more:
            if name in self._under_way:
                return
            self._wanted[name] = seen
            self._wanted.move_to_end(name)
            while len(self._wanted) > MAX_WAITING_THUMBNAILS:
                self._wanted.popitem(last=False)
            self._more.notify()

    def _run(self) -> None:
        """One thread: the latest request first, for that is what is on the screen now."""
        lower_thread_priority()
        while True:
            with self._more:
                while not self._wanted and not self._ended:
                    self._more.wait()
                if self._ended:
                    return
                name, seen = self._wanted.popitem()
                self._under_way.add(name)
            try:
                made: QImage | BrokenThumbnail = as_image(self._thumbs.fitted(seen, name[2]))
            except Unreadable as error:
                made = BrokenThumbnail(error.reason, time.monotonic())
            except Exception as error:  # whatever it is, one tile shows it
                made = BrokenThumbnail(str(error), time.monotonic())
            with suppress(RuntimeError):
                self._made.emit(name, made)

    def _take(self, name: Name, made: QImage | BrokenThumbnail) -> None:
        kept = QPixmap.fromImage(made) if isinstance(made, QImage) else made
        self._under_way.discard(name)
        if (before := self._kept.pop(name, None)) is not None:
            self._bytes -= _size(before)
        self._kept[name] = kept
        self._sides.add(name[2])
        self._bytes += _size(kept)
        while self._bytes > CACHE_BYTES and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])
        self.ready.emit(name[0])
        if isinstance(made, BrokenThumbnail):
            # A disk may be there again, and a file mended: who shows it asks anew.
            QTimer.singleShot(RETRY_BROKEN_MS, self, lambda: self.ready.emit(name[0]))

    def close(self) -> None:
        """End the threads; what is not begun is dropped."""
        with self._more:
            self._ended = True
            self._wanted.clear()
            self._more.notify_all()
        for thread in self._threads:
            thread.join()
        self._kept.clear()
        self._bytes = 0


def draw_fitted(
    painter: QPainter, area: QRect, picture: QPixmap | BrokenThumbnail | str | None
) -> QRect:
    """Draw a picture as large as there is room, or words in its place; return where it lies."""
    if isinstance(picture, QPixmap):
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        size = picture.size().scaled(area.size(), Qt.AspectRatioMode.KeepAspectRatio)
        place = QRect(QPoint(), size)
        place.moveCenter(area.center())
        painter.drawPixmap(place, picture)
        return place
    words = f"⚠ {picture.reason}" if isinstance(picture, BrokenThumbnail) else picture
    centred = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
    painter.drawText(area.adjusted(4, 4, -4, -4), centred, words or "")
    return area


def as_image(pixels: Image.Image) -> QImage:
    """Return RGB pixels as Qt paints them."""
    data = pixels.tobytes()
    width, height = pixels.size
    image = QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888)
    return image.convertToFormat(QImage.Format.Format_RGB32)


def _size(kept: QPixmap | BrokenThumbnail) -> int:
    return kept.width() * kept.height() * 4 if isinstance(kept, QPixmap) else 100


MAX_SHOWN_SIDE = 2048


def load(path: Path) -> QImage | str:
    """Return the pixels of a file, not larger than a screen; or why there are none."""
    # What reads pictures takes a while to load, and no view begins with a whole one.
    from gleanset.images.decode import decode

    try:
        picture = decode(path.read_bytes(), at_least=MAX_SHOWN_SIDE).pixels
    except OSError as error:
        return f"⚠ {error.strerror}"
    except Unreadable as error:
        return f"⚠ {error.reason}"
    picture.thumbnail((MAX_SHOWN_SIDE, MAX_SHOWN_SIDE))
    return as_image(picture)


class ImageLoader(QObject):
    """`loaded` (path, image or why there is none) answers the last `ask`; no other one."""

    loaded = Signal(object, object)

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__(worker)
        self._wanted: Path | None = None
        self._task = worker.create_task()
        self._task.done.connect(self._done)

    @property
    def busy(self) -> bool:
        return self._task.busy

    def ask(self, path: Path) -> None:
        """Load a picture, instead of the one that was asked for before."""
        self._wanted = path
        self._task.start(lambda dataset, progress: (path, load(path)))

    def _done(self, answer: tuple[Path, QImage | str]) -> None:
        path, image = answer
        if path == self._wanted:
            self.loaded.emit(path, image)
        elif self._wanted is not None:
            self.ask(self._wanted)


HOVER_MS = 150
SQUARE, WIDE = 1.0, 0.5625
MAX_PICTURE_HEIGHT = 512
UNBROKEN_LETTERS = 8


class SampleImage(QWidget):
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
        return True

    def heightForWidth(self, width: int) -> int:
        return min(round(width * self._shape), MAX_PICTURE_HEIGHT)

    def sizeHint(self) -> QSize:
        return QSize(48, self.heightForWidth(48))

    def show_seen(self, seen: SampleRegion | None, box: QRect | None = None) -> None:
        """Show a region of an image; `box` in the image's own pixels."""
        self._seen, self._box = seen, box
        self.update()

    def _came(self, key: str) -> None:
        if self._seen is not None and self._seen.key == key:
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
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
        self._face = SampleImage(thumbs, SQUARE, self.tr("Enlarged face"))
        self._frame = SampleImage(thumbs, WIDE, self.tr("Full image"))
        self._about, self._top = plain_label(), plain_label()
        neighbour = self.tr("Similar labelled face")
        self._near = [SampleImage(thumbs, SQUARE, neighbour) for _ in range(4)]
        self._near_label = plain_label(self.tr("Most similar labelled faces"))
        for label in (self._about, self._top, self._near_label):
            label.setMinimumWidth(1)  # a long word would push the faces from below the mouse
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
        self.shown = tile.id if tile else None
        self._face.show_seen(tile.seen if tile else None)
        self._face.setVisible(tile is not None)
        box = QRect(*tile.seen.region.box) if tile else None
        self._frame.show_seen(whole(tile.seen) if tile else None, box)
        self._frame.setVisible(tile is not None and not _is_whole(tile.seen))
        nothing = self.tr("Point at a face to see it enlarged, with its source.")
        self._about.setText(self._words(tile) if tile else nothing)
        self.show_proposals(())
        self.show_neighbours(())

    def _words(self, tile: SampleTile) -> str:
        text = self.tr("{w} x {h} px of {width} x {height} px")
        if _is_whole(tile.seen):
            text = self.tr("{width} x {height} px")
        box = tile.seen.region.box
        size = text.format(
            w=box.width, h=box.height, width=tile.seen.width, height=tile.seen.height
        )
        title = tile.title or ""  # it may go on in another line after each few letters
        starts = range(0, len(title), UNBROKEN_LETTERS)
        title = "\u200b".join(title[at : at + UNBROKEN_LETTERS] for at in starts)
        return "\n".join(part for part in (title, tile.label, size) if part)

    def show_proposals(self, top: Sequence[tuple[str, str, float]]) -> None:
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


def _is_whole(seen: SampleRegion) -> bool:
    box = seen.region.box
    return (box.width, box.height) == (seen.width, seen.height)
