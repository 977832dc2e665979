"""Where the files of a dataset lie, as `[store]` of its settings says: folders, or buckets."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

from gleanset.files.s3 import Bucket, refuse_without_library
from gleanset.files.store import Store
from gleanset.settings import StoreSettings, read_settings

BUCKET = "s3://"
SPOOL, SPOOLED = Path("web/spool"), ".report"


def in_bucket(place: str) -> bool:
    """Return whether a place is no folder."""
    return place.startswith(BUCKET)


def store_at(root: Path, place: str, settings: StoreSettings, scratch: Path) -> Store:
    """Return the store at a place of the dataset in `root`: what has no row yet lies in `scratch`.

    Raises `MissingComponent` where a bucket is meant and boto3 is not here.
    """
    if not in_bucket(place):
        return Store(root / place, scratch)
    # Most datasets need nothing of that.
    from gleanset.files.bucket_store import BucketStore
    from gleanset.files.content_cache import ContentCache

    return BucketStore(bucket_at(place, settings), ContentCache(settings.bytes_of_cache), scratch)


def originals_of(root: Path, scratch: Path) -> Store:
    """Return the store of originals of a dataset that is not opened."""
    settings = read_settings(root).store
    return store_at(root, settings.images, settings, scratch)


def report_store(root: Path, scratch: Path) -> Store:
    """Return where the pictures of reports from the web lie until they are accepted."""
    return Store(root / "web" / "reports", scratch)


def spooled_reports(root: Path) -> list[Path]:
    """Return the files of reports that wait for the catalogue to take them, the oldest first."""
    files = list[tuple[int, Path]]()
    for file in (root / SPOOL).glob(f"*{SPOOLED}"):
        with suppress(FileNotFoundError):  # taken meanwhile
            files.append((file.stat().st_mtime_ns, file))
    return [file for _, file in sorted(files)]


def bucket_at(place: str, settings: StoreSettings) -> Bucket:
    """Return a place in a bucket. Raises `MissingComponent`."""
    _has_library()
    return Bucket(place.rstrip("/"), settings.endpoint, settings.region)


@cache
def _has_library() -> None:
    refuse_without_library()
