"""How long one fetch may take on the network, whatever the server does.

urllib3 opens connections deep inside a call and takes no argument for them: the deadline of the
request under way is known by the thread that makes it, and each connection registers its socket
there. One thread watches the time of all fetches: a timer for each costs more than the call.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from typing import Self

_thread = threading.local()
# From check to check of a `DeadlineWatch`.
_CHECK_SECONDS = 0.1


class Deadline:
    """The seconds that all requests of one fetch may take on the network together.

    Entered once per request, in the thread that makes it; waiting between two requests does not
    count. On `cut`, which a `DeadlineWatch` calls when the time is up, the socket in use is shut
    down, which ends even a server that sends one byte of a header now and then.
    `allow_private`: whether its connections may lead to private addresses.
    """

    def __init__(self, seconds: float, allow_private: bool = False) -> None:
        self.allow_private = allow_private
        self.over = False
        self.expires = math.inf
        self._left = seconds
        self._began = 0.0
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """Seconds of network time that remain, at least a moment."""
        running = 0.0 if self.expires == math.inf else time.monotonic() - self._began
        return max(self._left - running, 0.001)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self.expires = self._began + self._left
        _thread.deadline = self
        return self

    def __exit__(self, *_: object) -> None:
        _thread.deadline = None
        self.expires = math.inf
        with self._lock:
            self._socket = None
        self._left -= time.monotonic() - self._began

    def register(self, sock: socket.socket) -> None:
        """Remember the socket in use, to be shut down when the time is up."""
        with self._lock:
            self._socket = sock
        if self.over:
            self.cut()

    def cut(self) -> None:
        """End the request under way, and every later one, at once."""
        with self._lock:
            self.over = True
            if self._socket is not None:
                _shut_down(self._socket)


def current_deadline() -> Deadline | None:
    """Return the deadline of the request that this thread makes, None outside of one."""
    deadline: Deadline | None = getattr(_thread, "deadline", None)
    return deadline


class DeadlineWatch:
    """Cuts fetches whose time is up. Thread-safe."""

    def __init__(self) -> None:
        self._deadlines: set[Deadline] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, deadline: Deadline) -> None:
        """Begin to watch a fetch."""
        with self._lock:
            self._deadlines.add(deadline)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()

    def remove(self, deadline: Deadline) -> None:
        """Stop watching a fetch that has ended."""
        with self._lock:
            self._deadlines.discard(deadline)

    def cut_all(self) -> None:
        """End every fetch, and the watch."""
        self._ended.set()
        with self._lock:
            for deadline in self._deadlines:
                deadline.cut()

    def _run(self) -> None:
        while not self._ended.wait(_CHECK_SECONDS):
            now = time.monotonic()
            with self._lock:
                for deadline in self._deadlines:
                    if deadline.expires <= now:
                        deadline.cut()


def _shut_down(sock: socket.socket) -> None:
    try:
        # Not SSLSocket.shutdown: it forgets its TLS state under the reading thread.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return
