"""Rate limit per address: the generic cell rate algorithm (ITU-T I.371).

One number is stored per address, its theoretical arrival time, in the slots of a salted hash table.
No address is stored; addresses with the same slot share a rate.
"""

import hashlib
import os
import time
from array import array
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

SLOTS = 1 << 16


class RateLimit:
    """Allows `per_minute` requests per address, with bursts of a quarter of that."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic):
        # Arrival times in seconds, all zero; a double has 8 bytes.
        self._arrivals = array("d", bytes(8 * SLOTS))
        self._salt = os.urandom(16)
        self._interval = 60.0 / per_minute
        self._burst = max(1, per_minute // 4) * self._interval
        self._clock = clock

    def wait(self, address: str) -> float:
        """Count the request and return 0, or return the seconds to wait before the next one."""
        slot = self._get_slot(address)
        now = self._clock()
        arrival = max(self._arrivals[slot], now) + self._interval
        # A refused request is not stored: repeating it does not extend the wait.
        if arrival - now > self._burst:
            return arrival - now - self._burst
        self._arrivals[slot] = arrival
        return 0.0

    def charge(self, address: str, requests: int) -> None:
        """Count further requests; an address never owes more than one burst."""
        slot = self._get_slot(address)
        now = self._clock()
        arrival = max(self._arrivals[slot], now) + requests * self._interval
        self._arrivals[slot] = min(arrival, now + self._burst)

    def _get_slot(self, address: str) -> int:
        digest = hashlib.blake2b(
            address.encode(errors="replace"), key=self._salt, digest_size=8
        )
        return int.from_bytes(digest.digest()) % SLOTS


@lru_cache(4096)
def get_network(address: str) -> str:
    """Return an IPv4 address, or the /64 network of an IPv6 address (one customer has them all)."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped or f"{ip.packed[:8].hex()}/64")
