"""The content-addressed store: a file is known by its name, stored once, never changed.

`images/3f/3f9a….jpg` are originals named by the SHA-256 of their bytes, `crops/3f/…` are
cut faces named by their sample. Writing what is there already costs nothing, so a killed
run can simply be started again. Workers may write here side by side.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from gleanset.files.atomic import write_atomic

EXTENSIONS = {
    "JPEG": "jpg", "PNG": "png", "GIF": "gif", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif",
    "AVIF": "avif",
}  # fmt: skip


def sha256_of(data: bytes) -> str:
    """The SHA-256 of some bytes, lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """The same of a file; memory stays flat. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """One folder of files known by name. `scratch` is a folder on the same disk."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self.root = root
        self.scratch = scratch

    def path(self, name: str, kind: str) -> Path:
        """Where the file called `name` (hex) of that image format lies, or would lie."""
        return self.root / name[:2] / f"{name}.{EXTENSIONS[kind]}"

    def put(self, name: str, kind: str, data: bytes) -> Path:
        """Store bytes under a name; nothing is written when they are there already."""
        path = self.path(name, kind)
        if not self.has(path, len(data)):
            write_atomic(path, data, scratch=self.scratch)
        return path

    @staticmethod
    def has(path: Path, size: int) -> bool:
        """Whether a file of that size is there: names come from content, so it is the file."""
        try:
            return path.stat().st_size == size
        except FileNotFoundError:
            return False
