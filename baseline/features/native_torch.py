"""Where PyTorch would compute here, asked of its library alone.

Most of the seconds that `import torch` takes go into its Python files. Whether the library loads
on this machine, and what it finds to compute on, is known without them.
"""

from __future__ import annotations

import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

CPU_FLAGS = Path("/proc/cpuinfo")
_DEVICE_COUNT = "_ZN3c104cuda12device_countEv"
"""`c10::cuda::device_count()`, which `torch.cuda.is_available` asks, too."""

_COMPUTE_MAJOR = 75
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR in cuda.h."""

_BF16_SINCE = 8
"""Ampere: torch/cuda/__init__.py, `is_bf16_supported`."""


class ComputeFound(NamedTuple):
    """A kind of device, and the precision that training runs in there, as `Compute` names them."""

    device: str
    precision: str


def compute_found() -> ComputeFound:
    """Return what `choose_compute` would choose. Raises whatever `import torch` does."""
    found = _asked_of_library() if sys.platform == "linux" else None
    if found is not None:
        return found
    from baseline.features.compute import choose_compute

    compute = choose_compute()
    return ComputeFound(compute.device.type, compute.name)


def _asked_of_library() -> ComputeFound | None:
    """Return what the library says; None where only the package itself can tell."""
    spec = find_spec("torch")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else Path()
    try:
        if "hip: Optional[str] = None" not in (folder / "version.py").read_text():
            return None
        # What is missing of it, or of what it needs, is an `OSError`.
        ctypes.CDLL(str(folder / "lib" / "libtorch_python.so"), mode=ctypes.RTLD_GLOBAL)
        if _cuda_devices(folder / "lib" / "libc10_cuda.so"):
            return ComputeFound("cuda", "bf16" if _cuda_major() >= _BF16_SINCE else "fp16")
        flags = CPU_FLAGS.read_text().split()
    except (OSError, AttributeError):
        return None
    fast = "avx512_bf16" in flags or "amx_bf16" in flags
    return ComputeFound("cpu", "bf16" if fast else "fp32")


def _cuda_devices(library: Path) -> int:
    """Return how many GPUs there are for this PyTorch; none where it was built without CUDA."""
    if not library.is_file():
        return 0
    count = ctypes.CDLL(str(library))[_DEVICE_COUNT]
    count.restype = ctypes.c_int8
    return int(count())


def _cuda_major() -> int:
    """Return the compute capability of the first GPU. Raises `OSError` where it does not say."""
    driver, major = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetAttribute(ctypes.byref(major), _COMPUTE_MAJOR, 0):
        raise OSError("the driver does not answer")
    return major.value
