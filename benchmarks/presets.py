"""Accuracy of each preset on real images (three splits and seeds), and five cases end to end.

    python benchmarks/presets.py WORK [--seeds 3] [--only characters] [--tables]

WORK keeps datasets, features and `results.jsonl`, with one line for each finished part, so that an
interrupted run can continue. `--tables` prints the tables of docs/results.md from existing results.
Accuracies are pooled over the seeds; 95% intervals come from a bootstrap over groups (2,000
resamples). Needs gleanset[train] and the images in ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from labelled_tree import DATA, import_images, iter_tree, split
from PIL import Image
from result_file import ResultFile, Row

from baseline.data.samples import ensure_val, find_examples
from baseline.features.features import FeatureSpec, compute_features
from baseline.settings import load_preset
from baseline.train.methods.registry import fit_method
from baseline.train.methods.training_data import TrainingData, network_outputs
from baseline.train.train_run import train_run
from gleanset import Dataset
from tools.sample.character import random_character, random_expression
from tools.sample.scene import Figure, Scene, paint_scene

NEAREST = "nearest neighbour on raw features"
AHEAD = "transfer"
"""The row that the others are compared with."""
# Smaller and shorter than the presets where two cores would take too long.
TABLE: dict[str, tuple[str, dict[str, str]]] = {
    NEAREST: ("", {}),
    "simple": ("simple", {}),
    "simple, colour=grayscale": ("simple", {"colour": "grayscale"}),
    "transfer": ("transfer", {}),
    "triplet": ("triplet", {}),
    "finetune, size=96, epochs=8": ("finetune", {"size": "96", "epochs": "8"}),
    "mobile, size=96, epochs=8": ("mobile", {"size": "96", "epochs": "8"}),
}
Named = Iterator[tuple[str, str, str | None, bytes]]


def open_dataset(done: ResultFile, name: str, pictures: Named) -> Dataset:
    """Open the dataset `name`; create and fill it the first time."""
    dataset = Dataset.create(done.file.parent / name)
    if not dataset.images.count():
        import_images(dataset, pictures)
    return dataset


def run_row(done: ResultFile, data: str, preset: str, seed: int) -> None:
    """Train a preset on one split and evaluate it."""
    with open_dataset(done, data, iter_tree(DATA / data)) as dataset:
        split(dataset, seed)
        started = time.process_time()
        if preset == NEAREST:
            keys, right, groups = nearest_neighbor(dataset)
        else:
            keys, right, groups = train_and_test(dataset, data, preset, seed)
        seconds = time.process_time() - started
    row = {
        "right": right,
        "groups": groups,
        "count": len(keys),
        "accuracy": float(np.mean(right)),
        "seconds": round(seconds, 1),
    }
    done.keep(f"table/{data}/{preset}/{seed}", row)


def train_and_test(dataset: Dataset, data: str, row: str, seed: int) -> Any:
    """Train in float32; return test keys, correctness and groups."""
    preset, arguments = TABLE[row]
    settings = load_preset(preset, arguments | {"seed": str(seed), "augment": data})
    examples, _ = ensure_val(find_examples(dataset), seed)
    material = TrainingData(dataset, examples, settings)
    net = fit_method(material, settings).net
    test = material.arrays("test")
    right = (network_outputs(net, test).logits.argmax(1) == test.y).astype(int).tolist()
    return test.keys, right, material.groups_of(test.keys).tolist()


def nearest_neighbor(dataset: Dataset) -> Any:
    """Return the same for the nearest training image by cosine similarity."""
    spec = FeatureSpec("efficientnet_lite0", "packaged", 224)
    examples, unit, label = find_examples(dataset), {}, {}
    for part in ("train", "test"):
        found = compute_features(dataset, examples.splits[part], spec)
        unit[part] = found.plain / np.linalg.norm(found.plain, axis=1, keepdims=True)
        known = {s.key: str(s.label) for s in examples.splits[part]}
        label[part] = np.array([known[key] for key in found.keys])
    guessed = label["train"][(unit["test"] @ unit["train"].T).argmax(1)]
    groups = [examples.groups[key] for key in found.keys]
    return found.keys, (guessed == label["test"]).astype(int).tolist(), groups


def bootstrap_interval(rows: list[Row], rounds: int = 2000) -> tuple[float, float, float]:
    """Return pooled accuracy and its 95% interval (group bootstrap)."""
    draw, sums = np.random.default_rng(0), np.zeros((rounds, 2))
    for row in rows:
        groups: dict[str, list[int]] = defaultdict(list)
        for group, right in zip(row["groups"], row["right"], strict=True):
            groups[group].append(right)
        told = np.array([(sum(group), len(group)) for group in groups.values()])
        sums += told[draw.integers(0, len(told), (rounds, len(told)))].sum(1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], (0.025, 0.975))
    pooled = sum(sum(row["right"]) for row in rows) / sum(len(row["right"]) for row in rows)
    return pooled, float(low), float(high)


def format_gap(rows: list[Row], first: list[Row]) -> str:
    """Format how many points `rows` are behind `first`, with a paired interval."""
    both = [
        one | {"right": [a - b for a, b in zip(two["right"], one["right"], strict=True)]}
        for one, two in zip(rows, first, strict=False)
    ]
    return "{:.1f} ({:.1f} to {:.1f})".format(*(100 * value for value in bootstrap_interval(both)))


def draw_faces(classes: int, each: int, side: int) -> Named:
    """Yield images of drawn characters, `each` for every one of `classes`."""
    for number in range(classes):
        who, dice = random_character(1000 + number), random.Random(number)
        for index in range(each):
            size = side * dice.uniform(0.72, 0.9)
            place = (dice.uniform(0, side - size), dice.uniform(0, side - size))
            figure = Figure(who, *place, size, dice.uniform(-8, 8), random_expression(dice))
            scene = Scene(
                (side, side),
                dice.choice(("hills", "room")),
                dice.randrange(10**6),
                (1.0, 1.0, 1.0),
                (figure,),
            )
            yield (
                f"{number}/{index}",
                f"character {number:02}",
                None,
                encode_jpeg(paint_scene(scene)),
            )


def encode_jpeg(picture: Image.Image) -> bytes:
    """Encode an image as JPEG."""
    buffer = BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def read_anime_and_cartoons() -> Named:
    """Yield faces of anime and cartoons; a frame is a group."""
    for name, _, post, data in iter_tree(DATA / "characters"):
        yield name, "anime", post, data
    for row in json.loads((DATA / "faces" / "faces.json").read_text()):
        if not row["file"].startswith(("ng_", "neg_")):
            with Image.open(DATA / "faces" / row["file"]) as frame:
                for number, (x, y, width, height) in enumerate(row["boxes"]):
                    face = frame.crop((x, y, x + width, y + height))
                    yield f"{row['file']}/{number}", "cartoon", row["file"], encode_jpeg(face)


def read_memes_and_photos() -> Named:
    """Yield meme templates and screenshots, and photos."""
    for folder, label in (("memes", "meme"), ("photos", "photo")):
        for name, _, post, data in iter_tree(DATA / folder):
            yield f"{folder}/{name}", label, post, data


def read_cats_and_dogs() -> Named:
    """Yield the photos of cats and dogs."""
    return ((n, c, p, d) for n, c, p, d in iter_tree(DATA / "photos") if c in ("cat", "dog"))


# Name: description, whether drawn, images, preset, options.
CASES: dict[str, tuple[str, bool, Any, str, dict[str, str]]] = {
    "acg-characters": (
        "31 drawn characters, 10 pictures each",
        True,
        lambda: draw_faces(31, 10, 128),
        "transfer",
        {"size": "96", "views": "1"},
    ),
    "who-am-i": (
        "40 drawn characters, 10 pictures each",
        True,
        lambda: draw_faces(40, 10, 128),
        "triplet",
        {"size": "96", "views": "1"},
    ),
    "anime-vs-cartoon": (
        "272 anime faces, 100 cartoon faces, grey, 120x120",
        False,
        read_anime_and_cartoons,
        "simple",
        {"colour": "grayscale", "epochs": "15"},
    ),
    "memes": (
        "32 memes and screenshots, 192 photos",
        False,
        read_memes_and_photos,
        "finetune",
        {"size": "96", "epochs": "5", "augment": "photos"},
    ),
    "cats-vs-owls": (
        "60 cats, 60 dogs (no owls at hand), colour, 120x120",
        False,
        read_cats_and_dogs,
        "simple",
        {"augment": "photos"},
    ),
}


def run_case(done: ResultFile, name: str) -> None:
    """Train and report a case as `baseline train` does."""
    _, _, pictures, preset, arguments = CASES[name]
    with open_dataset(done, name, pictures()) as dataset:
        split(dataset, 0)
        started = time.process_time()
        result: Any = train_run(dataset, load_preset(preset, arguments))
    told = {key: result["test"][key] for key in ("count", "accuracy", "commonest_class")}
    done.keep(f"case/{name}", told | {"seconds": round(time.process_time() - started, 1)})


def stored_results(done: ResultFile, data: str, preset: str) -> list[Row]:
    """Return the existing results of one row, by seed."""
    parts = [f"table/{data}/{preset}/{seed}" for seed in range(99)]
    return [done[part] for part in parts if part in done]


def format_tables(done: ResultFile) -> Iterator[str]:
    """Yield the tables of docs/results.md as Markdown."""
    for data in ("characters", "photos"):
        yield (
            f"\n**{data}**\n\n| preset | accuracy on test | 95 % interval | by seed "
            f"| points behind {AHEAD} | CPU s |\n|---|---|---|---|---|---|"
        )
        for preset in TABLE:
            if rows := stored_results(done, data, preset):
                pooled, low, high = bootstrap_interval(rows)
                each = ", ".join(f"{row['accuracy']:.2f}" for row in rows)
                cost = np.median([row["seconds"] for row in rows])
                ahead = stored_results(done, data, AHEAD) if preset != AHEAD else []
                less = format_gap(rows, ahead) if ahead else ""
                yield (
                    f"| {preset} | {pooled:.3f} | {low:.2f} to {high:.2f} | {each} | {less} "
                    f"| {cost:.0f} |"
                )
    for title, drawn in (("real pictures", False), ("synthetic: drawn pictures", True)):
        yield f"\n**{title}**\n\n| case | data | preset | accuracy on test | commonest class |"
        yield "|---|---|---|---|---|"
        for name, (what, synthetic, _, preset, arguments) in CASES.items():
            row = done.get(f"case/{name}")
            if row and synthetic == drawn:
                told = f"{preset} ({', '.join(f'{k}={v}' for k, v in arguments.items())})"
                figures = f"{row['accuracy']:.2f} of {row['count']} | {row['commonest_class']:.2f}"
                yield f"| {name} | {what} | {told} | {figures} |"


def main() -> None:
    """Run the missing parts, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="only parts whose name contains this")
    parser.add_argument("--tables", action="store_true", help="only print stored results")
    arguments = parser.parse_args()
    # Otherwise worker processes would import this script, and torch with it, each time.
    vars(sys.modules["__main__"]).pop("__file__", None)
    done = ResultFile(arguments.work / "results.jsonl")
    parts = [
        f"table/{data}/{preset}/{seed}"
        for data in ("characters", "photos")
        for preset in TABLE
        for seed in range(arguments.seeds)
    ]
    parts += [f"case/{name}" for name in CASES]
    for part in parts if not arguments.tables else ():
        if arguments.only in part and part not in done:
            kind, *place = part.split("/")
            if kind == "case":
                run_case(done, place[0])
            else:
                run_row(done, place[0], place[1], int(place[2]))
    print("\n".join(format_tables(done)))


if __name__ == "__main__":
    main()
