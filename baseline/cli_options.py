"""What several `baseline` commands share: their options, and what must be installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from baseline.settings import AUTO, check_preset, preset_names
from facecrop.request import checked_detector, complete_detector
from gleanset.cli import CommandJob
from gleanset.completion import one_of
from gleanset.errors import MissingComponent

if TYPE_CHECKING:
    from baseline.use.crops import CropPlan, CropRequest
    from baseline.use.engines.base import ModelFacts


def need_torch() -> None:
    """Raise `MissingComponent` with the mend where the extra is not installed."""
    missing = [name for name in ("torch", "timm", "safetensors") if find_spec(name) is None]
    if missing:
        raise MissingComponent(
            f"training needs {' and '.join(missing)}, which is not installed",
            "pip install 'gleanset[train]'",
        )


def preset_option(default: str, help_text: str, *, auto: bool = False) -> Callable[[Any], Any]:
    """Add `--preset NAME`; a name that no preset has is refused before anything is loaded.

    `{presets}` in its help stands for the names of all presets. With `auto` that word is passed
    on as well.
    """

    def checked(_: click.Context, __: click.Parameter, name: str) -> str:
        if not (auto and name == AUTO):
            check_preset(name)
        return name

    return click.option(
        "--preset",
        metavar="NAME",
        default=default,
        show_default=True,
        callback=checked,
        shell_complete=one_of(lambda: [*preset_names(), *([AUTO] if auto else [])]),
        help=help_text.format(presets=", ".join(preset_names())),
    )


def settings_option(help_text: str, metavar: str = "KEY=VALUE") -> Callable[[Any], Any]:
    """Add `-o KEY=VALUE`: other values for settings of the preset, as `options`."""
    return click.option("-o", "--option", "options", multiple=True, metavar=metavar, help=help_text)


def crop_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add how pictures are cut, for `crop_request`; nothing given: as the model learnt them."""
    options = (
        click.option(
            "--faces/--whole",
            default=None,
            help="Find the faces in each picture, or take it whole. Default: as the "
            "pictures that the model learnt from were cut.",
        ),
        click.option(
            "--detector",
            metavar="NAME",
            callback=lambda _, __, name: name and checked_detector(name),
            shell_complete=complete_detector,
            help="Find faces with this detector instead of the model's own.",
        ),
        click.option(
            "--cascade",
            type=click.Path(dir_okay=False),
            help="The cascade of lbpcascade and ensemble.",
        ),
        settings_option("A setting of a detector; may be repeated.", "DETECTOR.SETTING=VALUE"),
    )
    for option in reversed(options):
        function = option(function)
    return function


def crop_request(
    faces: bool | None, detector: str | None, cascade: str | None, options: tuple[str, ...]
) -> CropRequest:
    """Return what `crop_options` were given. Raises `UsageError`."""
    from baseline.use.crops import CropRequest

    return CropRequest(faces, detector, options, cascade)


def announced_crop_plan(
    job: CommandJob, facts: ModelFacts, place: Path, request: CropRequest
) -> CropPlan:
    """Return how pictures are cut for the model in `place`, and say it on stderr."""
    from baseline.data.runs import dataset_of_run
    from baseline.use.crops import crop_plan_for

    cropping = crop_plan_for(facts, dataset_of_run(place, job.root), request)
    job.say(cropping.words)
    return cropping
