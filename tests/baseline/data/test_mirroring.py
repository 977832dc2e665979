"""Classes that are mirror images of each other."""

import shutil
from functools import cache

import numpy as np
import pytest
from drawn_dataset import put_whole
from PIL import Image, ImageDraw, ImageOps
from tools_for_tests import run_here

from baseline.data.mirroring import find_mirrored_classes, warn_of_mirrored_classes
from baseline.data.samples import find_examples
from baseline.settings import load_preset
from baseline.train.train_run import train_run
from gleanset import Dataset
from gleanset.db.journal import Choice

OPTIONS = {"size": "32", "blocks": "8,16", "dense": "16", "epochs": "1"}


@cache
def draw(kind: str, seed: int) -> Image.Image:
    """Draw an arrow in a direction, or a disc, at a random place in random colors."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", (96, 96), tuple(random.integers(150, 255, 3).tolist()))
    pen = ImageDraw.Draw(image)
    color = tuple(random.integers(0, 120, 3).tolist())
    x, y = int(random.integers(12, 32)), int(random.integers(24, 72))
    if kind == "disc":
        pen.ellipse([x, y - 10, x + 30, y + 20], fill=color)
        return image
    length, head = int(random.integers(32, 48)), int(random.integers(8, 16))
    end = x + length
    pen.line([x, y, end, y], fill=color, width=5)
    pen.polygon([(end + head, y), (end - 2, y - head), (end - 2, y + head)], fill=color)
    turned = {"left": ImageOps.mirror, "right": lambda arrow: arrow}
    turns = {"up": 90, "down": 270}
    return image.rotate(turns[kind]) if kind in turns else turned[kind](image)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("left", "right"), [(0, 1)]),
        (("disc", "left", "up", "right", "down"), [(1, 3)]),
        (("up", "down", "disc"), []),
        (("left", "disc"), []),
    ],
)
def test_mirrored_classes_are_found(
    kinds: tuple[str, ...], expected: list[tuple[int, int]]
) -> None:
    y = np.repeat(np.arange(len(kinds)), 20)
    pictures = [
        draw(kinds[n], seed).resize((48, 48)) for seed, n in enumerate(y.tolist())
    ]
    x = np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in pictures])
    assert find_mirrored_classes(x, y) == expected
    gray = x[:, :1]
    assert find_mirrored_classes(gray, y) == expected


def test_training_warns_of_mirrored_classes(dataset: Dataset) -> None:
    kinds = ("left", "right")
    keys = {
        put_whole(dataset, draw(kind, 50 * n + seed), f"{kind} {seed}"): kind
        for n, kind in enumerate(kinds)
        for seed in range(20)
    }
    dataset.journal.apply(
        "Label", [Choice(key, "label", kind) for key, kind in keys.items()]
    )
    dataset.samples.set_splits({key: (key, "train") for key in keys})
    lines: list[str] = []
    train_run(dataset, load_preset("simple", OPTIONS), say=lines.append)
    warning = next(
        line for line in lines if line.startswith("mirror images of each other")
    )
    assert "left and right" in warning
    assert "-o augment=none" in warning
    pixels = dataset.cache / "pixels"
    shutil.rmtree(pixels)
    examples = find_examples(dataset)
    for preset, options in (
        ("simple", OPTIONS | {"augment": "none"}),
        ("transfer", {"views": "0"}),  # features of the plain images only
    ):
        settings = load_preset(preset, options)
        assert warn_of_mirrored_classes(dataset, examples, settings) == ""
    assert not pixels.exists()
    assert warn_of_mirrored_classes(dataset, examples, load_preset("transfer", {}))


def test_simulated_training_says_that_images_are_mirrored(dataset: Dataset) -> None:
    command = ("train", "--simulate", "-d", dataset.root)
    mirrored = run_here("baseline.cli", *command).checked().stdout
    assert "half of the training images are mirrored" in " ".join(mirrored.split())
    plain = run_here("baseline.cli", *command, "-o", "augment=none").checked().stdout
    assert "mirroring: off" in plain
