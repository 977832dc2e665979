"""What computes the answers: a run's network by PyTorch, or an exported file by its runtime.

Each takes pictures as uint8 N x size x size x 3 (RGB) and may be called from several threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from baseline.evaluation.decision_rule import DecisionRule
from baseline.pixels import Pixels
from gleanset.db.faces import CropMethod
from gleanset.errors import InputUnusable

Floats = npt.NDArray[np.float32]


class Told(NamedTuple):
    """What a network says of N pictures.

    `probabilities` N x classes (calibrated), `embeddings` N x D, and `likeness` N x classes x K,
    the cosine likeness to the known pictures of a gallery, None without one.
    """

    probabilities: Floats
    embeddings: Floats
    likeness: Floats | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What one must know of a model to use it.

    `known` names the pictures of its gallery by class; `run` is the folder's name it came from;
    `crops` are the ways in which its training pictures were cut, None where that is not recorded.
    """

    run: str
    size: int
    classes: tuple[str, ...]
    answers: DecisionRule
    known: tuple[tuple[str, ...], ...] | None = None
    crops: tuple[CropMethod, ...] | None = None


class Engine(Protocol):
    """Computes what a model says of pictures."""

    facts: Facts

    def __call__(self, pictures: Pixels) -> Told:
        """Of pictures uint8 N x size x size x 3."""


def engine_of(path: Path) -> Engine:
    """The engine for a run's folder, an `.onnx` or a `.tflite` file.

    Raises `InputUnusable` for what is none of them, `MissingComponent` without its runtime.
    """
    if path.suffix == ".onnx":
        from baseline.export.run_onnx import OnnxEngine

        return OnnxEngine(path)
    if path.suffix == ".tflite":
        from baseline.export.run_litert import LiteRtEngine

        return LiteRtEngine(path)
    if not path.is_dir():
        raise InputUnusable(
            f"there is no model in {path}", "name a run's folder, an .onnx or a .tflite file"
        )
    from baseline.run_torch import TorchEngine

    return TorchEngine.of(path)
