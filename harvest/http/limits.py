"""How long, how much and how often: the bounds of one download and of one host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from gleanset.settings import NetSettings


@dataclass(frozen=True, slots=True)
class Limits:
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
    def of(cls, net: NetSettings, delay: float = 0.0) -> Self:
        """The limits that a dataset's `[net]` settings ask for."""
        return cls(total=net.seconds, per_host=net.per_host, delay=delay)
