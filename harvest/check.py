"""`harvest check`: one small real query to check whether a site still answers as expected."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from typing import Any

from gleanset.plugins import attribute_errors
from harvest.candidates import search_source
from harvest.http import Client
from harvest.sources import Query, Source, changed_error

MAX_RESULTS = 3
_ORIGIN_FIELDS = ("title", "page_url", "author", "licence", "rating")


def check_source(source: Source, options: Mapping[str, str], client: Client) -> dict[str, Any]:
    """Search for the example of a source; return the first results and the fields they have.

    Raises what the source raises, and `Changed` without results or with invalid ones.
    """
    query = Query(source.example, options=options)
    with closing(search_source(source, query, client)) as results:
        first = list(islice(results, MAX_RESULTS))
    is_valid = all(c.url.startswith(("http://", "https://")) and c.origin.key for c in first)
    if not first or not is_valid:
        answer = "invalid URLs" if first else "nothing"
        with attribute_errors("sources", source.name):
            raise changed_error(
                source.name, source.example, f"{answer}, for a query that always has results"
            )
    fields = [name for name in _ORIGIN_FIELDS if all(getattr(c.origin, name) for c in first)]
    if all(c.width and c.height for c in first):
        fields.insert(0, "size")
    return {
        "source": source.name,
        "query": source.example,
        "status": "ok",
        "tells": fields,
        "found": [{"title": c.origin.title, "url": c.url} for c in first],
    }
