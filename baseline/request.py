"""Requests of the `baseline` commands (see `gleanset.request`)."""

import math
from typing import Annotated, Literal

from msgspec import Meta

from baseline.settings import check_preset, load_preset, preset_names
from facecrop.request import ModelDetector
from gleanset.config import Param
from gleanset.errors import UsageError
from gleanset.request import Request, make_validator

Split = Literal["train", "val", "test"]
Plain = str | int | float | bool
FoldCount = Annotated[int, Meta(ge=2, le=100)]


def parse_share(text: str) -> float:
    """Parse `99.9%` or `0.999` as 0.999. Raises `UsageError`."""
    number = text.strip()
    try:
        share = float(number.removesuffix("%"))
    except ValueError:
        share = math.nan
    if number.endswith("%"):
        share /= 100
    # Not a number is in no range, either.
    if not 0 <= share <= 1:
        raise UsageError(f"not a share: {text!r}", "for example: 99.9% or 0.999")
    return share


def parse_protected_class(text: str) -> tuple[str, float]:
    """Parse `photo=99.9%` as ('photo', 0.999). Raises `UsageError`."""
    name, equals, share = text.rpartition("=")
    if not equals or not name:
        raise UsageError(
            f"--protect {text}: not CLASS=SHARE", "for example: photo=99.9%"
        )
    return name.strip(), parse_share(share)


def format_option(value: object) -> str:
    """Format a TOML value as on a command line."""
    if isinstance(value, list):
        return ",".join(map(format_option, value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


PRESETS = ", ".join(preset_names())
Run = Annotated[str | None, Param(argument=True, metavar="[RUN]")]
Preset = Annotated[
    str,
    Param(
        f"Training preset: {PRESETS}. Start with transfer.",
        metavar="NAME",
        show_default=True,
        parse=check_preset,
    ),
]
Options = Annotated[
    dict[str, Plain | list[Plain]],
    Param(
        "Override a setting of the preset, such as epochs=10 or backbone=resnet50.",
        option="--option",
        short="-o",
        metavar="KEY=VALUE",
        example="epochs=10",
    ),
]


class TrainRequest(Request, frozen=True, kw_only=True):
    """Arguments of `baseline train`, and `[train]` of a recipe."""

    COMMAND = "baseline train"
    preset: Preset = "simple"
    options: Options = {}
    folds: Annotated[
        FoldCount | None,
        Param(
            "Cross-validate on train and val with K folds, without using test. Reports accuracy "
            "and stores label issues.",
            metavar="K",
            in_files=False,
        ),
    ] = None

    def texts(self) -> dict[str, str]:
        """Return the options as on a command line."""
        return {key: format_option(value) for key, value in self.options.items()}

    def check(self) -> None:
        """Raise `UsageError` for options that the preset does not allow."""
        load_preset(self.preset, self.texts())


class PrelabelRequest(Request, frozen=True, kw_only=True):
    """Arguments of `baseline prelabel`: backbone, weights and size."""

    COMMAND = "baseline prelabel"
    options: Options = {}


class EvaluateRequest(Request, frozen=True, kw_only=True):
    """Arguments of `baseline evaluate`."""

    COMMAND = "baseline evaluate"
    run: Run = None
    split: Annotated[
        Split | None,
        Param("Split to evaluate on. Default: test, or val when choosing thresholds."),
    ] = None
    protect: Annotated[
        tuple[str, ...],
        Param(
            "Choose a threshold on val that gives a class this recall, such as photo=99.9%. "
            "May be repeated.",
            metavar="CLASS=SHARE",
            parse=make_validator(parse_protected_class),
        ),
    ] = ()
    max_rejection_rate: Annotated[
        str | None,
        Param(
            "Predict 'unknown' for images unlike the training data. The threshold is chosen on "
            "val so that at most this share of known images is rejected, such as 5%.",
            metavar="SHARE",
            parse=make_validator(parse_share),
        ),
    ] = None
    forget: Annotated[bool, Param("Drop the thresholds chosen earlier.")] = False


class CompareRunsRequest(Request, frozen=True, kw_only=True):
    """Arguments of `baseline compare`."""

    COMMAND = "baseline compare"
    runs: Annotated[tuple[str, ...], Param(argument=True, metavar="[RUN]...")] = ()
    split: Annotated[Split, Param("Split to compare on.", show_default=True)] = "test"


class LabelIssuesRequest(Request, frozen=True, kw_only=True):
    """Arguments of `baseline label-issues`."""

    COMMAND = "baseline label-issues"
    run: Run = None
    folds: Annotated[FoldCount, Param("Number of folds.", show_default=True)] = 5


class PredictRequest(Request, frozen=True, kw_only=True):
    """Arguments of `baseline predict`."""

    COMMAND = "baseline predict"
    paths: Annotated[
        tuple[str, ...], Param(argument=True, required=True, metavar="PATH...")
    ] = ()
    run: Annotated[
        str | None,
        Param(
            "The model: a run id or folder, or an exported .onnx file. Default: the latest "
            "run."
        ),
    ] = None
    detector: ModelDetector = None
    top: Annotated[
        int, Meta(ge=1, le=1000), Param("Number of classes to list.", show_default=True)
    ] = 5
    csv: Annotated[
        str | None,
        Param(
            "Also write a table with a row for each image, or for each face.",
            metavar="FILE",
            path=True,
        ),
    ] = None
    copy_to: Annotated[
        str | None,
        Param(
            "Copy each image to DIR/<class>, or to DIR/unknown.",
            metavar="DIR",
            path=True,
        ),
    ] = None
    fail: Annotated[bool, Param("Exit with code 3 if a file is rejected.")] = False


class ExportRequest(Request, frozen=True, kw_only=True):
    """Arguments of `baseline export`."""

    COMMAND = "baseline export"
    names: Annotated[
        tuple[str, ...], Param(argument=True, required=True, metavar="[RUN] OUT")
    ] = ()
    precision: Annotated[
        Literal["fp32", "int8", "auto"],
        Param(
            "int8 is smaller and less accurate; the difference is printed. auto: int8 if its "
            "predictions are equal.",
            show_default=True,
        ),
    ] = "fp32"


class GalleryImagesRequest(Request, frozen=True, kw_only=True):
    """Arguments of `baseline gallery`."""

    COMMAND = "baseline gallery"
    paths: Annotated[tuple[str, ...], Param(argument=True, metavar="[PATH]...")] = ()
    label: Annotated[
        str | None, Param("The class of the images, existing or new.", option="--class")
    ] = None
    remove: Annotated[
        str | None,
        Param(
            "Remove a class. Its files stay and can be added again.", metavar="CLASS"
        ),
    ] = None
    run: Annotated[str | None, Param("Run id or folder. Default: the latest run.")] = (
        None
    )
    detector: ModelDetector = None
