"""The `facecrop` command."""

from typing import NoReturn

from facecrop.cli_docker import docker
from facecrop.request import FaceSearch, suggest_whole_images
from gleanset.cli import CommandJob, Result, create_program, job_options
from gleanset.cli import main as run_main
from gleanset.db.faces import WHOLE
from gleanset.files.hub import load_hub_models
from gleanset.request import request_options

commands = create_program("facecrop", "Detect and crop the faces in the images of a dataset.")
commands.add_command(docker)


@commands.command(epilog="Example: facecrop run --margin 0.3 -d my-dataset")
@job_options(simulate=True, on=True)
@request_options(FaceSearch)
def run(job: CommandJob, request: FaceSearch) -> Result:
    """Detect faces in new images, and crop them.

    Defaults come from [crop] in dataset.toml. Without a detector there, searched images keep their
    faces, and new ones use the same detector, or drawnface at first; name a detector to search all
    images again. Changing margin, square, pad, level or min-size only crops again. For images that
    do not show faces, use --detector whole.
    """
    with job.open() as dataset:
        if job.simulate:
            return request.preview(dataset)
        counts = request.run(dataset, job.progress)
        if (used := counts.get("detector", WHOLE)) not in (WHOLE, "drawnface"):
            job.say(
                f"used {used}, as for earlier images; --detector drawnface searches all images "
                "again and may find more"
            )
        crop = dataset.settings.crop
        used_names = (used, request.detector, crop.detector)
        if request.crop_geometry(crop).level and "drawnface" in used_names:
            job.say("drawnface does not locate eyes; to rotate faces, use --detector animeface")
        if (suggestion := suggest_whole_images(dataset)) is not None:
            counts["next"], reason = suggestion
            job.say(reason)
        if WHOLE in (counts.get("detector"), request.detector or crop.detector) and not job.as_json:
            counts["whole images"] = counts.pop("faces")
        return counts


@commands.command(epilog="Example: facecrop detectors --json")
@job_options(dataset=False)
def detectors(job: CommandJob) -> Result:
    """List the detectors, and suitable models on Hugging Face. See docs/detectors.md."""
    from facecrop.detector_names import DETECTORS
    from facecrop.detectors import checked_detector_class, detector_class
    from facecrop.detectors.options import DEFAULT_DETECTOR
    from gleanset.plugins import try_plugins

    bundled = {name: (detector_class(name).__doc__ or "").partition("\n")[0] for name in DETECTORS}
    bundled[DEFAULT_DETECTOR] += " The default."
    others = {
        f"{plugin.name} ({plugin.made_by})": error.what
        if error
        else (detector.__doc__ or "").partition("\n")[0]
        for plugin, detector, error in try_plugins("detectors", bundled, checked_detector_class)
    }
    tables = {"detectors": bundled, "of other packages": others}
    tables["on a hub"] = load_hub_models("facecrop.detectors")["names"]
    return {
        title: [f"{name}: {text}" for name, text in table.items()]
        for title, table in tables.items()
        if table
    }


def main() -> NoReturn:
    """Run the console script."""
    run_main(commands)
