"""Any of the hundreds of sites that gallery-dl knows: the query is an address it understands.

gallery-dl finds the pictures, our downloader fetches them. Of gallery-dl only its
extractors run: no archive, post-processor, filter or file name of it has a say, nothing is
written, printed or asked for, and its log goes to ours. What it keeps between runs (logins)
stays in memory, unless the person's own gallery-dl settings are asked for by `config=yes`.
Its settings belong to the whole process, so searches run one after another.

Left out: what the site itself calls video, sound, text or an archive (so is an ugoira,
which comes as a zip or a video), and what only another program than a browser could fetch.
A picture that needs a cookie is rejected when it is downloaded: cookies stay here.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any, ClassVar

from gleanset.errors import GleansetError, MissingComponent, UsageError
from gleanset.records import Candidate
from harvest.http import Client
from harvest.sources.base import Option, Query, Source
from harvest.sources.gallery_dl_answers import candidate, refusal, without_keys
from harvest.sources.gallery_dl_manners import initialize

log = logging.getLogger(__name__)

# From an artist search to an artist to an album to its pictures on another site.
DEPTH = 4

_ADDRESS = re.compile(r"(?:(?P<kind>[\w-]+):)?https?://\S+")
# Ways of gallery-dl into local files, log-ins and other programs instead of a site.
_NO_SITES = frozenset({"oauth", "noop", "r", "recursive", "ytdl"})
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# At the top level of gallery-dl's settings a value holds for every site, whatever else is set.
_ALWAYS: dict[str, object] = {
    "input": False,
    "write-pages": False,
    "retries": 2,
    "sleep-429": 0,
    # No imitated browser, no invented address in X-Forwarded-For.
    "browser": "",
    "geo-bypass": "auto",
    "warnings": "",
}


class GalleryDl(Source):
    """The sites of gallery-dl, through its library."""

    name: ClassVar[str] = "gallery_dl"
    example: ClassVar[str] = "https://danbooru.donmai.us/posts?tags=owl"
    hints: ClassVar[bool] = False
    options: ClassVar[tuple[Option, ...]] = (
        Option("endpoint", "address to ask instead of the site's own, where it has one root"),
        Option(
            "config",
            "use your gallery-dl settings: logins, cookies, proxies",
            "no",
            {"no": "no", "yes": "yes"},
        ),
    )

    def settings(self, query: Query) -> dict[str, str]:
        """As every source; without an endpoint, the site that the query names is asked."""
        given = query.options.get("endpoint", "")
        options = {**query.options, "endpoint": given or "http://unused"}
        return {**super().settings(Query(query.text, query.hint, options)), "endpoint": given}

    def candidates(self, query: Query, client: Client) -> Iterator[Candidate]:
        """What gallery-dl finds at the address, in its order.

        Raises also `UsageError` for an address that it does not know, `InputUnusable` where
        nothing is there, `NeedsLogin`, and `MissingComponent` without gallery-dl.
        """
        settings = self.settings(query)
        library = _library()
        _configure(library, client.user_agent, honoured=settings["config"] == "yes")
        walk = _Walk(library, settings["endpoint"], client)
        skipped = 0
        for extractor, url, told in _translated(library, query, walk.files_at(query.text)):
            found = candidate(extractor, url, told, query)
            if found is not None:
                yield found
            skipped += found is None
        if skipped:
            log.info("%s: %d files left out that are no pictures", query.text, skipped)


class _Log(logging.LoggerAdapter[logging.Logger]):
    """What extractors take for their logger; they expect one method more."""

    def log(self, level: int, msg: object, *args: object, **_: Any) -> None:
        """Log it without the keys that may stand in an address."""
        if self.isEnabledFor(level):
            told = str(msg) % args if args else str(msg)
            self.logger.log(level, "%s", without_keys(told))

    def traceback(self, error: BaseException) -> None:
        self.debug("%s: %s", type(error).__name__, error)


class _Walk:
    """Follows gallery-dl's messages through the queues that lead to further addresses."""

    def __init__(self, library: Any, endpoint: str, client: Client) -> None:
        self._library = library
        self._client = client
        self._endpoint = endpoint.rstrip("/")
        self._root = ""
        self._seen: set[str] = set()

    def files_at(self, address: str) -> Iterator[tuple[Any, str, dict[str, Any]]]:
        """(extractor, URL, what the site tells of it), with gallery-dl's own errors."""
        extractor = self._found(address)
        if extractor is None:
            raise UsageError(
                f"gallery-dl knows no site at {address!r}.",
                f"Give an address such as {GalleryDl.example}; "
                "`gallery-dl --list-extractors` prints examples of all.",
            )
        yield from self._files(self._started(extractor), DEPTH)

    def _files(self, extractor: Any, depth: int) -> Iterator[tuple[Any, str, dict[str, Any]]]:
        message, stop = self._library.extractor.message.Message, self._library.exception
        try:
            for kind, url, told in extractor:
                if kind == message.Url:
                    yield extractor, url, {**told, **extractor.kwdict}
                elif kind == message.Queue and depth:
                    yield from self._queued(extractor, url, told, depth - 1)
        except stop.StopExtraction as asked:
            # It may end the addresses above as well, by their number or name.
            if asked.depth > 1 and asked.target != type(extractor).subcategory:
                asked.depth -= 1
                raise

    def _queued(
        self, parent: Any, url: str, told: dict[str, Any], depth: int
    ) -> Iterator[tuple[Any, str, dict[str, Any]]]:
        if url in self._seen:
            return
        self._seen.add(url)
        child = self._found(self._of_the_site(url), told.get("_extractor"))
        if child is None:
            log.info("gallery-dl knows no site at %s", url)
            return
        if parent.config("parent-session", parent.parent):
            child.session = parent.session
        try:
            yield from self._files(self._started(child), depth)
        except self._library.exception.NotFoundError:
            # One album of many that is gone must not cost the others.
            log.warning("%s is not there any more", url)

    def _found(self, address: str, known: Any = None) -> Any:
        given = _ADDRESS.fullmatch(address)
        if given is None or given["kind"] in _NO_SITES:
            return None
        return known.from_url(address) if known else self._library.extractor.find(address)

    def _started(self, extractor: Any) -> Any:
        extractor.log = _Log(log.getChild(extractor.category), {})
        # Beside the settings, classes have defaults of their own for what we do not do.
        extractor.browser = extractor.geobypass = None
        self._root = self._root or extractor.root
        if self._endpoint and extractor.root == self._root:
            extractor.root = self._endpoint
        initialize(extractor, self._library, self._client)
        return extractor

    def _of_the_site(self, url: str) -> str:
        # Extractors know an address by the site's name, which the endpoint took the place of.
        if self._endpoint and url.startswith(f"{self._endpoint}/"):
            return self._root + url.removeprefix(self._endpoint)
        return url


def _library() -> Any:
    # It has no types: everything of it is Any, and ends in this module and its answers.
    try:
        return import_module("gallery_dl")
    except ImportError as error:
        raise MissingComponent(
            "The source gallery_dl needs the package gallery-dl, which is not installed.",
            "pip install 'gleanset[gallery-dl]'",
        ) from error


def _configure(library: Any, user_agent: str, *, honoured: bool) -> None:
    config = library.config
    config.clear()
    if honoured:
        config.load()
        # At its finest it logs whole addresses, and some sites take the login in them.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    else:
        config.set(("cache",), "file", ":memory:")
    # Sites whose extractor needs a certain name keep it; all others hear ours.
    config.setdefault(("extractor",), "user-agent", user_agent)
    for name, value in _ALWAYS.items():
        config.set((), name, value)
    bundle = os.environ.get("SSL_CERT_FILE")
    if bundle and not any(os.environ.get(name) for name in _BUNDLES):
        # The one variable that `requests` does not know.
        config.set((), "verify", bundle)


def _translated(
    library: Any, query: Query, files: Iterator[tuple[Any, str, dict[str, Any]]]
) -> Iterator[tuple[Any, str, dict[str, Any]]]:
    errors = library.exception
    try:
        yield from files
    except GleansetError:
        raise
    except (errors.StopExtraction, errors.TerminateExtraction):
        return
    except Exception as error:
        raise refusal(errors, error, query) from error
