"""Exporting a run: written, asked about real pictures beside the run itself, and only then kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from baseline.chosen_run import run_folder_of
from baseline.data import pixel_sources
from baseline.engines import Engine
from baseline.export.card import Card, card_of
from baseline.export.check import Check, compare, refuse_unequal
from baseline.export.kinds import Writer, writer_of
from baseline.pixels import Pixels, ReadPixels, processes_for
from baseline.run_torch import TorchEngine
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.records import Sample
from gleanset.work.pool import run_over
from gleanset.work.progress import Progress

MOST_CHECKED = 200
MOST_CALIBRATED = 100
ENDINGS = {"onnx": ".onnx", "litert": ".tflite"}


class Seen(NamedTuple):
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
    writer = writer_of(kind)
    engine = TorchEngine.of(folder := run_folder_of(root, run))
    with _dataset_of(root, folder) as dataset:
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
    engine: TorchEngine, card: Card, writer: Writer, calibration: Pixels, checked: Seen
) -> tuple[bytes, Check]:
    """The file's bytes, after they have answered as the run does."""
    data = writer.model(engine.portable, card, calibration)
    check = compare(engine, writer.engine(writer.with_card(data, card)), *checked)
    refuse_unequal(check, card.precision)
    return data, check


def _kept(out: Path, data: bytes, card: Card, writer: Writer) -> dict[str, object]:
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


def _dataset_of(root: Path, folder: Path) -> Dataset:
    """The dataset whose run it is, or else the one that was named."""
    own = folder.resolve().parent.parent
    return Dataset.open(own if (own / "dataset.toml").is_file() else root)


def _to_check(labelled: Sequence[Sample]) -> list[Sample]:
    """Pictures of val, then of train, then of test, whose labels are not looked at."""
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
    """At most so many samples of a split; their keys are hashes, so the first are any."""
    return [sample for sample in labelled if sample.split == split][: max(most, 0)]


def _seen(
    dataset: Dataset, engine: Engine, samples: Sequence[Sample], progress: Progress | None
) -> Seen:
    """What can be read of the samples; the labels of val alone."""
    read = ReadPixels(engine.facts.size, "RGB")
    wanted = list(pixel_sources(dataset, samples))
    outcomes = run_over(read, wanted, processes_for(len(wanted)))
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
    return Seen(pictures, np.array(y, dtype=np.int64))
