"""Too little memory, in training and in judging."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from drawn_patterns import none, patterns
from torch import nn

from baseline.features.batching import is_out_of_memory
from baseline.settings import Simple, load_preset
from baseline.train.inference import network_outputs
from baseline.train.loop import classifier_task, train_network
from baseline.train.networks import build_net, learnt
from gleanset.errors import UsageError


class Narrow(nn.Module):
    """A network on a device without memory for a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_too_little_memory_for_a_batch_says_what_to_change() -> None:
    settings = load_preset("simple", {"size": "32", "batch": "32", "epochs": "2"})
    assert isinstance(settings, Simple)
    with pytest.raises(UsageError, match="out of memory with 10 images at once") as caught:
        train_network(classifier_task(Narrow(), patterns((40, 40, 40), 1), none(), settings))
    assert "-o batch=" in caught.value.mend


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
