"""What a worker does with a new picture: measure it and stage its bytes for the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gleanset.errors import Unreadable
from gleanset.files.store import Store
from gleanset.records import Measured


def measured(data: bytes) -> Measured:
    """Return what one decoding pass tells of a picture. Raises `Unreadable`."""
    # What that needs takes a third of a start-up to load: meanwhile the first pictures come.
    from gleanset.images.measure import measure

    return measure(data)


@dataclass(frozen=True, slots=True)
class StageBytes:
    """Measure bytes and stage them. Small and picklable: it goes to workers."""

    store: Store

    def __call__(self, data: bytes) -> Measured:
        """Raises `Unreadable` for anything that is not a whole picture we take."""
        picture = measured(data)
        self.store.stage(picture.sha256, picture.format, data)
        return picture


@dataclass(frozen=True, slots=True)
class StageFile:
    """The same for a file on disk."""

    keep: StageBytes

    def __call__(self, path: Path) -> Measured:
        """Raises `Unreadable`, also where the file cannot be read or is no ordinary file."""
        return self.keep(self.read(path))

    @staticmethod
    def read(path: Path) -> bytes:
        """Return the bytes of a file that may be a picture. Raises `Unreadable`."""
        from gleanset.images.decode import MAX_BYTES

        try:
            if path.is_dir():
                raise Unreadable("cannot be read", "a folder that may not be listed")
            if not path.is_file():
                raise Unreadable("not a file", "a device, a pipe or a broken link")
            if (size := path.stat().st_size) > MAX_BYTES:
                raise Unreadable("too large", f"{size} bytes, at most {MAX_BYTES}")
            return path.read_bytes()
        except OSError as error:
            raise Unreadable("cannot be read", str(error.strerror)) from error
