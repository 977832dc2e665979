"""What members of all kinds of archives share: bounds, refusals, and errors told plainly."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple, NoReturn

from gleanset.errors import Unreadable
from gleanset.images.decode import MAX_BYTES

CHUNK = 65_536

# What the standard library answers broken archives with.
BROKEN = (
    OSError,
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    OverflowError,
    RuntimeError,
    AttributeError,
    struct.error,
    MemoryError,
)

Read = Callable[[], Iterator[bytes]]


class Entry(NamedTuple):
    """A member: its name as text, and its bytes in chunks, to be read at most once and now.

    `read` raises `Unreadable` for what is refused or broken.
    """

    name: str
    read: Read


class Budget:
    """What one archive may unpack to, in bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left = most

    def spend(self, number: int) -> None:
        """Raises `Unreadable` when more came than an honest archive holds."""
        self._left -= number
        if self._left < 0:
            raise Unreadable("archive bomb", f"it unpacks to more than {self._most} bytes")


def bounded(file: IO[bytes]) -> Iterator[bytes]:
    """The bytes of one member. Raises `Unreadable` as soon as no picture may be so large."""
    size = 0
    while chunk := file.read(CHUNK):
        size += len(chunk)
        if size > MAX_BYTES:
            raise Unreadable("too large", f"more than {MAX_BYTES} bytes")
        yield chunk


def guarded(read: Read) -> Read:
    """The same, with every error of a broken archive as an `Unreadable`."""

    def told() -> Iterator[bytes]:
        try:
            yield from read()
        except BROKEN as error:
            raise Unreadable(reason_of(error), text_of(error)) from error

    return told


def refused(reason: str, detail: str) -> Read:
    """For a member that is not read at all."""

    def read() -> NoReturn:
        raise Unreadable(reason, detail)

    return read


def reason_of(error: BaseException) -> str:
    """'cut off' where the end is missing, else 'damaged'."""
    text = str(error).lower()
    ended = isinstance(error, EOFError) or "unexpected end" in text or "truncated" in text
    return "cut off" if ended else "damaged"


def text_of(error: BaseException) -> str:
    """For the detail of a rejection."""
    return f"{type(error).__name__}: {error}"
