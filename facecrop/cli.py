"""The `facecrop` command."""

from collections.abc import Mapping
from typing import Any

import msgspec

from facecrop.cli_docker import docker
from facecrop.detector_names import DETECTORS
from facecrop.request import FaceSearch, suggest_whole_images
from gleanset.cli import CommandJob, create_program
from gleanset.command_result import CommandResult
from gleanset.db.faces import WHOLE
from gleanset.files.hub import load_hub_models
from gleanset.plugins import try_plugins
from gleanset.request import request_options

commands = create_program(
    "facecrop", "Detect and crop the faces in the images of a dataset."
)
commands.add_command(docker)


@commands.job(simulate=True)
@request_options(FaceSearch)
def run(job: CommandJob, request: FaceSearch) -> CommandResult:
    """Detect faces in new images, and crop them.

    Defaults come from [crop] in dataset.toml. Without a detector there, searched images keep their
    faces, and new ones use the same detector, or drawnface at first; name a detector to search all
    images again. Changing margin, square, pad, level or min-size only crops again. For images that
    do not show faces, use --detector whole.

    Example: facecrop run --margin 0.3 -d my-dataset
    """
    with job.open() as dataset:
        if job.simulate:
            return request.preview(dataset)
        result = request.run(dataset, job.progress)

        # Empty if a person named the detector.
        if result.detector not in ("", WHOLE, "drawnface"):
            job.say(
                f"used {result.detector}, as for earlier images; --detector drawnface searches "
                "all images again and may find more"
            )
        crop = dataset.settings.crop
        detectors = (result.detector, request.detector, crop.detector)
        if request.crop_geometry(crop).level and "drawnface" in detectors:
            job.say(
                "drawnface does not locate eyes; to rotate faces, use --detector animeface"
            )
        suggestion = suggest_whole_images(dataset)
        if suggestion is not None:
            result.next, reason = suggestion
            job.say(reason)
        return result


class DetectorList(CommandResult, kw_only=True):
    """Names of detectors with a line about each."""

    detectors: list[str]
    of_packages: list[str] = msgspec.field(
        default_factory=list, name="of other packages"
    )
    on_hub: list[str] = msgspec.field(default_factory=list, name="on a hub")


@commands.job(dataset=False)
def detectors(job: CommandJob) -> DetectorList:
    """List the detectors, and suitable models on Hugging Face. See docs/detectors.md.

    Example: facecrop detectors --json
    """
    # `job` is unused: every command gets it.
    from facecrop.detectors import check_detector_class, find_detector_class
    from facecrop.detectors.options import DEFAULT_DETECTOR

    own = {name: _first_line(find_detector_class(name)) for name in DETECTORS}
    own[DEFAULT_DETECTOR] += " The default."
    others = {}
    plugins = try_plugins("detectors", own, check_detector_class)
    for plugin, detector, error in plugins:
        description = error.what if error else _first_line(detector)
        others[f"{plugin.name} ({plugin.made_by})"] = description
    return DetectorList(
        detectors=_format_rows(own),
        of_packages=_format_rows(others),
        on_hub=_format_rows(load_hub_models("facecrop.detectors")["names"]),
    )


def _first_line(detector: Any) -> str:
    return (detector.__doc__ or "").partition("\n")[0]


def _format_rows(table: Mapping[str, str]) -> list[str]:
    return [f"{name}: {text}" for name, text in table.items()]
