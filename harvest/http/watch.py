"""One thread that watches the time of all downloads: a timer for each costs more than the call."""

from __future__ import annotations

import threading
import time

from harvest.http.guard import Call


class Watch:
    """Cuts calls whose time is up. Thread-safe; looks at them every `every` seconds."""

    def __init__(self, every: float = 0.1) -> None:
        self._every = every
        self._calls: set[Call] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, call: Call) -> None:
        """Begin to watch a call."""
        with self._lock:
            self._calls.add(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, daemon=True)
                self._thread.start()

    def drop(self, call: Call) -> None:
        """The call has ended."""
        with self._lock:
            self._calls.discard(call)

    def cut_all(self) -> None:
        """End every call, and the watch."""
        self._ended.set()
        with self._lock:
            for call in self._calls:
                call.cut()

    def _look(self) -> None:
        while not self._ended.wait(self._every):
            now = time.monotonic()
            with self._lock:
                for call in self._calls:
                    if call.deadline <= now:
                        call.cut()
