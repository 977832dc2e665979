"""Train the face detector on drawn scenes.

    python tools/drawn_faces/train.py --scenes DIR [--scenes DIR] --out DIR --steps 3000
        [--batch 16] [--side 256] [--rate 0.0015] [--bf16] [--device cuda] [--start FILE.onnx]

Every hundred steps, writes `last.pt` (a checkpoint, from which an interrupted run resumes) and
`net.pt` (the running mean of the weights, for evaluation and export). Prints losses every 50 steps.
`--start` begins with a model that `export.py` wrote, which is faster and needs fewer steps.
"""

import argparse
import math
import queue
import random
import threading
import time
from pathlib import Path

import cv2
import onnx
import torch
from export import fuse_batch_norms
from network import FaceNet, face_loss
from onnx import numpy_helper
from samples import SceneSet
from torch import Tensor, nn

DECAY = 0.998


def learning_rate(step: int, steps: int, top: float) -> float:
    """Return the learning rate: linear warm-up of 100 steps, then cosine decay."""
    if step < 100:
        return top * (step + 1) / 100
    return top * (
        0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - 100) / max(steps - 100, 1)))
    )


def batches(
    scenes: SceneSet, seed: int, first: int, count: int, side: int
) -> queue.Queue:
    """Return a queue of batches, filled by a thread from step `first`."""
    ready: queue.Queue = queue.Queue(4)

    def fill() -> None:
        step = first
        while True:
            ready.put(scenes.batch(random.Random(f"{seed} {step}"), count, side))
            step += 1

    threading.Thread(target=fill, daemon=True).start()
    return ready


def update_mean(
    mean: dict[str, Tensor], net: nn.Module, step: int, decay: float
) -> None:
    """Update the running mean of the weights, after `step` earlier updates."""
    share = min(decay, (step + 1) / (step + 10))
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.dtype.is_floating_point:
                mean[name].lerp_(value, 1 - share)
            else:
                mean[name].copy_(value)


def read_exported(file: Path) -> FaceNet:
    """Return the network of an exported model: without batch norms, its first layers fixed."""
    net = fuse_batch_norms(FaceNet())
    state = {}
    scales = []
    for tensor in onnx.load(file).graph.initializer:
        value = torch.from_numpy(numpy_helper.to_array(tensor).copy()).float()
        if tensor.name.startswith("net."):
            state[tensor.name.removeprefix("net.").removesuffix("_16")] = value
        else:
            scales.append(value)
    net.load_state_dict({**state, "scales": torch.stack(scales)})
    net.stem.requires_grad_(False)
    return net


def main() -> None:
    """Train from scratch, or resume an interrupted run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--bf16", action="store_true", help="use bfloat16, faster on some CPUs"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--start", type=Path)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    arguments.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    torch.manual_seed(arguments.seed)
    scenes = SceneSet(arguments.scenes)
    net = read_exported(arguments.start) if arguments.start else FaceNet()
    net.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), arguments.rate, weight_decay=0.02)
    mean = {name: value.clone() for name, value in net.state_dict().items()}
    step = 0
    last = arguments.out / "last.pt"
    if last.exists():
        state = torch.load(last, device)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        mean, step = state["mean"], state["step"]
    ready = batches(scenes, arguments.seed, step, arguments.batch, arguments.side)
    start = time.monotonic()
    sums = [0.0, 0.0]
    net.train()
    while step < arguments.steps:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, arguments.steps, arguments.rate)
        images, targets = ready.get()
        values = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, arguments.bf16):
            predictions = net(values)
        score, box = face_loss(
            predictions, [torch.from_numpy(level).to(device) for level in targets]
        )
        optimizer.zero_grad()
        (score + 1.5 * box).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        update_mean(mean, net, step, DECAY)
        sums = [sums[0] + float(score.detach()), sums[1] + float(box.detach())]
        step += 1
        if step % 50 == 0:
            spent = time.monotonic() - start
            print(
                f"{step} {sums[0] / 50:.4f} {sums[1] / 50:.4f} {spent:.0f}s", flush=True
            )
            sums = [0.0, 0.0]
        if step % 100 == 0 or step == arguments.steps:
            state = {"net": net.state_dict(), "optimizer": optimizer.state_dict()}
            part = last.with_suffix(".part")
            torch.save({**state, "mean": mean, "step": step}, part)
            part.replace(last)
            torch.save(
                {name: value.cpu() for name, value in mean.items()},
                arguments.out / "net.pt",
            )


if __name__ == "__main__":
    main()
