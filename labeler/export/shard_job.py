"""Carrying out an export into shards: planned as it is read, written side by side, gone on with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from curation.snapshots import made_from
from gleanset import Dataset
from gleanset.errors import GleansetError, InputUnusable
from gleanset.files.s3 import Bucket
from gleanset.records import Rejection
from gleanset.work.pool import Outcome, run_over
from gleanset.work.progress import Progress
from labeler.export.card import dataset_card
from labeler.export.facts import CardFacts
from labeler.export.options import ExportOptions
from labeler.export.pictures import PictureMaker
from labeler.export.plan import ExportItem, each_item, nothing_to_export
from labeler.export.rows import LICENCE, table_row
from labeler.export.shards import (
    ENDINGS,
    BucketShardWriter,
    PictureSizes,
    Shard,
    ShardManifest,
    ShardWriter,
    cut_into_shards,
    file_name,
    read_manifest,
    write_manifest,
)
from labeler.export.tables import LICENCES, write_sheet
from labeler.export.tree import mark

MEASURED = 32
"""So many pictures are made to know how large they come out; keys being hashes, they are random."""

SECONDS_PER_SHARD = 6 * 3600.0


class ShardPlaces(NamedTuple):
    """Where shards go: into `folder`, or to a `bucket`, and `folder` has what goes beside them.

    At `earlier` lies the export that this one replaces.
    """

    folder: Path
    earlier: Path
    bucket: Bucket | None = None


@dataclass
class _Classes:
    """The classes of an export, and whether its split was one into folds."""

    names: set[str] = field(default_factory=set)
    folds: bool = False


def planned_shards(dataset: Dataset, options: ExportOptions, workers: int = 0) -> Iterator[Shard]:
    """Yield the shards of an export, one in memory at a time. Raises `InputUnusable`."""
    sizes = _sizes(dataset, options, workers)
    return cut_into_shards(each_item(dataset, options), sizes, options)


def write_shards(
    dataset: Dataset,
    places: ShardPlaces,
    options: ExportOptions,
    workers: int,
    progress: Progress,
) -> dict[str, object]:
    """Write the shards of an export, with all that goes beside them; the counts.

    What an earlier run left whole is kept. Raises `InputUnusable` where there is nothing to
    write, `GleansetError` where a worker died.
    """
    folder, earlier, place = places
    known = _classes(dataset, options)
    names = sorted(known.names)
    write = ShardWriter(
        folder, earlier, options, {name: n for n, name in enumerate(names)}, known.folds
    )
    job = write if place is None else BucketShardWriter(write, place)
    shared = (folder,) if place is None else ()
    pool = replace(dataset.workers(workers, folders=shared), seconds_per_item=SECONDS_PER_SHARD)
    facts = CardFacts(options, made_from(dataset))
    shards: list[str] = []
    failed: dict[str, str] = {}
    outcomes = run_over(job, planned_shards(dataset, options, workers), pool)
    for outcome in progress.over(outcomes, "export", unit=" shards"):
        manifest = _whole(outcome)
        if place is not None:
            write_manifest(folder, outcome.item.name, manifest)
        shards.append(outcome.item.name)
        failed |= manifest.failed
        facts.row = table_row(outcome.item.facts(write.classes, write.folds)[0], "sha256")
        facts.add(dataset.db, _as_written(outcome.item, manifest))
        _note_failed(dataset, manifest)
    if not facts.items:
        raise InputUnusable(
            f"none of the {len(failed)} pictures can be read; the first: {min(failed.values())}",
            "put the images folder of the dataset back",
        )
    (folder / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    _finish(dataset, folder, sorted(shards), options, facts)
    return facts.result(failed) | {"shards": len(shards)}


def _whole(outcome: Outcome[Shard, ShardManifest]) -> ShardManifest:
    if outcome.result is not None:
        return outcome.result
    raise GleansetError(
        f"shard {outcome.item.name} was not written: {outcome.reason}: {outcome.detail}",
        "run the same command again: the shards that are written are kept",
    )


def _as_written(shard: Shard, manifest: ShardManifest) -> list[ExportItem]:
    """Return the samples of a shard that could be read, with what came of their pictures."""
    told = {row["file"]: row["changes"] for row in manifest.pictures}
    return [
        replace(item, changes=told[name], says_where=name in manifest.say_where)
        for item in shard.items
        if (name := file_name(item)) in told
    ]


def _note_failed(dataset: Dataset, manifest: ShardManifest) -> None:
    if not dataset.read_only:
        for path, why in manifest.failed.items():
            dataset.rejections.add(Rejection("export", path, "cannot be read", why))


def _classes(dataset: Dataset, options: ExportOptions) -> _Classes:
    known = _Classes()
    # What a licence leaves out is known of the image alone.
    found = (
        (item.sample for item in each_item(dataset, options))
        if options.licences
        else dataset.samples.in_splits()
    )
    for sample in found:
        known.names.add(str(sample.label))
        known.folds = known.folds or bool(sample.fold)
    if not known.names:
        raise nothing_to_export(dataset, options)
    return known


def _sizes(dataset: Dataset, options: ExportOptions, workers: int) -> PictureSizes:
    """Measure how many bytes a pixel takes in pictures that are not kept as they are."""
    first = list(islice(each_item(dataset, options), MEASURED))
    made = [item for item in first if item.way in ("crop", "made")]
    outcomes = run_over(PictureMaker(options).size_of, made, dataset.workers(workers))
    sizes = {one.item.path: one.result for one in outcomes if one.result is not None}
    by_pixels = PictureSizes(options)
    pixels = sum(by_pixels.pixels(item.sample) for item in made if item.path in sizes)
    return PictureSizes(options, sum(sizes.values()) / pixels) if pixels else by_pixels


def _finish(
    dataset: Dataset, folder: Path, shards: list[str], options: ExportOptions, facts: CardFacts
) -> None:
    """Write what goes with all shards, and remove what no shard of this export is."""
    ours = {"classes.txt", "manifest.json"}
    ours |= {f"{name}{ending}" for name in shards for ending in (ENDINGS[options.format], ".json")}
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in ours:
            path.unlink()
    with (folder / "manifest.json").open("w", encoding="utf-8") as file:
        summaries = [manifest.summary for manifest in _manifests(folder, shards)]
        about = {
            "format": options.format,
            "pictures": facts.items,
            "snapshot": facts.snapshot,
            "shards": summaries,
        }
        json.dump(about, file, ensure_ascii=False, indent=1)
    pictures = (
        {"shard": manifest.shard, **summaries}
        for manifest in _manifests(folder, shards)
        for summaries in manifest.pictures
    )
    write_sheet(folder / LICENCES, ("shard", "file", *LICENCE), pictures)
    (folder / "README.md").write_text(dataset_card(dataset, facts), encoding="utf-8")
    mark(folder, {"format": options.format, "snapshot": facts.snapshot, "pictures": {}})


def _manifests(folder: Path, shards: Iterable[str]) -> Iterator[ShardManifest]:
    for name in shards:
        manifest = read_manifest(folder, name)
        assert manifest is not None, "it was just written"
        yield manifest
