"""Presets, training, evaluation, prediction and model export.

>>> import baseline
>>> model = baseline.load("my-dataset/runs/20261120-145203-transfer")  # doctest: +SKIP
>>> model.predict("picture.jpg")[0]  # doctest: +SKIP
Prediction(label='cat', confidence=0.97)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from baseline.use.model import Model

__all__ = ["load"]


def load(path: str | Path, detector: str | None = None) -> Model:
    """Return the model in a run's folder or an exported file; see `baseline.use.model`.

    Its pictures are cut as it learnt them, or as `detector` says: one by its name, or `whole`.

    Raises `InputUnusable` where there is none, `MissingComponent` without PyTorch or a runtime.
    """
    # Imported here: whoever reads settings alone need not wait for it.
    from baseline.use.model import load as load_model

    return load_model(path, detector)
