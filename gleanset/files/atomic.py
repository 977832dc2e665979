"""Atomic file writes: write to a temporary file, fsync, rename."""

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gleanset.errors import DiskFull, NotWritable
from gleanset.platform import replace_file, sync_folder

PARTIAL_PREFIX = ".partial-"


def write_atomic(
    path: Path, data: bytes, *, scratch: Path | None = None, sync_name: bool = True
) -> None:
    """Write `data` atomically: readers see the old file or the new.

    The temporary file is in `scratch`, a folder on the same disk (default: that of the target).
    Without `sync_name` the bytes survive a power cut, but the name may not: enough for files that
    will be moved. Raises `DiskFull` or `NotWritable`.
    """
    with disk_errors(path):
        folder = path.parent
        partial = (scratch or folder) / f"{PARTIAL_PREFIX}{secrets.token_hex(8)}"
        try:
            _in_folder(partial.parent, lambda: _write_synced(partial, data))
            _in_folder(folder, lambda: replace_file(partial, path))
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        if sync_name:
            sync_folder(folder)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary file to replace `path`. Raises as `write_atomic`."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{PARTIAL_PREFIX}{secrets.token_hex(8)}")
        try:
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            replace_file(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        sync_folder(path.parent)


def move_file(source: Path, target: Path) -> None:
    """Rename a file on one disk; the caller syncs. Raises `DiskFull`, `NotWritable`."""
    with disk_errors(target):
        _in_folder(target.parent, lambda: replace_file(source, target))


def _in_folder(folder: Path, act: Callable[[], object]) -> None:
    """Call `act`; create the folder only if it fails (rare)."""
    try:
        act()
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        act()


def _write_synced(partial: Path, data: bytes) -> None:
    with partial.open("xb", buffering=0) as file:
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]
        os.fsync(file.fileno())


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Convert `OSError` to `DiskFull` or `NotWritable` with a hint; others pass."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"no space left for {path}", "free some space and run the command again"
            ) from error
        if error.errno == errno.EROFS:
            raise NotWritable(
                f"{path} is on a read-only medium",
                "choose another folder, or copy the dataset to a folder of your own",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            raise NotWritable(
                f"cannot write to {path}",
                f"give yourself write access, for instance: chmod -R u+w {path.parent}",
            ) from error
        # ENOENT counts only if it names this path or its folder, not a missing source file.
        name = error.filename
        named = [Path(os.fsdecode(name))] if isinstance(name, str | bytes) else []
        near = any(path.parent in (other, other.parent) for other in named)
        other = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG)
        if (near and error.errno == errno.ENOENT) or error.errno in other:
            raise NotWritable(
                f"cannot create {path}: {error.strerror}",
                "choose another folder or name",
            ) from error
        raise
