"""The bounds of downloading, and what one kind of fetch sends and accepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from gleanset.settings import NetSettings


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Bounds of the downloader. Times are seconds, sizes are bytes.

    `total` is the time one download may spend on the network, redirects and retries
    included, waiting for its turn not. `max_bytes` holds after content decoding as well.
    `per_host` is the number of requests under way on one host at a time, `delay` the time
    between two starts on it. `max_wait` caps what a host may ask for in `Retry-After`.
    `robots` is the time that reading a robots.txt may spend on the network; one that could
    not be read is asked for again `robots_again` seconds later.
    """

    connect: float = 10.0
    read: float = 20.0
    total: float = 60.0
    max_bytes: int = 50_000_000
    max_redirects: int = 5
    per_host: int = 6
    delay: float = 0.0
    retries: int = 3
    backoff: float = 0.5
    max_wait: float = 60.0
    robots: float = 15.0
    robots_again: float = 60.0

    @classmethod
    def of(cls, net: NetSettings) -> Self:
        """Return the limits that a dataset's `[net]` settings ask for."""
        return cls(total=net.seconds, per_host=net.per_host, delay=net.delay)


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What to send, and how to treat what comes back.

    `retry_statuses` are tried again, as often as the limits allow. With `error_bodies` the body
    of an error is read as well. `clipped`: of a body over `limits.max_bytes` the beginning
    (and a little more) will do. `robots`: what hosts say to robots is obeyed. Without
    `follow_redirects` a redirect is an answer like any other.
    """

    headers: Mapping[str, str]
    retry_statuses: frozenset[int]
    limits: DownloadLimits
    error_bodies: bool = False
    clipped: bool = False
    robots: bool = False
    follow_redirects: bool = True
    method: str = "GET"
    body: bytes | str | None = None
