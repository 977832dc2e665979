"""Files that come into folders while somebody waits for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

POLL = 1.0
"""Seconds between two looks; a file that grew between them is still being written."""


class FileState(NamedTuple):
    """By which it is known whether a file is another one than before."""

    bytes: int
    changed: int


def watched_files(
    files: Callable[[], Iterable[str]], wait: Callable[[float], object] = time.sleep
) -> Iterator[list[str]]:
    """Yield the files that are there, then again and again those that are new or were changed.

    `files` names all that are there now. A list comes as soon as its files keep still from one
    look to the next; an empty one where there is nothing new.
    """
    yielded: dict[str, FileState] = {}
    before = dict(_states(files()))
    while True:
        wait(POLL)
        now = dict(_states(files()))
        ready = [
            path
            for path, state in now.items()
            if before.get(path) == state and yielded.get(path) != state
        ]
        yielded |= {path: now[path] for path in ready}
        before = now
        yield ready


def _states(paths: Iterable[str]) -> Iterator[tuple[str, FileState]]:
    for path in paths:
        try:
            told = Path(path).stat()
        except OSError:  # gone again
            continue
        yield path, FileState(told.st_size, told.st_mtime_ns)
