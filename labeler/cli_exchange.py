"""`labeler import`, `labeler export` and `labeler gallery`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from gleanset import Dataset
from gleanset.cli import Command, CommandJob, Result, job_options, workers_option
from gleanset.errors import DatasetMissing, DoneInPart
from gleanset.named_files import format_short_path, rejections_command, summarize_lines
from gleanset.records import SPLITS
from gleanset.request import request_options
from labeler.export.options import ALL_SAMPLES, ExportOptions
from labeler.gallery.request import GalleryRequest
from labeler.importing.request import ImportRequest
from labeler.splits.split_spec import class_table

if TYPE_CHECKING:
    from labeler.export.job import ExportPreview


@click.command(
    "import", cls=Command, epilog="Example: labeler import ~/sorted-images -d my-dataset"
)
@job_options(simulate=True)
@request_options(ImportRequest)
def import_(job: CommandJob, request: ImportRequest) -> Result:
    """Import labelled images from class folders, COCO, YOLO or CSV.

    A metadata.jsonl is read, too. Class folders are the outermost folders (below
    train|val|test, if there are any) or those at --class-level. Boxes become faces. An export
    of this dataset is read back: images that were moved to another class folder are relabelled.
    A sources.csv next to the images gives the credit (columns file, author, licence, page) and
    the group of each image; importing again updates both. labeler undo reverts an import.
    """
    from labeler.importing.job import import_labelled
    from labeler.importing.reading import check_importable

    check_importable(Path(request.path))
    with _rehearsed(job) if job.simulate else job.create() as dataset:
        return import_labelled(dataset, request, simulate=job.simulate, progress=job.progress)


@contextmanager
def _rehearsed(job: CommandJob) -> Iterator[Dataset]:
    """Open the dataset, or a temporary empty one if it does not exist."""
    try:
        dataset = job.open()
    except DatasetMissing:
        with TemporaryDirectory(prefix="gleanset-") as folder, Dataset.create(folder) as empty:
            yield empty
        return
    with dataset:
        yield dataset


@click.command(
    cls=Command,
    epilog="Example: labeler export out --format yolo-detect --strip-metadata -d my-dataset",
)
@job_options(simulate=True)
@click.argument("out", required=False, metavar="[OUT|URL]")
@workers_option
@request_options(ExportOptions)
def export(
    job: CommandJob,
    request: ExportOptions,
    out: str | None,
    workers: int | None,
) -> Result | None:
    """Export the labelled samples for another tool (docs/export.md).

    Default for OUT: a folder in the dataset's exports. OUT is replaced once the export is complete;
    other files in it are never replaced. A URL, such as s3://BUCKET/PREFIX, is uploaded from the
    dataset's cache and verified by checksum. Unchanged files are not sent again, and complete
    shards of an interrupted export are kept.
    """
    from labeler.duplicates.decisions import conflicting_label_summary
    from labeler.export.job import export as export_to_folder
    from labeler.export.job import simulate_export
    from labeler.export.tree import check_replaceable, resolve_target
    from labeler.export.upload import UploadTarget, export_to_url, is_url

    with job.open() as dataset:
        target = Path(out or dataset.root / dataset.settings.store.exports / request.format)
        to_url = out is not None and is_url(out)
        if job.simulate:
            if to_url:
                UploadTarget.from_url(str(out)).check_replaceable()
            else:
                check_replaceable(resolve_target(target))
            return _preview_result(job, simulate_export(dataset, request))
        number, progress = workers or 0, job.progress
        if to_url:
            result = export_to_url(dataset, str(out), request, workers=number, progress=progress)
        else:
            result = export_to_folder(dataset, target, request, workers=number, progress=progress)
        result |= conflicting_label_summary(dataset)
        if isinstance(failed := result.get("failed"), dict):
            if not job.as_json:
                lines = [f"{format_short_path(path)}: {reason}" for path, reason in failed.items()]
                result["failed"] = summarize_lines(lines, rejections_command(dataset, "export"))
            raise unreadable_images_error(len(failed), result)
        return result


def _preview_result(job: CommandJob, preview: ExportPreview) -> Result:
    rows = preview.classes.values()
    parts = [split for split in (*SPLITS, ALL_SAMPLES) if any(row[split] for row in rows)]
    classes = {label: {p: row[p] for p in parts} for label, row in preview.classes.items()}
    result: Result = {"would_export": len(preview.paths)}
    result["classes"] = classes if job.as_json else class_table(parts, classes)
    result |= {"left_out": preview.left_out} if preview.left_out else {}
    return result | ({"paths": preview.paths} if job.as_json or job.verbose else {})


def unreadable_images_error(count: int, result: Result) -> DoneInPart:
    """Return the error of a command that left out unreadable images."""
    return DoneInPart(
        f"left out {count} unreadable images",
        "check their files: gleanset verify; repair them: gleanset verify --repair",
        result,
    )


@click.command(cls=Command, epilog="Example: labeler gallery faces.html -d my-dataset")
@job_options()
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.html")
@request_options(GalleryRequest)
def gallery(job: CommandJob, request: GalleryRequest, out: Path) -> Result:
    """Write a page with the faces of each class and filters.

    Label issues (from `baseline label-issues`) and duplicates are marked. OUT.html is a
    self-contained file without camera metadata, which can be sent to other people. New samples are
    measured first, as by `labeler quality`. --clusters shows the clusters of queued samples from
    `baseline prelabel`: `labeler label NAME --cluster ID` labels a cluster at once.
    """
    from labeler.gallery.writing import write_gallery

    with job.open(rehearse=True) as dataset:
        written = write_gallery(dataset, out, request, job.progress)
        if written["unreadable"]:
            raise unreadable_images_error(written["unreadable"], written)
        return written


COMMANDS = (import_, export, gallery)
