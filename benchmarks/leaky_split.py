"""Overestimated accuracy after a naive random split of frames, compared with ours.

    python benchmarks/leaky_split.py [--seeds 3] [--epochs 15] [--data ../shared/data/characters]

Each image of a tree of classes becomes a shot of a film: one to six frames, cropped, varied in
brightness and re-encoded, like frames of one scene. A quarter of the shots is held out
from both splits and measures the true accuracy. The rest is split 7:1:2, once frame by frame at
random, as most scripts do, and once by `labeler split`; the models are the preset `simple` and
nearest neighbor on HOG (Dalal and Triggs, 2005). The last column is the difference between the
accuracy on the model's own test split and the true one. Needs gleanset[train]; takes some minutes.
"""

import argparse
import io
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
from labelled_tree import DATA, add_whole_image, iter_tree, split
from PIL import Image, ImageEnhance

from baseline.data.runs import run_folder
from baseline.data.samples import find_examples, load_arrays
from baseline.settings import load_preset
from baseline.train.train_run import train_run
from baseline.train.trained_net import load_model
from baseline.train.training import network_outputs
from gleanset import Dataset, Origin
from gleanset.db.journal import Choice
from gleanset.images.decode import decode

UNSEEN_SHARE = 0.25
HOG_SIDE = 128


def move_camera(image: Image.Image, random: Random) -> Iterator[bytes]:
    """Yield a shot: one image under a slightly moving camera."""
    width, height = image.size
    for _ in range(random.randint(1, 6)):
        left, top, right, bottom = (random.uniform(0, 0.06) for _ in range(4))
        corner = int(left * width), int(top * height)
        frame = image.crop(
            (*corner, int((1 - right) * width), int((1 - bottom) * height))
        )
        frame = ImageEnhance.Brightness(frame).enhance(random.uniform(0.9, 1.1))
        buffer = io.BytesIO()
        frame.save(buffer, "JPEG", quality=random.randint(60, 92))
        yield buffer.getvalue()


def iter_shots(folder: Path, random: Random) -> Iterator[tuple[bool, str, list[bytes]]]:
    """Yield (held out, class, frames); copies of an image stay together."""
    unseen: dict[str, bool] = {}
    for name, label, post, data in iter_tree(folder):
        is_unseen = unseen.setdefault(post or name, random.random() < UNSEEN_SHARE)
        image = Image.open(io.BytesIO(data)).convert("RGB")
        yield is_unseen, label, list(move_camera(image, random))


def import_frames(dataset: Dataset, label: str, shot: int, frames: list[bytes]) -> None:
    """Import frames as from a film, and label them."""
    for number, data in enumerate(frames):
        time = shot * 10.0 + number
        origin = Origin("video", f"film@{time}", video="film", scene=shot, time=time)
        key = add_whole_image(dataset, data, origin)
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
            plan[key] = (
                key,
                "train" if part < 0.7 else "val" if part < 0.8 else "test",
            )
    dataset.samples.set_splits(plan)


def train_simple(
    dataset: Dataset, unseen: Dataset, epochs: int, seed: int
) -> tuple[float, float]:
    """Return the accuracy of `simple` on its test and unseen shots."""
    settings = load_preset(
        "simple", {"epochs": str(epochs), "colour": "rgb", "seed": str(seed)}
    )
    result = train_run(dataset, settings)
    model, _, classes = load_model(run_folder(dataset, result.run))
    examples = find_examples(unseen)
    arrays = load_arrays(unseen, examples, settings, "test")
    # Classes without unseen shots are missing here, so map class numbers by name.
    numbers = np.array([classes.index(name) for name in examples.classes])
    arrays = replace(arrays, y=numbers[arrays.y])
    correct = network_outputs(model, arrays).logits.argmax(1) == arrays.y
    assert result.test is not None
    return result.test["accuracy"], float(correct.mean())


def compute_hog(dataset: Dataset, split: str) -> tuple[np.ndarray[Any, Any], list[str]]:
    """Return normalized HOG features of a split, and the classes."""
    hog = cv2.HOGDescriptor((HOG_SIDE, HOG_SIDE), (32, 32), (16, 16), (16, 16), 9)
    rows = []
    labels = []
    for sample in dataset.samples.iter_in_splits():
        if sample.split == split:
            data = dataset.image_path(sample.image, "JPEG").read_bytes()
            grey = cv2.resize(
                np.asarray(decode(data).pixels.convert("L")), (HOG_SIDE, HOG_SIDE)
            )
            row = np.asarray(hog.compute(grey)).ravel()
            rows.append(row / (np.linalg.norm(row) + 1e-9))
            labels.append(str(sample.label))
    return np.array(rows), labels


def nearest_neighbor_accuracy(dataset: Dataset, unseen: Dataset) -> tuple[float, float]:
    """Return the same for the nearest neighbor in train."""
    train, labels = compute_hog(dataset, "train")
    accuracies = []
    for test, truth in (compute_hog(dataset, "test"), compute_hog(unseen, "test")):
        nearest = (test @ train.T).argmax(axis=1)
        accuracies.append(
            mean(labels[n] == true for n, true in zip(nearest, truth, strict=True))
        )
    return accuracies[0], accuracies[1]


def run_seed(
    data: Path, seed: int, epochs: int
) -> dict[tuple[str, str], tuple[float, float]]:
    """Map (trainer, split) to (accuracy on its test, accuracy on unseen shots)."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Dataset.create(Path(folder) / "film") as film,
        Dataset.create(Path(folder) / "unseen") as unseen,
    ):
        for number, (is_unseen, label, frames) in enumerate(
            iter_shots(data, Random(seed))
        ):
            import_frames(unseen if is_unseen else film, label, number, frames)
        plan = {s.key: (s.key, "test") for s in unseen.samples.iter_by_key()}
        unseen.samples.set_splits(plan)  # type: ignore[arg-type]
        accuracies = {}
        for name, apply in (("naive", split_naively), ("ours", split)):
            apply(film, seed)
            accuracies["nearest neighbour", name] = nearest_neighbor_accuracy(
                film, unseen
            )
            if epochs:
                accuracies["simple", name] = train_simple(film, unseen, epochs, seed)
        return accuracies


def main() -> None:
    """Run all seeds and print the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--epochs", type=int, default=15, help="0: only the nearest neighbor"
    )
    parser.add_argument("--data", type=Path, default=DATA / "characters")
    arguments = parser.parse_args()
    rounds = []
    for seed in range(arguments.seeds):
        rounds.append(run_seed(arguments.data, seed, arguments.epochs))
        print(f"seed {seed}: {rounds[-1]}", file=sys.stderr, flush=True)
    print("| trainer | split | accuracy on its test | on unseen shots | inflated by |")
    print("|---|---|---|---|---|")
    for trainer, name in rounds[0]:
        own, real = (
            mean(accuracies[trainer, name][n] for accuracies in rounds) for n in (0, 1)
        )
        print(
            f"| {trainer} | {name} | {own:.3f} | {real:.3f} | {100 * (own - real):+.1f} points |"
        )


if __name__ == "__main__":
    main()
