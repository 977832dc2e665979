"""Device, precision, and reproducible random numbers for torch."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import numpy as np
import torch

from baseline.settings import Precision


class Compute(NamedTuple):
    """A device, and the precision of training on it."""

    device: torch.device
    dtype: torch.dtype = torch.float32

    @property
    def name(self) -> str:
        """The precision: fp32 or bf16."""
        return "bf16" if self.dtype == torch.bfloat16 else "fp32"

    def autocast(self) -> AbstractContextManager[object]:
        """Return a context in which convolutions and products run in the chosen precision."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)


def choose_compute(precision: Precision) -> Compute:
    """Choose CUDA if available, else the CPU; bf16 on request or if the hardware supports it."""
    # Emulated bf16 is slower than float32.
    if torch.cuda.is_available():
        device = torch.device("cuda")
        is_fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        device = torch.device("cpu")
        capabilities = torch.cpu.get_capabilities()
        is_fast = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")

    if precision == "bf16" or (precision == "auto" and is_fast):
        return Compute(device, torch.bfloat16)
    return Compute(device)


def to_network(x: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a batch as float32 in 0..1, channels last, on `device`."""
    batch = x.to(device, non_blocking=True)
    if batch.dtype == torch.uint8:
        batch = batch.to(torch.float32).div_(255)
    if batch.ndim != 4:  # features
        return batch
    return batch.contiguous(memory_format=torch.channels_last)


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed torch, and restore the random states of torch and numpy afterwards.

    Training steps seed numpy, for objectives that use its global state. Results are deterministic
    on the CPU; on CUDA the last digits may differ.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    before = np.random.get_state()

    with (
        torch.random.fork_rng(devices),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
