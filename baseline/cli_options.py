"""Options that several `baseline` commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from baseline.settings import check_preset
from facecrop.cli_compare import checked_detector, setting_options
from gleanset.cli import Job

if TYPE_CHECKING:
    from baseline.crops import Cropping, CropWish
    from baseline.engines import Facts


def _checked(_: click.Context, __: click.Parameter, name: str) -> str:
    check_preset(name)
    return name


def preset_option(default: str, help_text: str) -> Callable[[Any], Any]:
    """Add `--preset NAME`; a name that no preset has is refused before anything is loaded."""
    return click.option(
        "--preset", default=default, show_default=True, callback=_checked, help=help_text
    )


def crop_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add how pictures are cut, for `crop_wish`; nothing given means as the model learnt them."""
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
            callback=checked_detector,
            help="Find faces with this detector instead of the model's own.",
        ),
        setting_options,
    )
    for option in reversed(options):
        function = option(function)
    return function


def crop_wish(
    faces: bool | None, detector: str | None, cascade: Path | None, options: tuple[str, ...]
) -> CropWish:
    """What `crop_options` were given. Raises `UsageError`."""
    from baseline.crops import CropWish

    return CropWish(faces, detector, options, cascade)


def told_cropping(job: Job, facts: Facts, place: Path, wish: CropWish) -> Cropping:
    """How pictures are cut for the model in `place`, which a person is told on stderr."""
    from baseline.crops import cropping_of, dataset_of

    cropping = cropping_of(facts, dataset_of(place, job.root), wish)
    job.say(cropping.words)
    return cropping
