"""`harvest check`: one small real query that tells whether a site still answers as we expect."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from typing import NamedTuple

from gleanset.plugins import answerable
from gleanset.records import Candidate
from harvest.candidates import search_source
from harvest.http import Client
from harvest.sources import Query, Source, changed

RESULTS = 3
_TOLD = ("title", "page_url", "author", "licence", "rating")


class Checked(NamedTuple):
    """A site that answers as expected: its first results, and what it tells of each of them."""

    source: str
    query: str
    tells: list[str]
    results: list[Candidate]

    def result(self) -> dict[str, object]:
        """Return the same as a command returns it."""
        shown = [{"title": c.origin.title, "url": c.url} for c in self.results]
        return {
            "source": self.source,
            "query": self.query,
            "status": "ok",
            "tells": self.tells,
            "found": shown,
        }


def check_source(source: Source, options: Mapping[str, str], client: Client) -> Checked:
    """Ask for the source's own example.

    Raises what the source raises, and `Changed` when it finds nothing for its example or
    what it finds is not what a source gives.
    """
    query = Query(source.example, options=options)
    with closing(search_source(source, query, client)) as results:
        first = list(islice(results, RESULTS))
    if not first or not all(map(_is_sound, first)):
        answer = "odd addresses" if first else "nothing"
        with answerable("sources", source.name):
            raise changed(source.name, source.example, f"{answer}, where it always finds pictures")
    return Checked(source.name, source.example, _tells(first), first)


def _is_sound(candidate: Candidate) -> bool:
    return candidate.url.startswith(("http://", "https://")) and bool(candidate.origin.key)


def _tells(results: list[Candidate]) -> list[str]:
    """Return what is known of every result."""
    told = [name for name in _TOLD if all(getattr(c.origin, name) for c in results)]
    size = ["size"] if all(c.width and c.height for c in results) else []
    return size + told
