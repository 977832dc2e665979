"""Originals kept by the search: `python benchmarks/best_copy.py FOLDER... [--number N] [--half H]`.

N originals (images of the folders in turn, and an equal share of drawn images) are stored as PNG,
each with 26 altered copies, under neutral names. The duplicate search runs over all of them. It
prints how many originals are kept, which kinds of copies are kept instead, and the pairs within a
duplicate set that are not duplicates when compared directly. `--half` takes one half of each
folder: tune rules on one half and evaluate them on the other.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "labeler"))
from duplicate_images import COPIES, drawing
from stored_pictures import store

from gleanset import Dataset, Origin
from gleanset.errors import Unreadable
from gleanset.images.decode import decode
from labeler.duplicates.finder import DuplicateFinder
from labeler.duplicates.hashes import prepare_image
from labeler.duplicates.verification import compare_images

LARGEST = 900
Alter = Callable[[Image.Image], Image.Image]


def scaled(part: float, how: Image.Resampling) -> Alter:
    """Return a function that scales both sides by `part`."""
    return lambda p: p.resize((round(p.width * part), round(p.height * part)), how)


def grainy(strength: float, *, coloured: bool) -> Alter:
    """Return a function that adds film grain, in gray or in color."""

    def altered(p: Image.Image) -> Image.Image:
        shape = (p.height, p.width, 3 if coloured else 1)
        noise = np.random.default_rng(p.width).normal(0, strength, shape)
        return Image.fromarray(np.clip(np.asarray(p) + noise, 0, 255).astype(np.uint8))

    return altered


def tiled(p: Image.Image) -> Image.Image:
    """Cover the image with small, half-transparent words."""
    layer = Image.new("RGBA", p.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    for y in range(10, p.height, max(40, p.height // 5)):
        for x in range(10, p.width, max(90, p.width // 4)):
            pen.text((x, y), "sample", fill=(255, 255, 255, 110), font_size=max(12, p.width // 28))
    return Image.alpha_composite(p.convert("RGBA"), layer).convert("RGB")


def sharpened(p: Image.Image) -> Image.Image:
    """Sharpen as photo editors do."""
    return p.filter(ImageFilter.UnsharpMask(2, 150, 0))


def cropped_to_size(p: Image.Image) -> Image.Image:
    """Crop, then enlarge to the original size."""
    return COPIES["crop 5 %"](p).resize(p.size, Image.Resampling.LANCZOS)


def one_side(p: Image.Image) -> Image.Image:
    """Crop a strip off the right side."""
    return p.crop((0, 0, round(p.width * 0.82), p.height))


double = scaled(2, Image.Resampling.BICUBIC)
ALTERED: dict[str, tuple[Alter, str, int]] = {
    "half": (scaled(0.5, Image.Resampling.LANCZOS), "PNG", 0),
    "three quarters": (scaled(0.75, Image.Resampling.BICUBIC), "JPEG", 92),
    "JPEG 95": (lambda p: p, "JPEG", 95),
    "JPEG 75": (lambda p: p, "JPEG", 75),
    "JPEG 40": (lambda p: p, "JPEG", 40),
    "WebP 80": (lambda p: p, "WEBP", 80),
    "GIF": (lambda p: p.quantize(256), "GIF", 0),
    "64 colours": (lambda p: p.quantize(64), "PNG", 0),
    "larger": (scaled(1.5, Image.Resampling.LANCZOS), "PNG", 0),
    "double": (double, "PNG", 0),
    "double, sharpened": (lambda p: sharpened(double(p)), "PNG", 0),
    "double, sharpened, JPEG": (lambda p: sharpened(double(p)), "JPEG", 92),
    "crop 5 %": (COPIES["crop 5 %"], "PNG", 0),
    "crop enlarged": (cropped_to_size, "PNG", 0),
    "one side off": (one_side, "PNG", 0),
    "mirror": (ImageOps.mirror, "PNG", 0),
    "grain": (grainy(8, coloured=False), "PNG", 0),
    "coloured grain": (grainy(12, coloured=True), "JPEG", 95),
    "watermark": (COPIES["watermark"], "PNG", 0),
    "tiled watermark": (tiled, "PNG", 0),
    "blurred": (lambda p: p.filter(ImageFilter.GaussianBlur(1)), "PNG", 0),
    "sharpened": (sharpened, "PNG", 0),
    "vivid": (lambda p: ImageEnhance.Color(p).enhance(1.6), "PNG", 0),
    "brighter": (lambda p: ImageEnhance.Brightness(p).enhance(1.15), "PNG", 0),
    "letterbox": (COPIES["letterbox"], "PNG", 0),
    "screenshot": (COPIES["screenshot"], "PNG", 0),
}


def originals(folders: list[Path], number: int, half: int) -> Iterator[Image.Image]:
    """Yield images of the folders in turn, with drawn images between them."""
    lists: list[list[Path | int]] = [[seed + 50 * half for seed in range(1, 40)]]
    for folder in folders:
        files: list[Path | int] = sorted(path for path in folder.rglob("*") if path.is_file())
        random.Random(1).shuffle(files)
        lists.append(files[half::2])
    place = 0
    while number and any(lists):
        if choices := lists[place % len(lists)]:
            chosen = choices.pop()
            try:
                image = (
                    drawing(chosen)
                    if isinstance(chosen, int)
                    else decode(chosen.read_bytes()).pixels
                )
            except Unreadable:
                continue
            image.thumbnail((LARGEST, LARGEST))
            if min(image.size) >= 150:
                number -= 1
                yield image
        place += 1


def encoded(image: Image.Image, kind: str, quality: int) -> bytes:
    """Encode an image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": quality} if quality else {}))
    return buffer.getvalue()


def main() -> None:
    """Run the benchmark and print the results."""
    options = argparse.ArgumentParser()
    options.add_argument("folders", nargs="+", type=Path)
    options.add_argument("--number", type=int, default=38)
    options.add_argument("--half", type=int, choices=(0, 1), default=0)
    given = options.parse_args()
    rng = random.Random(given.half)
    with tempfile.TemporaryDirectory() as folder, Dataset.create(Path(folder) / "ds") as dataset:
        kinds: dict[str, tuple[int, str]] = {}
        for number, original in enumerate(originals(given.folders, given.number, given.half)):
            files = [("original", encoded(original, "PNG", 0))]
            for kind, (alter, form, quality) in ALTERED.items():
                files.append((kind, encoded(alter(original), form, quality)))
            rng.shuffle(files)
            for place, (kind, data) in enumerate(files):
                kinds[store(dataset, data, Origin("folder", f"{number}-{place}"))] = (number, kind)
        finder = DuplicateFinder(dataset)
        print(finder.search())
        plan = finder.plan()
        aside = {kinds[key] for group in plan.sets for key in group.others}
        lost = [
            number
            for number, kind in kinds.values()
            if kind == "original" and (number, kind) in aside
        ]
        print(f"originals kept: {given.number - len(lost)} of {given.number}")
        instead = Counter(
            f"{kinds[group.kept][1]} ({kinds[group.kept][0]}: {group.reason})"
            for group in plan.sets
            if any(kinds[key][1] == "original" for key in group.others)
        )
        print("kept instead:", *instead, sep="\n  ")
        found = Counter(kind for _, kind in aside)
        print("set aside of each kind:", {kind: found[kind] for kind in ALTERED})
        mixed = sum(len({kinds[m.key][0] for m in group.members}) > 1 for group in plan.sets)
        print(
            f"groups: {len(plan.sets)}, of several originals: {mixed}, doubts: {len(plan.doubts)}"
        )
        refused: Counter[str] = Counter()
        for group in plan.sets:
            views = [
                prepare_image(
                    decode(
                        dataset.image_path(
                            sample.image, sample_format(dataset, sample.image)
                        ).read_bytes()
                    ).pixels
                )
                for member in group.members
                if (sample := dataset.samples.get(member.key))
            ]
            for a, b in combinations(range(len(views)), 2):
                verdict = compare_images(views[a], views[b])
                names = sorted(kinds[group.members[place].key][1] for place in (a, b))
                if not verdict.same:
                    refused[f"{names[0]}, {names[1]}: {verdict.reason}"] += 1
        print("refuse each other within a group:", *refused.most_common(), sep="\n  ")


def sample_format(dataset: Dataset, sha256: str) -> str:
    """Return the file format of an image."""
    image = dataset.images.get(sha256)
    assert image is not None
    return image.format


if __name__ == "__main__":
    main()
