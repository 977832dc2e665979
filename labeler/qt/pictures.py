"""Whole pictures for widgets: decoded on a thread, no larger than a screen."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from gleanset.errors import Unreadable
from gleanset.files.store import PictureFile
from labeler.qt.session_worker import SessionWorker

LARGEST = 2048
"""Pixels of the longer side that are shown at most."""


def load(path: PictureFile) -> QImage | str:
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
    pixels, (width, height) = picture.tobytes(), picture.size
    image = QImage(pixels, width, height, 3 * width, QImage.Format.Format_RGB888)
    return image.convertToFormat(QImage.Format.Format_RGB32)


class PictureLoader(QObject):
    """`loaded` (path, image or why there is none) answers the last `ask`; no other one."""

    loaded = Signal(object, object)

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__(worker)
        self._wanted: PictureFile | None = None
        self._task = worker.task()
        self._task.done.connect(self._done)

    @property
    def busy(self) -> bool:
        """Whether a picture is still to come."""
        return self._task.busy

    def ask(self, path: PictureFile) -> None:
        """Load a picture, instead of the one that was asked for before."""
        self._wanted = path
        self._task.start(lambda dataset, progress: (path, load(path)))

    def _done(self, answer: tuple[PictureFile, QImage | str]) -> None:
        path, image = answer
        if path == self._wanted:
            self.loaded.emit(path, image)
        elif self._wanted is not None:
            self.ask(self._wanted)
