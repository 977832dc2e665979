# Part of Gleanset. (gleanset/start.py looks for this line.)
"""Presets, training, evaluation, prediction and model export.

>>> import baseline
>>> model = baseline.load("my-dataset/runs/20261120-145203-transfer")  # doctest: +SKIP
>>> model.predict("image.jpg")[0]  # doctest: +SKIP
Prediction(label='cat', confidence=0.97)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from baseline.use.model import Model
    from gleanset import Dataset

__all__ = ["load"]


def load(path: str | Path | Dataset, detector: str | None = None) -> Model:
    """Load the latest run of an open dataset, a run's folder or an exported file.

    Images are cropped like its training images, or by `detector`: a name, or `whole`.

    Raises `InputUnusable` if there is none, `MissingComponent` without PyTorch or a runtime.
    """
    # Imported here so that importing settings stays fast.
    from baseline.use.model import load as load_model

    return load_model(path, detector)
