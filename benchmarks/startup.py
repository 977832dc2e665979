"""How long `baseline predict` of one picture takes beside the least that its answer needs.

    python benchmarks/startup.py [--rounds 5]

For a small network, a transfer run and a triplet run (with the weights that a network begins
with: it is time that counts) three processes are measured in turn: the bare loop below, which
imports torch (and timm), loads the same weights and computes the same picture; `baseline predict`
of the run; `baseline predict` of the exported ONNX file. After them every `--help` of every
console script. Printed are medians of wall and processor seconds, the largest memory of a process,
and the ratios to the bare loop: the seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

PRESETS = ("simple", "transfer", "triplet")
CLASSES = tuple(f"class {number}" for number in range(10))
PROGRAMS = ("gleanset", "harvest", "facecrop", "labeler", "baseline")

BARE = """
import json, sys
import numpy, torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

folder, picture = sys.argv[1:]
with open(folder + "/settings.json") as file:
    described = json.load(file)
told, weights = described["settings"], load_file(folder + "/" + described["weights"])
if told["method"] == "simple":
    layers, width = [], 3
    for wider in told["blocks"]:
        layers += [nn.Conv2d(width, wider, 3, padding=1, bias=False), nn.MaxPool2d(2)]
        layers += [nn.BatchNorm2d(wider), nn.ReLU()]
        width = wider
    side = told["size"] // 2 ** len(told["blocks"])
    kernel = max(1, side // 4)
    layers += [nn.AvgPool2d(kernel), nn.Flatten()]
    layers += [nn.Linear(width * (side // kernel) ** 2, told["dense"]), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(told["dense"], len(described["classes"])))
    blocks = len(told["blocks"])
    places = {f"features.{i}.{n}": 4 * i + n for i in range(blocks) for n in (0, 2)}
    places |= {"neck.1": 4 * blocks + 2, "head.1": 4 * blocks + 4}
    names = {name: name.rpartition(".") for name in weights}
    net.load_state_dict({f"{places[m]}.{v}": weights[k] for k, (m, _, v) in names.items()})
else:
    import timm

    start = "backbone.body."
    net = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    net.load_state_dict({k[len(start):]: v for k, v in weights.items() if k.startswith(start)})
net.eval()
pixels = Image.open(picture).convert("RGB").resize((told["size"],) * 2)
x = torch.from_numpy(numpy.array(pixels)).permute(2, 0, 1)[None].float() / 255
with torch.inference_mode():
    print(net(x).shape)
"""


class Cost(NamedTuple):
    """Wall and processor seconds (children included), and the largest memory in MB."""

    wall: float
    cpu: float
    memory: float


def run_cost(command: Sequence[str]) -> Cost:
    """What one process costs. Raises `CalledProcessError` where it fails."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(status, command)
    wall = time.perf_counter() - began
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def make_run(folder: Path, preset: str) -> None:
    """Write a run's folder and its ONNX file beside it, with the weights a network begins with.

    To be called in a process of its own: a child's largest memory counts what its parent had.
    """
    from baseline.engines.base import ModelFacts
    from baseline.engines.torch_engine import InferenceNet
    from baseline.evaluation.decision_rule import DecisionRule
    from baseline.export.card import card_of
    from baseline.export.onnx_file import OnnxFiles, with_card
    from baseline.methods.gallery import save_gallery
    from baseline.networks import GalleryHead, build_net
    from baseline.settings import load_preset
    from baseline.storage import save_model

    settings = load_preset(preset, {"weights": "none"} if preset != "simple" else {})
    net = build_net(settings, len(CLASSES), known=16).eval()
    known = None
    if isinstance(net.head, GalleryHead):
        net.head.known = known = tuple(tuple(f"{c}{k}" for k in range(16)) for c in CLASSES)
    save_model(folder, net, settings, CLASSES)
    if known is not None:
        save_gallery(folder, net)
    facts = ModelFacts(folder.name, settings.size, CLASSES, DecisionRule(), known)
    card = card_of(facts, "fp32")
    none = np.zeros((0, settings.size, settings.size, 3), np.uint8)
    data = OnnxFiles()(InferenceNet(net, settings.channels, 1.0), card, none)
    folder.with_suffix(".onnx").write_bytes(with_card(data, card))


def commands_of(run: Path, picture: Path) -> dict[str, list[str]]:
    """The three ways to an answer."""
    predict = [sys.executable, "-m", "baseline", "predict", str(picture), "-d", str(run.parent)]
    return {
        "bare loop": [sys.executable, "-c", BARE, str(run), str(picture)],
        "predict a run": [*predict, "--run", str(run)],
        "predict ONNX": [*predict, "--model", str(run.with_suffix(".onnx"))],
    }


def report(preset: str, costs: dict[str, list[Cost]]) -> None:
    """Print medians and the ratios to the bare loop."""
    medians = {
        name: Cost(*(statistics.median(part) for part in zip(*found, strict=True)))
        for name, found in costs.items()
    }
    bare = medians["bare loop"]
    print(f"\n{preset}:")
    for name, cost in medians.items():
        print(
            f"  {name:14} {cost.wall:5.2f} s, {cost.cpu:5.2f} CPU s, {cost.memory:5.0f} MB: "
            f"{cost.wall / bare.wall:.2f} x by wall, {cost.cpu / bare.cpu:.2f} x by CPU"
        )


def help_pages(rounds: int) -> None:
    """Print what `--help` costs of every program and every command of it."""
    print("\n--help, the dearest command of each program:")
    for program in PROGRAMS:
        module = "pipeline" if program == "gleanset" else program
        found = {}
        for words in ([], *command_names(module)):
            costs = [
                run_cost([sys.executable, "-m", module, *words, "--help"]) for _ in range(rounds)
            ]
            found[" ".join([program, *words])] = statistics.median(one.wall for one in costs)
        name, seconds = max(found.items(), key=lambda one: one[1])
        print(f"  {program:9} {len(found):3} pages, at most {seconds:.2f} s: {name}")


def command_names(module: str) -> list[list[str]]:
    """The commands of a program, with those inside of groups."""
    import importlib

    import click

    def below(group: click.Group, before: list[str]) -> list[list[str]]:
        found = []
        for name, command in group.commands.items():
            found.append([*before, name])
            if isinstance(command, click.Group):
                found += below(command, [*before, name])
        return found

    return below(importlib.import_module(f"{module}.cli").commands, [])


def main() -> None:
    """Measure all and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as place:
        picture = Path(place) / "picture.png"
        pixels = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
        Image.fromarray(pixels).save(picture)
        for preset in PRESETS:
            folder = Path(place) / preset
            making = get_context("spawn").Process(target=make_run, args=(folder, preset))
            making.start()
            making.join()
            commands = commands_of(folder, picture)
            costs: dict[str, list[Cost]] = {name: [] for name in commands}
            for _ in range(rounds):
                for name, command in commands.items():
                    costs[name].append(run_cost(command))
            report(preset, costs)
    help_pages(max(1, rounds // 2))


if __name__ == "__main__":
    main()
