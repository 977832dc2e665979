"""Where the candidates of a run come from, and what wakes the one who waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from gleanset.records import Candidate


class Supply(Protocol):
    """Where candidates come from. Asked by one thread only."""

    def take(self) -> Candidate | None:
        """The next one that is needed; None where there is none, or none for now."""

    def settled(self, candidate: Candidate) -> None:
        """What became of this one is recorded."""

    @property
    def asking(self) -> bool:
        """Whether one may come without another one being settled; the bell rings then."""


class Bell:
    """Wakes the one thread that waits for any of several things."""

    def __init__(self) -> None:
        self._rung = threading.Event()

    def ring(self) -> None:
        """Something happened."""
        self._rung.set()

    def silence(self) -> None:
        """Forget what rang so far; look at everything after it, then wait."""
        self._rung.clear()

    @property
    def rung(self) -> bool:
        """Whether something happened since it was silenced."""
        return self._rung.is_set()

    def wait(self, seconds: float | None) -> None:
        """Until it rings, or so long."""
        self._rung.wait(seconds)


class Fed:
    """A supply out of an iterable, as `run_batches` takes it."""

    asking = False

    def __init__(
        self, candidates: Iterable[Candidate], may_start: Callable[[int], bool] = lambda _: True
    ) -> None:
        self._candidates = iter(candidates)
        self._may_start = may_start
        self._pending = 0

    def take(self) -> Candidate | None:
        """The next one, if one more is needed."""
        if not self._may_start(self._pending):
            return None
        candidate = next(self._candidates, None)
        self._pending += candidate is not None
        return candidate

    def settled(self, _: Candidate) -> None:
        """One less is pending."""
        self._pending -= 1
