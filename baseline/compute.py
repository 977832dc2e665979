"""What to compute on and how exactly: device, precision, and reproducible randomness."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch

from baseline.presets import Precision


@dataclass(frozen=True, slots=True)
class Compute:
    """A device and whether training on it runs in bfloat16."""

    device: torch.device
    bf16: bool

    def autocast(self) -> AbstractContextManager[object]:
        """A context in which convolutions and products run in the chosen precision."""
        if not self.bf16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def choose_compute(precision: Precision = "auto") -> Compute:
    """CUDA where there is one, else the CPU; bf16 by wish, or where the machine gains by it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if precision == "auto":
        return Compute(device, has_fast_bf16(device))
    return Compute(device, precision == "bf16")


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bf16 is computed in hardware: without that it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed what torch draws itself (first weights, dropout); put its random state back after.

    All that the network needs is deterministic on the CPU. cuDNN is told to be, too, but on
    CUDA the last digits may still differ.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    with (
        torch.random.fork_rng(devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        yield
