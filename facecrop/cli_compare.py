"""The command `facecrop compare`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gleanset.cli import Command, CommandJob, Result, job_options
from gleanset.completion.values import one_of, registered_in

FILE = click.Path(path_type=Path, dir_okay=False)


def detector_names() -> list[str]:
    """Return what `--detector` takes, without loading any of them."""
    return [*(n.replace("_", "-") for n in registered_in("facecrop.detectors")), "auto"]


complete_detector = one_of(detector_names)


def checked_detector(_: click.Context, __: click.Parameter, written: str | None) -> str | None:
    """Refuse a detector that does not exist before anything else is done. Raises `UsageError`."""
    if written is not None:
        from facecrop.detectors.options import is_auto, spec_of

        if not is_auto(written):  # which one that is takes looking for what works here
            spec_of(written)
    return written


def setting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return how detectors are set; `facecrop.detectors.options` reads them."""
    options = (
        click.option("--cascade", type=FILE, help="The cascade of lbpcascade and ensemble."),
        click.option(
            "-o",
            "options",
            multiple=True,
            metavar="DETECTOR.SETTING=VALUE",
            help="A setting of a detector; may be repeated.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command(
    cls=Command,
    epilog="Example: facecrop compare --truth faces.json animeface lbpcascade:equalize=yes",
)
@job_options(dataset=False)
@click.argument(
    "detectors",
    nargs=-1,
    metavar="[DETECTOR[:SETTING=VALUE,...]]...",
    shell_complete=complete_detector,
)
@click.option("--truth", type=FILE, required=True, help="The annotated images: JSON or COCO.")
@click.option(
    "--images",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of the images. Default: that of the annotations.",
)
@click.option("--by", metavar="FIELD", help="The field that tells the kind of an image.")
@click.option("--sheet", "sheet_file", type=FILE, help="Draw what was missed and false alarms.")
@setting_options
def compare(
    job: CommandJob,
    detectors: tuple[str, ...],
    truth: Path,
    images: Path | None,
    by: str | None,
    sheet_file: Path | None,
    cascade: Path | None,
    options: tuple[str, ...],
) -> Result | None:
    """Compare detectors on annotated images: how good, how quick, how large.

    Without names all detectors that work here are compared. A face counts as found by
    three criteria: boxes that share half or three tenths (intersection over union), or a
    box whose centre is in the face. docs/detectors.md tells how annotations are written.
    """
    from facecrop.annotations import read_annotations
    from facecrop.compare import compare_all, mistakes_sheet, table
    from facecrop.detectors.options import all_names, check_options, is_auto, spec_of
    from gleanset.images.contact_sheet import checked_ending

    check_options(options)
    if sheet_file is not None:
        checked_ending(sheet_file)
    known = {name: spec_of(name, options, cascade) for name in detectors or all_names()}
    specs = {f"{n}: {spec.name}" if is_auto(n) else n: spec for n, spec in known.items()}
    pictures = read_annotations(truth, images, by)
    results, missing = compare_all(specs, pictures, job.progress, skip=not detectors)
    for label, why in missing.items():
        job.say(f"{label} cannot be compared here: {why}")
    result: Result = {
        "pictures": len(pictures),
        "faces": sum(len(picture.boxes) for picture in pictures),
        "detectors": {spec.label: spec.as_json() for spec in results},
        "not_here": missing,
    }
    if sheet_file is not None:
        result["mistakes"] = mistakes_sheet(results, sheet_file)
        result["sheet"] = str(sheet_file.absolute())
    if job.as_json:
        return result
    if not job.progress.quiet:
        for line in table(results):
            job.tell(line)
    return None
