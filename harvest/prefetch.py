"""A source asked in a thread of its own, so that a slow site holds up nobody."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from queue import SimpleQueue
from threading import Condition, Thread
from typing import Protocol

import msgspec

from gleanset.errors import GleansetError
from gleanset.plugins import answerable
from gleanset.records import Candidate
from harvest.http import Client
from harvest.sources import Query, Source

# What ends a search also ends its browser, which takes a moment; no more than this is given.
_CLOSING_SECONDS = 10.0
# Results that lie ready at most, however many are wanted.
_MOST_READY = 500


class SourceResults:
    """What a source finds for one query.

    `error` is why the end of its list was not seen, `skipped` counts what it lists and does not
    give: hidden, filtered, unreadable.
    """

    def __init__(self, source: Source, query: Query, client: Client) -> None:
        self._source = source
        self._query = query
        self._client = client
        self.error: GleansetError | None = None
        self.skipped: Counter[str] = Counter()

    def search(self) -> Generator[Candidate, None, None]:
        """Yield the candidates in the source's order, until it ends or refuses."""
        # What a download raises is no refusal: a full disk ends the run.
        name = self._source.name
        try:
            with answerable("sources", name):
                for offer in self._source.candidates(self._query, self._client, self.skipped):
                    # Another type than a record promises would be met far from its source.
                    candidate = msgspec.convert(msgspec.to_builtins(offer), Candidate)
                    if candidate.origin.source != name:
                        raise ValueError(f"it gives pictures of {candidate.origin.source!r}")
                    yield candidate
        except GleansetError as error:
            self.error = error


class Prefetch:
    """A search under way: never asked for more results than are wanted.

    `chosen` are the results of `search` that are meant; the thread takes them from there, and
    closes `search` in the end. `wake` is called in the thread whenever something is there.
    """

    def __init__(
        self,
        search: Generator[Candidate, None, None],
        chosen: Iterator[Candidate],
        wake: Callable[[], None],
    ) -> None:
        self._search = search
        self._chosen = chosen
        self._wake = wake
        self._ready: deque[Candidate] = deque()
        self._wanted = 0.0
        self._over = self._closed = False
        self._trouble: Exception | None = None
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="gleanset-source", daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""
        with self._changed:
            return self._over and not self._ready and self._trouble is None

    @property
    def busy(self) -> bool:
        """Whether the thread asks for more, and will call `wake`."""
        with self._changed:
            return not self._over and len(self._ready) < self._wanted

    def poll(self, wanted: float) -> Candidate | None:
        """Return the next result, None where it is not there yet, or never will be.

        The site is asked until `wanted` results lie ready, or some hundreds. Raises what no
        source should.
        """
        with self._changed:
            self._wanted = min(wanted, _MOST_READY)
            self._changed.notify_all()
            if self._ready:
                self._wanted -= 1
                return self._ready.popleft()
            if self._trouble is not None:
                trouble, self._trouble = self._trouble, None
                raise trouble
            return None

    def close(self) -> None:
        """End the search. Whoever ends it in the middle closes its client first."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_CLOSING_SECONDS)

    def _run(self) -> None:
        try:
            # A source that holds a browser open must be closed where it ran.
            with closing(self._search):
                self._collect()
        except Exception as error:  # raised again by `poll`
            self._trouble = error
        finally:
            with self._changed:
                self._over = True
                self._wake()

    def _collect(self) -> None:
        while self._is_wanted() and (candidate := next(self._chosen, None)) is not None:
            with self._changed:
                self._ready.append(candidate)
                self._wake()

    def _is_wanted(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._ready) < self._wanted)
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


def candidates_as_they_come(
    take: Callable[[], Candidate | None], asking: Callable[[], bool], wakes: SimpleQueue[None]
) -> Iterator[Candidate]:
    """Yield what `take` gives, and wait for `wakes` where it gives none while sites are asked."""
    while True:
        if (candidate := take()) is not None:
            yield candidate
        elif not asking() and wakes.empty():
            return
        else:
            wakes.get()
