"""The content-addressed store: a file is known by its name, stored once, never changed.

`images/3f/3f9a….jpg` are originals named by the SHA-256 of their bytes, `crops/3f/…` are
cut faces named by their sample. Workers stage originals in the scratch folder of their stage;
the one process that writes rows publishes each in the transaction that writes its row, and a
file is removed only in a transaction that saw no row of it. So nothing that a row refers to, or
is about to refer to, can be removed by somebody else, in whatever process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
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
    "JXL": "jxl",
}

ASIDE = "damaged"
"""Where damaged files are kept, beside the store: what is left of a picture may be of use."""

# Folders synced at a time.
_SYNCS = 6


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of some bytes, lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Return the same of a file; memory stays flat. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


GONE, UNREADABLE = "file is gone", "cannot be read"
"""Why there are no bytes of a picture that the catalogue has; the second may pass."""


def bytes_of(file: Path) -> bytes:
    """Return the bytes of a file. Raises `Unreadable`: it is `GONE`, or `UNREADABLE` now."""
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise Unreadable(GONE, str(error)) from error
    except OSError as error:
        raise Unreadable(UNREADABLE, str(error)) from error


class Store:
    """One folder of files known by name. `scratch` is a folder on the same disk."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self.scratch = scratch
        self._unsynced: set[Path] | None = None

    def path(self, name: str, kind: str) -> Path:
        """Return where the file called `name` (hex) of that image format lies, or would lie."""
        return self.root / name[:2] / f"{name}.{EXTENSIONS[kind]}"

    def staged(self, name: str, kind: str) -> Path:
        """Return where that file waits for its row."""
        return self.scratch / f"{name}.{EXTENSIONS[kind]}"

    def stage(self, name: str, kind: str, data: bytes) -> None:
        """Write bytes to the scratch folder, from any worker; `publish` stores them."""
        path = self.staged(name, kind)
        if not self.has(path, len(data)):
            # Its name here need not survive a power cut: a new run empties the scratch folder.
            write_atomic(path, data, sync_name=False)
            # Made here, side by side: the one who publishes would make them one after the other.
            with disk_errors(path):
                self.path(name, kind).parent.mkdir(parents=True, exist_ok=True)

    def publish(self, name: str, kind: str, size: int) -> None:
        """Move a staged file to its place, in the transaction of its row. Raises `Unreadable`."""
        path, staged = self.path(name, kind), self.staged(name, kind)
        if self.has(path, size):
            staged.unlink(missing_ok=True)
            return
        if not staged.exists():
            raise Unreadable(UNREADABLE, "its file was removed while it was taken in")
        with self.syncing_once() as folders:
            move_file(staged, path)
            folders.add(path.parent)

    @contextmanager
    def syncing_once(self) -> Iterator[set[Path]]:
        """Sync the folders of everything published within at the end, each of them once.

        Gives the folders. Where it stands around itself, the outermost one syncs. It ends before
        the transaction around it does: no row without its file, also after a power cut.
        """
        if self._unsynced is not None:
            yield self._unsynced
            return
        folders = self._unsynced = set()
        try:
            yield folders
            if len(folders) == 1:
                _sync(*folders)
            elif folders:
                # The disk answers what waits at the same time at once: a tenth of the time in a
                # row.
                list(_sync_threads().map(_sync, folders))
        finally:
            self._unsynced = None

    def discard(self, name: str, kind: str) -> None:
        """Remove a staged file that gets no row."""
        self.staged(name, kind).unlink(missing_ok=True)

    def read(self, name: str, kind: str) -> bytes:
        """Return the bytes of a file, staged or stored. Raises `OSError`."""
        try:
            return self.staged(name, kind).read_bytes()
        except FileNotFoundError:
            return self.path(name, kind).read_bytes()

    def put(self, name: str, kind: str, data: bytes) -> Path:
        """Store bytes if missing, in the transaction of their row; their path."""
        path = self.path(name, kind)
        if not self.has(path, len(data)):
            write_atomic(path, data, scratch=self.scratch)
        return path

    def overwrite(self, name: str, kind: str, data: bytes) -> None:
        """Store bytes in the place of whatever has that name: crops are cut anew."""
        write_atomic(self.path(name, kind), data, scratch=self.scratch)

    def hash_of(self, name: str, kind: str) -> str | None:
        """Return the SHA-256 of what is stored under a name; None for none. Raises `OSError`."""
        try:
            return sha256_of_file(self.path(name, kind))
        except FileNotFoundError:
            return None

    def put_aside(self, file: Path) -> None:
        """Move a file to the folder `ASIDE`; nothing there is overwritten."""
        folder, names = self.root.parent / ASIDE, count(1)
        target = folder / file.name
        while target.exists():
            target = folder / f"{file.stem}-{next(names)}{file.suffix}"
        if file.exists():
            move_file(file, target)

    def put_aside_before(self, name: str) -> Iterator[bytes]:
        """Yield what was put aside of a name: some of it may be sound after all."""
        for path in (self.root.parent / ASIDE).glob(f"{name}*"):
            yield path.read_bytes()

    def names_from(self, start: str) -> set[str]:
        """Return the names that begin with two digits."""
        folder = self.root / start
        return {path.stem for path in folder.iterdir()} if folder.is_dir() else set()

    def named(self, name: str) -> Sequence[Path]:
        """Return what is stored under a name, in whatever format."""
        return list((self.root / name[:2]).glob(f"{name}.*"))

    def each(self) -> Iterator[tuple[Path, int, float]]:
        """Yield everything stored, with its bytes and when it was written (seconds)."""
        for path in self.root.glob("*/*"):
            if path.is_file():
                told = path.stat()
                yield path, told.st_size, told.st_mtime

    @staticmethod
    def has(path: Path, size: int) -> bool:
        """Return whether a file has that size: names come from content, so it is the file."""
        try:
            return path.stat().st_size == size
        except FileNotFoundError:
            return False


@cache
def _sync_threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_SYNCS)


def _sync(folder: Path) -> None:
    with disk_errors(folder):
        sync_folder(folder)
