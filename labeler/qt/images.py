"""Thumbnails and images, decoded on threads; the details panel on the right."""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPoint, QRect, QSize, Qt, Signal
from PySide6.QtGui import QGuiApplication, QImage, QPainter, QPaintEvent, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from gleanset import Dataset
from gleanset.db.regions import SampleRegion
from gleanset.db.sorting import SampleTile
from gleanset.errors import Unreadable
from gleanset.platform import lower_thread_priority
from gleanset.records import Region
from labeler.qt import theme
from labeler.qt.translations import target_name, tr
from labeler.qt.widgets import column_layout, plain_label, row_layout, timer
from labeler.sorting.sample_images import THUMBNAIL_SIDES, ThumbnailCache, whole_image

if TYPE_CHECKING:
    from PIL import Image


THREAD_COUNT = 2
MIN_CACHE_BYTES = 32_000_000
CACHED_SCREENS = 3
"""An image that fills a tile may be twice as large as it; one more to scroll back."""
MAX_WAITING = 600
"""Requests that wait; older ones are dropped, and made again when their tile is painted."""
ThumbnailKey = tuple[str, Region, int]
"""Sample key, region and side in pixels."""


def _find_cache_limit() -> int:
    """Return the bytes of `CACHED_SCREENS` of the largest screen, 4 for each pixel."""
    sizes = [
        screen.size() * screen.devicePixelRatio()
        for screen in QGuiApplication.screens()
    ]
    limits = [4 * CACHED_SCREENS * size.width() * size.height() for size in sizes]
    return max([MIN_CACHE_BYTES, *limits])


class ThumbnailLoader(QObject):
    """Cache of thumbnails, or of texts why one cannot be shown; `ready` (sample key) after each.

    They are loaded on threads.
    """

    ready = Signal(str)
    _loaded = Signal(object, object)

    def __init__(self, dataset: Dataset):
        super().__init__()
        cache = dataset.cache
        self._files = ThumbnailCache(
            cache, dataset.originals(cache), dataset.crops(cache)
        )
        self._cache: OrderedDict[ThumbnailKey, QPixmap | str] = OrderedDict()
        self._last_keys: dict[tuple[str, Region], ThumbnailKey] = {}
        """For each region, the key of the size that was loaded last."""
        self._bytes = 0
        self._max_bytes = _find_cache_limit()
        self._requests: OrderedDict[ThumbnailKey, SampleRegion] = OrderedDict()
        self._loading: set[ThumbnailKey] = set()
        self._lock = threading.Lock()
        self._ended = False
        self._loaded.connect(self._store, Qt.ConnectionType.QueuedConnection)
        self._pool = ThreadPoolExecutor(THREAD_COUNT, "thumbs", lower_thread_priority)

    def get(
        self, region: SampleRegion, side: float, ratio: float = 1.0
    ) -> QPixmap | str | None:
        """Return the thumbnail for a tile of `side` logical pixels; request it if it is None."""
        key = (
            region.key,
            region.region,
            min(max(1, round(side * ratio)), THUMBNAIL_SIDES[-1]),
        )

        thumbnail = self._cache.get(key)
        if thumbnail is None:
            self._request(key, region)
        else:
            self._cache.move_to_end(key)

        return thumbnail

    def get_any(self, region: SampleRegion) -> QPixmap | str | None:
        """Return the thumbnail of a region that was loaded last, of any size; None for none."""
        key = self._last_keys.get((region.key, region.region))
        return None if key is None else self._cache.get(key)

    def _request(self, key: ThumbnailKey, region: SampleRegion) -> None:
        with self._lock:
            if key in self._loading or self._ended:
                return
            # One job for each request; at its start it takes the latest one, not necessarily this.
            if key not in self._requests:
                self._pool.submit(self._load_latest)
            self._requests[key] = region
            self._requests.move_to_end(key)
            if len(self._requests) > MAX_WAITING:
                self._requests.popitem(last=False)

    def _load_latest(self) -> None:
        # The latest request first: it is on the screen now.
        with self._lock:
            if not self._requests:  # it was dropped
                return
            key, region = self._requests.popitem()
            self._loading.add(key)

        try:
            thumbnail: QImage | str = to_qimage(self._files.fit(region, key[2]))
        except Unreadable as error:
            thumbnail = f"⚠ {error.reason}"
        except Exception as error:  # whatever it is, only this tile shows it
            thumbnail = f"⚠ {error}"

        with suppress(RuntimeError):
            self._loaded.emit(key, thumbnail)

    def _store(self, key: ThumbnailKey, loaded: QImage | str) -> None:
        thumbnail = QPixmap.fromImage(loaded) if isinstance(loaded, QImage) else loaded
        self._loading.discard(key)
        if (before := self._cache.pop(key, None)) is not None:
            self._bytes -= _byte_size(before)
        self._cache[key] = thumbnail
        self._last_keys[key[:2]] = key
        self._bytes += _byte_size(thumbnail)
        # The least recently used go first. One that is larger than the limit stays.
        while self._bytes > self._max_bytes and len(self._cache) > 1:
            oldest, dropped = self._cache.popitem(last=False)
            # Another size of the region may be newer.
            if self._last_keys.get(oldest[:2]) == oldest:
                del self._last_keys[oldest[:2]]
            self._bytes -= _byte_size(dropped)

        self.ready.emit(key[0])

    def close(self) -> None:
        """End the threads and drop all requests."""
        with self._lock:
            self._ended = True
            self._requests.clear()
        self._pool.shutdown(cancel_futures=True)
        self._cache.clear()


def draw_fitted(painter: QPainter, area: QRect, image: QPixmap | str | None) -> QRect:
    """Draw an image as large as it fits, or text in its place; return the rectangle."""
    if isinstance(image, QPixmap):
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        rect = QRect(
            QPoint(),
            image.size().scaled(area.size(), Qt.AspectRatioMode.KeepAspectRatio),
        )

        rect.moveCenter(area.center())
        painter.drawPixmap(rect, image)
        return rect

    painter.drawText(
        area.adjusted(4, 4, -4, -4),
        Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap,
        image or "",
    )
    return area


def to_qimage(pixels: "Image.Image") -> QImage:
    """Convert an RGB image to the format that Qt paints."""
    data = pixels.tobytes()
    width, height = pixels.size
    image = QImage(
        data,
        width,
        height,
        3 * width,
        QImage.Format.Format_RGB888,
    )
    # This also copies the pixels: until then, the image uses the memory of `data`.
    return image.convertToFormat(QImage.Format.Format_RGB32)


def _byte_size(thumbnail: QPixmap | str) -> int:
    return (
        100
        if isinstance(thumbnail, str)
        else thumbnail.width() * thumbnail.height() * 4
    )


MAX_LOADED_SIDE = 2048
LoadedImage = tuple[Path, QImage | str]
"""A path, and its image or the reason why it cannot be read."""


def load(path: Path) -> LoadedImage:
    """Return an image no larger than a screen, or the reason why it cannot be read."""
    # Slow to import, and no view starts with an image.
    from gleanset.images.decode import (
        decode,
    )

    try:
        pixels = decode(path.read_bytes(), min_side=MAX_LOADED_SIDE).pixels
    except OSError as error:
        return path, f"⚠ {error.strerror}"
    except Unreadable as error:
        return path, f"⚠ {error.reason}"

    pixels.thumbnail((MAX_LOADED_SIDE, MAX_LOADED_SIDE))
    return path, to_qimage(pixels)


HOVER_MS = 150
SQUARE = 1.0
WIDE = 0.5625
MAX_IMAGE_HEIGHT = 512


class SampleImage(QWidget):
    """One region of an image, with an optional box; `shape` is the height per width."""

    def __init__(self, thumbs: ThumbnailLoader, shape: float, name: str):
        super().__init__()
        self._thumbs = thumbs
        self._shape = shape
        self._region: SampleRegion | None = None
        self._box: QRect | None = None
        self.setAccessibleName(name)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        thumbs.ready.connect(self._on_thumbnail_ready)

    def heightForWidth(self, width: int) -> int:
        return min(round(width * self._shape), MAX_IMAGE_HEIGHT)

    def sizeHint(self) -> QSize:
        return QSize(48, self.heightForWidth(48))

    def show_region(
        self, region: SampleRegion | None, box: QRect | None = None
    ) -> None:
        """Show a region of an image, or hide for None; `box` is in pixels of the image."""
        self._region = region
        self._box = box
        self.setVisible(region is not None)
        self.update()

    def _on_thumbnail_ready(self, key: str) -> None:
        if self._region is not None and self._region.key == key:
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._region is None:
            return
        painter = QPainter(self)
        thumbnail = self._thumbs.get(
            self._region,
            max(self.width(), self.height()),
            self.devicePixelRatioF(),
        )
        rect = draw_fitted(painter, self.rect(), thumbnail)
        # Else it is being loaded, or a text that says why it cannot be shown.
        if not isinstance(thumbnail, QPixmap):
            return

        theme.round_corners(
            painter,
            rect,
            theme.colour(theme.Role.Window),
            theme.CONTROL_RADIUS,
        )
        if self._box is not None:
            # In pixels of the region that is shown.
            scale = rect.width() / max(1, self._region.region.box.width)
            box = QRect(
                self._box.topLeft() * scale,
                self._box.bottomRight() * scale,
            )
            theme.draw_box(
                painter,
                box.translated(rect.topLeft()),
                2,
                rect,
            )


class DetailPanel(QWidget):
    """Shows the face that is pointed at, after a short delay so that sweeping does not flicker."""

    def __init__(self, thumbs: ThumbnailLoader):
        super().__init__()
        self._face = SampleImage(thumbs, SQUARE, tr("Enlarged face"))
        self._frame = SampleImage(thumbs, WIDE, tr("Full image"))
        self._about = plain_label(style="muted")
        self._suggestions = plain_label()
        name = tr("Similar labelled face")
        self._neighbours = [SampleImage(thumbs, SQUARE, name) for _ in range(4)]
        self._neighbours_label = plain_label(tr("Most similar with a label"), "caption")
        neighbours = row_layout(*self._neighbours)
        neighbours.setSpacing(theme.SPACE_S)
        self.setLayout(
            column_layout(
                self._face,
                self._frame,
                self._about,
                self._suggestions,
                self._neighbours_label,
                neighbours,
                None,
                margins=(theme.SPACE_S, theme.SPACE_M, theme.SPACE_L, theme.SPACE_M),
                spacing=theme.SPACE_M,
            )
        )

        self._show_pending: Callable[[], None] = lambda: None
        self.shown_id: int | None = None
        self._timer = timer(
            self,
            lambda: self._show_pending(),
            HOVER_MS,
        )
        self.show_tile(None)

    def point(
        self,
        tile: SampleTile | None,
        ask_neighbours: Callable[[], object] = lambda: None,
    ) -> None:
        """Show a tile after the delay, then call `ask_neighbours`."""

        def show() -> None:
            self.show_tile(tile)
            ask_neighbours()

        self._show_pending = show
        self._timer.start()

    def show_tile(self, tile: SampleTile | None) -> None:
        self.shown_id = tile.id if tile else None
        self._face.show_region(tile.region if tile else None)
        # The full image is only shown for a sample that is a part of it.
        framed = tile.region if tile and not _is_whole(tile.region) else None
        box = QRect(*framed.region.box) if framed else None
        self._frame.show_region(
            whole_image(framed) if framed else None,
            box,
        )
        self._about.setText(
            self._describe(tile)
            if tile
            else tr("Point at a face to see it enlarged, with its source.")
        )

        self.show_suggestions(())
        self.show_neighbours(())

    def _describe(self, tile: SampleTile) -> str:
        box = tile.region.region.box
        size = tr(
            "{width} x {height} px"
            if _is_whole(tile.region)
            else "{w} x {h} px of {width} x {height} px",
            w=box.width,
            h=box.height,
            width=tile.region.width,
            height=tile.region.height,
        )

        # Zero-width spaces let a long file name wrap.
        title = re.sub(".{8}", "\\g<0>\u200b", tile.title or "")
        place = "rejected" if tile.status == "rejected" else tile.mark or ""
        return "\n".join(
            part for part in (title, tile.label or target_name(place), size) if part
        )

    def show_suggestions(self, top: Sequence[tuple[str, str, float]]) -> None:
        """Show suggested classes: key, label and confidence of each."""
        self._suggestions.setText(
            "\n".join(
                f"{key or '·'}  {label}  {round(confidence * 100)} %"
                for key, label, confidence in top
            )
        )

    def show_neighbours(
        self, tiles: Sequence[SampleTile], sample: int | None = None
    ) -> None:
        """Show the nearest labelled samples, if the sample `sample` is still shown."""
        if sample is not None and sample != self.shown_id:
            return
        self._neighbours_label.setVisible(bool(tiles))
        for number, image in enumerate(self._neighbours):
            image.show_region(tiles[number].region if number < len(tiles) else None)


def _is_whole(region: SampleRegion) -> bool:
    box = region.region.box
    return (box.width, box.height) == (region.width, region.height)
