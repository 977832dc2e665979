"""How often one address may ask, counted for all workers together.

The generic cell rate algorithm (ITU-T I.371): of each address one number is kept, the time at
which it will have used up nothing. The numbers lie in a small file that all workers share, in the
slot of a salted hash; no address is stored. Addresses that share a slot share a rate.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

SLOTS = 1 << 16
SALT = 16
_TIME = struct.Struct("<d")


def make_counters(place: Path, salt: bytes) -> None:
    """Write an empty file of counters, with the salt (16 bytes) of its hashes."""
    place.write_bytes(salt + bytes(SLOTS * _TIME.size))


class RateLimit:
    """Lets `per_minute` requests of one address through, up to a quarter of them at once."""

    def __init__(
        self, counters: Path, per_minute: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._file = os.open(counters, os.O_RDWR | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._file)
        self._memory = mmap.mmap(self._file, 0)
        self._salt = self._memory[:SALT]
        self._each = 60.0 / per_minute
        self._at_once = max(1, per_minute // 4) * self._each
        self._clock = clock

    def wait(self, address: str) -> float:
        """Return 0 and count the request, or the seconds after which the next one is welcome."""
        slot = SALT + self._slot(address) * _TIME.size
        with self._alone():
            now = self._clock()
            (free,) = _TIME.unpack_from(self._memory, slot)
            # Nobody is ahead by more than the burst: else the clock was set back.
            free = min(max(free, now), now + self._at_once) + self._each
            if free - now > self._at_once:
                return float(free - now - self._at_once)
            _TIME.pack_into(self._memory, slot, free)
        return 0.0

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other workers waiting for the microsecond that counting takes."""
        if sys.platform == "win32":
            msvcrt.locking(self._file, msvcrt.LK_LOCK, 1)
        else:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            if sys.platform == "win32":
                msvcrt.locking(self._file, msvcrt.LK_UNLCK, 1)
            else:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _slot(self, address: str) -> int:
        told = hashlib.blake2b(_network(address), key=self._salt, digest_size=8).digest()
        return int.from_bytes(told) % SLOTS


def _network(address: str) -> bytes:
    """Return the address, or of IPv6 the /64 network: one customer has as many as he likes."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address.encode(errors="replace")
    return parsed.packed[:8] if isinstance(parsed, IPv6Address) else parsed.packed
