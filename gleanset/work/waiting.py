"""A line on a terminal while a command is at work and shows nothing else.

It ends with a carriage return, so that what is shown next is written over it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gleanset.terminal import columns, cut, room

FIRST, SECONDS = 0.1, 2.0
"""So soon the line is there, and from so many seconds on it counts them."""


class WaitingLine:
    """Names the command until it shows something itself; bars only take its place for a while."""

    def __init__(self) -> None:
        self.silent = True  # where no command runs, or a quiet one
        self._over = threading.Event()
        self._over.set()
        self._lock = threading.Lock()
        self._bars = 0
        self._shown = ""

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Show that `what` is at work, in the block."""
        self._over = threading.Event()
        thread = threading.Thread(target=self._run, args=(what, self._over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        """Take the line away for good: something else is shown."""
        if not self._over.is_set():
            with self._lock:
                self._over.set()
                self._write("")

    def pause(self) -> None:
        """Take the line away while a bar is drawn."""
        with self._lock:
            self._bars += 1
            self._write("")

    def resume(self) -> None:
        """Show it again, as a bar has ended."""
        with self._lock:
            self._bars -= 1

    def _run(self, what: str, over: threading.Event) -> None:
        begun = time.monotonic()
        wait = FIRST
        while not over.wait(wait):
            gone = time.monotonic() - begun
            with self._lock:
                if not (over.is_set() or self._bars):
                    self._write(f"{what}: {gone:.0f} s" if gone >= SECONDS else f"{what} ...")
            wait = 1.0 if gone >= SECONDS else SECONDS - gone

    def _write(self, line: str) -> None:
        if line or self._shown:
            line = cut(line, room() - 1)
            left = " " * max(columns(self._shown) - columns(line), 0)
            # Who looked on may have gone: the work is done all the same.
            with suppress(OSError, ValueError):
                sys.stderr.write(f"{line}{left}\r")
                sys.stderr.flush()
            self._shown = line


WAITING = WaitingLine()
"""The one of this process."""
