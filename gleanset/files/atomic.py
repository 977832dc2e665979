"""Files that appear under their name only when they are whole: write, fsync, rename."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gleanset.errors import DiskFull, NotWritable

PARTIAL = ".partial-"


def write_atomic(path: Path, data: bytes, *, scratch: Path | None = None) -> None:
    """Write `data` to `path` so that a reader sees the old file, the new one, or none.

    The temporary file lies in `scratch`, a folder on the same disk (by default beside the
    target). Raises `DiskFull` or `NotWritable`.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = (scratch or path.parent) / f"{PARTIAL}{secrets.token_hex(8)}"
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut, where the system has the means."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the disk says into an error with the mend in it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"no space left for {path}", "free some space and run the command again"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise NotWritable(
                f"cannot write to {path}",
                f"give yourself write access, for instance: chmod -R u+w {path.parent}",
            ) from error
        if error.errno in (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG):
            raise NotWritable(
                f"cannot make {path}: {error.strerror}", "choose another place or name for it"
            ) from error
        raise
