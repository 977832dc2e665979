"""`site.json`: what the sample site answers to each keyword, as typed values.

{"results": {"hana": [{"picture": "0a….jpg", "path": "/host-a/…", "title": …, "page": …,
                       "author": …, "variant": "plain", "fault": "none"}, …], …}}
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "site.json"

VARIANTS = ("plain", "resized", "reencoded")
"""As on disk; half as wide; the same size in a coarser JPEG."""

FAULTS = ("none", "missing", "forbidden", "page", "empty", "cut", "dropped")
"""404; 403; a web page named .jpg; zero bytes; half the file, honestly announced as that;
half the file, announced as the whole."""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of a search answer. `path` may carry a query; `page` is the post's address."""

    picture: str
    path: str
    title: str
    page: str
    author: str
    variant: str = "plain"
    fault: str = "none"


Listing = dict[str, list[Result]]


def to_json(listing: Listing) -> str:
    """The text of `site.json`."""
    results = {keyword: [asdict(result) for result in found] for keyword, found in listing.items()}
    return json.dumps({"results": results}, indent=1) + "\n"


def read_listing(folder: Path) -> Listing:
    """The listing of a sample folder."""
    text = (folder / FILE).read_text(encoding="utf-8")
    results: dict[str, list[dict[str, str]]] = json.loads(text)["results"]
    return {keyword: [Result(**result) for result in found] for keyword, found in results.items()}
