"""What gallery-dl's extractors may do through us: connect where the client may, wait a little."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from requests import Session

from gleanset.errors import RateLimited
from harvest.http import Client, Closed
from harvest.sources.guarded import guard_session

# Pauses between requests are good manners and kept; whoever wants more is asked later.
LONGEST_WAIT = 60.0


def initialize(extractor: Any, library: Any, client: Client) -> None:
    """Make an extractor ready, which may ask its site already, under the client's rules."""
    sleep = _sleep(client)
    extractor.sleep = sleep
    extractor.wait = _short_wait(sleep, extractor.category, library)
    extractor._init_session = _guarded(extractor._init_session, extractor, client)  # noqa: SLF001
    extractor.initialize()
    # With a person's own key, an API has a session besides the extractor's.
    session = getattr(getattr(extractor, "api", None), "session", None)
    if isinstance(session, Session):
        guard_session(session, client)


def _guarded(make: Callable[[], None], extractor: Any, client: Client) -> Callable[[], None]:
    def make_guarded() -> None:
        make()
        guard_session(extractor.session, client)

    return make_guarded


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
