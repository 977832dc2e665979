"""`labeler import|export|gallery`: labelled pictures in; trees and pages out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from gleanset import Dataset
from gleanset.cli import Command, CommandJob, Result, gone_option, job_options, workers_option
from gleanset.errors import DatasetMissing, DoneInPart
from gleanset.named_files import few_files, rejections_of, short_name
from gleanset.records import SPLITS
from gleanset.request import options_of
from labeler.export.options import ALL, ExportOptions
from labeler.gallery.request import GalleryRequest
from labeler.importing.request import ImportRequest
from labeler.splits.split_spec import class_table

if TYPE_CHECKING:
    from labeler.export.job import WouldExport


@click.command(
    "import", cls=Command, epilog="Example: labeler import ~/sorted-pictures -d my-dataset"
)
@job_options(simulate=True)
@options_of(ImportRequest)
def import_(job: CommandJob, request: ImportRequest) -> Result:
    """Import labelled images: a class tree, COCO, YOLO, Pascal VOC, metadata.jsonl or a CSV.

    Class folders are the outermost ones, with train|val|test above them or not, or those of
    --class-level. Boxes become faces. An export of this dataset is read back: what was moved into
    another class folder is relabelled. A sources.csv beside the pictures says who made them
    (columns file, author, licence, page) and which belong together (group); importing again adds
    that to what is there. It is one step: labeler undo takes it back.
    """
    from labeler.importing.job import import_labelled
    from labeler.importing.reading import check_place

    check_place(Path(request.path))
    with _rehearsed(job) if job.simulate else job.create() as dataset:
        return import_labelled(dataset, request, simulate=job.simulate, progress=job.progress)


@contextmanager
def _rehearsed(job: CommandJob) -> Iterator[Dataset]:
    """Give the dataset, or where there is none an empty one that is thrown away."""
    try:
        dataset = job.open()
    except DatasetMissing:
        with TemporaryDirectory(prefix="gleanset-") as aside, Dataset.create(aside) as empty:
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
@gone_option(
    "--move",
    "--undo",
    "-y",
    "--yes",
    what="your own files stay where they are",
    hint="class folders of links take no space: labeler export OUT --no-split --link",
)
@gone_option(
    "--on", is_flag=False, what="exports are written on this machine", hint="leave --on out"
)
@workers_option
@options_of(ExportOptions)
def export(
    job: CommandJob,
    request: ExportOptions,
    out: str | None,
    workers: int | None,
) -> Result | None:
    """Write the labelled samples that have a split as other tools read them (docs/export.md).

    Without OUT among the dataset's exports. OUT is swapped in when it is complete. A URL, such as
    s3://BUCKET/PREFIX, is filled from the dataset's cache, and each file there is checked. Run
    again, it writes and sends only what has changed. It never replaces a person's own files.
    Complete shards of a stopped run are kept.
    """
    from gleanset.db.samples import Balances
    from labeler.duplicates.decisions import conflicting_label_summary
    from labeler.export.job import export as export_to_folder
    from labeler.export.job import would_export
    from labeler.export.tree import check_ours, place_of
    from labeler.export.upload import UploadTarget, export_to_url, is_url

    with job.open() as dataset:
        if not request.balances and Balances(dataset.db).settings():
            job.say("labeler: with boxes every picture is there once: the balance is left out")
        target = Path(out or dataset.root / dataset.settings.store.exports / request.format)
        to_url = out is not None and is_url(out)
        if job.simulate:
            if to_url:
                UploadTarget.at(str(out)).check_ours()
            else:
                check_ours(place_of(target))
            return _simulated(job, would_export(dataset, request))
        number, progress = workers or 0, job.progress
        if to_url:
            done = export_to_url(dataset, str(out), request, workers=number, progress=progress)
        else:
            done = export_to_folder(dataset, target, request, workers=number, progress=progress)
        done |= conflicting_label_summary(dataset)
        if isinstance(failed := done.get("failed"), dict):
            if not job.as_json:
                lines = [f"{short_name(path)}: {why}" for path, why in failed.items()]
                done["failed"] = few_files(lines, rejections_of(dataset, "export"))
            raise left_out(len(failed), done)
        return done


def _simulated(job: CommandJob, planned: WouldExport) -> Result:
    rows = planned.classes.values()
    parts = [split for split in (*SPLITS, ALL) if any(row[split] for row in rows)]
    classes = {label: {p: row[p] for p in parts} for label, row in planned.classes.items()}
    result: Result = {"would_export": len(planned.paths)}
    result["classes"] = classes if job.as_json else class_table(parts, classes)
    result |= {"left_out": planned.left_out} if planned.left_out else {}
    return result | ({"paths": planned.paths} if job.as_json or job.verbose else {})


def left_out(pictures: int, result: Result) -> DoneInPart:
    """Return what ends a command that did all else, but could not read some pictures."""
    return DoneInPart(
        f"{pictures} pictures cannot be read and were left out",
        "gleanset verify says what is wrong with their files; --repair mends what can be",
        result,
    )


@click.command(cls=Command, epilog="Example: labeler gallery faces.html -d my-dataset")
@job_options()
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.html")
@gone_option(
    "--hint",
    "--status",
    "--detector",
    "--score",
    is_flag=False,
    what="a gallery shows classes or stacks",
    hint="print the samples and choose by jq: gleanset list samples",
)
@options_of(GalleryRequest)
def gallery(job: CommandJob, request: GalleryRequest, out: Path) -> Result:
    """A page to look through: every class with its faces, and filters.

    Labels in doubt and duplicates are marked. OUT.html is one file that loads nothing and can be
    sent to anybody; it does not hold what a camera wrote into the pictures. Samples that are new
    are measured first, as `labeler quality` does; labels in doubt are found by `baseline doubts`.
    --stacks shows what has no label yet, as `baseline presort` put it together: `labeler label NAME
    --stack ID` names a stack at once.
    """
    from labeler.gallery.writing import write_gallery

    with job.open(rehearse=True) as dataset:
        written = write_gallery(dataset, out, request, job.progress)
        if written["unreadable"]:
            raise left_out(written["unreadable"], written)
        return written


COMMANDS = (import_, export, gallery)
