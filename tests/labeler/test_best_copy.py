"""Tests of choosing the original among altered copies."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from duplicate_images import COPIES, add_picture
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from gleanset import Dataset
from gleanset.db.duplicates import Pairs, Relation
from labeler.duplicates.finder import DuplicateFinder
from labeler.duplicates.hashes import prepare_image
from labeler.duplicates.originals import UnrankedCopies, find_originals
from labeler.duplicates.verification import compare_images
from labeler.sample_pixels import SampleFile

Change = Callable[[Image.Image], Image.Image]
LANCZOS = Image.Resampling.LANCZOS


def painting(seed: int) -> Image.Image:
    """Draw shapes with soft shading in many colours."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(40, 215, (6, 8, 3), dtype=np.uint8))
    image = coarse.resize((384, 288), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for _ in range(50):
        x, y = (int(value) for value in random.integers(0, (340, 250)))
        wide, high = (int(value) for value in random.integers(10, 60, 2))
        colour = tuple(int(value) for value in random.integers(0, 255, 3))
        pen.ellipse((x, y, x + wide, y + high), colour, "black", 2)
    shade = Image.linear_gradient("L").resize(image.size)
    return Image.composite(image, ImageEnhance.Brightness(image).enhance(0.7), shade)


def add_grain(p: Image.Image) -> Image.Image:
    noise = np.random.default_rng(1).normal(0, 9, (p.height, p.width, 1))
    return Image.fromarray(np.clip(np.asarray(p) + noise, 0, 255).astype(np.uint8))


def crop_right_side(p: Image.Image) -> Image.Image:
    return p.crop((0, 0, round(p.width * 0.8), p.height))


def enlarge_crop(p: Image.Image) -> Image.Image:
    return COPIES["crop 5 %"](p).resize((2 * p.width, 2 * p.height), LANCZOS)


def enlarge_and_sharpen(p: Image.Image) -> Image.Image:
    return p.resize((2 * p.width, 2 * p.height), LANCZOS).filter(ImageFilter.UnsharpMask(2, 150, 0))


def add_coarse_noise(p: Image.Image) -> Image.Image:
    noise = np.random.default_rng(2).normal(60, 40, (p.height // 4, p.width // 4))
    rough = np.kron(noise, np.ones((4, 4)))[:, :, None]
    return Image.fromarray(np.clip(np.asarray(p) + rough, 0, 255).astype(np.uint8))


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return buffer.getvalue()


def dither_colors(p: Image.Image) -> Image.Image:
    return p.quantize(64, dither=Image.Dither.FLOYDSTEINBERG, palette=p.quantize(64))


ALTERED_FILES: dict[str, Callable[[Image.Image], bytes]] = {
    "enlarged": lambda p: encode(p.resize((p.width * 3 // 2, p.height * 3 // 2), LANCZOS)),
    "enlarged and sharpened": lambda p: encode(enlarge_and_sharpen(p)),
    "enlarged by whole pixels": lambda p: encode(
        p.resize((2 * p.width, 2 * p.height), Image.Resampling.NEAREST)
    ),
    "smaller": lambda p: encode(p.resize((p.width * 2 // 3, p.height * 2 // 3), LANCZOS)),
    "JPEG": lambda p: encode(p, "JPEG"),
    "GIF": lambda p: encode(p.quantize(256), "GIF"),
    "palette": lambda p: encode(p.quantize(256)),
    "cropped": lambda p: encode(crop_right_side(p)),
    "cropped and enlarged": lambda p: encode(enlarge_crop(p)),
    "marked": lambda p: encode(COPIES["watermark"](p)),
    "screenshot": lambda p: encode(COPIES["screenshot"](p)),
    "grain": lambda p: encode(add_grain(p)),
    "blurred": lambda p: encode(p.filter(ImageFilter.GaussianBlur(1))),
    "grey": lambda p: encode(p.convert("L")),
    "letterbox": lambda p: encode(ImageOps.expand(p, (0, 40), "black")),
    "mirror": lambda p: encode(ImageOps.mirror(p)),
    "dithered GIF": lambda p: encode(dither_colors(p), "GIF"),
}


def originals(files: list[SampleFile]) -> list[int]:
    number = len(files)
    return find_originals(UnrankedCopies((*range(number),), (False,) * number, (*files,)))


def test_original_of_many_copies_is_found(tmp_path: Path) -> None:
    image = painting(8)
    for kind in ("enlarged and sharpened", "smaller", "grain", "blurred", "marked", "palette"):
        (tmp_path / kind).with_suffix(".png").write_bytes(ALTERED_FILES[kind](image))
    for factor in (0.8, 1.3):
        ImageEnhance.Brightness(image).enhance(factor).save(tmp_path / f"brightness {factor}.png")
    image.save(tmp_path / "original.png")
    files = sorted(tmp_path.iterdir())
    (best, *_) = originals([SampleFile(file) for file in files])
    assert files[best].stem == "original"


def test_thumbnail_is_not_the_original(tmp_path: Path) -> None:
    large = painting(4).resize((800, 600), LANCZOS)
    large = ImageEnhance.Sharpness(add_grain(large)).enhance(1.5)
    large.save(tmp_path / "large.png")
    large.resize((64, 48), LANCZOS).save(tmp_path / "small.png")
    files = [SampleFile(tmp_path / name) for name in ("small.png", "large.png")]
    assert originals(files) == [1]


@pytest.mark.slow
def test_original_is_best_copy(dataset: Dataset) -> None:
    names: dict[str, tuple[str, str]] = {}
    for seed, (kind, alter) in enumerate(ALTERED_FILES.items(), 1):
        original = painting(seed)
        files = [("copy", alter(original)), ("original", encode(original))]
        # The copy comes first, except where only the order decides.
        for name, data in reversed(files) if kind == "mirror" else files:
            names[add_picture(dataset, f"{kind} {name}", data)] = (kind, name)
    finder = DuplicateFinder(dataset, workers=1)
    finder.search()
    sets = finder.plan().sets
    assert all(len({names[m.key][0] for m in group.members}) == 1 for group in sets)
    best_copies = dict(names[group.best_key] for group in sets)
    assert best_copies == dict.fromkeys(ALTERED_FILES, "original")


def test_chosen_originals_are_stored(dataset: Dataset) -> None:
    image = painting(3)
    for name, data in (("copy", ALTERED_FILES["blurred"](image)), ("original", encode(image))):
        add_picture(dataset, name, data)
    finder = DuplicateFinder(dataset, workers=1)
    finder.search()
    (copies,) = finder.plan().sets
    assert finder.plan().unranked == []
    copy, original = sorted(member.id for member in copies.members)
    assert Pairs(dataset.db).get_better_copy(copy, original) == "second"
    assert copies.members[0].id == original
    assert Pairs(dataset.db).get_human_verdicts() == {}


@pytest.mark.parametrize("change", [lambda p: p, add_coarse_noise])
def test_screenshot_border_is_a_frame(change: Change) -> None:
    image = change(painting(3))
    whole = prepare_image(image)
    shot = compare_images(whole, prepare_image(COPIES["screenshot"](image)))
    crop = compare_images(prepare_image(COPIES["crop 5 %"](image)), whole)
    assert shot.relation & Relation.MORE_B
    assert shot.relation & Relation.FRAMED_B
    assert crop.relation & Relation.MORE_B
    assert not crop.relation & Relation.FRAMED_B
