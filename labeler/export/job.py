"""Carrying out an export: plan, pictures, what the format adds, card, swap."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from gleanset import Dataset
from gleanset.files.names import leads_out
from gleanset.plugins import answerable
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from labeler.export.card import CardFacts
from labeler.export.croissant import write_about
from labeler.export.formats.captions import caption, caption_digest
from labeler.export.item import ExportItem
from labeler.export.options import ExportOptions
from labeler.export.pictures import ExportFile, WrittenFile, check_links, write_picture
from labeler.export.plan import (
    count_left_out_reports,
    for_splits,
    left_out,
    plan_boxes,
    plan_export,
)
from labeler.export.rows import class_numbers, table_row, told_of, with_folds, write_licences
from labeler.export.shards import (
    STAGE,
    none_readable,
    note_failed,
    planned_shards,
    write_shards,
)
from labeler.export.tree import kept_files, mark, marked, place_of, replacing


class WouldExport(NamedTuple):
    """The paths of an export, its samples by class and split, and those left out by reason."""

    paths: list[str]
    classes: dict[str, Counter[str]]
    left_out: dict[str, int]


def plan(dataset: Dataset, options: ExportOptions) -> tuple[list[ExportItem], int]:
    """Return the samples of an export without shards, and how many pictures lack a decision.

    Raises `InputUnusable`.
    """
    if options.boxed:
        return plan_boxes(dataset, options)
    return plan_export(dataset, options), 0


def would_export(dataset: Dataset, options: ExportOptions) -> WouldExport:
    """Return what an export would write. Raises what it would raise."""
    options = for_splits(dataset, options)
    if options.sharded:
        shards = list(planned_shards(dataset, options))
        items = [item for shard in shards for item in shard.items]
        paths = [f"{shard.name}/{item.sample.key}" for shard in shards for item in shard.items]
    else:
        items, _ = plan(dataset, options)
        paths = [item.path for item in items]
    classes: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        classes[str(item.sample.label)][str(item.sample.split)] += 1
    return WouldExport(paths, dict(sorted(classes.items())), left_out(dataset, options))


def export(
    dataset: Dataset,
    target: Path,
    options: ExportOptions | None = None,
    *,
    workers: int = 0,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Write an export beside `target` and swap it in when it is whole; the counts.

    A folder that holds anything but an earlier export is left alone, and so is an earlier
    export when not one picture can be read: `InputUnusable`. Equal data gives equal bytes.
    """
    asked = options or ExportOptions()
    options = for_splits(dataset, asked)
    target = place_of(target)
    progress = progress or Progress()
    if options.form.check is not None:
        with answerable("exports", options.format):
            options.form.check()  # what lacks is said before anything is written
    # Where nothing can be written nobody else is at work either.
    held = nullcontext() if dataset.read_only else dataset.stage(STAGE)
    if options.sharded:
        with held, replacing(target, going_on=True) as new:
            found = write_shards(dataset, new.folder, target, options, workers, progress)
        found |= {"left_out": out} if (out := left_out(dataset, options)) else {}
        return {"to": str(target)} | found | kept_files(new, target)
    with held, replacing(target) as new:
        folder = new.folder
        items, undecided = plan(dataset, options)
        if options.link:
            check_links(items, folder)
        files = _files(items, options, marked(target), target)
        write = partial(write_picture, folder=folder, options=options)
        done, failed = _write_all(write, files, Processes(workers), progress)
        note_failed(dataset, failed)
        written = [
            replace(item, changes=file.changes, says_where=file.says_where)
            for item in items
            if (file := done.get(item.path)) is not None
        ]
        reports = count_left_out_reports(dataset, options)
        facts = CardFacts(options, undecided, reports)
        facts.add(dataset.db, written)
        facts.row = table_row(told_of(written[0], class_numbers(written), with_folds(written)))
        if options.form.write is not None:
            with answerable("exports", options.format):
                options.form.write(folder, written)
        write_licences(folder, written)
        write_about(dataset, folder, facts)
        shown = {item.path: _shown(item, options, done[item.path]) for item in written}
        facts_of_all: dict[str, Any] = {**options.recorded, "caption": options.template}
        facts_of_all |= {"no_split": options.no_split, "pictures": shown}
        mark(folder, facts_of_all)
    result = {"to": str(target)} | facts.result(failed)
    if options != asked:
        result["split"] = "none yet, so all labelled images are in it"
    result |= {"left_out": out} if (out := left_out(dataset, options)) else {}
    return result | kept_files(new, target)


def _files(
    items: Sequence[ExportItem], options: ExportOptions, before: Mapping[str, Any], target: Path
) -> list[ExportFile]:
    """Return the files to write, each with the one of the last export that shows the same."""
    earlier: dict[str, tuple[Path, str, str]] = {}
    for name, told in before.get("pictures", {}).items():
        # A marker may have been edited: only what lies in the tree is taken from it.
        if not leads_out(name) and "changes" in told:
            found = target / name, str(told.get("sha256")), str(told["changes"])
            earlier[str(told.get("shows"))] = found
    return [
        ExportFile(item, earlier.get(item.digest(options.pixels)))
        for item in {item.path: item for item in items}.values()
    ]


def _write_all(
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
        raise none_readable(failed)
    return done, failed


def _shown(item: ExportItem, options: ExportOptions, written: WrittenFile) -> dict[str, object]:
    """Return what the marker keeps of a picture, to recognise or link it later."""
    facts: dict[str, object] = {
        "sample": item.sample.key,
        "label": item.sample.label,
        "shows": item.digest(options.pixels),
        "sha256": written.sha256,
        "changes": written.changes,
    }
    if options.format == "captions":
        facts["caption"] = caption_digest(caption([item], options.template))
    return facts
