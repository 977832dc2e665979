"""`labeler import|export|gallery`: labelled pictures in; trees and pages out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from gleanset import Dataset
from gleanset.cli import Command, CommandJob, Result, job_options
from gleanset.completion.values import classes_here, detectors_here, hints_here
from gleanset.errors import DatasetMissing, DoneInPart, UsageError
from gleanset.file_groups import GroupBy, group_by_option
from gleanset.files.class_folder import LEVEL_HELP
from gleanset.named_files import few_files, rejections_of, short_name
from labeler.export.options import (
    FILES,
    FITS,
    FORMATS,
    NAMES,
    ExportOptions,
    parse_bytes,
    parse_size,
)


@click.command(
    "import", cls=Command, epilog="Example: labeler import ~/sorted-pictures -d my-dataset"
)
@job_options(simulate=True)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--class-level", type=click.IntRange(1), metavar="N", help=LEVEL_HELP)
@group_by_option
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Worker processes.")
def import_(
    job: CommandJob,
    path: Path,
    class_level: int | None,
    group_by: GroupBy | None,
    workers: int | None,
) -> Result:
    """Take in labelled pictures: a class tree, a COCO file or a metadata.jsonl.

    Class folders are the outermost ones, with train|val|test above them or not, or those of
    --class-level; pictures beside them stay out. Boxes become faces. An export
    of this dataset is read back: what was moved into another class folder is relabelled. It is
    one step: labeler undo takes it back. A sources.csv beside the pictures says who made them
    (columns file, author, licence, page) and which belong together (group), as --group-by does
    for all others; importing once more adds that to what is there.
    """
    from labeler.importing.job import import_labelled
    from labeler.importing.reading import check_place

    check_place(path)
    with _rehearsed(job) if job.simulate else job.create() as dataset:
        return import_labelled(
            dataset,
            path,
            root=job.root,
            class_level=class_level,
            group_by=group_by,
            simulate=job.simulate,
            workers=workers or 0,
            progress=job.progress,
        )


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
@job_options(simulate=True, on=True)
@click.argument("out", required=False, metavar="[OUT|s3://BUCKET/PREFIX]")
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    metavar="FORMAT",
    default="imagefolder",
    show_default=True,
    help="imagefolder: train|val|test/<class>/*, csv the same with a table; huggingface: a folder "
    "for load_dataset; parquet, webdataset: shards; coco, yolo-detect: whole pictures with boxes; "
    "yolo-classify: pictures with classes.",
)
@click.option(
    "--names",
    type=click.Choice(NAMES),
    default="origin",
    show_default=True,
    help="Files named as they came, or cat_0001.jpg.",
)
@click.option("--size", metavar="WxH", help="Bring every picture to this size, such as 120x120.")
@click.option(
    "--fit",
    type=click.Choice(FITS),
    default="stretch",
    show_default=True,
    help="How a picture of another shape comes to the size.",
)
@click.option("--grayscale", is_flag=True, help="Without colour.")
@click.option(
    "--file",
    type=click.Choice(FILES),
    default="readable",
    show_default=True,
    help="readable: whole pictures byte for byte, but what few readers open (HEIC, AVIF, JPEG XL, "
    "GIF) written anew; original: those, too, byte for byte; jpeg, png: all written anew.",
)
@click.option(
    "--licence",
    "licences",
    multiple=True,
    metavar="PATTERN",
    help="Only pictures with a licence like this, such as 'cc-by*'.",
)
@click.option(
    "--strip-metadata",
    is_flag=True,
    help="Take place, camera and comments out of whole pictures; no pixel changes.",
)
@click.option(
    "--link",
    is_flag=True,
    help="Link whole pictures to those of the dataset, which takes no space; nobody can write to "
    "them then.",
)
@click.option(
    "--undecided",
    is_flag=True,
    help="Of formats with boxes: also pictures with a face that nobody has decided on.",
)
@click.option(
    "--shard-size",
    metavar="SIZE",
    help="About the size of a shard, such as 500MB. Default: 1GB.",
)
@click.option(
    "--shard-pictures", type=click.IntRange(1), metavar="N", help="At most so many in a shard."
)
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Worker processes.")
def export(job: CommandJob, out: str | None, workers: int | None, **chosen: Any) -> Result | None:
    """Write the labelled samples that have a split as other tools read them (docs/export.md).

    Without OUT among the dataset's exports. OUT is swapped in when it is whole; in a bucket it
    counts with what is sent last. Run again, it makes only what has changed anew. It
    never replaces a person's own files. Stopped, shards that are whole are kept for the next run.
    """
    from gleanset.db.samples import Balances
    from labeler.duplicates.conflict_files import conflicting_labels
    from labeler.export.to_bucket import export_anywhere, place_for, would_export

    options = ExportOptions(
        format=chosen.pop("format_"),
        size=parse_size(chosen.pop("size")),
        shard_size=parse_bytes(chosen.pop("shard_size")),
        **chosen,
    )
    with job.open() as dataset:
        if not options.balances and Balances(dataset.db).settings():
            job.say("labeler: with boxes every picture is there once: the balance is left out")
        place = place_for(dataset, out, options)
        if job.simulate:
            paths = would_export(dataset, place, options)
            for path in dict.fromkeys(paths):
                job.show(path)
            return {"would_export": len(paths)} if job.as_json else None
        done = export_anywhere(dataset, place, options, workers=workers or 0, progress=job.progress)
        done |= conflicting_labels(dataset)
        if isinstance(failed := done.get("failed"), dict):
            if not job.as_json:
                lines = [f"{short_name(path)}: {why}" for path, why in failed.items()]
                done["failed"] = few_files(lines, rejections_of(dataset, "export"))
            raise left_out(len(failed), done)
        return done


def left_out(pictures: int, result: Result) -> DoneInPart:
    """Return what ends a command that did all else, but could not read some pictures."""
    return DoneInPart(
        f"{pictures} pictures cannot be read and were left out",
        "gleanset verify says what is wrong with their files; --repair mends what can be",
        result,
    )


@click.command(cls=Command, epilog="Example: labeler gallery faces.html -d my-dataset")
@job_options()
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.html|FOLDER")
@click.option(
    "--class",
    "names",
    multiple=True,
    metavar="NAME",
    shell_complete=classes_here,
    help="Only this class; may be repeated.",
)
@click.option("--hint", shell_complete=hints_here, help="Samples that came with this hint.")
@click.option(
    "--status",
    type=click.Choice(["queue", "labelled", "rejected", "retired"]),
    help="Samples of this status. Default: labelled, or with other conditions all but retired.",
)
@click.option(
    "--detector",
    metavar="NAME",
    shell_complete=detectors_here,
    help="Samples that this detector found.",
)
@click.option(
    "--score",
    metavar="LOW:HIGH",
    help="Samples of which the detector was so sure, such as 0:0.5.",
)
@click.option(
    "--stacks", is_flag=True, help="Show what waits, in the stacks of look-alikes of a presort."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 20_000),
    default=2000,
    show_default=True,
    help="Samples that are shown, of each class a like share; what is marked comes first.",
)
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Worker processes.")
def gallery(
    job: CommandJob, out: Path, stacks: bool, limit: int, workers: int | None, **asked: Any
) -> Result:
    """A page to look through: every class with its faces, filters, and a map of likeness.

    With conditions it shows samples of any status, those without a class by their hints.

    Labels in doubt, faces unlike their class and duplicates are marked. OUT.html is one file that
    loads nothing and can be sent to anybody; a FOLDER gets index.html and the pictures beside it.
    Neither holds what a camera wrote into the pictures. Samples that are new are measured first,
    as `labeler quality` does; labels in doubt are found by `baseline doubts`. --stacks shows
    what has no label yet, as `baseline presort` put it together: `labeler label NAME --stack ID`
    names a stack at once.
    """
    from labeler.gallery.chosen import LABELLED, SampleChoice
    from labeler.gallery.writing import GallerySettings, write_gallery

    wanted = SampleChoice(**asked | {"score": parse_scores(asked["score"])})
    if stacks and wanted != LABELLED:
        raise UsageError("what is in a stack has no class yet", "leave the conditions out")
    settings = GallerySettings(wanted, limit, workers=workers or 0, stacks=stacks)
    with job.open(rehearse=True) as dataset:
        written = write_gallery(dataset, out, settings, job.progress)
        if written.unreadable:
            raise left_out(written.unreadable, written.result())
        return written.result()


def parse_scores(text: str | None) -> tuple[float, float] | None:
    """'0.2:0.5' as the least and the largest score. Raises `UsageError`."""
    if text is None:
        return None
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        raise UsageError(f"{text!r} is no range of scores", "write for instance 0:0.5") from None
    return low, high


COMMANDS = (import_, export, gallery)
