"""Recall and precision of duplicates.

    python benchmarks/duplicates.py WORK FOLDER... [--kinds KIND...] [--together] [--distinct]

`--images` images of the folders (300, equally divided, chosen at random) get one copy of each
kind. For each kind a dataset of the images and their copies is searched as by `labeler dedup`. The
benchmark prints the part of the copies that are candidates, in one set with their original, and
asked about. `--together` searches all images with all their copies as one dataset, and counts
what is marked, what is asked, the questions, and sets that hold several originals. `--distinct`
also searches images that are not copies, all below the folders and the chosen ones under one
caption bar, and lists what was joined or asked about.
"""

import argparse
import random
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

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


def add_caption_bar(image: Image.Image) -> Image.Image:
    """Show the image below a white bar with a sentence."""
    high = max(24, image.height // 6)
    page = Image.new("RGB", (image.width, image.height + high), "white")
    pen = ImageDraw.Draw(page)
    font = ImageFont.load_default(high // 2)
    pen.text((image.width / 2, high / 2), "when you see it", "black", font, "mm")
    page.paste(image, (0, high))
    return page


def show_on_phone(image: Image.Image) -> Image.Image:
    """Show the image as wide as a phone, between black bars and below a status bar."""
    width = max(360, image.width)
    high = round(image.height * width / image.width)
    page = Image.new("RGB", (width, max(2 * width, high + 120)), "black")
    pen = ImageDraw.Draw(page)
    pen.text((20, 20), "12:40", "white", font_size=28)
    pen.text((width - 110, 20), "5G 81%", "white", font_size=28)
    page.paste(image.resize((width, high)), (0, (page.height - high) // 2))
    return page


def enlarge(image: Image.Image) -> Image.Image:
    """Enlarge the image twofold."""
    return image.resize((2 * image.width, 2 * image.height), Image.Resampling.BICUBIC)


MORE_COPIES: dict[str, tuple[Callable[[Image.Image], Image.Image], int]] = {
    "caption bar": (add_caption_bar, 85),
    "phone": (show_on_phone, 85),
    "enlarged": (enlarge, 75),
    "thumbnail": (lambda p: p.resize((p.width // 4 or 1, p.height // 4 or 1)), 80),
    "quality 30": (lambda p: p, 30),
    "turned by 2 degrees": (lambda p: p.rotate(2, expand=True), 85),
    "brighter": (lambda p: ImageEnhance.Brightness(p).enhance(1.3), 85),
    "white border": (lambda p: ImageOps.expand(p, max(p.size) // 20, "white"), 85),
}
"""Copies as JPEG of a quality, which only `--together` searches."""
MAX_SIDE = 1000
MIN_SIDE = 48
"""Pixels: larger images are scaled down, smaller ones are skipped."""
KINDS = (*WEAK_COPIES, "collage", *COPIES, "turned by EXIF")


def read_images(
    folders: Sequence[Path], limit: int, seed: int = 1
) -> dict[str, Image.Image]:
    """Read images below the folders, the same number of each, at most 1,000 pixels a side."""
    images = {}
    for folder in folders:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        random.Random(seed).shuffle(paths)
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
    if kind in MORE_COPIES:
        change, quality = MORE_COPIES[kind]
        return encoded(change(image), quality)
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


def measure_together(
    work: Path, kinds: Sequence[str], images: dict[str, Image.Image]
) -> None:
    """Print how many copies are marked or asked about where all are searched together."""
    others = list(images.values())
    files = []
    for seed, (name, image) in enumerate(images.items()):
        other_images = [other for other in others if other is not image]
        files.append((f"{name}: original", encoded(image, 93)))
        for kind in kinds:
            data = make_copy(kind, image, seed, other_images)
            files.append((f"{name}: {kind}", data))
    names, finder, dataset = search(work, files)
    plan = finder.plan()
    marked = set[str]()
    doubtful = set[str]()
    lost_originals = 0
    mixed = []
    for group in plan.sets:
        members = [names[member.key].rpartition(": ") for member in group.members]
        marked |= {": ".join(member[::2]) for member in members[1:]}
        originals = {name for name, _, kind in members if kind != "collage"}
        if len(originals) > 1:
            mixed.append(members)
        has_original = any(kind == "original" for _, _, kind in members)
        lost_originals += has_original and members[0][2] != "original"
    for doubt in plan.doubts:
        doubtful |= {names[member.key] for member in doubt.members}
    copies = {name for name in names.values() if not name.endswith(": original")}
    marked &= copies
    print(
        f"together: {len(images)} images, {len(names)} files, {len(plan.sets)} sets; "
        f"marked {len(marked) / len(copies):.3f}, "
        f"with asked {len((marked | doubtful) & copies) / len(copies):.3f}, "
        f"{len(plan.doubts)} questions, {lost_originals} originals not kept, "
        f"{len(mixed)} sets with several originals"
    )
    for kind in kinds:
        of_kind = [name for name in copies if name.endswith(f": {kind}")]
        number = sum(name in marked for name in of_kind)
        marked_or_asked = sum(name in marked | doubtful for name in of_kind)
        print(
            f"    {kind:20} marked {number} of {len(of_kind)}, found {marked_or_asked}"
        )
    for members in mixed:
        print("    joined:", *("".join(member) for member in members))
    dataset.close()


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
    options.add_argument("--seed", type=int, default=1, help="of the choice of images")
    options.add_argument("--together", action="store_true", help="all in one dataset")
    options.add_argument(
        "--distinct", action="store_true", help="also images that are not copies"
    )
    arguments = options.parse_args()
    images = read_images(arguments.folders, arguments.images, arguments.seed)
    if arguments.together:
        kinds = (*arguments.kinds, *MORE_COPIES)
        measure_together(arguments.work, kinds, images)
        return
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
