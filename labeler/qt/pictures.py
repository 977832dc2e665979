"""Whole pictures for widgets: decoded on a thread, no larger than a screen."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from PySide6.QtCore import QObject, QPoint, QRect, Qt, QTimer, Signal
from PySide6.QtGui import QImage, QPainter, QPixmap

from gleanset import Dataset
from gleanset.db.regions import SampleRegion
from gleanset.errors import Unreadable
from gleanset.platform import lower_thread_priority
from gleanset.records import Region
from labeler.qt.session_worker import SessionWorker
from labeler.sorting.sample_images import SIDES, ThumbnailCache

if TYPE_CHECKING:
    from PIL import Image

THREADS = 2
MOST_BYTES = 64_000_000
MOST_WAITING = 600
"""So many thumbnails are asked for at once; older requests were scrolled away."""

AGAIN_MS = 5000
"""After so long what could not be read is tried again, where it is still in sight."""

Name = tuple[str, Region, int]


class FittedPictures(Protocol):
    """Where pictures come from; used by several threads at once."""

    def fitted(self, seen: SampleRegion, side: int) -> Image.Image:
        """Return a region with a longer side of so many pixels. Raises `Unreadable`."""


class BrokenThumbnail(NamedTuple):
    """A picture that cannot be shown, and why."""

    reason: str
    known_at: float = 0.0


class ThumbnailLoader(QObject):
    """`get` gives what is there and asks for what is not; `ready` (key) tells when it came."""

    ready = Signal(str)
    _made = Signal(object, object)

    def __init__(self, thumbs: FittedPictures) -> None:
        super().__init__()
        self._thumbs = thumbs
        self._kept: OrderedDict[Name, QPixmap | BrokenThumbnail] = OrderedDict()
        self._sides: dict[tuple[str, Region], set[int]] = {}
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
    def of(cls, dataset: Dataset) -> ThumbnailLoader:
        """Make one for the pictures of a dataset."""
        cache = dataset.cache
        return cls(ThumbnailCache(cache, dataset.originals(cache), dataset.crops(cache)))

    @property
    def waiting(self) -> int:
        """How many thumbnails are still to come."""
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
        if isinstance(picture, BrokenThumbnail) and _is_old(picture):
            self._want(name, seen)
        return picture

    def _another_size(self, seen: SampleRegion) -> QPixmap | BrokenThumbnail | None:
        """Return a smaller or larger one meanwhile, so that zooming does not flash."""
        sides = self._sides.get((seen.key, seen.region))
        return self._kept[seen.key, seen.region, next(iter(sides))] if sides else None

    def _want(self, name: Name, seen: SampleRegion) -> None:
        with self._more:
            if name in self._under_way:
                return
            self._wanted[name] = seen
            self._wanted.move_to_end(name)
            while len(self._wanted) > MOST_WAITING:
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
        self._sides.setdefault(name[:2], set()).add(name[2])
        self._bytes += _size(kept)
        while self._bytes > MOST_BYTES and len(self._kept) > 1:
            self._forget_oldest()
        self.ready.emit(name[0])
        if isinstance(made, BrokenThumbnail):
            # A disk may be there again, and a file mended: who shows it asks anew.
            QTimer.singleShot(AGAIN_MS, self, lambda: self.ready.emit(name[0]))

    def _forget_oldest(self) -> None:
        name, kept = self._kept.popitem(last=False)
        self._bytes -= _size(kept)
        sides = self._sides[name[:2]]
        sides.discard(name[2])
        if not sides:
            del self._sides[name[:2]]

    def close(self) -> None:
        """End the threads; what is not begun is dropped."""
        with self._more:
            self._ended = True
            self._wanted.clear()
            self._more.notify_all()
        for thread in self._threads:
            thread.join()
        self._kept.clear()
        self._sides.clear()
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


def _is_old(broken: BrokenThumbnail) -> bool:
    return (time.monotonic() - broken.known_at) * 1000 >= AGAIN_MS


def _size(kept: QPixmap | BrokenThumbnail) -> int:
    return kept.width() * kept.height() * 4 if isinstance(kept, QPixmap) else 100


LARGEST = 2048
"""Pixels of the longer side that are shown at most."""


def load(path: Path) -> QImage | str:
    """Return the pixels of a file, not larger than a screen; or why there are none."""
    # What reads pictures takes a while to load, and no view begins with a whole one.
    from gleanset.images.decode import decode

    try:
        picture = decode(path.read_bytes(), at_least=LARGEST).pixels
    except OSError as error:
        return f"⚠ {error.strerror}"
    except Unreadable as error:
        return f"⚠ {error.reason}"
    picture.thumbnail((LARGEST, LARGEST))
    return as_image(picture)


class PictureLoader(QObject):
    """`loaded` (path, image or why there is none) answers the last `ask`; no other one."""

    loaded = Signal(object, object)

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__(worker)
        self._wanted: Path | None = None
        self._task = worker.task()
        self._task.done.connect(self._done)

    @property
    def busy(self) -> bool:
        """Whether a picture is still to come."""
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
