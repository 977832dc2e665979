"""gallery-dl's extractors, run under our rules.

An extractor is made for an address and yields messages: a file, or a further address to follow.
It connects where the client may, waits a little and no more, and is told neither to download
nor to print. gallery-dl has no types: everything of it is `Any`, and ends in this package.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any, NamedTuple

from gleanset.errors import MissingComponent, RateLimited, UsageError
from harvest.http import Client, Closed
from harvest.sources.gallery_dl.records import without_keys

log = logging.getLogger(__name__)

# Pauses between requests are kept; whoever wants more is asked later.
LONGEST_WAIT = 60.0
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


class ExtractedFile(NamedTuple):
    """A file that an extractor names, with what the site says of it."""

    extractor: Any
    url: str
    metadata: dict[str, Any]


def load_library(user_agent: str, overrides: Mapping[str, object], *, own_settings: bool) -> Any:
    """Return gallery-dl, configured for this search; its settings belong to the whole process.

    `own_settings`: those of the person's own gallery-dl hold as well; `overrides` go before
    all others. Raises `MissingComponent`.
    """
    try:
        library = import_module("gallery_dl")
    except ImportError as error:
        raise MissingComponent(
            "The source gallery_dl needs the package gallery-dl, which is not installed.",
            "pip install 'gleanset[gallery-dl]'",
        ) from error
    _configure(library.config, user_agent, {**_ALWAYS, **overrides}, own_settings=own_settings)
    return library


class _Log(logging.LoggerAdapter[logging.Logger]):
    """What extractors take for their logger; they expect one method more."""

    def log(self, level: int, msg: object, *args: object, **_: Any) -> None:
        """Log it without the keys that may stand in an address."""
        if self.isEnabledFor(level):
            text = str(msg) % args if args else str(msg)
            self.logger.log(level, "%s", without_keys(text))

    def traceback(self, error: BaseException) -> None:
        self.debug("%s: %s", type(error).__name__, error)


class Extraction:
    """Follows gallery-dl's messages through the queues that lead to further addresses."""

    def __init__(self, library: Any, endpoint: str, client: Client) -> None:
        self._library = library
        self._client = client
        self._endpoint = endpoint.rstrip("/")
        self._root = ""
        self._seen: set[str] = set()

    def files_at(self, address: str, example: str) -> Iterator[ExtractedFile]:
        """Yield the files at an address. Raises gallery-dl's own errors.

        Raises `UsageError`, which names the example, for an address that it does not know.
        """
        extractor = self._extractor(address)
        if extractor is None:
            raise UsageError(
                f"gallery-dl knows no site at {address!r}.",
                f"Give an address such as {example}; "
                "`gallery-dl --list-extractors` prints examples of all.",
            )
        yield from self._files(self._prepared(extractor), DEPTH)

    def _files(self, extractor: Any, depth: int) -> Iterator[ExtractedFile]:
        message, stop = self._library.extractor.message.Message, self._library.exception
        try:
            for kind, url, metadata in extractor:
                if kind == message.Url:
                    yield ExtractedFile(extractor, url, {**metadata, **extractor.kwdict})
                elif kind == message.Queue and depth:
                    yield from self._queued(extractor, url, metadata, depth - 1)
        except stop.StopExtraction as end:
            # It may end the addresses above as well, by their number or name.
            if end.depth > 1 and end.target != type(extractor).subcategory:
                end.depth -= 1
                raise

    def _queued(
        self, parent: Any, url: str, metadata: dict[str, Any], depth: int
    ) -> Iterator[ExtractedFile]:
        if url in self._seen:
            return
        self._seen.add(url)
        child = self._extractor(self._site_address(url), metadata.get("_extractor"))
        if child is None:
            log.info("gallery-dl knows no site at %s", url)
            return
        if parent.config("parent-session", parent.parent):
            child.session = parent.session
        try:
            yield from self._files(self._prepared(child), depth)
        except self._library.exception.NotFoundError:
            # One album of many that is gone must not cost the others.
            log.warning("%s is not there any more", url)

    def _extractor(self, address: str, known: Any = None) -> Any:
        given = _ADDRESS.fullmatch(address)
        if given is None or given["kind"] in _NO_SITES:
            return None
        return known.from_url(address) if known else self._library.extractor.find(address)

    def _prepared(self, extractor: Any) -> Any:
        extractor.log = _Log(log.getChild(extractor.category), {})
        # Beside the settings, classes have defaults of their own for what we do not do.
        extractor.browser = extractor.geobypass = None
        self._root = self._root or extractor.root
        if self._endpoint and extractor.root == self._root:
            extractor.root = self._endpoint
        _initialize(extractor, self._library, self._client)
        return extractor

    def _site_address(self, url: str) -> str:
        # Extractors know an address by the site's name, which the endpoint took the place of.
        if self._endpoint and url.startswith(f"{self._endpoint}/"):
            return self._root + url.removeprefix(self._endpoint)
        return url


def _configure(
    config: Any, user_agent: str, always: Mapping[str, object], *, own_settings: bool
) -> None:
    config.clear()
    if own_settings:
        config.load()
        # At its finest it logs whole addresses, and some sites take the login in them.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    else:
        config.set(("cache",), "file", ":memory:")
    # Sites whose extractor needs a certain name keep it; all others hear ours.
    config.setdefault(("extractor",), "user-agent", user_agent)
    for name, value in always.items():
        config.set((), name, value)
    bundle = os.environ.get("SSL_CERT_FILE")
    if bundle and not any(os.environ.get(name) for name in _BUNDLES):
        # The one variable that `requests` does not know.
        config.set((), "verify", bundle)


def _initialize(extractor: Any, library: Any, client: Client) -> None:
    """Make an extractor ready, which may ask its site already, under the client's rules."""
    # It takes a while to import: only who runs an extractor waits for it.
    from requests import Session

    from harvest.sources.sessions import guard_session

    make_session = extractor._init_session  # noqa: SLF001

    def make_guarded_session() -> None:
        make_session()
        guard_session(extractor.session, client)

    extractor.sleep = sleep = _sleep(client)
    extractor.wait = _short_wait(sleep, extractor.category, library)
    extractor._init_session = make_guarded_session  # noqa: SLF001
    extractor.initialize()
    # With a person's own key, an API has a session besides the extractor's.
    session = getattr(getattr(extractor, "api", None), "session", None)
    if isinstance(session, Session):
        guard_session(session, client)


def _sleep(client: Client) -> Callable[..., None]:
    def sleep(seconds: float, reason: str = "") -> None:
        if client.wait(seconds):
            raise Closed("The search was stopped.")

    return sleep


def _short_wait(sleep: Callable[..., None], site: str, library: Any) -> Callable[..., None]:
    def short_wait(
        seconds: float | None = None, until: Any = None, adjust: float = 1.0, reason: str = ""
    ) -> None:
        if until and not seconds:
            end = library.dt.to_ts(until) if isinstance(until, datetime) else float(until)
            seconds = end - time.time()
        if seconds and seconds > LONGEST_WAIT:
            raise RateLimited(
                f"{site} wants no more requests for {seconds:.0f} seconds.",
                "Run the same command again then: it goes on where it stopped.",
                seconds,
            )
        if seconds and seconds > 0:
            sleep(seconds + adjust, reason)

    return short_wait
