"""Catalogues on media that cannot be written to: a DVD, a snapshot, somebody else's folder."""

from __future__ import annotations

import os
from pathlib import Path


def is_read_only(path: Path) -> bool:
    """Whether the catalogue is there and can only be read. Of root's, only the medium tells."""
    return path.is_file() and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def mode_for_reading(path: Path) -> str:
    """How to open it (https://www.sqlite.org/wal.html#readonly).

    SQLite cannot make the index of a write-ahead log there. Without a log nobody is writing,
    and it may take the file as it is; with one it needs the index that the writer made.
    """
    log = path.with_name(f"{path.name}-wal")
    return "ro" if log.is_file() and log.stat().st_size else "ro&immutable=1"
