"""Exporting a run: the file is written only after its predictions were compared with the run's."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from onnx import ModelProto

from baseline.data.pixels import PixelReader, choose_readers
from baseline.data.runs import (
    find_renamed_classes,
    find_run_dataset,
    find_run_folder,
    hash_model_files,
)
from baseline.data.samples import pixel_sources
from baseline.features.graph_backbones import OnnxBackbone
from baseline.use.engines import (
    Card,
    InferenceEngine,
    OnnxEngine,
    make_card,
)
from baseline.use.export.onnx_file import build_graph, quantize, with_card
from baseline.use.model import Model
from baseline.use.run_engine import RunEngine
from gleanset import Dataset
from gleanset.arrays import IntArray, Pixels
from gleanset.command_result import CommandResult
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.html.words import count, format_bytes
from gleanset.records import Sample
from gleanset.work.pool import run_over
from gleanset.work.progress import NO_PROGRESS, Progress

BATCH_SIZE = 16
MAX_DIFFERENCE = {"fp32": 1e-4, "int8": 1.0}
"""Maximum difference of a probability."""
MIN_AGREEMENT = {"fp32": 0.999, "int8": 0.9}
"""Minimum share of images with the same most likely class."""

# Two engines are equivalent if they agree on this share of at least this number of images.
MIN_COMPARED_IMAGES = 100
MIN_AGREEING_SHARE = 0.99


class AgreementCheck(NamedTuple):
    """Comparison of two engines on `images` images.

    `farthest` is the largest difference of a probability, `agreement` the share of images with the
    same most likely class. `accuracy` is that of the exported model, `accuracy_before` that of the
    run; None without labels.
    """

    images: int
    farthest: float
    agreement: float
    accuracy_before: float | None
    accuracy: float | None

    def to_json(self) -> dict[str, float | int | str]:
        """Return the values that are not None."""
        return {
            name: value for name, value in self._asdict().items() if value is not None
        }


def compare(
    run: InferenceEngine,
    model: InferenceEngine,
    images: Pixels,
    y: IntArray,
) -> AgreementCheck:
    """Compare two engines on images (N x size x size x 3) of the classes `y` (-1: unknown)."""
    probabilities_before, probabilities = (
        Model(engine, batch_size=BATCH_SIZE).forward(images).probabilities
        for engine in (run, model)
    )
    before = probabilities_before.argmax(1)
    after = probabilities.argmax(1)
    # If the run gives both classes about the same probability, either counts as the same answer.
    rows = np.arange(len(images))
    lead = probabilities_before[rows, before] - probabilities_before[rows, after]
    is_same = (before == after) | (lead < MAX_DIFFERENCE["fp32"])

    has_class = y >= 0
    has_labels = bool(has_class.any())
    return AgreementCheck(
        images=len(images),
        farthest=float(np.abs(probabilities_before - probabilities).max()),
        agreement=float(is_same.mean()),
        accuracy_before=float((before == y)[has_class].mean()) if has_labels else None,
        accuracy=float((after == y)[has_class].mean()) if has_labels else None,
    )


def check_agreement(check: AgreementCheck, precision: str) -> None:
    """Raise `InputUnusable` if predictions differ more than the precision explains."""
    is_far = check.farthest > MAX_DIFFERENCE[precision]
    if is_far or check.agreement < MIN_AGREEMENT[precision]:
        fix = "please report this"
        if precision != "fp32":
            fix = "export with --precision fp32"
        raise InputUnusable(
            f"nothing was written: the predictions in {precision} differ from those of the run "
            f"(the same class for {check.agreement:.1%} of {check.images} images, "
            f"probabilities differ by up to {check.farthest:.2g})",
            fix,
        )


def engines_agree(run: InferenceEngine, model: InferenceEngine, images: Pixels) -> bool:
    """Return whether two engines agree on enough images."""
    if len(images) < MIN_COMPARED_IMAGES:
        return False
    predictions = zip(
        Model(run).predict_pixels(images, top=1),
        Model(model).predict_pixels(images, top=1),
        strict=True,
    )
    agreeing = sum(first.best == second.best for first, second in predictions)
    return agreeing >= MIN_AGREEING_SHARE * len(images)


MAX_CHECKED_IMAGES = 200
MAX_CALIBRATION_IMAGES = 100
AUTO = "auto"
"""int8 if it is equivalent for all classes, else fp32."""


class CheckedImages(NamedTuple):
    """Images (uint8 N x size x size x 3) and their class numbers, -1 if not used."""

    images: Pixels
    y: IntArray


class ExportedRun(CommandResult, kw_only=True):
    """An exported run, and its comparison with the run, see `AgreementCheck`."""

    run: str
    file: str
    description: str
    bytes: int
    precision: str
    classes: int
    images: int
    farthest: float
    agreement: float
    accuracy_before: float | None = None
    accuracy: float | None = None

    def summary(self) -> dict[str, Any]:
        """Return the file, its size, and how well it agrees with the run."""
        images = count(self.images, "image")
        accuracy = ""
        if self.accuracy is not None:
            accuracy = f"{self.accuracy:.1%} (run: {self.accuracy_before:.1%})"
        return {
            "file": self.file,
            "description": self.description,
            "run": self.run,
            "precision": self.precision,
            "size": format_bytes(self.bytes),
            "classes": self.classes,
            "same class": f"{self.agreement:.1%} of {images}, compared with the run",
            "val accuracy": accuracy,
        }


def export_run(
    root: Path,
    run: str | None,
    out: Path,
    precision: str,
    progress: Progress = NO_PROGRESS,
) -> ExportedRun:
    """Export a run to `out` with its card next to it; return the comparison with the run.

    `out` ends in .onnx, `precision` is fp32, int8 or `AUTO`. Raises `InputUnusable` if the
    predictions differ or there are no images for the comparison.
    """
    if out.suffix != ".onnx":
        raise UsageError(
            f"unknown model format: {out}", "use .onnx, which runs on phones, too"
        )
    folder = find_run_folder(root, run)
    sha256 = hash_model_files(folder)
    engine = RunEngine.from_folder(folder)
    with Dataset.open(find_run_dataset(folder, root) or root) as dataset:
        # The present names of classes, because the samples that are compared have these.
        engine.facts = engine.facts.with_names(
            find_renamed_classes(dataset, engine.facts.classes)
        )
        samples = list(dataset.samples.iter_in_splits())
        if not samples:
            raise InputUnusable(
                "there is no labelled image to compare the predictions",
                "name the dataset of the run: -d DIR",
            )

        # Images of val first, the only ones whose accuracy is measured.
        order = ("val", "train", "test")
        by_split = sorted(samples, key=lambda sample: order.index(str(sample.split)))
        compared = by_split[:MAX_CHECKED_IMAGES]
        comparison_images = _read_images(dataset, engine, compared, progress)

        # No images, unless int8 may be written: its ranges are calibrated on images of train.
        calibration = comparison_images.images[:0]
        if precision in ("int8", AUTO):
            train = [sample for sample in samples if sample.split == "train"]
            train = train[:MAX_CALIBRATION_IMAGES]
            calibration = _read_images(dataset, engine, train, progress).images

    export = _Export(
        engine,
        sha256,
        calibration,
        comparison_images,
        progress,
    )
    labels = {sample.label for sample in samples}
    # Classes that were added to a gallery from files cannot be compared.
    if precision == AUTO and not labels.issuperset(engine.facts.classes):
        precision = "fp32"
    file = export.lightest() if precision == AUTO else export.file(precision)
    return _write_file(out, file)


class ExportedFile(NamedTuple):
    """A model file, its card, its engine, and the comparison with the run."""

    data: bytes
    card: Card
    engine: InferenceEngine
    check: AgreementCheck


@dataclass(frozen=True)
class _Export:
    """An export in progress; `calibration` (N x size x size x 3) is only used for int8."""

    engine: RunEngine
    run_sha256: str
    calibration: Pixels
    checked: CheckedImages
    progress: Progress

    @cached_property
    def _exact_model(self) -> ModelProto:
        return build_graph(self.engine)

    def file(self, precision: str) -> ExportedFile:
        """Return the compared file. Raises `InputUnusable` if its predictions differ."""
        net = self.engine.net
        has_membership = net.membership is not None
        card = msgspec.structs.replace(
            make_card(self.engine.facts, precision, has_membership=has_membership),
            weights=tuple(
                member.spec.format_pin()
                for member in net.backbone.members
                if isinstance(member, OnnxBackbone)
            ),
            run_sha256=self.run_sha256,
        )
        self.progress.say(f"writing the network as {precision} ...")
        model = self._exact_model
        if precision == "int8":
            model = quantize(model, self.calibration)
        # One thread, as in a server; the speed of several depends on other processes.
        engine = OnnxEngine(with_card(model, card), threads=1)

        images = count(len(self.checked.images), "image")
        self.progress.say(
            f"comparing its predictions for {images} with those of the run ..."
        )
        check = compare(
            self.engine,
            engine,
            self.checked.images,
            self.checked.y,
        )
        check_agreement(check, precision)
        card = msgspec.structs.replace(card, checked=check.to_json())
        return ExportedFile(with_card(model, card), card, engine, check)

    def lightest(self) -> ExportedFile:
        """Return the int8 file if it is equivalent, else fp32."""
        exact = self.file("fp32")
        if not len(self.calibration):
            return exact

        try:
            small = self.file("int8")
        except InputUnusable:
            return exact

        # Without images of val both accuracies are None, and count as equal.
        accuracy = small.check.accuracy or 0
        is_as_accurate = accuracy >= (small.check.accuracy_before or 0)
        # `file` refuses only large differences from the run. Here int8 was not asked for, so its
        # answers have to be the same.
        agree = engines_agree(exact.engine, small.engine, self.checked.images)
        return small if agree and is_as_accurate else exact


def _write_file(out: Path, file: ExportedFile) -> ExportedRun:
    card = file.card
    card_path = out.with_name(out.name + ".json")
    write_atomic(card_path, card.to_json().encode())
    write_atomic(out, file.data)

    return ExportedRun(
        run=card.run,
        file=str(out),
        description=str(card_path),
        bytes=len(file.data),
        precision=card.precision,
        classes=len(card.classes),
        **file.check._asdict(),
    )


def _read_images(
    dataset: Dataset,
    engine: InferenceEngine,
    samples: Sequence[Sample],
    progress: Progress,
) -> CheckedImages:
    read = PixelReader(engine.facts.size, channels=3, fit=engine.facts.fit)
    sources = list(pixel_sources(dataset, samples))
    outcomes = run_over(read, sources, choose_readers(len(sources)))
    pixels = {
        outcome.item.key: outcome.result
        for outcome in progress.over(outcomes, "images", total=len(sources))
        if outcome.result is not None
    }
    readable = [sample for sample in samples if sample.key in pixels]
    if samples and not readable:
        raise InputUnusable(
            "no image of the dataset can be read", "restore its images folder"
        )

    # Only images of val have a class: the accuracy is measured on them.
    numbers = {name: number for number, name in enumerate(engine.facts.classes)}
    size = engine.facts.size
    images = np.zeros((len(readable), size, size, 3), np.uint8)
    y = np.full(len(readable), -1, np.int64)
    for row, sample in enumerate(readable):
        images[row] = pixels[sample.key].transpose(1, 2, 0)
        if sample.split == "val":
            y[row] = numbers.get(str(sample.label), -1)
    return CheckedImages(images, y)
