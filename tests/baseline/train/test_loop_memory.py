"""Too little memory, for real: the address space of the training's process is limited."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn_patterns import none, patterns
from tools_for_tests import ROOT, python_path
from torch import nn

from baseline.features.batching import is_out_of_memory
from baseline.settings import Simple, load_preset
from baseline.train.inference import network_outputs
from baseline.train.loop import classifier_task, train_network
from baseline.train.networks import build_net, learnt
from gleanset.errors import UsageError

SCRIPT = Path(__file__).with_name("little_memory.py")
PATHS = python_path(ROOT / "tests")


def train_within(megabytes: int, *sizes: int) -> tuple[list[str], list[dict[str, Any]]]:
    """What trainings on pictures of these sizes say, and the figures of each."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(megabytes), "32", *map(str, sizes)],
        check=True,
        text=True,
        env=os.environ | {"PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=240,
    )
    lines = done.stdout.splitlines()
    figures = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in lines if not line.startswith("{")], figures


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's limits")
def test_too_little_memory_is_answered_by_parts_of_a_batch() -> None:
    said, (told, hopeless) = train_within(50, 32, 256)
    assert "out of memory with 16 pictures at once: going on with 8" in said[0]
    assert told["at_once"] in (4, 8)
    assert told["steps_per_epoch"] == 12
    assert told["losses"][1] < told["losses"][0]
    assert "does not even suffice for 4 pictures" in hopeless["error"]
    assert "size" in hopeless["mend"]


class Narrow(nn.Module):
    """Takes so many pictures at once, as a device with little memory does."""

    def __init__(self, net: nn.Module, most: int) -> None:
        super().__init__()
        self.net, self.most, self.seen = net, most, [0]

    def _entered(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.seen.append(len(x))
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.net(self._entered(x))
        return answer


def test_parts_of_a_batch_teach_what_the_whole_one_does() -> None:
    """A network without norms, which see the part alone, learns the same to a digit or two."""
    options = {"size": "32", "batch": "32", "epochs": "2", "precision": "fp32"}
    settings = load_preset("simple", options | {"colour": "grayscale"})
    assert isinstance(settings, Simple)
    pictures, plain = patterns((40, 40, 40), 1, channels=1), nn.Sequential(nn.Flatten())
    plain.extend([nn.Linear(32 * 32, 16), nn.ReLU(), nn.Linear(16, 3)])
    whole = train_network(classifier_task(deepcopy(plain), pictures, none(), settings))
    narrow = Narrow(plain, 8)
    parts = train_network(classifier_task(narrow, pictures, none(), settings))
    assert whole.facts["at_once"] is None
    assert parts.facts["at_once"] == max(narrow.seen) <= 8
    losses = [[report.train_loss for report in fitted.history] for fitted in (whole, parts)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)


def test_judging_takes_fewer_pictures_at_once() -> None:
    settings = load_preset("simple", {"size": "32", "blocks": "4,8", "dense": "8"})
    net, pictures = learnt(build_net(settings, 3), settings), patterns((60, 50, 40), 1)
    calm, plain, seen = network_outputs(net, pictures).logits, net.extract, list[int]()

    def narrow(most: int) -> Any:
        def extract(x: np.ndarray) -> np.ndarray:
            if len(x) > most:
                raise MemoryError
            seen.append(len(x))
            return plain(x)

        return extract

    net.extract = narrow(40)  # type: ignore[misc]
    assert np.allclose(network_outputs(net, pictures).logits, calm, atol=1e-5)
    assert (max(seen), sum(seen)) == (32, 150)
    net.extract = narrow(0)  # type: ignore[misc]
    with pytest.raises(UsageError, match="not even suffice for 1 picture"):
        network_outputs(net, patterns((1, 1, 0), 1))


def test_what_says_that_memory_is_full() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for conv"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
