"""Training the preset `simple` beside the same network in plain Keras 3 and in plain PyTorch.

    python benchmarks/train_simple.py --keras PYTHON [--photos FOLDER] [--seeds 3] [--epochs 12]

PYTHON is the interpreter of another environment with keras>=3 and tensorflow. The pictures are
drawn faces of twelve characters and, with --photos, the photos in FOLDER as one more class, all
grayscale 120x120. All have the same network, batch, optimiser, course of the learning rate,
pictures in memory and no augmentation; each runs in a process of its own on the same two threads,
in turn; validation after every epoch counts. Told are the seconds (wall and CPU) until validation
accuracy first is 95 % of what it is in the end, those of one epoch, and the ratios to ours.
`augmented` is ours with its default augmentation, to show that making batches costs no waiting.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

SIDE, BATCH, RATE, DECAY, DROPOUT = 120, 64, 1e-3, 1e-4, 0.3
BLOCKS, DENSE = (32, 64, 128), 128
THREADS = int(os.environ.get("THREADS", "2"))
WHO = ("gleanset", "keras", "torch", "augmented")


def course(step: int, steps: int) -> float:
    """The learning rate of `baseline.loop.lr_schedule`, told once more: no peer may import ours."""
    warm = max(1, round(0.15 * steps))
    if step < warm:
        return RATE * (step + 1) / warm
    return RATE * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


class Clock:
    """Wall and CPU seconds of this process since it was made, and the accuracies on the way."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        self.epochs: list[tuple[float, float, float]] = []

    def epoch(self, accuracy: float) -> None:
        """An epoch has ended."""
        self.epochs.append(
            (time.perf_counter() - self.wall, time.process_time() - self.cpu, accuracy)
        )


def run_gleanset(data: Any, seed: int, epochs: int, augment: str) -> tuple[Clock, dict[str, Any]]:
    """Ours, as the preset has it."""
    import msgspec
    import torch

    from baseline.data import Arrays
    from baseline.loop.classifier import train_small_network
    from baseline.settings import load_preset

    torch.set_num_threads(THREADS)
    simple = load_preset("simple", {"colour": "grayscale"})
    settings = msgspec.structs.replace(
        simple, seed=seed, epochs=epochs, patience=epochs, augment=augment, balance="none"
    )
    parts = {
        name: Arrays(
            data[f"{name}_x"][:, None],
            data[f"{name}_y"],
            tuple(map(str, range(len(data[f"{name}_y"])))),
        )
        for name in ("train", "val")
    }
    classes = [str(number) for number in range(int(data["classes"]))]
    clock = Clock()
    fitted = train_small_network(
        parts["train"],
        parts["val"],
        classes,
        settings,
        lambda report: clock.epoch(report.val_accuracy or 0.0),
    )
    return clock, fitted.facts


def run_torch(data: Any, seed: int, epochs: int) -> tuple[Clock, dict[str, Any]]:
    """PyTorch as a tutorial has it."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    torch.set_num_threads(THREADS)
    widths, layers = (1, *BLOCKS), []
    for before, after in zip(widths, BLOCKS, strict=False):
        layers += [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(after),
            nn.ReLU(),
        ]
    net = nn.Sequential(
        *layers,
        nn.AvgPool2d(3),
        nn.Flatten(),
        nn.Dropout(DROPOUT),
        nn.Linear(BLOCKS[-1] * 25, DENSE),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(DENSE, int(data["classes"])),
    )
    optimiser = torch.optim.Adam(net.parameters(), RATE, weight_decay=DECAY)
    x, y = torch.from_numpy(data["train_x"]), torch.from_numpy(data["train_y"])
    val_x, val_y = torch.from_numpy(data["val_x"]), torch.from_numpy(data["val_y"])

    def floats(pictures: torch.Tensor) -> torch.Tensor:
        return (pictures[:, None].float() / 255 - 0.5) / 0.25

    clock, steps, done = Clock(), epochs * -(-len(x) // BATCH), 0
    for _ in range(epochs):
        net.train()
        for index in torch.randperm(len(x)).split(BATCH):
            optimiser.param_groups[0]["lr"] = course(done, steps)
            done += 1
            loss = nn.functional.cross_entropy(net(floats(x[index])), y[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        net.eval()
        with torch.inference_mode():
            parts = zip(val_x.split(128), val_y.split(128), strict=True)
            right = sum(int((net(floats(a)).argmax(1) == b).sum()) for a, b in parts)
        clock.epoch(right / len(val_x))
    return clock, {}


def run_keras(data: Any, seed: int, epochs: int) -> tuple[Clock, dict[str, Any]]:
    """Keras as a tutorial has it."""
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    import keras
    import tensorflow as tf
    from keras import layers

    keras.utils.set_random_seed(seed)
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    penalty = keras.regularizers.L2(DECAY / 2)
    stack = [keras.Input((SIDE, SIDE, 1)), layers.Rescaling(4 / 255, -2)]
    for width in BLOCKS:
        stack += [
            layers.Conv2D(width, 3, padding="same", use_bias=False, kernel_regularizer=penalty),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
            layers.ReLU(),
        ]
    stack += [
        layers.AveragePooling2D(3),
        layers.Flatten(),
        layers.Dropout(DROPOUT),
        layers.Dense(DENSE, "relu", kernel_regularizer=penalty),
        layers.Dropout(DROPOUT),
        layers.Dense(int(data["classes"]), kernel_regularizer=penalty),
    ]
    net = keras.Sequential(stack)
    steps = epochs * -(-len(data["train_x"]) // BATCH)
    warm = max(1, round(0.15 * steps))
    rate = keras.optimizers.schedules.CosineDecay(
        RATE / warm, steps - warm, warmup_target=RATE, warmup_steps=warm
    )
    net.compile(
        keras.optimizers.Adam(rate, epsilon=1e-8),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    clock = Clock()
    told = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: clock.epoch(logs["val_accuracy"])
    )
    net.fit(
        data["train_x"][..., None],
        data["train_y"],
        batch_size=BATCH,
        epochs=epochs,
        validation_data=(data["val_x"][..., None], data["val_y"]),
        validation_batch_size=128,
        callbacks=[told],
        verbose=0,
    )
    return clock, {}


def child(who: str, file: Path, seed: int, epochs: int) -> dict[str, Any]:
    """One training; its times, in this process."""
    with np.load(file) as stored:
        data = dict(stored)
    if who == "keras":
        clock, facts = run_keras(data, seed, epochs)
    elif who == "torch":
        clock, facts = run_torch(data, seed, epochs)
    else:
        kind = "characters" if who == "augmented" else "none"
        clock, facts = run_gleanset(data, seed, epochs, kind)
    final = mean(accuracy for _, _, accuracy in clock.epochs[-3:])
    wall, cpu, _ = next(e for e in clock.epochs if e[2] >= 0.95 * final)
    later = [
        (b[0] - a[0], b[1] - a[1]) for a, b in zip(clock.epochs[1:], clock.epochs[2:], strict=False)
    ]
    return {
        "wall": wall,
        "cpu": cpu,
        "final": final,
        "epoch_wall": median(w for w, _ in later),
        "epoch_cpu": median(c for _, c in later),
        "data_wait": facts.get("data_wait"),
        "epochs": clock.epochs,
    }


def draw(file: Path, photos: Path | None, each: int) -> None:
    """Faces of twelve characters, a fifth for validation; photos are a class of their own."""
    import cv2

    from tools.sample.character import random_character
    from tools.sample.scene import draw_scene

    random, pictures, classes = np.random.default_rng(0), [], []
    for who in range(12):
        for seed in range(each):
            scene, [box] = draw_scene([random_character(who)], 1000 * who + seed, (320, 180))
            margin = 0.3 * box.width
            left, top = box.x - margin, box.y - margin
            shift = random.uniform(-0.1, 0.1, 2) * box.width
            grey = np.asarray(scene.convert("L"))
            scale = SIDE / (box.width + 2 * margin)
            move = np.array(
                [[scale, 0, -scale * (left + shift[0])], [0, scale, -scale * (top + shift[1])]]
            )
            pictures.append(cv2.warpAffine(grey, move, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT))
            classes.append(who)
    for path in sorted(photos.rglob("*.jpg")) if photos else []:
        pictures.append(
            cv2.resize(
                cv2.imread(str(path), cv2.IMREAD_GRAYSCALE),
                (SIDE, SIDE),
                interpolation=cv2.INTER_AREA,
            )
        )
        classes.append(12)
    x, y = np.stack(pictures), np.array(classes, np.int64)
    val = np.isin(np.arange(len(x)), random.permutation(len(x))[: len(x) // 5])
    np.savez(
        file, train_x=x[~val], train_y=y[~val], val_x=x[val], val_y=y[val], classes=1 + int(y.max())
    )


def main() -> None:
    """The table on stdout, each run as it ends on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keras", default=sys.executable)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--each", type=int, default=100)
    parser.add_argument("--data", type=Path, help="keep the drawn pictures in this .npz file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--who", default=",".join(WHO))
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        who, file, seed, epochs = given.child
        print(json.dumps(child(who, Path(file), int(seed), int(epochs))))
        return
    found: dict[str, list[dict[str, Any]]] = {who: [] for who in given.who.split(",")}
    with tempfile.TemporaryDirectory() as folder:
        file = given.data or Path(folder) / "pictures.npz"
        if not file.exists():
            draw(file, given.photos, given.each)
        for seed in range(given.seeds):
            for who, runs in found.items():
                python = given.keras if who == "keras" else sys.executable
                line = [python, __file__, "--child", who, str(file), str(seed), str(given.epochs)]
                told_threads = os.environ | {"THREADS": str(given.threads)}
                done = subprocess.run(
                    line,
                    check=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    env=told_threads,
                )
                runs.append(json.loads(done.stdout.splitlines()[-1]))
                told = {k: round(v, 3) for k, v in runs[-1].items() if isinstance(v, float)}
                print(who, seed, told, file=sys.stderr, flush=True)
    ours = next(iter(found.values()))
    keys = ("wall", "cpu", "epoch_wall", "epoch_cpu")
    print(
        "| | final accuracy | " + " | ".join(f"{key} s | to ours" for key in keys) + " | waited |"
    )
    for who, runs in found.items():
        cells = []
        for key in keys:
            ratios = [run[key] / own[key] for run, own in zip(runs, ours, strict=True)]
            cells.append(
                f"{median(run[key] for run in runs):.2f} | {median(ratios):.2f} "
                f"({min(ratios):.2f}-{max(ratios):.2f})"
            )
        wait = [run["data_wait"] for run in runs if run["data_wait"] is not None]
        waited = f"{100 * mean(wait):.1f} %" if wait else ""
        final = mean(run["final"] for run in runs)
        print(f"| {who} | {final:.3f} | " + " | ".join(cells) + f" | {waited} |")


if __name__ == "__main__":
    main()
