"""`harvest check`: one small real query that tells whether a site still answers as we expect."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from typing import Any

from gleanset.plugins import answerable
from harvest.candidates import search_source
from harvest.http import Client
from harvest.sources import Query, Source, changed

RESULTS = 3
_ORIGIN_FIELDS = ("title", "page_url", "author", "licence", "rating")


def check_source(source: Source, options: Mapping[str, str], client: Client) -> dict[str, Any]:
    """Ask for the source's own example; return the first results, and what is known of each.

    Raises what the source raises, and `Changed` when it finds nothing for its example or
    what it finds is not what a source gives.
    """
    query = Query(source.example, options=options)
    with closing(search_source(source, query, client)) as results:
        first = list(islice(results, RESULTS))
    sound = all(c.url.startswith(("http://", "https://")) and c.origin.key for c in first)
    if not first or not sound:
        answer = "odd addresses" if first else "nothing"
        with answerable("sources", source.name):
            raise changed(source.name, source.example, f"{answer}, where it always finds pictures")
    tells = [name for name in _ORIGIN_FIELDS if all(getattr(c.origin, name) for c in first)]
    if all(c.width and c.height for c in first):
        tells.insert(0, "size")
    return {
        "source": source.name,
        "query": source.example,
        "status": "ok",
        "tells": tells,
        "found": [{"title": c.origin.title, "url": c.url} for c in first],
    }
