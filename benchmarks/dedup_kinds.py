"""Copies `labeler dedup` finds, by kind, and its CPU: `python benchmarks/dedup_kinds.py DIR...`.

Of some pictures below the folders (shuffled by a hash of their names; `--skip` and `--originals`
say which) a dataset is made with thirteen copies of each: the usual kinds of `duplicates.py` and
one as WebP, or with `--others` kinds that no limit was chosen on: other codecs, crops and marks.
`--drawn N` takes so many faces of our own drawer, without copies: none of them is one of another.
Then the command runs as a user runs it, in one worker process on one thread. Printed are its CPU
seconds, the copies of each kind that are in the group of their original, those that a person is
asked about and those that are missed, and the groups in which different originals are joined.
`--keep DIR` makes the dataset there once and works on a copy of it.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "labeler"))
from duplicate_pictures import COPIES, add_picture, encoded
from presort_drawn import faces

from gleanset import Dataset
from gleanset.errors import Unreadable
from gleanset.images.decode import decode

LARGEST = 1000
PR_SET_CHILD_SUBREAPER = 36
Maker = Callable[[Image.Image], bytes]


def saved(picture: Image.Image, format_: str, quality: int) -> bytes:
    """The picture as a file of this format."""
    buffer = io.BytesIO()
    picture.save(buffer, format_, quality=quality)
    return buffer.getvalue()


def usual(copy: Callable[[Image.Image], Image.Image]) -> Maker:
    """The copy as a JPEG file."""
    return lambda p: encoded(copy(p), 85)


def cut(
    left: float, top: float, right: float, bottom: float
) -> Callable[[Image.Image], Image.Image]:
    """Cuts these parts (0..1) of the sides off."""
    return lambda p: p.crop(
        (
            round(p.width * left),
            round(p.height * top),
            round(p.width * (1 - right)),
            round(p.height * (1 - bottom)),
        )
    )


def turned_hue(p: Image.Image) -> Image.Image:
    """All hues turned by 56 degrees."""
    hue, saturation, value = p.convert("HSV").split()
    return Image.merge("HSV", (hue.point(lambda v: (v + 40) % 256), saturation, value)).convert(
        "RGB"
    )


def sepia(p: Image.Image) -> Image.Image:
    """Brown tones."""
    return ImageOps.colorize(p.convert("L"), (40, 20, 0), (255, 240, 200))


def logo(p: Image.Image) -> Image.Image:
    """A ring and a word in the lower right corner."""
    out, side = p.copy(), max(20, p.width // 8)
    pen = ImageDraw.Draw(out)
    x, y = p.width - 1.3 * side, p.height - 1.3 * side
    pen.ellipse((x, y, x + side, y + side), outline=(220, 40, 40), width=max(2, side // 8))
    pen.text((x + side / 2, y + side / 2), "TV", fill="white", font_size=side // 2, anchor="mm")
    return out


def all_over(p: Image.Image) -> Image.Image:
    """Faint words, again and again, aslant over all of it."""
    size = max(12, p.width // 16)
    layer = Image.new("RGBA", (2 * p.width, 2 * p.height), (255, 255, 255, 0))
    pen = ImageDraw.Draw(layer)
    for y in range(0, layer.height, 5 * size):
        for x in range(0, layer.width, 9 * size):
            pen.text((x, y), "sample", fill=(255, 255, 255, 70), font_size=size)
    layer = layer.rotate(30).crop(
        (p.width // 2, p.height // 2, p.width * 3 // 2, p.height * 3 // 2)
    )
    layer = layer.resize(p.size)
    return Image.alpha_composite(p.convert("RGBA"), layer).convert("RGB")


def caption_bar(p: Image.Image) -> Image.Image:
    """A white bar with words below the picture."""
    bar = max(24, p.height // 7)
    out = Image.new("RGB", (p.width, p.height + bar), "white")
    out.paste(p, (0, 0))
    pen = ImageDraw.Draw(out)
    pen.text(
        (p.width / 2, p.height + bar / 2),
        "when it is Monday again",
        "black",
        font_size=bar // 2,
        anchor="mm",
    )
    return out


def noisy(p: Image.Image) -> Image.Image:
    """Grain of nine grey levels."""
    grain = np.random.default_rng(p.width).normal(0, 9, (p.height, p.width, 1))
    return Image.fromarray(np.clip(np.asarray(p) + grain, 0, 255).astype(np.uint8))


USUAL: dict[str, Maker] = {
    **{kind: usual(copy) for kind, copy in COPIES.items()},
    "re-encoded": lambda p: encoded(p, 30),
    "turned by EXIF": lambda p: encoded(p.rotate(90, expand=True), 85, orientation=6),
    "WebP": lambda p: saved(p, "WEBP", 60),
}
OTHERS: dict[str, Maker] = {
    "WebP, a third": lambda p: saved(p.resize((p.width // 3 + 1, p.height // 3 + 1)), "WEBP", 40),
    "AVIF": lambda p: saved(p, "AVIF", 40),
    "corner cut off": lambda p: encoded(cut(0.2, 0, 0, 0.15)(p), 80),
    "made square": lambda p: encoded(ImageOps.fit(p, (min(p.size),) * 2), 80),
    "logo": lambda p: encoded(logo(p), 80),
    "marked all over": lambda p: encoded(all_over(p), 80),
    "caption below": lambda p: encoded(caption_bar(p), 80),
    "mirror and crop": lambda p: encoded(ImageOps.mirror(cut(0.08, 0.04, 0, 0.08)(p)), 75),
    "turned by 3 degrees": lambda p: encoded(p.rotate(3, Image.Resampling.BICUBIC), 85),
    "dark": lambda p: encoded(ImageEnhance.Contrast(p.point(lambda v: v * 0.6)).enhance(0.8), 80),
    "sepia": lambda p: encoded(sepia(p), 80),
    "hue turned": lambda p: encoded(turned_hue(p), 85),
    "blurred and noisy": lambda p: encoded(noisy(p.filter(ImageFilter.GaussianBlur(1.2))), 70),
}


def chosen(folders: list[Path], skip: int, number: int) -> list[Path]:
    """The pictures to begin with, in an order that has nothing to do with where they lie."""
    files = [p for folder in folders for p in sorted(folder.rglob("*")) if p.is_file()]
    order = sorted(files, key=lambda p: hashlib.sha256(p.name.encode()).hexdigest())
    found: list[Path] = []
    for path in order:
        try:
            if min(decode(path.read_bytes()).pixels.size) >= 64:
                found.append(path)
        except Unreadable:
            continue
        if len(found) == skip + number:
            break
    return found[skip:]


def read(paths: list[Path]) -> Iterator[tuple[str, Image.Image]]:
    """Yield the name and the pixels of each."""
    for path in paths:
        pixels = decode(path.read_bytes()).pixels.convert("RGB")
        pixels.thumbnail((LARGEST, LARGEST))
        yield f"{path.parent.name}/{path.name}", pixels


def drawn(number: int) -> Iterator[tuple[str, Image.Image]]:
    """Draw faces of eight characters, 92 pixels a side."""
    for count, (name, face) in enumerate(faces(number, 8)):
        yield f"{count} {name}", face.convert("RGB")


def fill(root: Path, originals: Iterable[tuple[str, Image.Image]], kinds: dict[str, Maker]) -> None:
    """Make the dataset, and write down beside it which sample is which copy of what."""
    told: dict[str, tuple[str, str]] = {}
    with Dataset.create(root) as dataset:
        for name, pixels in originals:
            files = {"original": encoded(pixels, 93)}
            files |= {kind: make(pixels) for kind, make in kinds.items()}
            for kind, data in files.items():
                told[add_picture(dataset, f"{name} {kind}", data)] = (name, kind)
    (root / "truth.json").write_text(json.dumps(told))


def run(root: Path) -> float:
    """Run the command; CPU seconds of it and of all processes that it started (on Linux)."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # whom it leaves behind, we wait for
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "labeler", "dedup", "-d", str(root), "--workers", "1"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=os.environ | one, stdout=subprocess.PIPE, check=True)
    with suppress(ChildProcessError):
        while True:
            os.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(done.stdout.decode().strip())
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def judged(root: Path) -> None:
    """Print what was found of each kind, and what was joined that should not be."""
    from labeler.duplicates.finder import DuplicateFinder

    told = {key: tuple(said) for key, said in json.loads((root / "truth.json").read_text()).items()}
    original = {name: key for key, (name, kind) in told.items() if kind == "original"}
    with Dataset.open(root) as dataset:
        plan = DuplicateFinder(dataset).plan()
    group = {key: key for key in told}
    for one in plan.groups:
        group |= dict.fromkeys((one.kept, *one.others), one.kept)
    asked = {frozenset(group[m.key] for m in doubt.members) for doubt in plan.doubts}
    counts: dict[str, Counter[str]] = {}
    missed = []
    for key, (name, kind) in told.items():
        mine, its = group[key], group[original[name]]
        what = "found" if mine == its else "asked" if frozenset((mine, its)) in asked else "missed"
        counts.setdefault(kind, Counter()).update([what])
        missed += [f"{name} {kind}"] if what == "missed" else []
    del counts["original"]
    for kind, found in counts.items():
        told_of = (f"{what} {found[what]:4}" for what in ("found", "asked", "missed"))
        print(f"{kind:20}", "  ".join(told_of))
    total = sum(counts.values(), Counter[str]())
    mixed = [
        names
        for one in plan.groups
        if len(names := {told[key][0] for key in (one.kept, *one.others)}) > 1
    ]
    joined = sum(told[key][0] != told[one.kept][0] for one in plan.groups for key in one.others)
    kept = Counter(told[one.kept][1] for one in plan.groups)
    print(
        f"{len(told)} pictures, {len(plan.groups)} groups, {dict(total)}, doubtful pairs "
        f"{len(plan.doubts)}; {joined} samples joined with another original; kept: {dict(kept)}"
    )
    for names in mixed:
        print("  joined:", *sorted(names))
    print("  missed:", *missed, sep="\n    ")


def main() -> None:
    """Make, run, judge."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("folders", nargs="*", type=Path)
    options.add_argument("--drawn", type=int, default=0)
    options.add_argument("--originals", type=int, default=60)
    options.add_argument("--skip", type=int, default=0)
    options.add_argument("--others", action="store_true")
    options.add_argument("--keep", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = given.keep or Path(folder) / "made"
        if not made.exists() and given.drawn:
            fill(made, drawn(given.drawn), {})
        elif not made.exists():
            originals = read(chosen(given.folders, given.skip, given.originals))
            fill(made, originals, OTHERS if given.others else USUAL)
        root = Path(folder) / "dataset"
        shutil.copytree(made, root)
        print(f"{run(root):.1f} CPU s")
        judged(root)


if __name__ == "__main__":
    main()
