"""Train the network that tells drawn people apart, on people who do not exist.

    python tools/drawn_faces/identity.py --people DIR [--people DIR] --work DIR
        --out curation/likeness/identity.onnx [--epochs 8] [--threads 2]

Everybody in the folders (`portraits.py`) is a class; cosines are learnt with an additive margin
(Wang et al., "CosFace: large margin cosine loss for deep face recognition", 2018). `WORK/last.pt`
is written every few hundred steps, and what was stopped goes on from it. What is shipped is the
running mean of the weights, with batch norms merged and 16 bits a weight. The last hundred people
learn nothing: how often the nearest picture is of the same one is printed.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import torch
from export import halved
from pytorch_metric_learning.losses import CosFaceLoss
from torch import Tensor, nn
from torch.nn import functional

from curation.likeness.colour_layout import SIDE

WIDTHS = (24, 48, 96, 160)
NUMBERS = 128
BATCH = 160
RATE, CENTRES = 2e-3, 5
"""The highest learning rate, and how many times as fast the middles of people move."""
MARGIN, GROWS = 0.25, 0.3
"""Of the cosine. It grows from nothing in so much of the training, and so does what is done to
pictures: with all of it from the start nothing is learnt."""
SCALE = 20.0
WARM_UP = 300
DECAY = 0.995
HELD_OUT = 100
SMALLEST, SMALLEST_FIRST = 48, 64
"""Pixels of a picture of 80 that are looked at, at least, in the end and at the beginning."""


class Residual(nn.Module):
    """Two convolutions whose result is added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width, 1)
        self.last = _convolution(width, width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Map batch x width x rows x columns to the same shape."""
        return torch.relu(maps + self.last(torch.relu(self.first(maps))))


def _convolution(inner: int, outer: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer))


class IdentityNet(nn.Module):
    """Turns pictures (batch x 3 x `SIDE` x `SIDE`, 0..255) into batch x `NUMBERS`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(3, WIDTHS[0], 2), nn.ReLU()]
        for inner, outer in pairwise(WIDTHS):
            layers += [_convolution(inner, outer, 2), nn.ReLU(), Residual(outer)]
        self.maps = nn.Sequential(*layers)
        cells = math.ceil(SIDE / 2 ** len(WIDTHS)) ** 2
        self.last = nn.Linear(WIDTHS[-1] * cells, NUMBERS, bias=False)
        self.norm = nn.BatchNorm1d(NUMBERS)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the vectors, of any length."""
        vectors: Tensor = self.norm(self.last(self.maps(pictures / 64 - 2).flatten(1)).float())
        return vectors


class Drawings:
    """Pictures of people: rows x 80 x 80 x 3, and the number of the person on each."""

    def __init__(self, folders: Sequence[Path]) -> None:
        parts = [np.load(path) for folder in folders for path in sorted(folder.glob("part-*.npy"))]
        self.pictures = np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts])
        each = np.concatenate([np.full(len(part), part.shape[1]) for part in parts])
        self.people = np.repeat(np.arange(len(each)), each)
        self.learnt = len(each) - HELD_OUT

    def batch(self, dice: np.random.Generator, worn: float) -> tuple[Tensor, Tensor]:
        """Return some of those that are learnt from, as they might have been cut and kept.

        `worn` (0 to 1) says how hard they are.
        """
        rows = dice.integers(0, int((self.people < self.learnt).sum()), BATCH)
        whole = self.pictures.shape[1]
        least = round(SMALLEST_FIRST + (SMALLEST - SMALLEST_FIRST) * worn)
        side = int(dice.integers(least, whole + 1))
        top, left = dice.integers(0, whole - side + 1, 2).tolist()
        cut = self.pictures[rows, top : top + side, left : left + side]
        pictures = _fitted(torch.from_numpy(cut).permute(0, 3, 1, 2).float())
        flipped = torch.from_numpy(dice.random(BATCH) < 0.5)
        pictures[flipped] = pictures[flipped].flip(3)
        return _worn(pictures, dice, worn), torch.from_numpy(self.people[rows])

    def held_out(self) -> tuple[Tensor, np.ndarray]:
        """Return the pictures of those who are not learnt from, and who they are."""
        rows = self.people >= self.learnt
        pictures = torch.from_numpy(self.pictures[rows]).permute(0, 3, 1, 2).float()
        return _fitted(pictures), self.people[rows]


def _fitted(pictures: Tensor) -> Tensor:
    smaller = pictures.shape[2] > SIDE
    return functional.interpolate(pictures, (SIDE, SIDE), mode="bilinear", antialias=smaller)


def _worn(pictures: Tensor, dice: np.random.Generator, worn: float) -> Tensor:
    """Change light, contrast, colour and sharpness, and lay something over some."""

    def each(mean: float, spread: float, channels: int = 1) -> Tensor:
        values = dice.normal(mean, spread * worn, (len(pictures), channels, 1, 1))
        return torch.from_numpy(values.astype(np.float32))

    pictures = (pictures - 128) * each(1, 0.12) + 128 + each(0, 15)
    grey = pictures.mean(1, keepdim=True)
    pictures = (grey + (pictures - grey) * each(1, 0.2).clamp(0, 2)) * each(0, 0.07, 3).exp()
    if dice.random() < 0.3 * worn:
        down, across = dice.integers(8, 26, 2).tolist()
        top, left = int(dice.integers(0, SIDE - down)), int(dice.integers(0, SIDE - across))
        some = torch.from_numpy(dice.random(len(pictures)) < 0.5)
        plain = torch.from_numpy(dice.random((int(some.sum()), 3, 1, 1)).astype(np.float32)) * 255
        pictures[some, :, top : top + down, left : left + across] = plain
    if dice.random() < 0.2 * worn:
        small = int(dice.integers(22, 44))
        pictures = _fitted(functional.interpolate(pictures, (small, small), mode="area"))
    return pictures.clamp(0, 255).contiguous(memory_format=torch.channels_last)


class Training:
    """The network, the middles of people, what moves them, and the running mean of the weights."""

    def __init__(self, people: int, steps: int) -> None:
        self.net = IdentityNet().to(memory_format=torch.channels_last)
        self.loss = CosFaceLoss(people, NUMBERS, margin=MARGIN, scale=SCALE)
        # Short ones turn quickly: with lengths of 11 nothing was learnt in 800 steps.
        nn.init.normal_(self.loss.W, std=0.01)
        groups = [
            {"params": self.net.parameters(), "weight_decay": 0.02},
            {"params": self.loss.parameters(), "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups)
        self.mean = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.step, self.steps = 0, steps

    @property
    def hardness(self) -> float:
        """How hard it is made by now, 0 to 1."""
        return min(1.0, self.step / self.steps / GROWS)

    def learn(self, pictures: Tensor, people: Tensor) -> float:
        """Take one step; return the loss."""
        share = self.step / self.steps
        rate = RATE * min(1.0, (self.step + 1) / WARM_UP)
        rate *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share))
        for group, times in zip(self.optimiser.param_groups, (1, CENTRES), strict=True):
            group["lr"] = rate * times
        self.loss.margin = MARGIN * self.hardness**2
        with torch.autocast("cpu", torch.bfloat16):
            vectors = self.net(pictures)
        loss: Tensor = self.loss(vectors.float(), people)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        kept = min(DECAY, self.step / (self.step + 9))
        with torch.no_grad():
            for name, value in self.net.state_dict().items():
                exact = value.dtype.is_floating_point
                self.mean[name] = self.mean[name].lerp(value, 1 - kept) if exact else value.clone()
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Keep all that a training goes on with."""
        parts = {"net": self.net, "loss": self.loss, "optimiser": self.optimiser}
        state = {name: part.state_dict() for name, part in parts.items()}
        scratch = path.with_suffix(".part")
        torch.save({**state, "mean": self.mean, "step": self.step}, scratch)
        scratch.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from what was kept."""
        state = torch.load(path)
        self.net.load_state_dict(state["net"])
        self.loss.load_state_dict(state["loss"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.mean, self.step = state["mean"], state["step"]


def averaged_net(mean: Mapping[str, Tensor]) -> IdentityNet:
    """Return the network with these weights, ready to answer."""
    net = IdentityNet()
    net.load_state_dict(mean)
    return net.eval()


def told_apart(net: IdentityNet, drawings: Drawings) -> float:
    """Return how many of those held out are nearest to another picture of the same person."""
    pictures, people = drawings.held_out()
    with torch.no_grad():
        vectors = functional.normalize(net(pictures)).numpy()
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -1)
    return float((people[alike.argmax(1)] == people).mean())


def folded(net: IdentityNet) -> IdentityNet:
    """Merge batch norms into the layers before them, in place."""
    for part in net.modules():
        if isinstance(part, nn.Sequential) and len(part) == 2:
            part[0] = nn.utils.fuse_conv_bn_eval(part[0], part[1])
            part[1] = nn.Identity()
    net.last, net.norm = nn.utils.fuse_linear_bn_eval(net.last, net.norm), nn.Identity()
    return net


def export(net: IdentityNet, path: Path) -> None:
    """Write it as ONNX: `picture` in, `vector` out."""
    raw = path.with_suffix(".raw.onnx")
    torch.onnx.export(
        folded(net),
        (torch.zeros(1, 3, SIDE, SIDE),),
        raw,
        input_names=["picture"],
        output_names=["vector"],
        dynamic_axes={"picture": {0: "n"}, "vector": {0: "n"}},
        opset_version=13,
        dynamo=False,
    )
    model = halved(onnx.load(raw))
    raw.unlink()
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main() -> None:
    """Train from the beginning or from where a run stopped, then write the network."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--people", type=Path, action="append", required=True)
    options.add_argument("--work", type=Path, required=True)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--epochs", type=int, default=8)
    options.add_argument("--threads", type=int, default=2)
    asked = options.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    asked.work.mkdir(parents=True, exist_ok=True)
    drawings = Drawings(asked.people)
    steps = asked.epochs * len(drawings.pictures) // BATCH
    training = Training(drawings.learnt, steps)
    if (last := asked.work / "last.pt").exists():
        training.resume(last)
    begun, total = time.process_time(), 0.0
    while training.step < steps:
        dice = np.random.default_rng((0, training.step))
        total += training.learn(*drawings.batch(dice, training.hardness))
        if training.step % 200 == 0 or training.step == steps:
            training.save(last)
            spent = time.process_time() - begun
            print(f"{training.step} of {steps}: {total / 200:.3f}, {spent:.0f} CPU s", flush=True)
            total = 0.0
    net = averaged_net(training.mean)
    print(f"{told_apart(net, drawings):.3f} of those held out are nearest to themselves")
    export(net, asked.out)
    print(f"{asked.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
