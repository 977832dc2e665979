"""Tests of quality measures and flags."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from labelled_images import encoded, picture, put
from PIL import Image, ImageDraw, ImageFilter
from tools_for_tests import run_here

from gleanset import Box, Dataset, Face
from gleanset.db.regions import QualityMeasures
from gleanset.records import FaceCrop
from labeler.quality.assessment import assess_quality, measure_edge_blur
from labeler.quality.flags import FLAGS, VERSION, flags_of
from pipeline.listing import list_records

LIMITS = {flag.name: flag.threshold for flag in FLAGS}


def face(seed: int = 0, size: int = 160) -> Image.Image:
    """Draw a flat face, which has few but sharp edges."""
    random = np.random.default_rng(seed)
    skin, hair, eyes = (tuple(int(v) for v in random.integers(60, 250, 3)) for _ in range(3))
    big = Image.new("RGB", (size * 3, size * 3), "#f2efe8")
    draw, s = ImageDraw.Draw(big), size * 3
    draw.ellipse((s * 0.1, s * 0.05, s * 0.9, s * 0.9), hair)
    draw.ellipse((s * 0.2, s * 0.25, s * 0.8, s * 0.95), skin, "black", s // 80)
    for x in (0.36, 0.64):
        draw.ellipse((s * (x - 0.07), s * 0.5, s * (x + 0.07), s * 0.66), eyes, "black", s // 60)
    draw.arc((s * 0.42, s * 0.7, s * 0.58, s * 0.82), 10, 170, "black", s // 90)
    return big.resize((size, size), Image.Resampling.LANCZOS)


def tiles(seed: int) -> Image.Image:
    """Draw an image full of edges."""
    small = np.random.default_rng(seed).integers(0, 256, (20, 20), dtype=np.uint8)
    return Image.fromarray(small).resize((160, 160), Image.Resampling.NEAREST)


def soft(image: Image.Image, radius: float = 2) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def test_blur_of_flat_art() -> None:
    for seed in range(5):
        sharp = face(seed)
        assert measure_edge_blur(sharp) < LIMITS["blurred"] - 0.1
        assert measure_edge_blur(soft(sharp, 3)) >= LIMITS["blurred"]
        pale = Image.blend(sharp, Image.new("RGB", sharp.size, "white"), 0.9)
        assert measure_edge_blur(pale) < LIMITS["blurred"] - 0.1
        assert measure_edge_blur(soft(tiles(seed))) >= LIMITS["blurred"]


def test_blurred_background_is_not_blur() -> None:
    scene = soft(picture(3, (400, 300)), 6)
    scene.paste(face(1), (120, 70))
    assert measure_edge_blur(scene) < LIMITS["blurred"]
    assert measure_edge_blur(Image.new("RGB", (90, 90), "grey")) == 1.0


@pytest.mark.parametrize("pattern", ["characters/*/*.jpg", "photos/*/*.jpg"])
def test_blur_of_real_images(shared_data: Path, pattern: str) -> None:
    sharp = [Image.open(path).convert("RGB") for path in sorted(shared_data.glob(pattern))[::12]]
    for image in sharp:
        image.thumbnail((512, 512))
    assert sum(measure_edge_blur(image) >= LIMITS["blurred"] for image in sharp) <= 1
    assert sum(measure_edge_blur(soft(image)) < LIMITS["blurred"] for image in sharp) <= 1


def fill(dataset: Dataset) -> dict[str, str]:
    """Add three faces of one class and an image for each flag; return keys."""
    keys = {f"face{n}": put(dataset, encoded(face(1, 150 + n)), f"{n}")[0] for n in range(3)}
    odd = {
        "blurred": soft(face(2), 4),
        "black": Image.new("RGB", (90, 90), (9, 9, 9)),
        "white": Image.new("RGB", (90, 90), "white"),
        "tiny": face(3, 40),
    }
    for name, image in odd.items():
        (keys[name],) = put(dataset, encoded(image), name, label="odd")
    return keys


def flags(dataset: Dataset, keys: Iterable[str]) -> dict[str, list[str]]:
    result = QualityMeasures(dataset.db).get_many(list(keys))
    return {key: flags_of(quality) for key, quality in result.items()}


@pytest.mark.slow
def test_quality_command_and_list_flags(empty: Dataset) -> None:
    keys = fill(empty)
    command = ("labeler.cli", "quality", "-d", empty.root, "--workers", "1", "--json")
    assert [line["flags"] for line in list_records(empty, "samples", ())] == [[]] * len(keys)
    result = run_here(*command).json
    assert (result["measured"], result["failed"], result["samples"]) == (len(keys), 0, len(keys))
    assert set(result["flags"]) == set(LIMITS)
    for name in LIMITS:
        listed = [line["id"] for line in list_records(empty, "samples", (f"flags={name}",))]
        assert keys[name] in listed, name
        assert len(listed) == result["flags"][name]
        assert not {key for n, key in keys.items() if n.startswith("face")} & set(listed), name
    odd = {line["id"]: line["blur"] for line in list_records(empty, "samples", ("label=odd",))}
    assert odd[keys["blurred"]] >= LIMITS["blurred"]
    assert run_here(*command).json == result | {"measured": 0}


def test_only_changed_samples_are_measured(empty: Dataset) -> None:
    keys = fill(empty)
    assert assess_quality(empty, workers=1).measured == len(keys)
    (sample,) = (s for s in empty.samples.iter_by_key() if s.key == keys["blurred"])
    assert flags(empty, [sample.key]) == {sample.key: ["blurred"]}
    part = FaceCrop(Face("whole", sample.box, 0.9), sample.key, Box(0, 0, 60, 30), 1, 1.0)
    empty.faces.replace(sample.image, "whole", "anew", [part])
    assert not flags(empty, [sample.key])
    put(empty, encoded(face(11)), "new")
    assert QualityMeasures(empty.db).count_missing(VERSION) == 2
    assert assess_quality(empty, workers=1).measured == 2
    (again,) = QualityMeasures(empty.db).get_many([sample.key]).values()
    assert again.size == 30


def test_broken_file_is_rejected_until_repaired(empty: Dataset) -> None:
    good, bad = (put(empty, encoded(face(n)), str(n))[0] for n in (1, 2))
    sample = empty.samples.get(bad)
    assert sample is not None
    path = empty.image_path(sample.image, "JPEG")
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:300])
    result = assess_quality(empty, workers=1)
    assert (result.measured, result.failed) == (1, 1)
    assert set(QualityMeasures(empty.db).get_many([good, bad])) == {good}
    (rejection,) = empty.rejections.iterate()
    assert (rejection.stage, rejection.item, rejection.reason) == ("quality", bad, "truncated")
    path.write_bytes(data)
    assert assess_quality(empty, workers=1).measured == 1
    assert not list(empty.rejections.iterate())
