"""Small drawn images for training tests, as arrays and as a labelled and split dataset.

The images are stripes, a disc or a cross, each with noise.
"""

from collections.abc import Sequence

import numpy as np
from catalogue_rows import store
from PIL import Image
from tools_for_tests import encode

from baseline.data.samples import Arrays
from gleanset import Dataset, Origin
from gleanset.db.journal import Choice

SIDE = 32
CLASSES = ("stripes", "disc", "cross")


def patterns(counts: tuple[int, ...], seed: int, channels: int = 3) -> Arrays:
    """Draw `counts[i]` images of `CLASSES[i]`, 32 x 32 pixels, each different."""
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    x = np.stack([_picture(int(kind), random) for kind in y])
    x = np.repeat(x[:, None], channels, axis=1)
    return Arrays(x, y, tuple(f"{CLASSES[kind]}-{i}" for i, kind in enumerate(y)))


def none(channels: int = 3) -> Arrays:
    """Return a split without images."""
    return Arrays(
        np.zeros((0, channels, SIDE, SIDE), np.uint8), np.zeros(0, np.int64), ()
    )


def _picture(kind: int, random: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    top, left = random.integers(12, 20, 2)
    shape = (
        (rows + top) % 8 < 4,
        (rows - top) ** 2 + (columns - left) ** 2 < 81,
        (abs(rows - top) < 3) | (abs(columns - left) < 3),
    )[kind]
    dark = random.integers(20, 90)
    light = random.integers(150, 235)
    noise = random.normal(0, 12, (SIDE, SIDE))
    return (np.where(shape, light, dark) + noise).clip(0, 255).astype(np.uint8)


PARTS = ("train",) * 6 + ("val", "test") * 2
EIGHT_TO_ONE = ("train",) * 8 + ("val", "test")


def put_whole(
    dataset: Dataset, picture: Image.Image, name: str, post: str | None = None
) -> str:
    """Add an image as one sample and return the sample's key.

    Each gets its own perceptual hash, since patterns look alike: only a `post` groups them.
    """
    return store(
        dataset, encode(picture, "PNG"), Origin("folder", name, post=post), alone=True
    )


def fill(
    dataset: Dataset,
    number: int = 10,
    parts: Sequence[str] = PARTS,
    per_group: int = 1,
    seed: int = 0,
    classes: int = 3,
) -> dict[str, str]:
    """Add `number` images per class, in groups of `per_group`; return the classes of samples.

    Without `parts` they have no label and no split.
    """
    drawn = patterns((number,) * classes, seed)
    truth = dict[str, str]()
    splits = {}
    with dataset.db.transaction():
        for index, (pixels, kind) in enumerate(zip(drawn.x, drawn.y, strict=True)):
            place = index % number
            post = f"{seed}/{kind}/{place // per_group}"
            picture = Image.fromarray(pixels[0]).convert("RGB")
            key = put_whole(dataset, picture, f"{seed}/{index}", post)
            truth[key] = CLASSES[int(kind)]
            if parts:
                splits[key] = (post, parts[place % len(parts)])
        if parts:
            choices = [Choice(key, "label", name) for key, name in truth.items()]
            dataset.journal.apply("Label", choices)
            dataset.samples.set_splits(splits)
    return truth
