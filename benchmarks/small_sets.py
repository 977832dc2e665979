"""The preset `simple` beside an ordinary Keras network, on small cuts of real pictures.

    python benchmarks/small_sets.py WORK [--splits 10] [--keras PYTHON] [-o KEY=VALUE ...]

PYTHON is an interpreter with keras>=3 and one of its backends; without it only ours is run. Each
split draws whole moments: so many pictures a class to learn from, up to 24 a class to be judged on.
Both learn from all of those, without val: one of so few pictures would steer nothing. Keras has
convolutions 32-64-128 with batch norm and pooling, dropout 0.3, L2 1e-4, dense 128, grey 120 x
120, Adam 1e-3, batches of 8, 60 epochs, mirrored at random. `-o` changes ours as in `baseline
train`. WORK keeps a line for each training: what was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from kept_rows import KeptRows, Row

SIDE = 120
MOST_TEST = 24
DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
# Name: folder, classes (none: all), pictures a class to learn from.
SETS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "cat-dog-30": ("photos", ("cat", "dog"), 30),
    "cat-dog-10": ("photos", ("cat", "dog"), 10),
    "photos-12": ("photos", (), 12),
    "fan10-13": ("characters_fan10", (), 13),
    "fan10-30": ("characters_fan10", (), 30),
    "characters-8": ("characters", (), 8),
}


def pictures(folder: str, classes: tuple[str, ...]) -> dict[str, Any]:
    """All pictures of a tree as `baseline` reads them, with class and moment (numbers)."""
    from baseline.pixels import resized
    from gleanset.images.decode import decode

    x, y, moments = [], [], []
    names: dict[str, int] = {}
    told = DATA / folder / "sources.json"
    rows = json.loads(told.read_text()) if told.is_file() else []
    source = {r["file"]: str(r.get("source_dup_group") or r["source_image"]) for r in rows}
    for path in sorted((DATA / folder).glob("*/*.*")):
        name, label = path.relative_to(DATA / folder).as_posix(), path.parent.name
        if not classes or label in classes:
            picture = decode(path.read_bytes()).pixels.convert("RGB")
            x.append(np.asarray(resized(picture, SIDE)))
            y.append(names.setdefault(label, len(names)))
            moments.append(source.get(name, name))
    numbers = np.unique(moments, return_inverse=True)[1]
    return {"x": np.stack(x), "y": np.array(y, np.int64), "moments": numbers}


def split(y: Any, moments: Any, each: int, seed: int) -> tuple[Any, ...]:
    """Rows to learn from (`each` a class) and to be judged on; no moment is in both."""
    order = np.random.default_rng(seed).permutation(moments.max() + 1)
    train: dict[int, list[int]] = defaultdict(list)
    test: dict[int, list[int]] = defaultdict(list)
    for moment in order.tolist():
        rows = np.flatnonzero(moments == moment).tolist()
        full = any(len(train[int(y[r])]) >= each for r in rows)
        for row in rows:
            part = test if full else train
            if full and len(test[int(y[row])]) >= MOST_TEST:
                continue
            part[int(y[row])].append(row)
    return tuple(np.sort(np.concatenate(list(part.values()))) for part in (train, test))


def ours(data: Any, train: Any, test: Any, seed: int, options: dict[str, str]) -> Any:
    """Whether each picture of test was right, by the preset with `options`."""
    import torch

    from baseline.data import Arrays
    from baseline.inference import predict_logits
    from baseline.loop.classifier import train_small_network as learn
    from baseline.settings import load_preset

    torch.set_num_threads(int(os.environ.get("THREADS", "2")))
    settings = load_preset("simple", {"seed": str(seed)} | options)
    x = data["x"] if settings.channels == 3 else grey(data["x"])[..., None]
    parts = [
        Arrays(
            np.ascontiguousarray(x[rows]).transpose(0, 3, 1, 2),
            data["y"][rows],
            tuple(map(str, rows)),
        )
        for rows in (train, train[:0], test)
    ]
    classes = [str(number) for number in range(int(data["y"].max()) + 1)]
    fitted = learn(parts[0], parts[1], classes, settings, lambda report: None)
    return predict_logits(fitted.net, parts[2]).argmax(1) == parts[2].y


def keras_net(data: Any, train: Any, test: Any, seed: int) -> Any:
    """The same for the ordinary network."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    x, y = grey(data["x"])[..., None], data["y"]
    penalty = keras.regularizers.L2(1e-4)
    stack = [
        keras.Input((SIDE, SIDE, 1)),
        layers.Rescaling(1 / 255),
        layers.RandomFlip("horizontal"),
    ]
    for width in (32, 64, 128):
        stack.append(layers.Conv2D(width, 3, padding="same", kernel_regularizer=penalty))
        stack += [layers.BatchNormalization(), layers.ReLU(), layers.MaxPooling2D(2)]
    stack += [layers.Dropout(0.3), layers.Flatten()]
    stack.append(layers.Dense(128, "relu", kernel_regularizer=penalty))
    stack += [layers.Dropout(0.3), layers.Dense(int(y.max()) + 1)]
    net = keras.Sequential(stack)
    net.compile(
        keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    net.fit(x[train], y[train], batch_size=8, epochs=60, verbose=0)
    return net.predict(x[test], verbose=0).argmax(1) == y[test]


def grey(x: Any) -> Any:
    """Luma as Pillow's 'L'."""
    return (x @ np.array([299, 587, 114]) / 1000).round().astype(np.uint8)


def child(who: str, file: Path, seed: int, each: int, options: dict[str, str]) -> dict[str, Any]:
    """One training in this process."""
    with np.load(file) as stored:
        data = dict(stored)
    train, test = split(data["y"], data["moments"], each, seed)
    started = time.process_time()
    right = (
        keras_net(data, train, test, seed)
        if who == "keras"
        else ours(data, train, test, seed, options)
    )
    return {
        "train": len(train),
        "test": len(test),
        "accuracy": float(right.mean()),
        "seconds": round(time.process_time() - started, 1),
    }


def trained(
    given: argparse.Namespace, row: str, file: Path, seed: int, each: int
) -> dict[str, Any]:
    """One training in a process of its own."""
    who = row.split()[0]
    options = [f"-o{option}" for option in given.options]
    place = [str(given.work), "--child", who, str(file), str(seed), str(each)]
    line = [given.keras if who == "keras" else sys.executable, __file__, *place, *options]
    made = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
    return found


def line_of(name: str, found: dict[str, list[Row]]) -> str:
    """A row of the table: means over the splits, and the paired difference with its error."""
    accuracies = [np.array([one["accuracy"] for one in runs]) for runs in found.values()]
    seconds = [np.mean([one["seconds"] for one in runs]) for runs in found.values()]
    cells = [f"{a.mean():.3f} ({s:.0f} s)" for a, s in zip(accuracies, seconds, strict=True)]
    gain = accuracies[0] - accuracies[-1]
    error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else 0.0
    first = next(iter(found.values()))[0]
    ahead = f"{gain.mean():+.3f} ± {error:.3f}" if len(found) > 1 else ""
    return f"| {name} | {first['train']} | {first['test']} | {' | '.join(cells)} | {ahead} |"


def main() -> None:
    """Print a table, and each training on stderr as it ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--keras", help="the interpreter of another environment")
    parser.add_argument("--only", default=",".join(SETS))
    parser.add_argument("-o", dest="options", action="append", default=[])
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        who, file, seed, each = given.child
        options = dict(option.split("=", 1) for option in given.options)
        print(json.dumps(child(who, Path(file), int(seed), int(each), options)))
        return
    done = KeptRows(given.work / "results.jsonl")
    rows = [" ".join(("ours", *given.options)), *(["keras"] if given.keras else [])]
    print(f"| set | learnt from | judged on | {' | '.join(rows)} | ahead by |")
    print("|---|---|---|" + "---|" * (len(rows) + 1))
    for name in given.only.split(","):
        folder, classes, each = SETS[name]
        file = given.work / f"{folder}-{len(classes)}.npz"
        if not file.is_file():
            np.savez(file, **pictures(folder, classes))
        found: dict[str, list[Row]] = {row: [] for row in rows}
        for seed in range(given.splits):
            for row, runs in found.items():
                part = f"{name}/{row}/{seed}"
                if part not in done:
                    done.keep(part, trained(given, row, file, seed, each))
                runs.append(done[part])
        print(line_of(name, found), flush=True)


if __name__ == "__main__":
    main()
