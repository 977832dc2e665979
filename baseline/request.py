"""What each `baseline` command is asked: see `gleanset.request` for all that comes from it."""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from baseline.settings import (
    check_preset,
    load_preset,
    preset_names,
)
from facecrop.request import ModelDetector
from gleanset.config import Param
from gleanset.errors import UsageError
from gleanset.plugins import plugin_words
from gleanset.request import Request

Split = Literal["train", "val", "test"]
Plain = str | int | float | bool


def parse_share(text: str) -> float:
    """Parse `99.9%` or `0.999` as 0.999. Raises `UsageError`."""
    number, percents = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if percents else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise UsageError(f"{text!r} is not a share", "write for instance 99.9% or 0.999")
    return share


def check_share(text: str) -> str:
    """Return the text of a share as it is. Raises `UsageError`."""
    parse_share(text)
    return text


def parse_protected_class(text: str) -> tuple[str, float]:
    """Parse `photo=99.9%` as ('photo', 0.999). Raises `UsageError`."""
    name, equals, share = text.rpartition("=")
    if not equals or not name:
        raise UsageError(f"--protect {text}: not CLASS=SHARE", "write for instance photo=99.9%")
    return name.strip(), parse_share(share)


def check_protected_class(text: str) -> str:
    """Return the text of a protected class as it is. Raises `UsageError`."""
    parse_protected_class(text)
    return text


def format_option(value: object) -> str:
    """Spell a value of TOML as on a command line."""
    if isinstance(value, list):
        return ",".join(map(format_option, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


PRESETS = ", ".join(preset_names())
Run = Annotated[str | None, Param(argument=True, metavar="[RUN]")]
Preset = Annotated[
    str,
    Param(
        f"How to train: {PRESETS}.",
        metavar="NAME",
        show_default=True,
        parse=check_preset,
        more=partial(plugin_words, "presets", preset_names()),
    ),
]
Options = Annotated[
    dict[str, Plain | list[Plain]],
    Param(
        "Another value for a setting of the preset, such as epochs=10 or backbone=resnet50.",
        option="--option",
        short="-o",
        metavar="KEY=VALUE",
        example="epochs=10",
    ),
]


class TrainRequest(Request, frozen=True, kw_only=True):
    """What `baseline train` is asked, and `[train]` of a recipe."""

    COMMAND = "baseline train"
    preset: Preset = "simple"
    options: Options = msgspec.field(default_factory=dict)
    folds: Annotated[
        Annotated[int, Meta(ge=2, le=100)] | None,
        Param(
            "Cross-validate: train K times on train and val but for a K-th part, and judge each on "
            "that part. Measures and keeps labels in doubt; test is not looked at.",
            metavar="K",
            in_files=False,
        ),
    ] = None

    def texts(self) -> dict[str, str]:
        """Return the options as on a command line."""
        return {key: format_option(value) for key, value in self.options.items()}

    def check(self) -> None:
        """Raise the `UsageError` of options that the preset refuses."""
        load_preset(self.preset, self.texts())


class SweepRequest(Request, frozen=True, kw_only=True):
    """What `baseline sweep` is asked."""

    COMMAND = "baseline sweep"
    preset: Preset = "simple"
    options: Annotated[
        tuple[str, ...],
        Param(
            "Values to try for a setting; those with commas, such as blocks, parted by ';'. "
            "Without several values a small grid of the preset's own.",
            option="--option",
            short="-o",
            metavar="KEY=VALUE,…",
        ),
    ] = ()


class PresortCommandRequest(Request, frozen=True, kw_only=True):
    """What `baseline presort` is asked: which backbone, weights and size are used."""

    COMMAND = "baseline presort"
    options: Options = msgspec.field(default_factory=dict)


class EvaluateRequest(Request, frozen=True, kw_only=True):
    """What `baseline evaluate` is asked."""

    COMMAND = "baseline evaluate"
    run: Run = None
    split: Annotated[
        Split | None,
        Param("The samples to judge it on. Default: test, or val when something is chosen."),
    ] = None
    protect: Annotated[
        tuple[str, ...],
        Param(
            "Choose a threshold on val that leaves so many pictures of a class their name, "
            "such as photo=99.9%. May be repeated.",
            metavar="CLASS=SHARE",
            parse=check_protected_class,
        ),
    ] = ()
    unknown_rate: Annotated[
        str | None,
        Param(
            "Choose on val what is too unfamiliar: of known pictures at most so many are answered "
            "'unknown', such as 5%, so that pictures of no class are.",
            metavar="SHARE",
            parse=check_share,
        ),
    ] = None
    forget: Annotated[bool, Param("Forget the thresholds that were chosen before.")] = False


class CompareRunsRequest(Request, frozen=True, kw_only=True):
    """What `baseline compare` is asked."""

    COMMAND = "baseline compare"
    runs: Annotated[tuple[str, ...], Param(argument=True, metavar="[RUN]...")] = ()
    split: Annotated[Split, Param("The pictures to compare them on.", show_default=True)] = "test"


class LabelIssuesRequest(Request, frozen=True, kw_only=True):
    """What `baseline doubts` is asked."""

    COMMAND = "baseline doubts"
    run: Run = None
    folds: Annotated[
        Annotated[int, Meta(ge=2, le=100)],
        Param(
            "Parts of the samples; a network is trained for each, on the others.", show_default=True
        ),
    ] = 5


class PredictRequest(Request, frozen=True, kw_only=True):
    """What `baseline predict` is asked."""

    COMMAND = "baseline predict"
    paths: Annotated[tuple[str, ...], Param(argument=True, required=True, metavar="PATH...")] = ()
    run: Annotated[
        str | None,
        Param(
            "The model: a run's id or folder, or an exported .onnx or .tflite file. Default: the "
            "newest run.",
        ),
    ] = None
    detector: ModelDetector = None
    top: Annotated[
        Annotated[int, Meta(ge=1, le=1000)], Param("How many classes to name.", show_default=True)
    ] = 5
    csv: Annotated[
        str | None,
        Param(
            "Write a table, too: a row for each picture, or for each face.",
            metavar="FILE",
            path=True,
        ),
    ] = None
    copy_to: Annotated[
        str | None,
        Param(
            "Copy each picture to DIR/<class>, those of no known class to DIR/unknown.",
            metavar="DIR",
            path=True,
        ),
    ] = None
    fail: Annotated[bool, Param("End with exit code 3 where a file is rejected.")] = False


class ExportRequest(Request, frozen=True, kw_only=True):
    """What `baseline export` is asked."""

    COMMAND = "baseline export"
    names: Annotated[
        tuple[str, ...],
        Param(argument=True, required=True, metavar="[RUN] OUT"),
    ] = ()
    precision: Annotated[
        Literal["fp32", "fp16", "int8", "auto"],
        Param(
            "Smaller and less exact: the cost is shown. auto: int8 where it answers alike and is "
            "quicker on this machine.",
            show_default=True,
        ),
    ] = "fp32"


class GalleryImagesRequest(Request, frozen=True, kw_only=True):
    """What `baseline gallery` is asked."""

    COMMAND = "baseline gallery"
    paths: Annotated[tuple[str, ...], Param(argument=True, metavar="[PATH]...")] = ()
    label: Annotated[
        str | None,
        Param(
            "The class that the pictures are of, known or new.",
            option="--class",
        ),
    ] = None
    remove: Annotated[
        str | None,
        Param(
            "Forget a class. Its pictures stay: adding them again brings it back.",
            metavar="CLASS",
        ),
    ] = None
    run: Annotated[str | None, Param("The run: its id or its folder. Default: the newest.")] = None
    detector: ModelDetector = None
