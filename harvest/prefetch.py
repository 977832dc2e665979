"""A source asked in a thread of its own, so that a slow site holds up nobody."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from threading import Condition, Thread
from typing import Protocol

from gleanset.records import Candidate
from harvest.http import Client

# What ends a search also ends its browser, which takes a moment; no more than this is given.
_PATIENCE = 10.0
# Results that lie ready at most, however many are wanted.
_AHEAD = 500


class Prefetch:
    """A search under way: never asked for more results than are wanted.

    `chosen` are the results of `search` that are meant; the thread takes them from there, and
    closes `search` in the end. `ring` is called in the thread whenever something is there.
    """

    def __init__(
        self,
        search: Generator[Candidate, None, None],
        chosen: Iterator[Candidate],
        ring: Callable[[], None],
    ) -> None:
        self._search = search
        self._chosen = chosen
        self._ring = ring
        self._found: deque[Candidate] = deque()
        self._wanted = 0
        self._over = self._closed = False
        self._trouble: Exception | None = None
        self._changed = Condition()
        self._thread = Thread(target=self._ask, name="gleanset-source", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""
        with self._changed:
            return self._over and not self._found and self._trouble is None

    @property
    def busy(self) -> bool:
        """Whether the thread looks for more, and will ring."""
        with self._changed:
            return not self._over and len(self._found) < self._wanted

    def poll(self, wanted: int) -> Candidate | None:
        """The next result, None where it is not there yet, or never will be.

        The site is asked until `wanted` results lie ready, or some hundreds. Raises what no
        source should.
        """
        with self._changed:
            self._wanted = min(wanted, _AHEAD)
            self._changed.notify_all()
            if self._found:
                self._wanted -= 1
                return self._found.popleft()
            if self._trouble is not None:
                trouble, self._trouble = self._trouble, None
                raise trouble
            return None

    def close(self) -> None:
        """End the search. Whoever ends it in the middle closes its client first."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_PATIENCE)

    def _ask(self) -> None:
        try:
            # A source that holds a browser open must be closed where it ran.
            with closing(self._search):
                self._give_what_is_wanted()
        except Exception as error:  # raised again where it is seen
            self._trouble = error
        finally:
            with self._changed:
                self._over = True
                self._ring()

    def _give_what_is_wanted(self) -> None:
        while self._is_wanted() and (candidate := next(self._chosen, None)) is not None:
            with self._changed:
                self._found.append(candidate)
                self._ring()

    def _is_wanted(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._found) < self._wanted)
            return not self._closed


class _Search(Protocol):
    def close(self) -> None:
        """End it."""


@contextmanager
def closing_searches(searches: Sequence[_Search], client: Client) -> Iterator[None]:
    """End these searches afterwards; on an error at once, whatever they wait for."""
    try:
        yield
    except BaseException:
        client.close()
        raise
    finally:
        for search in searches:
            search.close()
