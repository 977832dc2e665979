"""Recall and precision of duplicates.

    python benchmarks/duplicates.py WORK FOLDER... [--kinds KIND...] [--distinct]

`--images` images of the folders (300, equally divided, chosen at random) get one copy of each
kind. For each kind a dataset of the images and their copies is searched as by `labeler dedup`. The
benchmark prints the part of the copies that are candidates, in one set with their original, and
asked about. `--distinct` also searches images that are not copies, all below the folders and the
chosen ones under one caption bar, and lists what was joined or asked about.
"""

import argparse
import random
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

sys.path.extend(
    str(Path(__file__).parents[1] / name) for name in ("", "tests", "tests/labeler")
)
from duplicate_images import COPIES, add_picture, encoded
from weak_copies import WEAK_COPIES, encode_weak_copy

from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.errors import Unreadable
from gleanset.images.decode import decode
from labeler.duplicates.finder import DuplicateFinder

MAX_SIDE, MIN_SIDE = 1000, 48
"""Pixels: larger images are scaled down, smaller ones are skipped."""
KINDS = (*WEAK_COPIES, "collage", *COPIES, "turned by EXIF")


def read_images(folders: Sequence[Path], limit: int) -> dict[str, Image.Image]:
    """Read images below the folders, the same number of each, at most 1,000 pixels a side."""
    images = {}
    for folder in folders:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        random.Random(1).shuffle(paths)
        room = limit // len(folders)
        for path in paths:
            try:
                pixels = decode(path.read_bytes()).pixels if room else None
            except Unreadable:
                continue
            if pixels is not None and min(pixels.size) >= MIN_SIDE:
                pixels.thumbnail((MAX_SIDE, MAX_SIDE))
                images[f"{folder.name}/{path.relative_to(folder)}"] = pixels
                room -= 1
    return images


def make_copy(
    kind: str, image: Image.Image, seed: int, others: Sequence[Image.Image]
) -> bytes:
    """Return a copy of an image as a file."""
    if kind == "turned by EXIF":
        return encoded(image.rotate(90, expand=True), 85, orientation=6)
    if kind in COPIES:
        return encoded(COPIES[kind](image), 85)
    return encode_weak_copy(kind, image, seed, others)


def add_bar(image: Image.Image) -> Image.Image:
    """Show an image below a caption, scaled to the width of a template."""
    scaled = image.resize((480, max(120, round(image.height * 480 / image.width))))
    page = Image.new("RGB", (480, scaled.height + 90), "white")
    font = ImageFont.load_default(30)
    ImageDraw.Draw(page).text((240, 45), "WHEN YOU SEE IT", "black", font, "mm")
    page.paste(scaled, (0, 90))
    return page


def search(
    work: Path, files: Iterable[tuple[str, bytes]]
) -> tuple[dict[str, str], DuplicateFinder, Dataset]:
    """Search the files for duplicates; return the name of each sample."""
    shutil.rmtree(work, ignore_errors=True)
    dataset = Dataset.create(work)
    names: dict[str, str] = {}
    for name, data in files:
        names.setdefault(add_picture(dataset, name, data), name)
    finder = DuplicateFinder(dataset, workers=1)
    finder.search()
    return names, finder, dataset


def measure_kind(work: Path, kind: str, images: dict[str, Image.Image]) -> str:
    """Return the recall of one kind of copies, and what else was joined or asked about."""
    originals = list(images)
    others = list(images.values())
    files = [(name, encoded(image, 93)) for name, image in images.items()]
    for seed, name in enumerate(originals):
        other_images = [other for other in others if other is not images[name]]
        files.append(
            (f"{name} copy", make_copy(kind, images[name], seed, other_images))
        )
    names, finder, dataset = search(work, files)
    keys = {name: key for key, name in names.items()}
    rows = dict(zip(names, Pairs(dataset.db).get_ids(list(names)), strict=True))
    candidates = {tuple(row) for row in dataset.db.fetch_all("SELECT a, b FROM pair")}
    plan = finder.plan()
    set_of = {
        m.key: number for number, group in enumerate(plan.sets) for m in group.members
    }
    number_of = {key: set_of.get(key, -row) for key, row in rows.items()}
    questions = {
        frozenset(number_of[m.key] for m in doubt.members) for doubt in plan.doubts
    }
    counts = {"candidates": 0, "copies": 0, "questions": 0}
    for name in originals:
        ends = [keys[name], keys.get(f"{name} copy", keys[name])]
        numbers = {number_of[key] for key in ends}
        pair = tuple(sorted(rows[key] for key in ends))
        counts["candidates"] += pair in candidates or len(numbers) == 1
        counts["copies"] += len(numbers) == 1
        counts["questions"] += len(numbers) == 2 and frozenset(numbers) in questions
    dataset.close()
    parts = {name: number / len(originals) for name, number in counts.items()}
    parts["found"] = parts["copies"] + parts["questions"]
    return "  ".join(f"{name} {part:.3f}" for name, part in parts.items())


def report_joined(work: Path, title: str, files: Iterable[tuple[str, bytes]]) -> None:
    """Print what was joined or asked about among images that should not be copies."""
    names, finder, dataset = search(work, files)
    plan = finder.plan()
    joined = sum(len(group.others) for group in plan.sets)
    print(
        f"{title}: {len(names)} images, {joined} joined, {len(plan.doubts)} asked "
        f"({1000 * len(plan.doubts) / len(names):.1f} per 1,000)"
    )
    for word, sets in (("joined", plan.sets), ("asked", plan.doubts)):
        for group in sets:
            print(f"    {word}:", *(names[member.key] for member in group.members))
    dataset.close()


def main() -> None:
    """Run the benchmark and print the tables."""
    options = argparse.ArgumentParser()
    options.add_argument("work", type=Path)
    options.add_argument("folders", nargs="+", type=Path)
    options.add_argument("--images", type=int, default=300)
    options.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    options.add_argument(
        "--distinct", action="store_true", help="also images that are not copies"
    )
    arguments = options.parse_args()
    images = read_images(arguments.folders, arguments.images)
    work = arguments.work
    for kind in arguments.kinds:
        recall = measure_kind(work / "copies", kind, images)
        print(f"{kind:20} {len(images):4}  {recall}")
    if arguments.distinct:
        all_images = read_images(arguments.folders, 100_000)
        plain = ((name, encoded(image, 93)) for name, image in all_images.items())
        report_joined(work / "distinct", "images of the folders", plain)
        barred = ((name, encoded(add_bar(image), 93)) for name, image in images.items())
        report_joined(work / "template", "under one caption bar", barred)


if __name__ == "__main__":
    main()
