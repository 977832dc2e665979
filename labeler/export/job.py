"""Carrying out an export: plan, pictures, what the format adds, card, swap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.records import Rejection
from gleanset.snapshots import made_from
from gleanset.work.pool import Workers, run_over
from gleanset.work.progress import Progress
from labeler.export.card import CardFacts, dataset_card, licence_table
from labeler.export.formats import FINISH
from labeler.export.options import ExportOptions
from labeler.export.pictures import ExportPicture, PictureWriter, WrittenFile
from labeler.export.plan import ExportItem, missing_classes, plan_export
from labeler.export.shard_job import write_shards
from labeler.export.tree import mark, marked, place_of, replacing

STAGE = "export"


def export(
    dataset: Dataset,
    target: Path,
    options: ExportOptions | None = None,
    *,
    workers: int = 0,
    progress: Progress | None = None,
) -> dict[str, object]:
    """PictureWriter an export beside `target` and swap it in when it is whole; the counts.

    A folder that holds anything but an earlier export is left alone, and so is an earlier
    export when not one picture can be read: `InputUnusable`. Equal data gives equal bytes.
    """
    options = options or ExportOptions()
    target = place_of(target)
    # Where nothing can be written nobody else is at work either.
    held = nullcontext() if dataset.read_only else dataset.stage(STAGE)
    if options.sharded:
        with held, replacing(target, going_on=True) as folder:
            found = write_shards(dataset, folder, target, options, workers, progress or Progress())
        return {"to": str(target)} | found
    with held, replacing(target) as folder:
        snapshot = made_from(dataset)
        items = plan_export(dataset, options)
        pictures = _pictures(items, options, marked(target), target)
        pool = dataset.workers(workers, folders=(folder,))
        done, failed = _write_all(
            PictureWriter(folder, options), pictures, pool, progress or Progress()
        )
        if not dataset.read_only:
            for path, why in failed.items():
                dataset.rejections.add(Rejection(STAGE, path, "cannot be read", why))
        written = [item for item in items if item.path in done]
        shown = {item.path: _shown(item, options, done[item.path]) for item in written}
        FINISH[options.format](folder, written)
        if options.card:
            (folder / "LICENSES.csv").write_text(licence_table(written), encoding="utf-8")
            (folder / "README.md").write_text(
                dataset_card(dataset, CardFacts(dataset.db, written, snapshot), options),
                encoding="utf-8",
            )
        mark(folder, {"format": options.format, "snapshot": snapshot, "pictures": shown})
    result: dict[str, object] = {
        "exported": len(written),
        "to": str(target),
        "splits": dict(Counter(str(item.sample.split) for item in written)),
    }
    if short := missing_classes((str(i.sample.label), str(i.sample.split)) for i in written):
        result["short"] = short
    return result | ({"failed": failed} if failed else {})


def _pictures(
    items: Sequence[ExportItem], options: ExportOptions, before: Mapping[str, Any], target: Path
) -> list[ExportPicture]:
    """Return the files to write, each with the one of the last export that shows the same."""
    earlier: dict[str, tuple[Path, str]] = {}
    for name, told in before.get("pictures", {}).items():
        # A marker may have been edited: only what lies in the tree is taken from it.
        if ".." not in Path(name).parts and not Path(name).is_absolute():
            earlier[str(told.get("shows"))] = (target / name, str(told.get("sha256")))
    return [
        ExportPicture(
            path,
            item.original,
            item.crop,
            item.sample,
            item.copy if item.changed else 0,
            earlier.get(item.digest(options)),
        )
        for path, item in {item.path: item for item in items}.items()
    ]


def _write_all(
    write: PictureWriter, pictures: Sequence[ExportPicture], workers: Workers, progress: Progress
) -> tuple[dict[str, WrittenFile], dict[str, str]]:
    done: dict[str, WrittenFile] = {}
    failed: dict[str, str] = {}
    outcomes = run_over(write, pictures, workers)
    for outcome in progress.over(outcomes, "export", total=len(pictures)):
        if outcome.result is not None:
            done[outcome.item.path] = outcome.result
        else:
            failed[outcome.item.path] = f"{outcome.reason}: {outcome.detail}"
    if not done:
        raise InputUnusable(
            f"none of the {len(pictures)} pictures can be read; the first: {min(failed.values())}",
            "put the images folder of the dataset back",
        )
    return done, failed


def _shown(item: ExportItem, options: ExportOptions, written: WrittenFile) -> dict[str, object]:
    """Return what the marker keeps of a picture: to know it again when it was moved, or to
    link it.
    """
    return {
        "sample": item.sample.key,
        "label": item.sample.label,
        "shows": item.digest(options),
        "sha256": written.sha256,
    }
