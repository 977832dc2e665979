"""How often one address may ask.

The generic cell rate algorithm (ITU-T I.371): of each address one number is kept, the time at
which it will have used up nothing. The numbers lie in the slots of a salted hash; no address is
stored. Addresses that share a slot share a rate.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from array import array
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

SLOTS = 1 << 16


class RateLimit:
    """Lets `per_minute` requests of one address through, up to a quarter of them at once."""

    HEADERS = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = array("d", bytes(8 * SLOTS))
        self._salt = os.urandom(16)
        self._each = 60.0 / per_minute
        self._at_once = max(1, per_minute // 4) * self._each
        self._clock = clock

    def wait(self, address: str) -> float:
        """Return 0 and count the request, or the seconds after which the next one is welcome."""
        slot, now = self._slot(address), self._clock()
        free = max(self._free[slot], now) + self._each
        if free - now > self._at_once:
            return free - now - self._at_once
        self._free[slot] = free
        return 0.0

    def headers(self, address: str) -> dict[str, str]:
        """Return the RateLimit headers: requests at once, those left, seconds until all are free.

        As draft-ietf-httpapi-ratelimit-headers-06 has them.
        """
        owed = max(self._free[self._slot(address)] - self._clock(), 0.0)
        at_once = round(self._at_once / self._each)
        left = int((self._at_once - owed) / self._each + 1e-6)
        return dict(zip(self.HEADERS, map(str, (at_once, left, math.ceil(owed))), strict=True))

    def charge(self, address: str, requests: int) -> None:
        """Count what was let through already; at most what is free at once is ever owed."""
        slot, now = self._slot(address), self._clock()
        free = max(self._free[slot], now) + requests * self._each
        self._free[slot] = min(free, now + self._at_once)

    def _slot(self, address: str) -> int:
        digest = hashlib.blake2b(address.encode(errors="replace"), key=self._salt, digest_size=8)
        return int.from_bytes(digest.digest()) % SLOTS


@lru_cache(4096)
def network_of(address: str) -> str:
    """Return the address, or of IPv6 the /64 network: one customer has as many as he likes."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or f"{parsed.packed[:8].hex()}/64")
