"""The copy of the catalogue that its driver puts beside the images, and opening it elsewhere.

A dataset is driven from one machine: its catalogue is one SQLite file there. `publish` puts a copy
of it, and of `dataset.toml`, into the bucket, and any machine opens that, to read. Who publishes
knows the hash of what it published last: another one there means another driver, and nothing is
overwritten.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from urllib.parse import quote, unquote

from gleanset.db.connection import CATALOGUE, COPY_OF, copy_catalogue, is_read_only
from gleanset.errors import DatasetMissing, InputUnusable, Unreachable, UsageError
from gleanset.files.atomic import disk_errors, write_atomic
from gleanset.files.content_cache import cache_folder
from gleanset.files.s3 import Bucket, ObjectFacts, Overtaken
from gleanset.files.store import sha256_of, sha256_of_file
from gleanset.places import bucket_at, in_bucket
from gleanset.run_copies import send_runs
from gleanset.settings import FILE, StoreSettings, read_settings
from gleanset.work.stage import hold

STATE = "published.json"
"""What this driver published, in the dataset's folder."""

_DRIVER = "driver"
_KNOWN = 8
_PATIENCE = (0.0, 0.3, 1.0, 3.0)
_KEPT = 24 * 3600.0
"""Seconds that an older copy is kept: somebody may have it open."""


class AnotherDriver(InputUnusable):
    """Somebody else publishes to the same place."""


@dataclass(frozen=True, slots=True)
class _Published:
    """The hashes that what is in the bucket may have, and how the catalogue stood when it was sent.

    Before a copy is sent its hash is written down: a driver that is killed knows its own again.
    """

    hashes: tuple[str, ...] = ()
    stamp: str = ""

    @classmethod
    def read(cls, root: Path) -> _Published:
        try:
            told = json.loads((root / STATE).read_text(encoding="utf-8"))
            return cls(tuple(map(str, told["hashes"])), str(told["stamp"]))
        except (OSError, ValueError, KeyError, TypeError):
            return cls()

    def write(self, root: Path) -> None:
        told = {"hashes": list(self.hashes), "stamp": self.stamp}
        write_atomic(root / STATE, json.dumps(told).encode())


def publish(root: Path, *, take_over: bool = False) -> dict[str, object]:
    """Put a copy of the catalogue and of the settings beside the images; what became of it.

    Nothing is sent where nothing changed. Raises `AnotherDriver` where the copy there is not ours,
    unless it is to be taken over, and `UsageError` for a dataset whose images lie in a folder.
    """
    place = _place(root)
    if place is None:
        raise UsageError(
            "the images of this dataset lie in a folder, and so does its catalogue",
            "to keep them in a bucket: gleanset init --store s3://BUCKET/PREFIX (docs/storage.md)",
        )
    with hold(root / "cache", "publish"):
        there, known, stamp = place.facts(CATALOGUE), _Published.read(root), _stamp(root)
        if not take_over:
            _refuse_others(place, there, known)
        # First: no catalogue names a run whose files are not there.
        send_runs(root, read_settings(root).store)
        changed = there is None or there.sha256 not in known.hashes or known.stamp != stamp
        if changed:
            _send(root, place, there, known, stamp)
    return {"published": f"{place.address}/{CATALOGUE}", "changed": changed}


def publish_if_changed(root: Path) -> None:
    """Publish at the end of a command, where the images lie in a bucket and we may write."""
    if is_read_only(root / CATALOGUE) or not _says_bucket(root):
        return
    if _place(root) is not None and _Published.read(root).stamp != _stamp(root):
        publish(root)
    else:
        send_runs(root, read_settings(root).store)


def check_bucket(settings: StoreSettings) -> None:
    """Raise what the server says of a bucket that is not there, or may not be listed."""
    next(bucket_at(settings.images, settings).beside.each(CATALOGUE), None)


def refuse_another_driver(root: Path, settings: StoreSettings) -> None:
    """Raise `AnotherDriver` where the copy in the bucket is not the one that we published last."""
    if in_bucket(settings.images):
        place = bucket_at(settings.images, settings).beside
        _refuse_others(place, place.facts(CATALOGUE), _Published.read(root))


def _says_bucket(root: Path) -> bool:
    """Return whether any place may be in a bucket: most have none, and every command asks."""
    try:
        return "s3://" in (root / FILE).read_text(encoding="utf-8")
    except OSError:
        return False


def _place(root: Path) -> Bucket | None:
    settings = read_settings(root).store
    return bucket_at(settings.images, settings).beside if in_bucket(settings.images) else None


def _refuse_others(place: Bucket, there: ObjectFacts | None, known: _Published) -> None:
    if there is not None and there.sha256 not in known.hashes:
        raise AnotherDriver(
            f"{place.address} is the place of another driver, {_driver_of(there)}, which published "
            f"its catalogue at {there.changed:%Y-%m-%d %H:%M} UTC",
            f"work there, or open its copy to read: -d {place.address}; where that driver is gone "
            "for good: gleanset publish --take-over",
        )


def _send(
    root: Path, place: Bucket, there: ObjectFacts | None, known: _Published, stamp: str
) -> None:
    with TemporaryDirectory(dir=root / "cache", prefix="publish-") as aside:
        copy = Path(aside) / CATALOGUE
        with disk_errors(copy):
            copy_catalogue(root / CATALOGUE, copy)
        sha256 = sha256_of_file(copy)
        # A server may show an older one for a while.
        older = (*known.hashes, *((there.sha256,) if there else ()))
        hashes = tuple(dict.fromkeys((*older, sha256)))[-_KNOWN:]
        _Published(hashes).write(root)
        driver = quote(f"{platform.node()}:{root.resolve()}")
        try:
            place.put(
                CATALOGUE, copy, about={_DRIVER: driver}, replaces=there, only_new=there is None
            )
        except Overtaken as error:
            raise _overtaken(place) from error
    _confirm(place, sha256, hashes)
    place.put(FILE, (root / FILE).read_bytes())
    _Published(hashes, stamp).write(root)


def _confirm(place: Bucket, sha256: str, hashes: tuple[str, ...]) -> None:
    """See that what was sent is there: not every server knows conditions."""
    for seconds in _PATIENCE:
        time.sleep(seconds)
        after = place.facts(CATALOGUE)
        if after is not None and after.sha256 == sha256:
            return
        if after is not None and after.sha256 not in hashes:
            raise _overtaken(place)
    raise Unreachable(
        f"{place.address}/{CATALOGUE} was just written, and the server shows an older one",
        "wait a while and publish again: gleanset publish",
    )


def _overtaken(place: Bucket) -> AnotherDriver:
    return AnotherDriver(
        f"another driver published to {place.address} at the same moment",
        "drive a dataset from one machine; see whose it is: gleanset publish",
    )


def _stamp(root: Path) -> str:
    """What changes with the catalogue or the settings."""
    files = (root / CATALOGUE, root / f"{CATALOGUE}-wal", root / FILE)
    told = [path.stat() for path in files if path.exists()]
    return " ".join(f"{one.st_size}:{one.st_mtime_ns}" for one in told if one.st_size)


def _driver_of(facts: ObjectFacts) -> str:
    return unquote((facts.about or {}).get(_DRIVER, "unknown"))


def copy_of(address: str) -> Path:
    """Return a folder with the copy of the dataset published at an address, the newest; to read.

    Raises `DatasetMissing`, and `Unreachable` where what comes is not what was written.
    """
    place = bucket_at(address, StoreSettings())
    facts = place.facts(CATALOGUE)
    if facts is None:
        raise DatasetMissing(
            f"there is no published dataset at {address}",
            "name s3://BUCKET/PREFIX of one, or publish it where it is driven: gleanset publish",
        )
    name = sha256_of(f"{os.environ.get('AWS_ENDPOINT_URL', '')} {place.address}".encode())[:16]
    versions = cache_folder().with_name("published") / name
    folder = versions / facts.sha256[:16]
    if not folder.is_dir():
        with disk_errors(folder):
            versions.mkdir(parents=True, exist_ok=True)
            _fetch(place, versions, folder)
    os.utime(folder)
    _forget_older(versions, folder)
    return folder


def _fetch(place: Bucket, versions: Path, folder: Path) -> None:
    with _partial(versions) as partial:
        mend = "publish anew: gleanset publish"
        facts = place.fetch(CATALOGUE, partial / CATALOGUE, mend)
        if not facts.sha256:
            raise Unreachable(f"{place.address}/{CATALOGUE} was not written by Gleanset", mend)
        try:
            settings, _ = place.get(FILE)
        except FileNotFoundError as error:
            raise DatasetMissing(
                f"there is no {FILE} at {place.address}",
                "publish again where the dataset is driven: gleanset publish",
            ) from error
        (partial / FILE).write_bytes(settings)
        told = {
            "of": place.address,
            _DRIVER: _driver_of(facts),
            "published": f"{facts.changed:%Y-%m-%d %H:%M} UTC",
        }
        (partial / COPY_OF).write_text(json.dumps(told), encoding="utf-8")
        if not folder.exists():
            partial.rename(folder)


@contextmanager
def _partial(versions: Path) -> Iterator[Path]:
    partial = Path(mkdtemp(prefix=".", dir=versions))
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _forget_older(versions: Path, folder: Path) -> None:
    for other in versions.iterdir():
        if other != folder and other.stat().st_mtime < time.time() - _KEPT:
            shutil.rmtree(other, ignore_errors=True)
