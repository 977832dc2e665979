"""Overestimated accuracy after a naive random split of frames, compared with ours.

    python benchmarks/leaky_split.py [--seeds 3] [--epochs 15] [--data ../shared/data/characters]

Each image of a tree of classes becomes a shot of a film: one to six frames, shifted, cropped,
varied in brightness and re-encoded, like frames of one scene. A quarter of the shots is held out
from both splits and measures the true accuracy. The rest is split 7:1:2, once frame by frame at
random, as most scripts do, and once by `labeler split`; the models are the preset `simple` and
nearest neighbor on HOG (Dalal and Triggs, 2005). The last column is the difference between the
accuracy on the model's own test split and the true one. Needs gleanset[train]; takes some minutes.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageEnhance

from baseline.data.runs import run_folder
from baseline.data.samples import find_examples, load_arrays
from baseline.settings import load_preset
from baseline.train.methods.training_data import network_outputs
from baseline.train.train_run import train_run
from baseline.train.trained_net import load_model
from gleanset import Box, Dataset, Face, Origin
from gleanset.db.journal import Choice
from gleanset.images.cropping import make_sample_key
from gleanset.images.decode import decode
from gleanset.images.measure import measure
from gleanset.records import FaceCrop
from gleanset.settings import SplitSettings
from labeler.splits.plan import apply_split, plan_split

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data" / "characters"
RATIO = "7:1:2"
UNSEEN = 0.25
SIDE = 128


def move_camera(picture: Image.Image, random: Random) -> Iterator[bytes]:
    """Yield a shot: one image under a slightly moving camera."""
    for _ in range(random.randint(1, 6)):
        left, top, right, bottom = (random.uniform(0, 0.06) for _ in range(4))
        width, height = picture.size
        seen = picture.crop(
            (
                int(left * width),
                int(top * height),
                int((1 - right) * width),
                int((1 - bottom) * height),
            )
        )
        seen = ImageEnhance.Brightness(seen).enhance(random.uniform(0.9, 1.1))
        buffer = io.BytesIO()
        seen.save(buffer, "JPEG", quality=random.randint(60, 92))
        yield buffer.getvalue()


def iter_shots(data: Path, random: Random) -> Iterator[tuple[bool, str, int, list[bytes]]]:
    """Yield (held out, class, number, frames); copies of an image stay together."""
    copies: dict[str, Any] = {}
    if (told := data / "sources.json").is_file():
        copies = {row["file"]: row["source_dup_group"] for row in json.loads(told.read_text())}
    unseen: dict[Any, bool] = {}
    for number, path in enumerate(sorted(data.glob("*/*.jpg"))):
        name = path.relative_to(data).as_posix()
        group = name if copies.get(name) is None else copies[name]
        kept = unseen.setdefault(group, random.random() < UNSEEN)
        picture = Image.open(path).convert("RGB")
        yield kept, path.parent.name, number, list(move_camera(picture, random))


def import_frames(dataset: Dataset, label: str, shot: int, pictures: list[bytes]) -> None:
    """Import frames as from a film, and label them."""
    for number, data in enumerate(pictures):
        measured, time = measure(data), shot * 10.0 + number
        dataset.originals(dataset.cache).put(measured.sha256, measured.format, data)
        origin = Origin("video", f"film@{time}", video="film", scene=shot, time=time)
        dataset.images.add(measured, origin)
        box = Box(0, 0, measured.width, measured.height)
        key = make_sample_key(measured.sha256, box)
        cut = FaceCrop(Face("whole", box, 1.0), key, box, measured.phash, measured.sharpness)
        dataset.faces.replace(measured.sha256, "whole", "", [cut])
        dataset.journal.apply("Label", [Choice(key, "label", label)])


def split_naively(dataset: Dataset, seed: int) -> None:
    """Split each class frame by frame at random."""
    classes: dict[str, list[str]] = defaultdict(list)
    for sample in dataset.samples.iter_by_key():
        classes[str(sample.label)].append(sample.key)
    plan: dict[str, tuple[str, str | None]] = {}
    for keys in classes.values():
        Random(seed).shuffle(keys)
        for place, key in enumerate(keys):
            part = place / len(keys)
            plan[key] = (key, "train" if part < 0.7 else "val" if part < 0.8 else "test")
    dataset.samples.set_splits(plan, f"naive {seed}")


def train_simple(dataset: Dataset, unseen: Dataset, epochs: int, seed: int) -> tuple[float, float]:
    """Return the accuracy of `simple` on its test and unseen shots."""
    settings = load_preset("simple", {"epochs": str(epochs), "colour": "rgb", "seed": str(seed)})
    result: Any = train_run(dataset, settings)
    model, _, classes = load_model(run_folder(dataset, result["run"]))
    examples = find_examples(unseen)
    arrays = load_arrays(unseen, examples, settings, "test")
    # Classes without unseen shots are missing here, so map class numbers by name.
    numbers = np.array([classes.index(name) for name in examples.classes])
    arrays = replace(arrays, y=numbers[arrays.y])
    right = network_outputs(model, arrays).logits.argmax(1) == arrays.y
    return result["test"]["accuracy"], float(right.mean())


def hog_features(dataset: Dataset, split: str) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Return normalized HOG features of a split, and the classes."""
    hog = cv2.HOGDescriptor((SIDE, SIDE), (32, 32), (16, 16), (16, 16), 9)
    rows, labels = [], []
    for sample in dataset.samples.iter_in_splits():
        if sample.split == split:
            data = dataset.image_path(sample.image, "JPEG").read_bytes()
            grey = cv2.resize(np.asarray(decode(data).pixels.convert("L")), (SIDE, SIDE))
            row = np.asarray(hog.compute(grey)).ravel()
            rows.append(row / (np.linalg.norm(row) + 1e-9))
            labels.append(str(sample.label))
    return np.array(rows), labels


def nearest_neighbor_accuracy(dataset: Dataset, unseen: Dataset) -> tuple[float, float]:
    """Return the same for the nearest neighbor in train."""
    known, labels = hog_features(dataset, "train")
    found = []
    for asked, truth in (hog_features(dataset, "test"), hog_features(unseen, "test")):
        guesses = (asked @ known.T).argmax(axis=1)
        found.append(mean(labels[g] == t for g, t in zip(guesses, truth, strict=True)))
    return found[0], found[1]


def run_seed(data: Path, seed: int, epochs: int) -> dict[tuple[str, str], tuple[float, float]]:
    """Map (trainer, split) to (accuracy on its test, accuracy on unseen shots)."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Dataset.create(Path(folder) / "seen") as seen,
        Dataset.create(Path(folder) / "unseen") as unseen,
    ):
        for kept, label, number, pictures in iter_shots(data, Random(seed)):
            import_frames(unseen if kept else seen, label, number, pictures)
        everything = {s.key: (s.key, "test") for s in unseen.samples.iter_by_key()}
        unseen.samples.set_splits(everything, "all of it")  # type: ignore[arg-type]
        found = {}
        for name in ("naive", "ours"):
            if name == "naive":
                split_naively(seen, seed)
            else:
                apply_split(seen, plan_split(seen, SplitSettings(RATIO, seed)))
            found["nearest neighbour", name] = nearest_neighbor_accuracy(seen, unseen)
            if epochs:
                found["simple", name] = train_simple(seen, unseen, epochs, seed)
        return found


def main() -> None:
    """Run all seeds and print the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15, help="0: only the nearest neighbor")
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    rounds = []
    for seed in range(arguments.seeds):
        rounds.append(run_seed(arguments.data, seed, arguments.epochs))
        print(f"seed {seed}: {rounds[-1]}", file=sys.stderr, flush=True)
    print("| trainer | split | accuracy on its test | on unseen shots | inflated by |")
    print("|---|---|---|---|---|")
    for trainer, name in rounds[0]:
        own, real = (mean(found[trainer, name][n] for found in rounds) for n in (0, 1))
        print(f"| {trainer} | {name} | {own:.3f} | {real:.3f} | {100 * (own - real):+.1f} points |")


if __name__ == "__main__":
    main()
