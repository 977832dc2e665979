"""Notices that a decision is not saved for long: SQLite says so after half a minute only."""

from __future__ import annotations

import time

SLOW_SECONDS = 3.0


class SlowSaving:
    """`begin` and `end` are for the desk's thread, the others for the window's."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self.waiting = 0
        """How many decisions have no answer yet."""
        self._told = False

    def begin(self) -> None:
        """The thread takes the next piece of work."""
        self._begun = time.monotonic()

    def end(self) -> None:
        """It has done it."""
        self._begun = None

    def queued(self, decides: bool) -> None:
        """Something is to be done."""
        self.waiting += decides

    def is_news(self) -> bool:
        """Whether decisions have begun to wait for long; True once."""
        begun = self._begun
        slow = begun is not None and time.monotonic() - begun > SLOW_SECONDS
        news = slow and self.waiting > 0 and not self._told
        self._told |= news
        return news

    def is_over(self, decides: bool) -> bool:
        """Something was done: whether nothing waits any more, after it was said that it does."""
        self.waiting -= decides
        over = self._told and not self.waiting
        self._told &= not over
        return over
