"""A bounded folder of bytes by their SHA-256, shared by all processes of this machine.

What lies there is looked at again whenever it is read, so a file that a power cut spoilt is no
trouble. Above the bound those go that were not read for longest; a file that goes while somebody
reads it is simply fetched again.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock

from gleanset.files.store import sha256_of
from gleanset.platform import replace_file

_KEPT = 0.9
"""So much of the bound is left when room is made: it takes a look at every file."""


def cache_folder() -> Path:
    """Return where this machine keeps what it fetched from buckets."""
    return Path(platformdirs.user_cache_dir("gleanset")) / "buckets"


@dataclass(frozen=True, slots=True)
class ContentCache:
    """At most `most` bytes in `folder`, that of this machine where none is given; picklable."""

    most: int
    folder: Path | None = None

    @property
    def root(self) -> Path:
        """Where its files lie."""
        return self.folder or cache_folder()

    def get(self, sha256: str) -> bytes | None:
        """Return the bytes of that hash, where they are here."""
        path = self._path(sha256)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if sha256_of(data) != sha256:
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)
        return data

    def put(self, sha256: str, data: bytes) -> None:
        """Keep bytes. Those that are larger than a tenth of the bound are not, nor is anything
        where nothing can be written.
        """
        if len(data) > self.most // 10:
            return
        path = self._path(sha256)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / "lock"):
                if path.exists():
                    return
                held = self._held()
                if held + len(data) > self.most:
                    held = self._make_room(int(self.most * _KEPT) - len(data))
                partial = path.with_name(f".{secrets.token_hex(8)}")
                try:
                    partial.write_bytes(data)
                    replace_file(partial, path)
                finally:
                    partial.unlink(missing_ok=True)
                (self.root / "held").write_text(str(held + len(data)))

    def forget(self, sha256: str) -> None:
        """Remove the bytes of that hash."""
        with suppress(OSError):
            self._path(sha256).unlink(missing_ok=True)

    def _path(self, sha256: str) -> Path:
        return self.root / sha256[:2] / sha256

    def _held(self) -> int:
        try:
            return int((self.root / "held").read_text())
        except (OSError, ValueError):
            return self._make_room(self.most)

    def _make_room(self, most: int) -> int:
        """Remove what was not read for longest until at most so many bytes are left; how many."""
        files: list[tuple[float, int, str]] = []
        for folder in self.root.glob("??"):
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(OSError):
                        facts = entry.stat()
                        files.append((facts.st_mtime, facts.st_size, entry.path))
        held = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if held <= most:
                break
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108 - a hundred thousand of them
                held -= size
        return held
