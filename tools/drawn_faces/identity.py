"""Train the identity network, which distinguishes drawn people, on fictional people.

    python tools/drawn_faces/identity.py --people DIR --work DIR --out identity.onnx
        [--steps 8700] [--batch 960] [--classes 200000] [--device cuda]

Each person in the folder (`portraits.py`) is a class; the loss is CosFace (Wang et al., "CosFace:
large margin cosine loss for deep face recognition", 2018). Training may start while people are
still being drawn: `--classes` is their final number, and those drawn so far are used.
`WORK/last.pt` is written every few hundred steps, and an interrupted run resumes from it. The
exported network is the running mean of the weights, with batch norms fused and 16-bit weights.
Prints the share of images of the held-out first part whose nearest image shows the same person.
"""

import argparse
import math
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from export import write_onnx
from portraits import PART
from pytorch_metric_learning.losses import CosFaceLoss
from torch import Tensor, nn
from torch.nn import functional
from train import update_mean

from curation.similarity.color_layout import SIDE

WIDTHS = (32, 64, 128, 192)
EMBEDDING_SIZE = 128
RATE = 3e-3
CENTER_RATE_FACTOR = 5
"""The peak learning rate, and its factor for the class centers."""
MARGIN = 0.35
RAMP_SHARE = 0.3
"""Margin of the cosine, and the share of training in which margin and augmentation grow from zero:
training does not converge with full strength from the start."""
SCALE = 32.0
WARM_UP = 300
DECAY = 0.995
OCCLUSION_GROUP = 160
"""Images of a batch that share an occlusion and a reduced resolution."""
MIN_CROP = 0.6
FIRST_MIN_CROP = 0.8
"""Smallest crop, as a share of the image's side, at the end and at the start of training."""
CHECKPOINT_STEPS = 200
"""Steps between checkpoints; newly drawn people are loaded at each."""


class Residual(nn.Module):
    """Residual block of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width, 1)
        self.last = _convolution(width, width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Map batch x width x rows x columns to the same shape."""
        return torch.relu(maps + self.last(torch.relu(self.first(maps))))


def _convolution(inner: int, outer: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, stride, 1, bias=False), nn.BatchNorm2d(outer)
    )


class IdentityNet(nn.Module):
    """Network from images (batch x 3 x `SIDE` x `SIDE`, 0..255) to embeddings."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(3, WIDTHS[0], 2), nn.ReLU()]
        for inner, outer in pairwise(WIDTHS):
            layers += [_convolution(inner, outer, 2), nn.ReLU(), Residual(outer)]
        self.maps = nn.Sequential(*layers)
        cells = math.ceil(SIDE / 2 ** len(WIDTHS)) ** 2
        self.last = nn.Linear(WIDTHS[-1] * cells, EMBEDDING_SIZE, bias=False)
        self.norm = nn.BatchNorm1d(EMBEDDING_SIZE)

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings (batch x `EMBEDDING_SIZE`), not normalized."""
        vectors: Tensor = self.norm(
            self.last(self.maps(images / 64 - 2).flatten(1)).float()
        )
        return vectors


class Drawings:
    """Memory-mapped images of people: parts of people x images x 80 x 80 x 3."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: dict[int, np.ndarray] = {}
        self.load_new_parts()

    def load_new_parts(self) -> None:
        """Load the parts that were drawn since the last call."""
        for path in sorted(self._folder.glob("part-*.npy")):
            if (number := int(path.stem[5:])) not in self._parts:
                self._parts[number] = np.load(path, mmap_mode="r").view(np.ndarray)

    @property
    def people(self) -> int:
        """The number of people, including the held-out ones."""
        return (max(self._parts) + 1) * PART

    def batch(
        self,
        rng: np.random.Generator,
        strength: float,
        count: int,
        device: torch.device,
    ) -> tuple[Tensor, Tensor]:
        """Return `count` augmented training images and the class of each.

        `strength` (0 to 1) is that of the augmentation.
        """
        parts = rng.choice([number for number in self._parts if number], count)
        rows = rng.integers(0, PART, count)
        positions = rng.random(count)
        albums = [self._parts[part][row] for part, row in zip(parts, rows, strict=True)]
        drawings = [
            album[int(position * len(album))]
            for album, position in zip(albums, positions, strict=True)
        ]
        images = (
            torch.from_numpy(np.stack(drawings)).to(device).permute(0, 3, 1, 2).float()
        )
        augmented = [
            _degrade(_transform(group, rng, strength), rng, strength)
            for group in images.split(OCCLUSION_GROUP)
        ]
        batch = torch.cat(augmented).contiguous(memory_format=torch.channels_last)
        return batch, torch.from_numpy(parts * PART + rows).to(device)

    def held_out(self) -> tuple[Tensor, np.ndarray]:
        """Return the images of held-out people, and the person of each."""
        first = self._parts[0]
        images = (
            torch.from_numpy(first.reshape(-1, *first.shape[2:]))
            .permute(0, 3, 1, 2)
            .float()
        )
        return _resize(images), np.repeat(np.arange(PART), first.shape[1])


def _transform(images: Tensor, rng: np.random.Generator, strength: float) -> Tensor:
    """Crop, rotate, shear or mirror each image at random."""
    count = len(images)
    min_side = FIRST_MIN_CROP + (MIN_CROP - FIRST_MIN_CROP) * strength
    sides = rng.uniform(min_side, 1, (count, 1, 1)) * np.exp(
        rng.normal(0, 0.05 * strength, (count, 2, 1))
    )
    sides = np.minimum(1, sides)
    middle = rng.uniform(-1, 1, (count, 2, 1)) * (1 - sides)
    turn = rng.normal(0, 0.12 * strength, count)
    lean = rng.normal(0, 0.06 * strength, count)
    way = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    rows = (way * np.cos(turn), lean - np.sin(turn)), (way * np.sin(turn), np.cos(turn))
    turned = np.stack([np.stack(row, 1) for row in rows], 1) * sides
    maps = torch.from_numpy(np.concatenate([turned, middle], 2).astype(np.float32))
    grid = functional.affine_grid(
        maps.to(images.device), [count, 3, SIDE, SIDE], align_corners=False
    )
    return functional.grid_sample(
        images, grid, padding_mode="border", align_corners=False
    )


def _resize(images: Tensor) -> Tensor:
    return functional.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True)


def _degrade(images: Tensor, rng: np.random.Generator, strength: float) -> Tensor:
    """Vary light, contrast, color and sharpness, and cover some parts."""

    def draw(mean: float, spread: float, channels: int = 1) -> Tensor:
        values = rng.normal(mean, spread * strength, (len(images), channels, 1, 1))
        return torch.from_numpy(values.astype(np.float32)).to(images.device)

    images = (images - 128) * draw(1, 0.12) + 128 + draw(0, 15)
    grey = images.mean(1, keepdim=True)
    images = (grey + (images - grey) * draw(1, 0.2).clamp(0, 2)) * draw(
        0, 0.07, 3
    ).exp()
    if rng.random() < 0.3 * strength:
        down, across = rng.integers(8, 26, 2).tolist()
        top = int(rng.integers(0, SIDE - down))
        left = int(rng.integers(0, SIDE - across))
        colors = (
            torch.from_numpy(rng.random((len(images), 3, 1, 1)).astype(np.float32))
            * 255
        )
        mask = torch.from_numpy(rng.random((len(images), 1, 1, 1)) < 0.5).to(
            images.device
        )
        patch = images[:, :, top : top + down, left : left + across]
        patch.copy_(torch.where(mask, colors.to(images.device), patch))
    if rng.random() < 0.2 * strength:
        small = int(rng.integers(22, 44))
        images = _resize(functional.interpolate(images, (small, small), mode="area"))
    return images.clamp(0, 255)


class Training:
    """Network, class centers, optimizer, and running mean of the weights."""

    def __init__(self, people: int, steps: int, device: torch.device) -> None:
        self.net = IdentityNet().to(device, memory_format=torch.channels_last)
        self.loss = CosFaceLoss(people, EMBEDDING_SIZE, margin=MARGIN, scale=SCALE).to(
            device
        )
        # Short vectors turn quickly: with lengths of 11 the loss did not fall in 800 steps.
        nn.init.normal_(self.loss.W, std=0.01)
        groups = [
            {"params": self.net.parameters(), "weight_decay": 0.02},
            {"params": self.loss.parameters(), "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups)
        self.mean = {
            name: value.clone() for name, value in self.net.state_dict().items()
        }
        self.step = 0
        self.steps = steps

    @property
    def hardness(self) -> float:
        """The strength of margin and augmentation so far, 0 to 1."""
        return min(1.0, self.step / self.steps / RAMP_SHARE)

    def take_step(self, images: Tensor, people: Tensor) -> Tensor:
        """Take one optimizer step; return the loss."""
        share = self.step / self.steps
        rate = RATE * min(1.0, (self.step + 1) / WARM_UP)
        rate *= 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share))
        for group, times in zip(
            self.optimizer.param_groups, (1, CENTER_RATE_FACTOR), strict=True
        ):
            group["lr"] = rate * times
        self.loss.margin = MARGIN * self.hardness**2
        with torch.autocast(images.device.type, torch.bfloat16):
            vectors = self.net(images)
        loss: Tensor = self.loss(vectors.float(), people)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimizer.step()
        update_mean(self.mean, self.net, self.step, DECAY)
        self.step += 1
        return loss.detach()

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        parts = {"net": self.net, "loss": self.loss, "optimizer": self.optimizer}
        state = {name: part.state_dict() for name, part in parts.items()}
        scratch = path.with_suffix(".part")
        torch.save({**state, "mean": self.mean, "step": self.step}, scratch)
        scratch.replace(path)

    def resume(self, path: Path) -> None:
        """Load a checkpoint."""
        state = torch.load(path, map_location=self.loss.W.device)
        self.net.load_state_dict(state["net"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.mean, self.step = state["mean"], state["step"]


def averaged_net(mean: Mapping[str, Tensor]) -> IdentityNet:
    """Return a network with these weights, in evaluation mode."""
    net = IdentityNet()
    net.load_state_dict(mean)
    return net.eval()


def nearest_neighbor_accuracy(net: IdentityNet, drawings: Drawings) -> float:
    """Return the nearest-neighbor accuracy on held-out images."""
    images, people = drawings.held_out()
    with torch.no_grad():
        vectors = functional.normalize(net(images)).numpy()
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1)
    return float((people[similarity.argmax(1)] == people).mean())


def fuse_batch_norms(net: IdentityNet) -> IdentityNet:
    """Fuse batch norms into the preceding layers, in place."""
    for part in net.modules():
        if isinstance(part, nn.Sequential) and len(part) == 2:
            part[0] = nn.utils.fuse_conv_bn_eval(part[0], part[1])
            part[1] = nn.Identity()
    net.last = nn.utils.fuse_linear_bn_eval(net.last, net.norm)
    net.norm = nn.Identity()
    return net


def main() -> None:
    """Train from scratch or resume, then export the network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8700)
    parser.add_argument("--batch", type=int, default=960)
    parser.add_argument(
        "--classes", type=int, help="final number of people (default: those drawn)"
    )
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    arguments = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.manual_seed(0)
    arguments.work.mkdir(parents=True, exist_ok=True)
    drawings = Drawings(arguments.people)
    training = Training(
        arguments.classes or drawings.people, arguments.steps, arguments.device
    )
    if (last := arguments.work / "last.pt").exists():
        training.resume(last)
    start = time.perf_counter()
    total = torch.zeros((), device=arguments.device)
    while training.step < arguments.steps:
        rng = np.random.default_rng((0, training.step))
        batch = drawings.batch(
            rng, training.hardness, arguments.batch, arguments.device
        )
        total += training.take_step(*batch)
        if training.step % CHECKPOINT_STEPS == 0 or training.step == arguments.steps:
            training.save(last)
            drawings.load_new_parts()
            spent = time.perf_counter() - start
            mean = float(total) / ((training.step - 1) % CHECKPOINT_STEPS + 1)
            print(
                f"{training.step} of {arguments.steps}: {mean:.3f}, {spent:.0f} s",
                flush=True,
            )
            total.zero_()
    net = averaged_net(training.mean)
    accuracy = nearest_neighbor_accuracy(net, drawings)
    print(f"nearest-neighbor accuracy on held-out people: {accuracy:.3f}")
    axes = {"picture": {0: "n"}, "vector": {0: "n"}}
    write_onnx(
        fuse_batch_norms(net), torch.zeros(1, 3, SIDE, SIDE), arguments.out, axes
    )
    print(f"{arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
