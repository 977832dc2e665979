"""Exports into a bucket: shards sent by their workers, trees made here and sent as they changed.

A bucket has no swap. So an export there counts with what is sent last: the marker of a tree, the
`manifest.json` of shards. What a run that was stopped has sent is kept by the next.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.s3 import Bucket, ObjectFacts
from gleanset.files.store import sha256_of
from gleanset.places import bucket_at, in_bucket
from gleanset.work.progress import Progress
from labeler.export.job import export, plan
from labeler.export.options import ExportOptions
from labeler.export.plan import for_splits, left_out
from labeler.export.rows import write_text
from labeler.export.shards import STAGE, ShardPlaces, planned_shards, read_manifest, write_shards
from labeler.export.tree import MARKER, check_ours, marked, place_of


class WouldExport(NamedTuple):
    """The paths of an export, its samples by class and split, and those left out by reason."""

    paths: list[str]
    classes: dict[str, Counter[str]]
    left_out: dict[str, int]


MANIFEST = "manifest.json"
_LAST = (MANIFEST, MARKER)
_REQUESTS = 16
_SHARD = re.compile(r"\w+-\d{6}\.\w+")


def place_for(dataset: Dataset, out: str | None, options: ExportOptions) -> Path | Bucket:
    """Return where an export goes: `out` as it is, or a place of its own among the exports."""
    if out is None:
        return _among_exports(dataset, options.format)
    return bucket_at(out, dataset.settings.store) if in_bucket(out) else Path(out)


def place_within(dataset: Dataset, target: Path) -> Path | Bucket:
    """Return where a folder `exports/…` of the dataset lies, should its exports be elsewhere."""
    exports = dataset.root / "exports"
    if not target.is_relative_to(exports):
        return target
    return _among_exports(dataset, target.relative_to(exports).as_posix())


def _among_exports(dataset: Dataset, name: str) -> Path | Bucket:
    store = dataset.settings.store
    place = f"{store.exports.rstrip('/')}/{name}"
    return bucket_at(place, store) if in_bucket(place) else dataset.root / place


def export_anywhere(
    dataset: Dataset,
    place: Path | Bucket,
    options: ExportOptions,
    *,
    workers: int = 0,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Write an export to a folder or to a place in a bucket; the counts.

    Raises `InputUnusable` where that holds anything but an earlier export of ours.
    """
    if isinstance(place, Path):
        return export(dataset, place, options, workers=workers, progress=progress)
    if options.link:
        raise UsageError("nothing can be linked into a bucket", "leave --link out")
    there = _ours(place)
    progress = progress or Progress()
    cache = dataset.cache / "exports"
    cache.mkdir(parents=True, exist_ok=True)
    if not options.sharded:
        # Kept: the next export makes and sends only what has changed.
        folder = cache / sha256_of(place.address.encode())[:16]
        counts = export(dataset, folder, options, workers=workers, progress=progress)
        new = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        _begin(place, {*there, *new})
        _send(folder, place, there, new)
        return counts | {"to": place.address}
    held = nullcontext() if dataset.read_only else dataset.stage(STAGE)
    with held, TemporaryDirectory(dir=cache) as aside:
        folder = Path(aside)
        _begin(place, there)
        place.remove(MANIFEST)
        counts = write_shards(
            dataset, ShardPlaces(folder, folder, place), options, workers, progress
        )
        names = {path.name for path in folder.iterdir()}
        manifests = [read_manifest(folder, name.removesuffix(".json")) for name in names]
        new = names | {manifest.shard for manifest in manifests if manifest is not None}
        # Whoever is stopped while the rest is sent must know it for its own.
        _begin(place, {*there, *new})
        write_text(folder / MARKER, _marker(marked(folder), new))
        known = {*there, *new}  # not what somebody has put there meanwhile
        _send(folder, place, {one.key: one for one in place.each() if one.key in known}, new)
    return {"to": place.address} | counts


def would_export(dataset: Dataset, place: Path | Bucket, options: ExportOptions) -> WouldExport:
    """Return what an export would write. Raises what it would raise."""
    if isinstance(place, Path):
        check_ours(place_of(place))
    else:
        _ours(place)
    options = for_splits(dataset, options)
    if options.sharded:
        shards = list(planned_shards(dataset, options))
        items = [item for shard in shards for item in shard.items]
        paths = [f"{shard.name}/{item.sample.key}" for shard in shards for item in shard.items]
    else:
        items = plan(dataset, options).items
        paths = [item.path for item in items]
    classes: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        classes[str(item.sample.label)][str(item.sample.split)] += 1
    return WouldExport(paths, dict(sorted(classes.items())), left_out(dataset, options))


def _ours(place: Bucket) -> dict[str, ObjectFacts]:
    """Return the objects of an earlier export, which are all there are. `InputUnusable`."""
    there = {one.key: one for one in place.each()}
    if not there:
        return {}
    told: dict[str, object] = {}
    if MARKER in there:
        told = json.loads(place.get(MARKER)[0])
    files = told.get("files")
    known = {MARKER, *(map(str, files) if isinstance(files, list) else ())}
    begun = bool(told.get("begun"))
    foreign = sorted(
        key for key in there if key not in known and not (begun and _SHARD.fullmatch(key))
    )
    if foreign:
        raise InputUnusable(
            f"{place.address} holds objects that are not from an export, such as {foreign[0]}",
            "export to another prefix, or move them away",
        )
    return there


def _begin(place: Bucket, files: Collection[str]) -> None:
    """Note that what is, or will be, at a place is ours, and not whole."""
    place.put(MARKER, _marker({"begun": True}, set(files)).encode())


def _marker(about: Mapping[str, object], files: set[str]) -> str:
    listed = sorted(files - {MARKER})
    return json.dumps({**about, "files": listed}, ensure_ascii=False, sort_keys=True)


def _send(folder: Path, place: Bucket, there: Mapping[str, ObjectFacts], new: set[str]) -> None:
    """Send the files that are not there as they are, remove what is no longer, the marks last."""

    def send(key: str) -> None:
        data = (folder / key).read_bytes()
        facts = there.get(key)
        if facts is None or facts.etag != hashlib.md5(data, usedforsecurity=False).hexdigest():
            place.put(key, data)

    first = sorted(key for key in new if key not in _LAST and (folder / key).is_file())
    with ThreadPoolExecutor(_REQUESTS) as pool:
        list(pool.map(send, first))
        list(pool.map(place.remove, sorted(there.keys() - new - {MARKER})))
    for key in _LAST:
        if (folder / key).is_file():
            place.put(key, (folder / key).read_bytes())
