"""Exporting a run: written, asked about real pictures beside the run itself, and only then kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from baseline.data import pixel_sources
from baseline.engines.base import InferenceEngine
from baseline.engines.torch_engine import InferenceNet, TorchEngine
from baseline.export.card import Card, card_of
from baseline.pixels import Pixels, ReadPixels, readers_for
from baseline.runs import dataset_of_run, find_run_folder
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.records import Sample
from gleanset.work.pool import run_over
from gleanset.work.progress import Progress

MOST_CHECKED = 200
MOST_CALIBRATED = 100
BATCH = 16
ENDINGS = {"onnx": ".onnx", "litert": ".tflite"}
LARGEST_DIFFERENCE = {"fp32": 1e-4, "fp16": 2e-2, "int8": 1.0}
"""The largest difference of a probability that is let through."""
LEAST_AGREEMENT = {"fp32": 0.999, "fp16": 0.99, "int8": 0.9}
"""The least share of pictures with the same likeliest class."""


class CheckedPictures(NamedTuple):
    """Pictures uint8 N x size x size x 3 and their classes' numbers, -1 where not asked for."""

    pictures: Pixels
    y: npt.NDArray[np.int64]


def export_run(
    root: Path,
    run: str | None,
    out: Path,
    kind: str,
    precision: str,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Write a run as `out` with its description beside it; what was written and how it compares.

    `kind` is onnx or litert, `precision` fp32, fp16 or int8. Raises `InputUnusable` where the
    answers would differ or there is no picture to compare them on.
    """
    if out.suffix != ENDINGS[kind]:
        raise UsageError(f"{out} is no name for {kind}", f"end it in {ENDINGS[kind]}")
    engine = TorchEngine.of(folder := find_run_folder(root, run))
    if kind == "litert" and engine.portable.graphs:
        raise UsageError(
            "a LiteRT file cannot hold the graph of an ONNX file, and this run's backbone is one",
            "export it as ONNX: --format onnx; or train on a network of timm: -o backbone=…",
        )
    writer = writer_of(kind)
    with Dataset.open(dataset_of_run(folder, root) or root) as dataset:
        labelled = list(dataset.samples.in_splits())
        checked = _seen(dataset, engine, _to_check(labelled), progress)
        calibration = (
            _seen(dataset, engine, _spread(labelled, "train", MOST_CALIBRATED), progress).pictures
            if precision == "int8"
            else checked.pictures[:0]
        )
    card = card_of(engine.facts, precision)
    data, check = _written(engine, card, writer, calibration, checked)
    return _kept(out, data, msgspec.structs.replace(card, checked=check.to_json()), writer)


def _written(
    engine: TorchEngine,
    card: Card,
    writer: FormatWriter,
    calibration: Pixels,
    checked: CheckedPictures,
) -> tuple[bytes, AgreementCheck]:
    """Return the file's bytes, once they have answered as the run does."""
    data = writer.model(engine.portable, card, calibration)
    check = compare(engine, writer.engine(writer.with_card(data, card)), *checked)
    refuse_unequal(check, card.precision)
    return data, check


def _kept(out: Path, data: bytes, card: Card, writer: FormatWriter) -> dict[str, object]:
    whole = writer.with_card(data, card)
    beside = out.with_name(out.name + ".json")
    write_atomic(beside, card.to_json().encode())
    write_atomic(out, whole)
    return {
        "run": card.run,
        "file": str(out),
        "description": str(beside),
        "bytes": len(whole),
        "precision": card.precision,
        "classes": len(card.classes),
        **card.checked,
    }


def _to_check(labelled: Sequence[Sample]) -> list[Sample]:
    """Choose pictures of val, then of train, then of test, whose labels are not looked at."""
    found: list[Sample] = []
    for split in ("val", "train", "test"):
        found += _spread(labelled, split, MOST_CHECKED - len(found))
    if not found:
        raise InputUnusable(
            "there is no labelled picture to compare the answers on",
            "name the dataset the run is of: -d DIR",
        )
    return found


def _spread(labelled: Sequence[Sample], split: str, most: int) -> list[Sample]:
    """Return at most so many samples of a split; their keys are hashes, so the first are any."""
    return [sample for sample in labelled if sample.split == split][: max(most, 0)]


def _seen(
    dataset: Dataset, engine: InferenceEngine, samples: Sequence[Sample], progress: Progress | None
) -> CheckedPictures:
    """Return what can be read of the samples; the labels of val alone."""
    read = ReadPixels(engine.facts.size, "RGB", engine.facts.fit)
    wanted = list(pixel_sources(dataset, samples))
    outcomes = run_over(read, wanted, readers_for(len(wanted)))
    bar = (progress or Progress()).over(outcomes, "pictures", total=len(wanted))
    pixels = {one.item.key: one.result for one in bar if one.result is not None}
    kept = [sample for sample in samples if sample.key in pixels]
    if samples and not kept:
        raise InputUnusable("no picture of the dataset can be read", "put its images folder back")
    numbers = {name: number for number, name in enumerate(engine.facts.classes)}
    y = [numbers.get(str(s.label), -1) if s.split == "val" else -1 for s in kept]
    size = engine.facts.size
    pictures = np.zeros((len(kept), size, size, 3), np.uint8)
    for row, sample in enumerate(kept):
        pictures[row] = pixels[sample.key].transpose(1, 2, 0)
    return CheckedPictures(pictures, np.array(y, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class AgreementCheck:
    """How two engines compare on `pictures` pictures.

    `farthest` is the largest difference of a probability, `agreement` the share of pictures with
    the same likeliest class. `accuracy` is of the exported model, `accuracy_before` of the run, on
    the labels given; None where there were none.
    """

    pictures: int
    farthest: float
    agreement: float
    accuracy_before: float | None
    accuracy: float | None

    def to_json(self) -> dict[str, float | int | str]:
        """Return the figures that are known."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value is not None}


def compare(
    run: InferenceEngine,
    exported: InferenceEngine,
    pictures: Pixels,
    y: npt.NDArray[np.int64] | None,
) -> AgreementCheck:
    """Compare both on pictures N x size x size x 3 of the classes `y` (-1: not known)."""
    first, second = probabilities(run, pictures), probabilities(exported, pictures)
    before, after = first.argmax(1), second.argmax(1)
    known = np.zeros(len(pictures), bool) if y is None else y >= 0
    scores = [
        float((found[known] == y[known]).mean()) if y is not None and known.any() else None
        for found in (before, after)
    ]
    # Between classes that are equally likely, either is the same answer.
    rows = np.arange(len(first))
    same = (before == after) | (
        first[rows, before] - first[rows, after] < LARGEST_DIFFERENCE["fp32"]
    )
    return AgreementCheck(
        len(pictures), float(np.abs(first - second).max()), float(same.mean()), *scores
    )


def probabilities(engine: InferenceEngine, pictures: Pixels) -> npt.NDArray[np.float32]:
    """Return N x classes, a batch at a time."""
    parts = [
        engine(pictures[at : at + BATCH]).probabilities for at in range(0, len(pictures), BATCH)
    ]
    return np.concatenate(parts)


def refuse_unequal(check: AgreementCheck, precision: str) -> None:
    """Raise `InputUnusable` where the answers are too far apart to be the same model's."""
    far = check.farthest > LARGEST_DIFFERENCE[precision]
    if far or check.agreement < LEAST_AGREEMENT[precision]:
        raise InputUnusable(
            f"nothing was written: as {precision} the model would give other answers "
            f"(the same class for {check.agreement:.1%} of {check.pictures} pictures, "
            f"probabilities off by up to {check.farthest:.2g})",
            "export with --precision fp32" if precision != "fp32" else "please report this",
        )


class FormatWriter(NamedTuple):
    """How a kind of file is made: the model, the model with its card, and what computes it."""

    model: Callable[[InferenceNet, Card, Pixels], bytes]
    with_card: Callable[[bytes, Card], bytes]
    engine: Callable[[bytes], InferenceEngine]


def writer_of(kind: str) -> FormatWriter:
    """Return the writer of onnx or litert. Raises `MissingComponent`."""
    if kind == "onnx":
        from baseline.engines.onnx_engine import OnnxEngine
        from baseline.export import onnx_file

        onnx_file.need_onnx()
        return FormatWriter(onnx_file.onnx_bytes, onnx_file.with_card, OnnxEngine)
    from baseline.engines.litert_engine import LiteRtEngine
    from baseline.export import litert_file

    litert_file.need_litert()
    return FormatWriter(litert_file.litert_bytes, litert_file.with_card, LiteRtEngine)
