"""Datasets with real image files."""

import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image
from tools_for_tests import Ran, encode, pixels, run_here, start_cli

from gleanset import Box, Dataset, Face, Origin
from gleanset.db.journal import Choice
from gleanset.images.cropping import (
    crop_region,
    encode_jpeg,
    expand_box_within,
    make_sample_key,
)
from gleanset.images.decode import decode
from gleanset.images.measure import compute_phash_and_sharpness, measure
from gleanset.records import FaceCrop
from gleanset.work.progress import NO_PROGRESS
from labeler.export.job import export
from labeler.export.options import ExportOptions
from labeler.importing.job import import_labelled
from labeler.requests import ImportRequest


def picture(seed: int, size: tuple[int, int] = (120, 80)) -> Image.Image:
    return pixels(seed, size)


def put(
    dataset: Dataset,
    data: bytes,
    title: str,
    boxes: Sequence[Box] = (),
    *,
    label: str = "hana",
    split: str = "train",
    origin: Origin | None = None,
) -> list[str]:
    """Store an image with labelled samples: faces, or the whole image."""
    measured = measure(data)
    dataset.originals(dataset.cache).put(measured.sha256, measured.format, data)
    dataset.images.add(
        measured, origin or Origin("folder", f"/pictures/{title}", title=title)
    )
    pixels = decode(data).pixels
    whole = Box(0, 0, *pixels.size)
    cuts = []
    for face in boxes or [whole]:
        key = make_sample_key(measured.sha256, face)
        box = expand_box_within(face, 0.2, *pixels.size) if boxes else whole
        part = crop_region(pixels, box)
        if boxes:
            dataset.crops(dataset.cache).put(key, "JPEG", encode_jpeg(part))
        result = Face("animeface" if boxes else "whole", face, 0.9)
        cuts.append(
            FaceCrop(result, key, box, compute_phash_and_sharpness(part)[0], 1.0)
        )
    keys = [c.key for c in cuts]
    dataset.faces.replace(measured.sha256, cuts[0].face.detector, "test", cuts)
    dataset.journal.apply("Label", [Choice(key, "label", label) for key in keys])
    assign(dataset, dict.fromkeys(keys, split))
    return keys


def assign(dataset: Dataset, splits: dict[str, str]) -> None:
    """Set the split of these samples; all others keep theirs."""
    plan = {
        s.key: (s.split_group or s.key, s.split)
        for s in dataset.samples.iter_by_key()
        if s.split
    }
    plan |= {key: (key, split) for key, split in splits.items()}
    dataset.samples.set_splits(plan)


def mixed(dataset: Dataset) -> dict[str, int]:
    """Fill two classes in three splits; return the samples per class."""
    for number in range(12):
        boxes = [Box(10, 10, 30, 30), Box(70, 20, 30, 30)] if number % 3 == 0 else []
        put(
            dataset,
            encode(picture(number)),
            f"{number}.jpg",
            boxes,
            label=("hana", "rei")[number % 2],
            split=("train", "train", "val", "test")[number // 3],
        )
    return {"hana": 8, "rei": 8}


def export_once(dataset: Dataset, folder: Path) -> Callable[[str], Path]:
    """Return a function that exports in a format, at its first call, and returns the tree."""

    @cache
    def export_as(form: str) -> Path:
        run_export(dataset, folder / form, format=form)
        return folder / form

    return export_as


def kill_export(
    dataset: Dataset, out: Path, *options: str, when: Callable[[], bool]
) -> None:
    """Export in another process, and kill it once a condition holds."""
    line = ("export", out, *options, "--workers", "1", "-d", dataset.root)
    with start_cli("labeler.cli", *line) as process:
        try:
            deadline = time.monotonic() + 60
            while not when():
                assert process.poll() is None, "it ended before it was killed"
                assert time.monotonic() < deadline
                time.sleep(0.001)
        finally:
            process.kill()


def run_labeler(*words: str | Path) -> Ran:
    """Run the `labeler` command in this process."""
    return run_here("labeler.cli", *words)


def run_import(
    dataset: Dataset, path: Path, *, simulate: bool = False, **options: Any
) -> dict[str, Any]:
    request = ImportRequest(path=str(path), workers=1, **options)
    return import_labelled(
        dataset, request, simulate=simulate, progress=NO_PROGRESS
    ).to_json()


def run_export(
    dataset: Dataset, out: Path, workers: int = 1, **options: Any
) -> dict[str, Any]:
    return export(dataset, out, ExportOptions(**options), workers=workers).to_json()
