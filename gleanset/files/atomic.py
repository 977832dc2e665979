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
            _call_in_folder(partial.parent, lambda: _write_synced(partial, data))
            _call_in_folder(folder, lambda: replace_file(partial, path))
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
            # For writing: Windows syncs no file that was opened to read.
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            replace_file(partial, path)
        finally:
            partial.unlink(missing_ok=True)
        sync_folder(path.parent)


def move_file(source: Path, target: Path) -> None:
    """Rename a file on one disk; the caller syncs. Raises `DiskFull`, `NotWritable`."""
    with disk_errors(target):
        _call_in_folder(target.parent, lambda: replace_file(source, target))


def _call_in_folder(folder: Path, act: Callable[[], object]) -> None:
    """Call `act`; create the folder only if it fails (rare)."""
    try:
        act()
    except FileNotFoundError:
        folder.mkdir(parents=True, exist_ok=True)
        act()


def _write_synced(partial: Path, data: bytes) -> None:
    with partial.open("xb", buffering=0) as file:
        rest = memoryview(data)
        while rest:  # a write may take less than all
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())


_UNUSABLE_PATH_ERRORS = (
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENAMETOOLONG,
)


def _names_folder_of(path: Path, error: OSError) -> bool:
    """Return whether an error is about the folder of `path`, not a missing source file."""
    if not isinstance(error.filename, str | bytes):
        return False
    named_path = Path(os.fsdecode(error.filename))
    return path.parent in (named_path, named_path.parent)


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

        is_missing = error.errno == errno.ENOENT and _names_folder_of(path, error)
        if is_missing or error.errno in _UNUSABLE_PATH_ERRORS:
            raise NotWritable(
                f"cannot create {path}: {error.strerror}",
                "choose another folder or name",
            ) from error
        raise
