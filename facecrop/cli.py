"""The `facecrop` command: finding faces and cutting them out."""

from __future__ import annotations

from typing import NoReturn

import click

from facecrop.cli_docker import docker
from facecrop.request import FaceSearch, whole_instead
from gleanset.cli import CommandJob, Result, group, job_options
from gleanset.cli import main as run_main
from gleanset.db.faces import WHOLE
from gleanset.errors import UsageError
from gleanset.files.hub import on_hub
from gleanset.request import options_of

commands = group("facecrop", "Find faces in the images of a dataset and cut them out.")
commands.add_command(docker)


@commands.command(epilog="Example: facecrop run --margin 0.3 -d my-dataset")
@job_options(simulate=True, on=True)
@options_of(FaceSearch)
def run(job: CommandJob, request: FaceSearch) -> Result:
    """Search every image that was not searched with these settings yet, and cut the faces.

    What is not given comes from the table [crop] of dataset.toml. Where that names no detector,
    pictures that were searched keep their faces, and new ones are searched as those were, or by
    drawnface: name a detector to search all of them anew. Another margin, square,
    pad, level or min-size only cuts anew; crops that are missing are made again. Pictures that
    are not of faces are taken whole: --detector whole.
    """
    with job.open() as dataset:
        if job.simulate:
            return request.preview(dataset)
        counts = request.run(dataset, job.progress)
        if (found_by := counts.get("detector", WHOLE)) not in (WHOLE, "drawnface"):
            job.say(
                f"the pictures here are searched by {found_by}, as those before; "
                "--detector drawnface searches all of them anew, and may find more"
            )
        own = dataset.settings.crop
        if request.cutting(own).level and "drawnface" in (found_by, request.detector, own.detector):
            job.say("drawnface tells no eyes: --detector animeface does, and turns faces upright")
        if (instead := whole_instead(dataset)) is not None:
            counts["next"], why = instead
            job.say(why)
        return counts


@commands.command(epilog="Example: facecrop detectors --json")
@job_options(dataset=False)
def detectors(job: CommandJob) -> Result:
    """Name the detectors there are, and models on a hub that fit: docs/detectors.md."""
    from facecrop.detector_names import DETECTORS
    from facecrop.detectors import checked_detector_class, detector_class
    from facecrop.detectors.options import BEST
    from gleanset.plugins import tried_plugins

    here = {name: (detector_class(name).__doc__ or "").partition("\n")[0] for name in DETECTORS}
    here[BEST] += " The default."
    others = {
        f"{plugin.name} ({plugin.made_by})": error.what
        if error
        else (detector.__doc__ or "").partition("\n")[0]
        for plugin, detector, error in tried_plugins("detectors", here, checked_detector_class)
    }
    tables = {"detectors": here, "of other packages": others}
    tables["on a hub"] = on_hub("facecrop.detectors")["names"]
    return {
        title: [f"{name}: {what}" for name, what in table.items()]
        for title, table in tables.items()
        if table
    }


@commands.command(epilog="Example: facecrop box 3f9a 120,80,64,64 -d my-dataset")
@job_options()
@click.argument("image", required=False)
@click.argument("boxes", nargs=-1, metavar="[X,Y,WIDTH,HEIGHT]...")
@click.option(
    "--remove",
    "samples",
    multiple=True,
    metavar="SAMPLE",
    help="Take a box that was given so away again; labeler undo brings it back.",
)
def box(
    job: CommandJob, image: str | None, boxes: tuple[str, ...], samples: tuple[str, ...]
) -> Result:
    """Give faces that no detector found, as boxes in an IMAGE: gleanset list missed has such.

    IMAGE is its SHA-256, the beginning of that, or the path of its file. The boxes are
    pixels of the upright image. They stay whatever a detector finds later; labeler undo or
    --remove takes them away again.
    """
    from curation.manual_boxes import add_boxes, parse_box, remove_samples

    if bool(image and boxes) == bool(samples) or bool(image) != bool(boxes):
        raise UsageError("which box?", "give an IMAGE and its boxes, or --remove SAMPLE")
    with job.open() as dataset:
        if image is None:
            return remove_samples(dataset, samples)
        return add_boxes(dataset, image, [parse_box(text) for text in boxes])


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
