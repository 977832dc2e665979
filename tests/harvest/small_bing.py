"""A small Bing on loopback, and readers of the dataset that a harvest from it made."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from faulty_server import FaultyServer, Handler
from tools_for_tests import Ran, picture, run_here

from gleanset import Dataset, Image
from gleanset.errors import GleansetError, Incomplete
from gleanset.records import Candidate, Origin
from harvest.downloads import DownloadRun
from harvest.http import Client, DownloadLimits
from harvest.keyword import Search, harvest_searches, plan_searches
from harvest.result_filter import ResultFilter
from harvest.sources import Pages, Query, Source
from pipeline.demo import PAGE_SIZE, SearchResult, render_search_page

QUICK = DownloadLimits(retries=0, backoff=0.01, max_wait=0.1)


class SmallBing:
    """A site that answers `/images/async` and serves the images it lists.

    `results` maps a query to image paths; `/p/NAME` serves the image of the first number in NAME,
    so `/p/7a.jpg` and `/p/7b.jpg` are the same bytes; names with `x` fail.
    """

    def __init__(self, site: FaultyServer) -> None:
        self.site = site
        self.results: dict[str, list[str]] = {}
        self.blocked_from: dict[str, int] = {}
        self.pause = 0.0
        self.fetched: list[str] = []
        self.searched: list[str] = []
        self.lock = threading.Lock()
        site.otherwise = self.answer

    def answer(self, h: Handler) -> None:
        parts = urlsplit(h.path)
        if parts.path.endswith("/images/async"):
            self._page(h, {k: v[0] for k, v in parse_qs(parts.query).items()})
        elif parts.path.startswith("/p/"):
            self._picture(h, parts.path.removeprefix("/p/"))
        else:
            h.answer(404)

    def _page(self, h: Handler, fields: dict[str, str]) -> None:
        query = fields["q"]
        first = int(fields["first"])
        with self.lock:
            self.searched.append(f"{query}:{first}")
        if first >= self.blocked_from.get(query, 10**9):
            body = "<html><title>One last step</title><div class=captcha>turnstile</div></html>"
        else:
            listed = [
                SearchResult("", f"/p/{name}", f"A picture of {name}", f"/post/{name}")
                for name in self.results.get(query, [])
            ]
            body = render_search_page(query, listed, first, PAGE_SIZE, self.site.url)
        h.answer(200, body.encode(), Content_Type="text/html; charset=utf-8")

    def _picture(self, h: Handler, name: str) -> None:
        with self.lock:
            self.fetched.append(name)
        time.sleep(self.pause)
        if "x" in name:
            h.answer(404)
        else:
            number = int("".join(c for c in name.partition(".")[0] if c.isdigit()))
            h.answer(200, picture(number), Content_Type="image/jpeg")

    def harvest(self, folder: Path, *arguments: str) -> Ran:
        return run_here("harvest.cli", *self.line(folder, *arguments))

    def line(self, folder: Path, *arguments: str) -> tuple[str, ...]:
        endpoint = f"bing.endpoint={self.site.url}/some/path"
        return (
            "keyword",
            *arguments,
            "-d",
            str(folder),
            "-o",
            endpoint,
            "--allow-private",
            "--json",
        )


class Shelf(Source):
    """A source with fixed images that calls `before` and may end with an error."""

    example = "thing"
    options = ()

    def __init__(
        self,
        name: str,
        urls: list[str],
        error: GleansetError | None = None,
        before: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.name = name  # type: ignore[misc]
        self.urls = urls
        self.error = error
        self.before = before
        self.queries: list[str] = []
        self.yielded = 0

    def pages(self, query: Query, settings: Mapping[str, str], client: Client) -> Pages:
        self.queries.append(query.text)
        for number, url in enumerate(self.urls):
            self.before(number)
            self.yielded += 1
            origin = Origin(
                self.name, url, url, query=query.text, hint=query.hint, author="me"
            )
            yield [Candidate(url, origin)]
        if self.error is not None:
            raise self.error


def shelf(bing: SmallBing, name: str, *numbers: int, **options: Any) -> Shelf:
    """Return a source with images of the small Bing."""
    return Shelf(
        name, [f"{bing.site.url}/p/{n}.jpg?{name}" for n in numbers], **options
    )


def load_images(folder: Path) -> list[Image]:
    with Dataset.open(folder) as dataset:
        return list(dataset.images.iterate())


def image_names(folder: Path) -> set[str]:
    return {
        str(o.url).rpartition("/")[2]
        for image in load_images(folder)
        for o in image.origins
    }


def open_client() -> Client:
    return Client(QUICK, allow_private=True)


def search(
    dataset: Dataset,
    *sources: Source,
    limit: int = 10,
    words: tuple[str, ...] = ("thing",),
    condition: ResultFilter | None = None,
) -> dict[str, Any]:
    searches = plan_searches([(word, None) for word in words], sources, {})
    run = DownloadRun(open_client)
    try:
        result = harvest_searches(
            dataset, searches, run, limit=limit, condition=condition
        )
    except Incomplete as error:
        result = error.result
    return result.to_json()


def searches_of(source: Source, *queries: Query) -> list[Search]:
    """Return the queries to one source, as `harvest_searches` takes them."""
    return [Search(query.text, ((source, query),)) for query in queries]
