"""Shards: the samples of an export in files of about equal size, each written by one worker.

Which sample comes into which shard is decided before anything is written, by key and by what its
picture is expected to take: so shards are written side by side, and equal data gives equal bytes.
A shard counts as written when its manifest is there, which comes last; then it is kept.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import GleansetError, InputUnusable, Unreadable
from gleanset.files.atomic import disk_errors, whole_file, write_atomic
from gleanset.files.store import sha256_of, sha256_of_file
from gleanset.records import Rejection, Sample
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from labeler.export.card import CardFacts
from labeler.export.croissant import write_about
from labeler.export.formats.base import ENDING, ShardRecord
from labeler.export.item import ExportItem
from labeler.export.options import ExportOptions
from labeler.export.pictures import linked, make_picture, picture_size
from labeler.export.plan import (
    count_left_out_reports,
    each_item,
    nothing_to_export,
    private_images,
)
from labeler.export.rows import LICENCE, LICENCES, table_row, told_of, write_sheet, write_text
from labeler.export.tree import mark

STAGE = "export"
MEASURED = 32
"""So many pictures are made to know how large they come out; keys being hashes, they are random."""

SECONDS_PER_SHARD = 6 * 3600.0
BESIDE = 3_000
"""About the bytes that a shard takes for a sample besides its picture."""


@dataclass(frozen=True, slots=True)
class Shard:
    """What one shard is to hold. `name` has no ending."""

    name: str
    split: str
    items: tuple[ExportItem, ...]

    def facts(self, classes: Mapping[str, int], folds: bool) -> list[dict[str, object]]:
        """Return what the shard says of each item, without what its picture decides."""
        return [told_of(item, classes, folds) for item in self.items]


@dataclass(frozen=True, slots=True)
class ShardManifest:
    """What is in a shard, as it stands in the JSON file beside it.

    `of` is a hash of all that it was to hold. `pictures` has a row a picture with its licence and
    hash; of those that could not be read `failed` has the reason, by their place in the dataset.
    `say_where` are the pictures whose files say where they were taken.
    """

    shard: str
    split: str
    sha256: str
    bytes: int
    of: str
    classes: dict[str, int]
    licences: dict[str, int]
    pictures: list[dict[str, str]]
    failed: dict[str, str]
    say_where: list[str]

    @property
    def summary(self) -> dict[str, object]:
        """What the manifest of all shards says of this one."""
        left_out = ("of", "pictures", "failed", "say_where")
        told = {name: value for name, value in asdict(self).items() if name not in left_out}
        return told | {"pictures": len(self.pictures)}


@dataclass(frozen=True, slots=True)
class PictureSizes:
    """About how many bytes pictures take, by what the catalogue alone tells: crops may be gone."""

    options: ExportOptions
    bytes_per_pixel: float = 1.0

    def of(self, item: ExportItem) -> float:
        """Return the bytes expected of a sample in a shard."""
        if item.way in ("original", "stripped"):
            return BESIDE + item.image.bytes
        return BESIDE + self.pixels(item.sample) * self.bytes_per_pixel

    def pixels(self, sample: Sample) -> int:
        """Return how many pixels a picture is written with."""
        width, height = self.options.sides or (sample.box.width, sample.box.height)
        return width * height


def cut_into_shards(
    items: Iterable[ExportItem], sizes: PictureSizes, options: ExportOptions
) -> Iterator[Shard]:
    """Yield shards as they are full; of each split one is open at a time."""
    opened: dict[str, list[ExportItem]] = {}
    taken: Counter[str] = Counter()
    weight: dict[str, float] = {}
    limit = options.size_of_shard
    for item in items:
        split, size = str(item.sample.split), sizes.of(item)
        chosen = opened.setdefault(split, [])
        if chosen and not limit.has_room(len(chosen), weight.get(split, 0.0) + size):
            yield Shard(f"{split}-{taken[split]:06}", split, tuple(chosen))
            taken[split] += 1
            chosen.clear()
            weight[split] = 0.0
        chosen.append(item)
        weight[split] = weight.get(split, 0.0) + size
    for split, chosen in opened.items():
        yield Shard(f"{split}-{taken[split]:06}", split, tuple(chosen))


@dataclass(frozen=True, slots=True)
class ShardWriter:
    """Writes shards into `folder`; picklable. One that `folder` or `earlier` has is kept.

    `classes` are their numbers by name; with `folds` the number of its fold is told of each
    sample.
    """

    folder: Path
    earlier: Path
    options: ExportOptions
    classes: Mapping[str, int]
    folds: bool = False

    def __call__(self, shard: Shard) -> ShardManifest:
        """Return what is in the shard, once it is on the disk."""
        of, name = self.digest_of(shard), f"{shard.name}{self.options.form.ending}"
        with disk_errors(self.folder / name):
            for place in (self.folder, self.earlier):
                if (found := written_shard(place, shard.name)) and found.of == of:
                    if place != self.folder:
                        linked(place / found.shard, self.folder / found.shard)
                        write_manifest(self.folder, shard.name, found)
                    return found
            return self._written(shard, name, of)

    def digest_of(self, shard: Shard) -> str:
        """Return the hash of all that a shard is to hold, as its manifest has it."""
        facts = shard.facts(self.classes, self.folds)
        shows = [item.digest(self.options.pixels) for item in shard.items]
        what = json.dumps([self.options.made_as, LICENCE, list(self.classes), shows, facts])
        return hashlib.sha256(what.encode()).hexdigest()

    def _written(self, shard: Shard, name: str, of: str) -> ShardManifest:
        facts = shard.facts(self.classes, self.folds)
        open_shard = self.options.form.open_shard
        assert open_shard is not None, "only what has shards is written into some"
        pictures: list[dict[str, str]] = []
        failed: dict[str, str] = {}
        classes: Counter[str] = Counter()
        licences: Counter[str] = Counter()
        say_where: list[str] = []
        with (
            whole_file(self.folder / name) as partial,
            open_shard(partial, list(self.classes), facts[0]) as put,
        ):
            for item, row in zip(shard.items, facts, strict=True):
                try:
                    made = make_picture(item, self.options)
                except Unreadable as error:
                    failed[item.path] = f"{error.reason}: {error.detail}"
                    continue
                row = row | {"sha256": sha256_of(made.data), "changes": made.changes}
                file = file_name(item)
                put(ShardRecord(file, made.data, row))
                if made.says_where:
                    say_where.append(file)
                pictures.append({"file": file} | {key: str(row[key]) for key in LICENCE})
                classes[str(item.sample.label)] += 1
                licences[item.origin.licence or "unknown"] += 1
        path = self.folder / name
        manifest = ShardManifest(
            name,
            shard.split,
            sha256_of_file(path),
            path.stat().st_size,
            of,
            dict(sorted(classes.items())),
            dict(sorted(licences.items())),
            pictures,
            failed,
            say_where,
        )
        write_manifest(self.folder, shard.name, manifest)
        return manifest


def file_name(item: ExportItem) -> str:
    """Return what a picture is called in a shard."""
    # Names end at their first dot here; the sample's key has none, and is nobody else's.
    copy = f"_{item.copy}" if item.copy else ""
    return f"{item.sample.key}{copy}.{item.path.rpartition('.')[2]}"


def write_manifest(folder: Path, name: str, manifest: ShardManifest) -> None:
    """Write the file that says that a shard is whole."""
    text = json.dumps(asdict(manifest), ensure_ascii=False, indent=1)
    write_atomic(folder / f"{name}.json", f"{text}\n".encode())


def read_manifest(folder: Path, name: str) -> ShardManifest | None:
    """Return the manifest of a shard; None where there is none of ours."""
    try:
        return ShardManifest(**json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def written_shard(folder: Path, name: str) -> ShardManifest | None:
    """Return the manifest of a shard that is whole, unchanged and lacks nothing, else None."""
    found = read_manifest(folder, name)
    if found is None or found.failed or not re.fullmatch(re.escape(name) + ENDING, found.shard):
        return None
    try:
        return found if sha256_of_file(folder / found.shard) == found.sha256 else None
    except OSError:
        return None


def planned_shards(dataset: Dataset, options: ExportOptions, workers: int = 0) -> Iterator[Shard]:
    """Yield the shards of an export, one in memory at a time. Raises `InputUnusable`."""
    sizes = _sizes(dataset, options, workers)
    return cut_into_shards(each_item(dataset, options), sizes, options)


def write_shards(
    dataset: Dataset,
    folder: Path,
    earlier: Path,
    options: ExportOptions,
    workers: int,
    progress: Progress,
) -> dict[str, object]:
    """Write the shards of an export, with all that goes beside them; the counts.

    What an earlier run left whole there, or in the export at `earlier` that this one replaces, is
    kept. Raises `InputUnusable` where there is nothing to write, `GleansetError` where a worker
    died.
    """
    names, folds = _classes(dataset, options)
    numbers = {name: number for number, name in enumerate(names)}
    write = ShardWriter(folder, earlier, options, numbers, folds)
    pool = Processes(workers, SECONDS_PER_SHARD)
    reports = count_left_out_reports(dataset, options)
    facts = CardFacts(options, reports=reports)
    shards: list[str] = []
    failed: dict[str, str] = {}
    outcomes = run_over(write, planned_shards(dataset, options, workers), pool)
    for outcome in progress.over(outcomes, "export", unit=" shards"):
        if (manifest := outcome.result) is None:
            raise GleansetError(
                f"shard {outcome.item.name} was not written: {outcome.reason}: {outcome.detail}",
                "run the same command again: the shards that are written are kept",
            )
        shards.append(outcome.item.name)
        failed |= manifest.failed
        facts.row = table_row(outcome.item.facts(write.classes, write.folds)[0], "sha256")
        facts.add(dataset.db, _as_written(outcome.item, manifest))
        note_failed(dataset, manifest.failed)
    if not facts.items:
        raise none_readable(failed)
    write_text(folder / "classes.txt", "\n".join(names) + "\n")
    _finish(dataset, folder, sorted(shards), options, facts)
    return facts.result(failed) | {"shards": len(shards)}


def _as_written(shard: Shard, manifest: ShardManifest) -> list[ExportItem]:
    told = {row["file"]: row["changes"] for row in manifest.pictures}
    return [
        replace(item, changes=told[name], says_where=name in manifest.say_where)
        for item in shard.items
        if (name := file_name(item)) in told
    ]


def note_failed(dataset: Dataset, failed: Mapping[str, str]) -> None:
    """Keep which pictures could not be read, and why, where something can be written."""
    if not dataset.read_only:
        for path, why in failed.items():
            dataset.rejections.add(Rejection(STAGE, path, "cannot be read", why))


def none_readable(failed: Mapping[str, str]) -> InputUnusable:
    """Return the error of an export of which no picture can be read."""
    return InputUnusable(
        f"none of the {len(failed)} pictures can be read; the first: {min(failed.values())}",
        "put the images folder of the dataset back",
    )


def _classes(dataset: Dataset, options: ExportOptions) -> tuple[list[str], bool]:
    """Return the classes of an export by name, and whether its split was one into folds."""
    private = private_images(dataset, options)
    # What a licence leaves out is known of the image alone.
    samples = (
        (item.sample for item in each_item(dataset, options))
        if options.licences
        else (one for one in dataset.samples.in_splits() if one.image not in private)
    )
    names, folds = set[str](), False
    for sample in samples:
        names.add(str(sample.label))
        folds = folds or bool(sample.fold)
    if not names:
        raise nothing_to_export(dataset, options)
    return sorted(names), folds


def _sizes(dataset: Dataset, options: ExportOptions, workers: int) -> PictureSizes:
    first = list(islice(each_item(dataset, options), MEASURED))
    made = [item for item in first if item.way in ("crop", "made")]
    measure = partial(picture_size, options=options)
    outcomes = run_over(measure, made, Processes(workers))
    sizes = {one.item.path: one.result for one in outcomes if one.result is not None}
    by_pixels = PictureSizes(options)
    pixels = sum(by_pixels.pixels(item.sample) for item in made if item.path in sizes)
    return PictureSizes(options, sum(sizes.values()) / pixels) if pixels else by_pixels


def _finish(
    dataset: Dataset, folder: Path, shards: list[str], options: ExportOptions, facts: CardFacts
) -> None:
    """Write what goes with all shards, and remove what no shard of this export is."""
    ours = {"classes.txt", "manifest.json"}
    ours |= {f"{name}{ending}" for name in shards for ending in (options.form.ending, ".json")}
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in ours:
            path.unlink()
    about = {
        **options.recorded,
        "pictures": facts.items,
        "shards": [manifest.summary for manifest in _manifests(folder, shards)],
    }
    write_text(folder / "manifest.json", json.dumps(about, ensure_ascii=False, indent=1))
    pictures = (
        {"shard": manifest.shard, **summaries}
        for manifest in _manifests(folder, shards)
        for summaries in manifest.pictures
    )
    write_sheet(folder / LICENCES, ("shard", "file", *LICENCE), pictures)
    files = {manifest.shard: manifest.sha256 for manifest in _manifests(folder, shards)}
    write_about(dataset, folder, facts, files)
    mark(folder, {"format": options.format, "pictures": {}})


def _manifests(folder: Path, shards: Iterable[str]) -> Iterator[ShardManifest]:
    for name in shards:
        manifest = read_manifest(folder, name)
        assert manifest is not None, "it was just written"
        yield manifest
