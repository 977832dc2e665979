"""Running an export: plan, images or shards, the files of the format, card, swap.

Shards have samples that are assigned in advance, by key and expected size. So shards are written in
parallel, and equal data gives equal bytes. A shard is complete once its manifest exists, which is
written last; complete shards are kept.
"""

import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gleanset import Dataset
from gleanset.errors import GleansetError, InputUnusable, Unreadable
from gleanset.files.atomic import atomic_file, disk_errors, write_atomic
from gleanset.files.shards import ShardSize
from gleanset.files.store import hash_bytes, hash_file
from gleanset.named_files import rejections_command, summarize_lines
from gleanset.plugins import attribute_errors
from gleanset.records import SPLITS, Rejection
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import NO_PROGRESS, Progress
from labeler.duplicates.plan import conflicting_label_summary
from labeler.export.descriptions import CardFacts, write_descriptions
from labeler.export.formats.base import ENDING, ShardRecord
from labeler.export.formats.builtin import TEMPLATE, format_caption
from labeler.export.item import ALL_SAMPLES, ExportItem
from labeler.export.options import SHARD_SIZE, ExportOptions
from labeler.export.plan import (
    count_left_out,
    get_balance,
    iter_items,
    nothing_to_export_error,
    plan_boxes,
    plan_clips,
    plan_export,
)
from labeler.export.rendering import (
    check_links,
    link_or_copy,
    render_image,
    write_image,
)
from labeler.export.result import ExportPreview, ExportResult
from labeler.export.rows import (
    LICENCE_COLUMNS,
    LICENCE_FILE,
    make_table_row,
    number_classes,
    sample_facts,
    write_licences,
    write_rows,
    write_text,
)
from labeler.export.tree import (
    COPIES,
    TAGS_MARK,
    replace_tree,
    resolve_target,
    write_marker,
)

STAGE = "export"
SHARD_TIMEOUT_SECONDS = 6 * 3600.0
BYTES_PER_SAMPLE = 3_000
"""Approximate overhead of a sample in a shard, without its image."""
BYTES_PER_PIXEL = 1.0
"""Approximate size of an encoded image."""


class Shard(NamedTuple):
    """Planned content of one shard; `name` has no extension."""

    name: str
    split: str
    items: tuple[ExportItem, ...]


class ShardManifest(NamedTuple):
    """Content of a shard, stored as JSON next to it.

    `plan_sha256` is the hash of the planned content. `images` has a row for each image with its
    licence and hash, `failed` the reason for each unreadable image by path. `with_gps` are the
    images that contain a GPS position.
    """

    shard: str
    split: str
    sha256: str
    bytes: int
    plan_sha256: str
    images: list[dict[str, str]]
    failed: dict[str, str]
    with_gps: list[str]


def plan_shards(dataset: Dataset, options: ExportOptions) -> Iterator[Shard]:
    """Yield the shards of an export, one of each split in memory at a time."""
    limit = ShardSize.parse(options.shard_size or SHARD_SIZE)
    # The next shard of each split: its items, their bytes, its number.
    open_items: dict[str, list[ExportItem]] = defaultdict(list)
    open_bytes: dict[str, float] = defaultdict(float)
    shard_numbers = Counter[str]()
    for item in iter_items(dataset, options):
        size = _estimate_bytes(item, options)
        split = item.split
        members = open_items[split]
        if members and not limit.has_room(len(members), open_bytes[split] + size):
            yield Shard(
                f"{split}-{shard_numbers[split]:06}",
                split,
                tuple(members),
            )
            shard_numbers[split] += 1
            members.clear()
            open_bytes[split] = 0.0

        members.append(item)
        open_bytes[split] += size

    # The last one of each split, which is smaller.
    for split, members in open_items.items():
        yield Shard(
            f"{split}-{shard_numbers[split]:06}",
            split,
            tuple(members),
        )


def _estimate_bytes(item: ExportItem, options: ExportOptions) -> float:
    """Estimate the size of a sample in a shard from the catalogue, because crops may be missing."""
    if item.method == "original":
        return BYTES_PER_SAMPLE + item.image.bytes
    box = item.sample.box
    width, height = options.target_size or (box.width, box.height)
    return BYTES_PER_SAMPLE + width * height * BYTES_PER_PIXEL


@dataclass(frozen=True)
class ShardWriter:
    """Writes shards into `folder` in worker processes; equal shards there or in `earlier` are kept.

    `classes` has the number of each class.
    """

    folder: Path
    earlier: Path
    options: ExportOptions
    classes: Mapping[str, int]

    def __call__(self, shard: Shard) -> ShardManifest:
        """Write a shard unless it exists; return its manifest."""
        facts = [sample_facts(item, self.classes) for item in shard.items]
        # All that determines the bytes of the shard.
        plan = [
            self.options.format_label,
            LICENCE_COLUMNS,
            list(self.classes),
            [item.digest(self.options.pixel_settings) for item in shard.items],
            facts,
        ]
        digest = hash_bytes(json.dumps(plan).encode())
        path = self.folder / f"{shard.name}{self.options.form.ending}"
        with disk_errors(path):
            # Of an interrupted run, or of the export that is being replaced.
            for folder in (self.folder, self.earlier):
                manifest = read_complete_manifest(folder, shard.name)
                if manifest is None or manifest.plan_sha256 != digest:
                    continue

                if folder != self.folder:
                    name = manifest.shard
                    link_or_copy(folder / name, self.folder / name)
                    write_manifest(self.folder, shard.name, manifest)
                return manifest

            return self._write(path, shard, facts, digest)

    def _write(
        self, path: Path, shard: Shard, facts: list[dict[str, object]], digest: str
    ) -> ShardManifest:
        """Write a shard, then its manifest; `digest` is the hash of its plan."""
        open_shard = self.options.form.open_shard
        assert open_shard is not None, "the format has shards"
        images = []
        failed = {}
        files_with_gps = []
        with (
            atomic_file(path) as partial,
            open_shard(partial, list(self.classes), facts[0]) as put,
        ):
            for item, row in zip(shard.items, facts, strict=True):
                try:
                    data, file_item = render_image(item, self.options)
                except Unreadable as error:
                    failed[item.path] = f"{error.reason}: {error.detail}"
                    continue

                row = row | {"sha256": file_item.sha256}
                file = get_shard_file_name(item)
                put(ShardRecord(file, data, row))
                if file_item.has_gps:
                    files_with_gps.append(file)
                images.append(
                    {"file": file} | {key: str(row[key]) for key in LICENCE_COLUMNS}
                )

        manifest = ShardManifest(
            shard=path.name,
            split=shard.split,
            sha256=hash_file(path),
            bytes=path.stat().st_size,
            plan_sha256=digest,
            images=images,
            failed=failed,
            with_gps=files_with_gps,
        )
        write_manifest(self.folder, shard.name, manifest)
        return manifest


def get_shard_file_name(item: ExportItem) -> str:
    """Return the file name of an image in a shard."""
    # WebDataset takes a name up to its first dot as the key of the sample.
    return item.path.rpartition("/")[2]


def write_manifest(folder: Path, name: str, manifest: ShardManifest) -> None:
    """Write the manifest, which marks a shard as complete."""
    text = json.dumps(manifest._asdict(), ensure_ascii=False, indent=1)
    write_atomic(folder / f"{name}.json", f"{text}\n".encode())


def read_manifest(folder: Path, name: str) -> ShardManifest | None:
    """Return the manifest of a shard; None if it is missing or not valid."""
    try:
        return ShardManifest(
            **json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        )
    except (OSError, ValueError, TypeError):
        return None


def read_complete_manifest(folder: Path, name: str) -> ShardManifest | None:
    """Return the manifest of a shard that is unchanged and has all its images, else None."""
    manifest = read_manifest(folder, name)
    if manifest is None or manifest.failed:
        return None
    # A manifest may have been edited: its name becomes a path.
    if not re.fullmatch(re.escape(name) + ENDING, manifest.shard):
        return None
    with suppress(OSError):
        if hash_file(folder / manifest.shard) == manifest.sha256:
            return manifest

    return None


def write_shards(
    dataset: Dataset,
    folder: Path,
    earlier: Path,
    options: ExportOptions,
    workers: int,
    progress: Progress,
) -> ExportResult:
    """Write the shards of an export and the files next to them; return the counts.

    Complete shards of an interrupted run, or of the export at `earlier` that is being replaced, are
    kept. Raises `InputUnusable` if there is nothing to write, `GleansetError` if a worker died.
    """
    # A pass of its own, because every shard has the numbers of all classes.
    names = sorted({item.label for item in iter_items(dataset, options)})
    if not names:
        raise nothing_to_export_error(dataset, options)

    numbers = {name: number for number, name in enumerate(names)}
    write = ShardWriter(folder, earlier, options, numbers)
    outcomes = run_over(
        write, plan_shards(dataset, options), Processes(workers, SHARD_TIMEOUT_SECONDS)
    )
    facts = CardFacts(options)
    shards = []
    failed: dict[str, str] = {}
    for outcome in progress.over(outcomes, "export", unit=" shards"):
        shard = outcome.item
        manifest = outcome.result
        if manifest is None:
            raise GleansetError(
                f"shard {shard.name} was not written: {outcome.reason}: {outcome.detail}",
                "run the same command again: complete shards are kept",
            )

        shards.append(shard.name)
        failed |= manifest.failed
        # The row of any shard will do: the card shows only columns and types.
        facts.example_row = make_table_row(
            sample_facts(shard.items[0], numbers), "sha256"
        )
        facts.add(dataset.db, _list_readable_items(shard, manifest))
        record_failures(dataset, manifest.failed)

    if not facts.items:
        raise none_readable_error(failed)

    write_text(folder / "classes.txt", "\n".join(names) + "\n")
    _write_summaries(
        dataset,
        folder,
        sorted(shards),
        options,
        facts,
    )
    result = facts.result(failed)
    result.shards = len(shards)
    return result


def _list_readable_items(shard: Shard, manifest: ShardManifest) -> list[ExportItem]:
    """Return the items of a shard whose images could be read."""
    files = {row["file"] for row in manifest.images}
    items = []
    for item in shard.items:
        file = get_shard_file_name(item)
        if file in files:
            items.append(item._replace(has_gps=file in manifest.with_gps))
    return items


def record_failures(dataset: Dataset, failed: Mapping[str, str]) -> None:
    """Record unreadable images as rejections, unless the dataset is read-only."""
    if not dataset.read_only:
        for path, reason in failed.items():
            dataset.rejections.add(Rejection(STAGE, path, "cannot be read", reason))


def none_readable_error(failed: Mapping[str, str]) -> InputUnusable:
    """Return the error for an export whose images are all unreadable."""
    return InputUnusable(
        f"none of the {len(failed)} files can be read; the first: {min(failed.values())}",
        "restore the images folder of the dataset, or put videos back at their paths",
    )


def _write_summaries(
    dataset: Dataset,
    folder: Path,
    shards: list[str],
    options: ExportOptions,
    facts: CardFacts,
) -> None:
    """Write the files for all shards, and remove files that do not belong to this export."""
    names = {"classes.txt", "manifest.json"}
    for shard in shards:
        names |= {f"{shard}{options.form.ending}", f"{shard}.json"}
    # Other files are of an interrupted run with other data, or of another format.
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in names:
            path.unlink()

    entries = []
    hashes = {}
    for manifest in _read_manifests(folder, shards):
        hashes[manifest.shard] = manifest.sha256
        entries.append(
            {
                "shard": manifest.shard,
                "split": manifest.split,
                "sha256": manifest.sha256,
                "bytes": manifest.bytes,
                "images": len(manifest.images),
            }
        )

    content = {
        **options.marker_facts,
        "images": facts.items,
        "shards": entries,
    }
    write_text(
        folder / "manifest.json", json.dumps(content, ensure_ascii=False, indent=1)
    )

    write_rows(
        folder / LICENCE_FILE,
        ("shard", "file", *LICENCE_COLUMNS),
        _iter_shard_rows(folder, shards),
    )
    write_descriptions(dataset, folder, facts, hashes)
    write_marker(folder, {"format": options.format, "images": {}})


def _read_manifests(folder: Path, shards: Iterable[str]) -> Iterator[ShardManifest]:
    """Yield the manifests of shards (names) one by one."""
    for name in shards:
        manifest = read_manifest(folder, name)
        assert manifest is not None, "just written"
        yield manifest


def _iter_shard_rows(folder: Path, shards: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of `LICENSES.csv`."""
    # Read again one by one: all rows of a large export would fill the memory.
    for manifest in _read_manifests(folder, shards):
        for row in manifest.images:
            yield {"shard": manifest.shard, **row}


def simulate_export(dataset: Dataset, options: ExportOptions) -> ExportPreview:
    """Return the content of an export without writing it.

    Raises `InputUnusable` if there is nothing to export; with shards the counts are 0 instead.
    """
    paths = []
    if options.is_sharded:
        items: list[ExportItem] = []
        for shard in plan_shards(dataset, options):
            items += shard.items
            # Without the extension, which depends on how the image is made.
            paths += [f"{shard.name}/{Path(item.path).stem}" for item in shard.items]
    else:
        items, _ = _plan_items(dataset, options)
        paths += [item.path for item in items]

    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        counts[item.label][item.split] += 1
    totals = sum(counts.values(), Counter[str]())
    parts = [part for part in (*SPLITS, ALL_SAMPLES) if totals[part]]
    return ExportPreview(
        would_export=len(paths),
        classes={
            label: {part: row[part] for part in parts}
            for label, row in sorted(counts.items())
        },
        left_out=count_left_out(dataset, options),
        balance=get_balance(dataset, options).table,
        paths=paths,
    )


def _plan_items(
    dataset: Dataset, options: ExportOptions
) -> tuple[list[ExportItem], int]:
    """Return the items of an export without shards, and the number of undecided images.

    Only an export of boxes leaves out whole images, those with undecided faces.
    """
    if options.has_boxes:
        return plan_boxes(dataset, options)
    if options.is_clips:
        return plan_clips(dataset, options), 0
    return plan_export(dataset, options), 0


def write_tree(
    dataset: Dataset,
    folder: Path,
    options: ExportOptions,
    workers: int,
    progress: Progress,
) -> ExportResult:
    """Write an export that has a file for each image; return the counts.

    Raises `InputUnusable` if there is nothing to write, or no image can be read.
    """
    items, undecided_count = _plan_items(dataset, options)
    if options.link:
        check_links(items, folder)

    files, errors = _write_images(
        items,
        folder,
        options,
        workers,
        progress,
    )
    if not files:
        raise none_readable_error(errors)
    record_failures(dataset, errors)

    # Several samples may share a file.
    exported_items = []
    for item in items:
        if item.path in files:
            file = files[item.path]
            exported_items.append(
                item._replace(sha256=file.sha256, has_gps=file.has_gps)
            )

    numbers = number_classes(exported_items)
    facts = CardFacts(options, undecided_count)
    facts.add(dataset.db, exported_items)
    facts.example_row = make_table_row(sample_facts(exported_items[0], numbers))

    if options.form.write is not None:
        with attribute_errors("exports", options.format):
            options.form.write(folder, exported_items)

    write_licences(folder, exported_items)
    write_descriptions(dataset, folder, facts)
    _write_tree_marker(folder, options, exported_items)
    return facts.result(errors)


def _write_images(
    items: Iterable[ExportItem],
    folder: Path,
    options: ExportOptions,
    workers: int,
    progress: Progress,
) -> tuple[dict[str, ExportItem], dict[str, str]]:
    """Write the image files; return one item of each by path, and why others failed."""
    # Samples of one whole image share its file.
    file_items = {item.path: item for item in items}.values()
    write = partial(write_image, folder=folder, options=options)
    files = {}
    errors = {}
    outcomes = run_over(write, file_items, Processes(workers))
    for outcome in progress.over(outcomes, "export", total=len(file_items)):
        path = outcome.item.path
        if outcome.result is not None:
            files[path] = outcome.result
        else:
            errors[path] = f"{outcome.reason}: {outcome.detail}"
    return files, errors


def _write_tree_marker(
    folder: Path, options: ExportOptions, items: Iterable[ExportItem]
) -> None:
    """Write what `labeler import` needs to read moved files and edited captions back."""
    entries = {}
    copies = []
    template = options.caption or TEMPLATE
    for item in items:
        if item.copy:
            copies.append(item.path)
        else:
            entries[item.path] = {
                "sample": item.sample.key,
                "label": item.label,
                "sha256": item.sha256,
                "caption": format_caption(item, template, TAGS_MARK),
            }

    marker = {
        **options.marker_facts,
        "no_split": options.no_split,
        "images": entries,
        COPIES: copies,
    }
    write_marker(folder, marker)


def export(
    dataset: Dataset,
    target: Path,
    options: ExportOptions,
    *,
    workers: int = 0,
    progress: Progress = NO_PROGRESS,
) -> ExportResult:
    """Write an export next to `target`, swap it in once it is complete, and return the counts.

    Equal data gives equal bytes. Raises `InputUnusable` if the folder holds other files than an
    earlier export, or if no image can be read; then nothing is changed.
    """
    target = resolve_target(target)
    # Before anything is written: a library that the format needs may be missing.
    if options.form.check is not None:
        with attribute_errors("exports", options.format):
            options.form.check()

    # A read-only dataset needs no lock, because no other process can write to it.
    lock = nullcontext() if dataset.read_only else dataset.stage(STAGE)
    left_out = count_left_out(dataset, options)
    balance = get_balance(dataset, options).table
    with lock, replace_tree(target, resume=options.is_sharded) as new:
        folder = new.folder
        if options.is_sharded:
            result = write_shards(dataset, folder, target, options, workers, progress)
        else:
            result = write_tree(dataset, folder, options, workers, progress)

    result.to = str(target)
    result.left_out = left_out
    result.balance = balance
    if not (options.has_boxes or options.is_clips):
        result.images_without_a_face = dataset.images.count_without_sample()
    result.see_failed = rejections_command(dataset, STAGE)
    result.kept_files = summarize_lines(new.kept_files, str(target))
    return result.with_facts(conflicting_label_summary(dataset))
