"""Running an export: plan, images, the files of the format, card, swap."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gleanset import Dataset
from gleanset.files.names import escapes_folder
from gleanset.plugins import attribute_errors
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from labeler.export.card import CardFacts
from labeler.export.croissant import write_descriptions
from labeler.export.formats.captions import caption_digest, format_caption
from labeler.export.item import ExportItem
from labeler.export.options import ExportOptions
from labeler.export.plan import (
    count_left_out,
    count_private_samples,
    plan_boxes,
    plan_export,
    resolve_split_option,
)
from labeler.export.rendering import ExportFile, WrittenFile, check_links, write_image
from labeler.export.rows import has_folds, number_classes, sample_facts, table_row, write_licences
from labeler.export.shards import (
    STAGE,
    none_readable_error,
    plan_shards,
    record_failures,
    write_shards,
)
from labeler.export.tree import (
    kept_files_summary,
    read_marker,
    replace_tree,
    resolve_target,
    write_marker,
)


class ExportPreview(NamedTuple):
    """The paths of an export, its samples by class and split, and those left out by reason."""

    paths: list[str]
    classes: dict[str, Counter[str]]
    left_out: dict[str, int]


def simulate_export(dataset: Dataset, options: ExportOptions) -> ExportPreview:
    """Return the content of an export without writing it. Raises as `export`."""
    options = resolve_split_option(dataset, options)
    if options.is_sharded:
        shards = list(plan_shards(dataset, options))
        items = [item for shard in shards for item in shard.items]
        paths = [f"{shard.name}/{item.sample.key}" for shard in shards for item in shard.items]
    else:
        items, _ = _plan_items(dataset, options)
        paths = [item.path for item in items]
    classes: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        classes[str(item.sample.label)][str(item.sample.split)] += 1
    return ExportPreview(paths, dict(sorted(classes.items())), count_left_out(dataset, options))


def _plan_items(dataset: Dataset, options: ExportOptions) -> tuple[list[ExportItem], int]:
    """Return the items of an export without shards, and the number of undecided images."""
    if options.has_boxes:
        return plan_boxes(dataset, options)
    return plan_export(dataset, options), 0


def export(
    dataset: Dataset,
    target: Path,
    options: ExportOptions | None = None,
    *,
    workers: int = 0,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Write an export next to `target`, swap it in once it is complete, and return the counts.

    Equal data gives equal bytes. Raises `InputUnusable` if the folder holds other files than an
    earlier export, or if no image can be read; then nothing is changed.
    """
    requested_options = options or ExportOptions()
    options = resolve_split_option(dataset, requested_options)
    target = resolve_target(target)
    progress = progress or Progress()
    if options.form.check is not None:
        with attribute_errors("exports", options.format):
            options.form.check()
    # A read-only dataset needs no lock, because no other process can write to it.
    lock = nullcontext() if dataset.read_only else dataset.stage(STAGE)
    stays_out = count_left_out(dataset, options)
    left_out = {"left_out": stays_out} if stays_out else {}
    if options.is_sharded:
        with lock, replace_tree(target, resume=True) as new:
            counts = write_shards(dataset, new.folder, target, options, workers, progress)
        return {"to": str(target)} | counts | left_out | kept_files_summary(new, target)
    with lock, replace_tree(target) as new:
        folder = new.folder
        items, undecided = _plan_items(dataset, options)
        if options.link:
            check_links(items, folder)
        files = _plan_files(items, options, read_marker(target), target)
        write = partial(write_image, folder=folder, options=options)
        done, failed = _write_files(write, files, Processes(workers), progress)
        record_failures(dataset, failed)
        written = [
            replace(item, changes=file.changes, has_gps=file.has_gps)
            for item in items
            if (file := done.get(item.path)) is not None
        ]
        reports = count_private_samples(dataset, options)
        facts = CardFacts(options, undecided, reports)
        facts.add(dataset.db, written)
        facts.row = table_row(sample_facts(written[0], number_classes(written), has_folds(written)))
        if options.form.write is not None:
            with attribute_errors("exports", options.format):
                options.form.write(folder, written)
        write_licences(folder, written)
        write_descriptions(dataset, folder, facts)
        marker: dict[str, Any] = {**options.marker_facts, "caption": options.template}
        entries = {item.path: _marker_entry(item, options, done[item.path]) for item in written}
        write_marker(folder, marker | {"no_split": options.no_split, "images": entries})
    result = {"to": str(target)} | facts.result(failed)
    if options != requested_options:
        result["split"] = "none yet, so all labelled images are exported"
    return result | left_out | kept_files_summary(new, target)


def _plan_files(
    items: Sequence[ExportItem], options: ExportOptions, marker: Mapping[str, Any], target: Path
) -> list[ExportFile]:
    """Return the files to write, each with the equal file of the earlier export in `target`."""
    earlier: dict[str, tuple[Path, str, str]] = {}
    for name, entry in marker.get("images", {}).items():
        # The marker may have been edited: its paths must not lead out of the tree.
        if not escapes_folder(name) and "changes" in entry:
            file = target / name, str(entry.get("sha256")), str(entry["changes"])
            earlier[str(entry.get("shows"))] = file
    return [
        ExportFile(item, earlier.get(item.digest(options.pixel_settings)))
        for item in {item.path: item for item in items}.values()
    ]


def _write_files(
    write: Callable[[ExportFile], WrittenFile],
    files: Sequence[ExportFile],
    workers: Processes,
    progress: Progress,
) -> tuple[dict[str, WrittenFile], dict[str, str]]:
    done: dict[str, WrittenFile] = {}
    failed: dict[str, str] = {}
    outcomes = run_over(write, files, workers)
    for outcome in progress.over(outcomes, "export", total=len(files)):
        path = outcome.item.item.path
        if outcome.result is not None:
            done[path] = outcome.result
        else:
            failed[path] = f"{outcome.reason}: {outcome.detail}"
    if not done:
        raise none_readable_error(failed)
    return done, failed


def _marker_entry(
    item: ExportItem, options: ExportOptions, written: WrittenFile
) -> dict[str, object]:
    """Return the entry of an image in the marker, to recognize or link it later."""
    entry: dict[str, object] = {
        "sample": item.sample.key,
        "label": item.sample.label,
        "shows": item.digest(options.pixel_settings),
        "sha256": written.sha256,
        "changes": written.changes,
    }
    if options.format == "captions":
        entry["caption"] = caption_digest(format_caption([item], options.template))
    return entry
