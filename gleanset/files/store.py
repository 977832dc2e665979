"""The content-addressed store: each original is stored once and never changed.

`images/3f/3f9a….jpg` are originals named by the SHA-256 of their bytes, `crops/3f/…` are face
crops named by the key of their sample. Workers stage originals in the scratch folder of their
stage; the one process that writes rows publishes each file in the transaction that writes its row.
A file is removed only in a transaction that found no row for it, so no process can remove a file
that a row refers to or is about to refer to.
"""

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

from gleanset.errors import Unreadable
from gleanset.files.atomic import disk_errors, move_file, write_atomic
from gleanset.platform import sync_folder

EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "GIF": "gif",
    "WEBP": "webp",
    "BMP": "bmp",
    "TIFF": "tif",
    "AVIF": "avif",
    "HEIF": "heic",
}

QUARANTINE = "damaged"
"""Folder for damaged files, next to the store: parts of an image may still be usable."""

_STORED_NAME = re.compile(r"([0-9a-f]{2})/\1(?:[0-9a-f]{30}|[0-9a-f]{62})\.[a-z]+")
"""A file in its folder: a SHA-256, or the key of a sample with 32 digits."""
_MAX_CONCURRENT_SYNCS = 6


def hash_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes as lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, read in chunks. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Reasons why the file of a catalogued image is not available; the second may be temporary.
FILE_GONE = "file is gone"
FILE_UNREADABLE = "cannot be read"


def read_original(file: Path) -> bytes:
    """Return the bytes of a file. Raises `Unreadable` with `FILE_GONE` or `FILE_UNREADABLE`."""
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise Unreadable(FILE_GONE, str(error)) from error
    except OSError as error:
        raise Unreadable(FILE_UNREADABLE, str(error)) from error


class Store:
    """A folder of files addressed by name. `scratch` is a folder on the same disk."""

    def __init__(self, root: Path, scratch: Path):
        self.root = root
        self.scratch = scratch
        self._unsynced: set[Path] | None = None

    def path(self, name: str, kind: str) -> Path:
        """Return the path for a `name` (hex) and image format."""
        return self.root / name[:2] / f"{name}.{EXTENSIONS[kind]}"

    def staged_path(self, name: str, kind: str) -> Path:
        """Return the scratch path of a file without a row."""
        return self.scratch / f"{name}.{EXTENSIONS[kind]}"

    def stage(self, name: str, kind: str, data: bytes) -> None:
        """Write bytes to the scratch folder, from any worker; `publish` stores them."""
        path = self.staged_path(name, kind)
        if self.has_file(path, len(data)):
            return

        # The name need not survive a power cut: a new run empties the scratch folder.
        write_atomic(path, data, sync_name=False)
        # Create folders here, in parallel: the publishing process would do it one by one.
        with disk_errors(path):
            self.path(name, kind).parent.mkdir(parents=True, exist_ok=True)

    def publish(self, name: str, kind: str, size: int) -> None:
        """Move a staged file into the store. Raises `Unreadable`."""
        path = self.path(name, kind)
        staged_file = self.staged_path(name, kind)
        if self.has_file(path, size):
            staged_file.unlink(missing_ok=True)
            return
        if not staged_file.exists():
            raise Unreadable(FILE_UNREADABLE, "its file was removed during the import")

        with self.sync_once() as folders:
            move_file(staged_file, path)
            folders.add(path.parent)

    @contextmanager
    def sync_once(self) -> Iterator[set[Path]]:
        """Sync each folder published to within the block once, at its end.

        Yields the set of folders. Nested blocks leave the sync to the outermost one. The block must
        end before the transaction around it: then no row lacks its file, even after a power cut.
        """
        if self._unsynced is not None:
            yield self._unsynced
            return

        folders = set[Path]()
        self._unsynced = folders
        try:
            yield folders
            if len(folders) == 1:
                _sync(*folders)
            elif folders:
                # Concurrent syncs are merged by the disk: a tenth of the time of successive ones.
                list(_sync_threads().map(_sync, folders))
        finally:
            self._unsynced = None

    def discard(self, name: str, kind: str) -> None:
        """Remove a staged file that will not get a row."""
        self.staged_path(name, kind).unlink(missing_ok=True)

    def put(self, name: str, kind: str, data: bytes) -> Path:
        """Store bytes if missing, in their row's transaction, and return the path."""
        path = self.path(name, kind)
        if not self.has_file(path, len(data)):
            write_atomic(path, data, scratch=self.scratch)
        return path

    def overwrite(self, name: str, data: bytes) -> None:
        """Store a JPEG, replacing any of that name (for crops)."""
        write_atomic(
            self.path(name, "JPEG"),
            data,
            scratch=self.scratch,
        )

    def compute_hash(self, name: str, kind: str) -> str | None:
        """Return the SHA-256 of a stored file; None if missing. Raises `OSError`."""
        try:
            return hash_file(self.path(name, kind))
        except FileNotFoundError:
            return None

    def quarantine(self, file: Path) -> None:
        """Quarantine a file in the folder `QUARANTINE`, without overwriting anything there."""
        if not file.exists():
            return
        folder = self.root.parent / QUARANTINE
        target = folder / file.name
        numbers = count(1)
        while target.exists():
            target = folder / f"{file.stem}-{next(numbers)}{file.suffix}"
        move_file(file, target)

    def find_quarantined(self, name: str) -> Iterator[Path]:
        """Yield quarantined files of a name; some are intact."""
        return (self.root.parent / QUARANTINE).glob(f"{name}*")

    def list_names(self, start: str) -> set[str]:
        """Return the stored names that begin with `start`, two hex digits."""
        # Files are in folders by the first two digits.
        return {path.stem for path in self.root.glob(f"{start}/*")}

    def remove_files(self, name: str) -> None:
        """Remove the files whose name begins with `name`, also quarantined ones."""
        stored_files = (self.root / name[:2]).glob(f"{name}*")
        for file in (*stored_files, *self.find_quarantined(name)):
            file.unlink(missing_ok=True)

    def iter_files(self) -> Iterator[tuple[Path, int, float]]:
        """Yield stored files with size (bytes) and modification time (seconds).

        A folder of the same name may have been there before: files with other names are not ours.
        """
        for path in self.root.glob("*/*"):
            if _STORED_NAME.fullmatch("/".join(path.parts[-2:])) and path.is_file():
                stat = path.stat()
                yield path, stat.st_size, stat.st_mtime

    @staticmethod
    def has_file(path: Path, size: int) -> bool:
        """Return whether a file of that size exists."""
        try:
            return path.stat().st_size == size
        except FileNotFoundError:
            return False


@cache
def _sync_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_MAX_CONCURRENT_SYNCS)


def _sync(folder: Path) -> None:
    with disk_errors(folder):
        sync_folder(folder)
