"""The content-addressed store in a bucket: what `Store` promises, without a folder.

A worker puts an original under its last name at once: one PUT is whole or nothing, and bytes
without a row are harmless, found again by their hash. In the transaction that writes the row the
object is asked for. What is read is compared with its hash, and kept in the cache of the machine.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath

from gleanset.errors import Unreachable, Unreadable
from gleanset.files.content_cache import ContentCache
from gleanset.files.s3 import Bucket, ObjectFacts
from gleanset.files.store import ASIDE, EXTENSIONS, UNREADABLE, PictureFile, Store, sha256_of

_HASH_LENGTH = 64
_REQUESTS = 32
"""Objects asked for at a time."""

_PATIENCE = (0.2, 0.8, 2.0)
"""Seconds between looks for an object that was just written: not every server shows it at once."""


@dataclass(frozen=True, slots=True)
class BucketFile:
    """One object, read as a file is; small and picklable, and nothing is asked before it is read.

    One whose name is the hash of its bytes (`named_by_hash`) is read from the cache without a
    request; of others the server says which bytes they have by now.
    """

    bucket: Bucket
    cache: ContentCache
    key: str

    def __str__(self) -> str:
        return f"{self.bucket.address.rstrip('/')}/{self.key}"

    @property
    def name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """The same without its ending."""
        return PurePosixPath(self.key).stem

    @property
    def suffix(self) -> str:
        """The ending with its dot."""
        return PurePosixPath(self.key).suffix

    @property
    def named_by_hash(self) -> bool:
        """Whether it is named by the SHA-256 of its bytes."""
        return len(self.stem) == _HASH_LENGTH

    def read_bytes(self) -> bytes:
        """Return its bytes. Raises `FileNotFoundError`, and `OSError` where the server gives
        others than were written; such bytes are never used.
        """
        expected = self.stem if self.named_by_hash else self._told().sha256
        if expected and (kept := self.cache.get(expected)) is not None:
            return kept
        data, facts = self.bucket.get(self.key, self.stem if self.named_by_hash else "")
        # Between two requests a crop may have been cut anew.
        expected = self.stem if self.named_by_hash else facts.sha256
        if expected and sha256_of(data) != expected:
            raise OSError(
                errno.EIO,
                f"the server gives other bytes than were written: {sha256_of(data)}",
                str(self),
            )
        if expected:
            self.cache.put(expected, data)
        return data

    def exists(self) -> bool:
        """Return whether the bucket has it now."""
        return self.bucket.facts(self.key) is not None

    def is_file(self) -> bool:
        """Return the same."""
        return self.exists()

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove it. Raises `FileNotFoundError` where it is not there, unless that is expected."""
        if not missing_ok:
            self._told()
        self.bucket.remove(self.key)
        if self.named_by_hash:
            self.cache.forget(self.stem)

    def stamp(self) -> tuple[int, str] | None:
        """Return its size and what changes with its bytes; None where there is none."""
        facts = self.bucket.facts(self.key)
        return None if facts is None else (facts.bytes, facts.etag)

    def _told(self) -> ObjectFacts:
        if (facts := self.bucket.facts(self.key)) is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such object", str(self))
        return facts


class BucketStore(Store):
    """A place in a bucket of files known by name."""

    def __init__(self, bucket: Bucket, cache: ContentCache, scratch: Path) -> None:
        super().__init__(Path(), scratch)
        self.bucket, self.cache = bucket, cache
        self._unconfirmed: list[tuple[BucketFile, int]] | None = None

    @property
    def address(self) -> str:
        """Where it is."""
        return self.bucket.address

    def path(self, name: str, kind: str) -> BucketFile:
        """Return the object called `name` (hex) of that image format, should there be one."""
        return BucketFile(self.bucket, self.cache, f"{name[:2]}/{name}.{EXTENSIONS[kind]}")

    def stage(self, name: str, kind: str, data: bytes) -> None:
        """Write bytes under their last name, from any worker."""
        file = self.path(name, kind)
        if not _is_there(file, len(data)):
            self.bucket.put(file.key, data)

    def publish(self, name: str, kind: str, size: int) -> None:
        """See to it that an object is there, inside the transaction that writes its row.

        Raises `Unreadable` where it is not; within `syncing_once` all are asked for at its end.
        """
        file = self.path(name, kind)
        if self._unconfirmed is not None:
            self._unconfirmed.append((file, size))
        elif not _is_there_by_now((file, size)):
            raise Unreadable(UNREADABLE, f"{file} was removed while it was taken in")

    @contextmanager
    def syncing_once(self) -> Iterator[set[Path]]:
        """Ask for everything published within at the end, side by side.

        Raises `Unreachable` where one is missing: the transaction around it is taken back.
        """
        if self._unconfirmed is not None:
            yield set()
            return
        waiting = self._unconfirmed = []
        try:
            yield set()
            with ThreadPoolExecutor(_REQUESTS) as pool:
                there = list(pool.map(_is_there_by_now, waiting))
        finally:
            self._unconfirmed = None
        if missing := [file for (file, _), found in zip(waiting, there, strict=True) if not found]:
            raise Unreachable(
                f"{missing[0]} was just written, and the server does not show it",
                "run the command again: what was done is kept",
            )

    def discard(self, name: str, kind: str) -> None:
        """Leave an object that gets no row to `gleanset gc`: it may be that of another row."""

    def holds(self, name: str, kind: str) -> bool:
        """Return whether there is such an object."""
        return self.path(name, kind).exists()

    def read(self, name: str, kind: str) -> bytes:
        """Return the bytes of an object. Raises `OSError`."""
        return self.path(name, kind).read_bytes()

    def put(self, name: str, kind: str, data: bytes) -> BucketFile:
        """Store bytes; nothing is written when they are there already."""
        self.stage(name, kind, data)
        return self.path(name, kind)

    def overwrite(self, name: str, kind: str, data: bytes) -> None:
        """Store bytes in the place of whatever has that name."""
        self.bucket.put(self.path(name, kind).key, data)

    def hash_of(self, name: str, kind: str) -> str | None:
        """Return the SHA-256 of what the server keeps as an object; None for none.

        Raises `OSError` where what arrives is something else.
        """
        try:
            return sha256_of(self.bucket.get(self.path(name, kind).key, name)[0])
        except FileNotFoundError:
            return None

    @property
    def aside(self) -> Bucket:
        """Where damaged objects are kept, in the same bucket."""
        return self.bucket.beside.below(ASIDE)

    def put_aside(self, file: PictureFile) -> None:
        """Move an object, should there be one, to `aside`: the server copies it, nothing is sent.

        Raises `OSError` where the copy is not the same; the object stays then.
        """
        assert isinstance(file, BucketFile)
        if (facts := self.bucket.facts(file.key)) is None:
            return
        kept = f"{file.stem}-{facts.etag[:8]}{file.suffix}"
        self.bucket.copy(file.key, self.aside, kept)
        file.unlink(missing_ok=True)

    def put_aside_before(self, name: str) -> Iterator[bytes]:
        """Yield what was put aside of a name: some of it may be sound after all."""
        for facts in self.aside.each(name):
            yield self.aside.get(facts.key)[0]

    def names_by_start(self) -> Callable[[str], set[str]]:
        """Return what gives the names that begin with two digits; ask by ascending digits.

        The bucket is listed once, as it is asked.
        """
        groups = groupby((file for file, _ in self._each("")), lambda file: file.key[:2])
        ahead: list[tuple[str, set[str]]] = []

        def names(start: str) -> set[str]:
            while not ahead or ahead[0][0] < start:
                key, files = next(groups, ("~", iter(())))
                ahead[:] = [(key, {file.stem for file in files})]
            return ahead[0][1] if ahead[0][0] == start else set()

        return names

    def named(self, name: str) -> Sequence[BucketFile]:
        """Return what is stored under a name, in whatever format."""
        return [file for file, _ in self._each(f"{name[:2]}/{name}.")]

    def each(self) -> Iterator[tuple[BucketFile, int, float]]:
        """Yield everything stored, with its bytes and when it was written (seconds)."""
        for file, facts in self._each(""):
            yield file, facts.bytes, facts.changed.timestamp()

    def _each(self, start: str) -> Iterator[tuple[BucketFile, ObjectFacts]]:
        for facts in self.bucket.each(start):
            yield BucketFile(self.bucket, self.cache, facts.key), facts


def _is_there(file: BucketFile, size: int) -> bool:
    stamp = file.stamp()
    return stamp is not None and stamp[0] == size


def _is_there_by_now(expected: tuple[BucketFile, int]) -> bool:
    for seconds in (0.0, *_PATIENCE):
        time.sleep(seconds)
        if _is_there(*expected):
            return True
    return False
