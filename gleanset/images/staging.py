"""Tasks of workers for a new image: measure it and stage its bytes for the store."""

from dataclasses import dataclass
from pathlib import Path

from gleanset.errors import Unreadable
from gleanset.files.store import Store
from gleanset.records import Measured


@dataclass(frozen=True)
class StageBytes:
    """Callable that measures bytes and stages them; picklable, for workers."""

    store: Store

    def __call__(self, data: bytes) -> Measured:
        """Return the measures. Raises `Unreadable` if not an intact, supported image."""
        # Imported here: it takes a third of the start-up time, while the first images download.
        from gleanset.images.measure import measure

        image = measure(data)
        self.store.stage(image.sha256, image.format, data)
        return image


def read_image_file(path: Path) -> bytes:
    """Return the bytes of a file that may be an image. Raises `Unreadable`."""
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
