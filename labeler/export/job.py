"""Running an export: plan, images, the files of the format, card, swap."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gleanset import Dataset
from gleanset.plugins import attribute_errors
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from labeler.export.descriptions import CardFacts, write_descriptions
from labeler.export.item import ExportItem
from labeler.export.options import ExportOptions
from labeler.export.plan import count_left_out, plan_boxes, plan_export
from labeler.export.rendering import WrittenFile, check_links, write_image
from labeler.export.rows import number_classes, sample_facts, table_row, write_licences
from labeler.export.shards import (
    STAGE,
    none_readable_error,
    plan_shards,
    record_failures,
    write_shards,
)
from labeler.export.tagger import add_tags
from labeler.export.tree import kept_files_summary, replace_tree, resolve_target, write_marker


class ExportPreview(NamedTuple):
    """The paths of an export, its samples by class and split, and those left out by reason."""

    paths: list[str]
    classes: dict[str, Counter[str]]
    left_out: dict[str, int]


def simulate_export(dataset: Dataset, options: ExportOptions) -> ExportPreview:
    """Return the content of an export without writing it. Raises as `export`."""
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
    options = options or ExportOptions()
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
        write = partial(write_image, folder=folder, options=options)
        files = {item.path: item for item in items}.values()
        done, failed = _write_files(write, files, Processes(workers), progress)
        record_failures(dataset, failed)
        written = [
            replace(item, changes=file.changes, has_gps=file.has_gps)
            for item in items
            if (file := done.get(item.path)) is not None
        ]
        if options.tagger is not None:
            written = add_tags(dataset, folder, written, options.tagger, progress)
        facts = CardFacts(options, undecided)
        facts.add(dataset.db, written)
        facts.row = table_row(sample_facts(written[0], number_classes(written)))
        if options.form.write is not None:
            with attribute_errors("exports", options.format):
                options.form.write(folder, written)
        write_licences(folder, written)
        write_descriptions(dataset, folder, facts)
        entries = {
            item.path: {
                "sample": item.sample.key,
                "label": item.sample.label,
                "sha256": done[item.path].sha256,
            }
            for item in written
        }
        facts_of_marker = {"no_split": options.no_split, "images": entries}
        write_marker(folder, options.marker_facts | facts_of_marker)
    return {"to": str(target)} | facts.result(failed) | left_out | kept_files_summary(new, target)


def _write_files(
    write: Callable[[ExportItem], WrittenFile],
    files: Collection[ExportItem],
    workers: Processes,
    progress: Progress,
) -> tuple[dict[str, WrittenFile], dict[str, str]]:
    done: dict[str, WrittenFile] = {}
    failed: dict[str, str] = {}
    outcomes = run_over(write, files, workers)
    for outcome in progress.over(outcomes, "export", total=len(files)):
        path = outcome.item.path
        if outcome.result is not None:
            done[path] = outcome.result
        else:
            failed[path] = f"{outcome.reason}: {outcome.detail}"
    if not done:
        raise none_readable_error(failed)
    return done, failed
