"""How good the quality flags are, on real pictures, and how their constants were found.

    python benchmarks/quality.py fit FOLDER      the weights and thresholds, from half the sources
    python benchmarks/quality.py FOLDER          the figures, for both halves
    python benchmarks/quality.py outliers FOLDER only those of outliers

FOLDER holds characters/, faces/, photos/, memes/ and neardup/ as the real data has them. Two
halves that share no source (a show, a site, a set of characters); 6 CPU minutes.
"""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from gleanset.images import photo_likeness as photo
from gleanset.images.measure import phash_and_sharpness
from gleanset.images.photo_likeness import photo_likeness, texture_features
from gleanset.likeness.descriptor import DescriptorSpace, descriptor
from labeler.quality import flags
from labeler.quality.edges import edge_blur
from labeler.quality.outliers import Rows, outlier_scores
from labeler.quality.text import text_share

DRAWN, PHOTO = 0, 1
FITTED: dict[str, tuple[int, list[str]]] = {
    "characters 1": (
        DRAWN,
        [
            "characters/hazuki_shizuku/*",
            "characters/sakura_nene/*",
            "characters/takimoto_hifumi/*",
            "characters/yagami_kou/*",
        ],
    ),
    "illustrations 1": (DRAWN, ["faces/ng_sak*", "faces/ng_tak*", "faces/ng_yag*"]),
    "cartoon 1": (DRAWN, ["faces/southpark*"]),
    "backgrounds": (DRAWN, ["faces/neg_*"]),
    "flowers": (PHOTO, ["photos/daisy/*.jpg", "photos/sunflowers/*.jpg", "photos/tulips/*.jpg"]),
    "meme templates": (PHOTO, ["memes/meme_template/*.jpg"]),
}
HELD_OUT: dict[str, tuple[int, list[str]]] = {
    "characters 2": (
        DRAWN,
        [
            "characters/ahagon_umiko/*",
            "characters/lijima_yun/*",
            "characters/suzukaze_aoba/*",
            "characters/toyama_rin/*",
        ],
    ),
    "illustrations 2": (DRAWN, ["faces/ng_aha*", "faces/ng_lij*", "faces/ng_suz*"]),
    "cartoon 2": (DRAWN, ["faces/simpsons*"]),
    "cats and dogs": (PHOTO, ["photos/cat/*", "photos/dog/*"]),
    "objects": (PHOTO, ["neardup/ukbench/*[0-9].jpg"]),
}
DRAWN_TEMPLATES = ("awkward", "fa", "gone", "zero-wing")
WORDS = ["one", "does", "not", "simply", "walk", "into", "an", "office", "without", "coffee", "why"]
CJK = "昨日は本当にありがとうございました明日もよろしくお願いします待ってください"
CJK_FONT = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"
Pictures = list[Image.Image]


def pictures(root: Path, patterns: Sequence[str]) -> Pictures:
    """Those that the patterns name, without templates that are drawn."""
    paths = sorted(path for pattern in patterns for path in root.glob(pattern))
    return [Image.open(path).convert("RGB") for path in paths if path.stem not in DRAWN_TEMPLATES]


def encoded(picture: Image.Image, quality: int = 85) -> Image.Image:
    """As a JPEG shows it."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def blurred(picture: Image.Image, radius: float) -> Image.Image:
    """Blurred by a Gaussian of `radius` pixels at 512 pixels, then compressed."""
    picture = picture.copy()
    picture.thumbnail((512, 512), Image.Resampling.BOX)
    return encoded(picture.filter(ImageFilter.GaussianBlur(radius)))


def pale(picture: Image.Image) -> Image.Image:
    """Sharp, but of little contrast, as flat art in light colours is."""
    return encoded(Image.blend(picture, Image.new("RGB", picture.size, "white"), 0.75))


def enlarged(picture: Image.Image, times: float) -> Image.Image:
    """What a small picture looks like that somebody made larger."""
    picture = picture.copy()
    picture.thumbnail((512, 512), Image.Resampling.BOX)
    small = [max(1, round(side / times)) for side in picture.size]
    shrunk = picture.resize((small[0], small[1]), Image.Resampling.BOX)
    return encoded(shrunk.resize(picture.size, Image.Resampling.BICUBIC))


def varied(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Smaller and compressed at random, so that neither tells a source."""
    part = rng.uniform(0.5, 1.0)
    size = (max(64, round(picture.width * part)), max(64, round(picture.height * part)))
    return encoded(picture.resize(size, Image.Resampling.LANCZOS), rng.choice([50, 70, 85, 95]))


def captioned(picture: Image.Image, kind: str, rng: random.Random) -> Image.Image:
    """With the two captions of a meme, one line of subtitles, or replaced by a page of text."""
    picture = picture.copy()
    picture.thumbnail((640, 640))
    width, height = picture.size
    if kind == "page":
        picture = Image.new("RGB", picture.size, "#f4f4f4")
        font = ImageFont.truetype("DejaVuSans.ttf", 18)
        for y in range(10, height - 20, 26):
            line = " ".join(rng.sample(WORDS, 9))
            ImageDraw.Draw(picture).text((10, y), line, "#222", font)
        return encoded(picture)
    size = max(
        12, int(width / rng.uniform(9, 14)) if kind == "meme" else int(height / rng.uniform(12, 18))
    )
    name = {"meme": "DejaVuSans-Bold.ttf", "subtitle": "LiberationSans-Regular.ttf"}
    font = ImageFont.truetype(name.get(kind, CJK_FONT), size)
    for place in ("top", "bottom") if kind == "meme" else ("bottom",):
        line = CJK[rng.randrange(15) :] if kind == "cjk" else " ".join(rng.sample(WORDS, 6))
        line = line.upper() if kind == "meme" else line
        while font.getlength(line) > width * 0.94 and len(line) > 1:
            line = line[:-1]
        at, anchor = ((width / 2, 6), "ma") if place == "top" else ((width / 2, height - 6), "md")
        ImageDraw.Draw(picture).text(
            at,
            line,
            rng.choice(["white", "white", "#ffee55"]),
            font,
            anchor=anchor,
            stroke_width=max(1, size // 14),
            stroke_fill="black",
        )
    return encoded(picture)


def auc(bad: Sequence[float], good: Sequence[float]) -> float:
    """The chance that a bad one has the higher value than a good one."""
    x, y = np.array(bad)[:, None], np.array(good)[None]
    return float(((x > y) + 0.5 * (x == y)).mean())


def part(values: Sequence[float], threshold: float) -> float:
    """How many of the values, 0..1, are at least so large."""
    return float((np.array(values) >= threshold).mean())


def fit(groups: dict[str, tuple[int, Pictures]]) -> None:
    """Logistic regression (Newton), each source of a side counting alike; prints constants."""
    rng = random.Random(0)
    tables = {
        name: np.array([texture_features(p) for q in found for p in (q, varied(q, rng))])
        for name, (_, found) in groups.items()
    }
    sides = [side for side, _ in groups.values()]
    rows = np.vstack(list(tables.values()))
    side = np.repeat(sides, [len(t) for t in tables.values()]).astype(float)
    weight = np.concatenate(
        [
            np.full(len(t), len(rows) / 2 / len(t) / sides.count(groups[n][0]))
            for n, t in tables.items()
        ]
    )
    mean, deviation = rows.mean(0), rows.std(0) + 1e-9
    inputs = np.c_[(rows - mean) / deviation, np.ones(len(rows))]
    found = np.zeros(inputs.shape[1])
    penalty = np.eye(len(found)) * 5
    penalty[-1, -1] = 0
    for _ in range(40):
        guess = 1 / (1 + np.exp(-inputs @ found))
        hesse = (inputs * (weight * guess * (1 - guess))[:, None]).T @ inputs + penalty
        found += np.linalg.solve(hesse, inputs.T @ (weight * (side - guess)) - penalty @ found)
    weights = found[:-1] / deviation
    print("WEIGHTS =", [round(float(v), 3) for v in [*weights, found[-1] - weights @ mean]])
    photo.WEIGHTS = (*weights, found[-1] - weights @ mean)
    for name, measure, share in (
        ("photo", photo_likeness, 97.5),
        ("blur", edge_blur, 99),
        ("text", text_share, 98),
    ):
        fine = [
            q
            for side, many in groups.values()
            for p in many
            if name != "photo" or not side
            for q in ((p, varied(p, rng)) if name == "photo" else (p,))
        ]
        print(name, "threshold", round(float(np.percentile([measure(p) for p in fine], share)), 3))


def threshold(name: str) -> float:
    """The threshold of a flag."""
    return next(flag.threshold for flag in flags.FLAGS if flag.name == name)


def report(groups: dict[str, tuple[int, Pictures]]) -> None:
    """Flagged part of each source as it is, and of what was done to it."""
    rng = random.Random(1)
    spoiled: dict[str, Callable[[Image.Image], Image.Image]] = {
        "blur 1.5": lambda p: blurred(p, 1.5),
        "blur 2": lambda p: blurred(p, 2),
        "blur 3": lambda p: blurred(p, 3),
        "blur 5": lambda p: blurred(p, 5),
        "enlarged 4x": lambda p: enlarged(p, 4),
    }
    lettered = {
        kind: (lambda p, k=kind: captioned(p, k, rng))
        for kind in ("meme", "subtitle", "cjk", "page")
    }
    every: dict[str, list[float]] = {}
    for name, (side, found) in groups.items():
        line = [f"photo {part([photo_likeness(p) for p in found], threshold('photo')):.2f}"]
        for flag, measure, changes in (
            ("blurred", edge_blur, spoiled),
            ("text", text_share, lettered),
        ):
            for change, make in {"as it is": lambda p: p, **changes}.items():
                values = [measure(make(p)) for p in found]
                every.setdefault(f"{flag} {change}", []).extend(values)
                line.append(f"{flag} {change} {part(values, threshold(flag)):.2f}")
        kinds = {"as it is": lambda p: p, "pale": pale, "blur 2": lambda p: blurred(p, 2)}
        every.setdefault("blurred pale", []).extend(edge_blur(pale(p)) for p in found)
        for kind, make in kinds.items():
            every.setdefault(f"laplacian {kind}", []).extend(
                -phash_and_sharpness(make(p))[1] for p in found
            )
        every.setdefault(f"photo {side}", []).extend(photo_likeness(p) for p in found)
        print(f"{name} ({len(found)}):", ", ".join(line), flush=True)
    print("photo AUC", round(auc(every["photo 1"], every["photo 0"]), 3))
    for kind in ("as it is", "pale"):
        ours, usual = (
            auc(every[f"{name} blur 2"], every[f"{name} {kind}"])
            for name in ("blurred", "laplacian")
        )
        print(f"blur 2 against {kind}: AUC {ours:.4f}, variance of the Laplacian {usual:.4f}")


def strangers(root: Path) -> None:
    """Every class with one in twenty from other classes of its kind in it: who is told?"""
    for kind, pattern in (
        ("characters", "characters/*/"),
        ("fan10", "characters_fan10/*/"),
        ("photos", "photos/*/"),
        ("shows5", "characters_shows5/*/"),
    ):
        stored: list[bytes] = []
        rows: dict[str, Rows] = {}
        for folder in sorted(root.glob(pattern)):
            found = [descriptor(np.asarray(p)) for p in pictures(folder, ["*.jpg"])]
            rows[folder.name] = np.arange(len(stored), len(stored) + len(found))
            stored += found
        vectors, _ = DescriptorSpace(stored).vectors(stored)
        moved, native = [], []
        for name, own in rows.items():
            if len(own) < 15:
                continue
            pool = [row for other in rows if other != name for row in rows[other]]
            chosen = random.Random(0).sample(pool, max(2, len(own) // 20))
            mixed = {other: np.setdiff1d(many, chosen) for other, many in rows.items()}
            mixed[name] = np.concatenate([own, chosen])
            scores = outlier_scores(mixed, vectors.__getitem__)[name]
            native += list(scores[: len(own)])
            moved += list(scores[len(own) :])
        for least in (1.0, 1.1, 1.15, 1.2, 1.25, 1.3):
            print(
                kind,
                "strangers AUC",
                round(auc(moved, native), 3),
                "found at",
                least,
                round(part(moved, least), 2),
                "false",
                round(part(native, least), 3),
            )


def main() -> None:
    """As the first lines say."""
    root = Path(sys.argv[-1])
    if "outliers" in sys.argv[1:-1]:
        strangers(root)
        return
    fitted, held = (
        {name: (side, pictures(root, patterns)) for name, (side, patterns) in half.items()}
        for half in (FITTED, HELD_OUT)
    )
    if "fit" in sys.argv[1:-1]:
        fit(fitted)
        return
    for title, half in (("fitted", fitted), ("held out", held)):
        print(f"-- {title}")
        report(half)
    strangers(root)


if __name__ == "__main__":
    main()
