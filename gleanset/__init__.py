"""Gleanset: build labelled image datasets with leak-free splits from the web or videos."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gleanset.dataset import Dataset
    from gleanset.records import (
        Box,
        Candidate,
        Decision,
        Face,
        Image,
        Origin,
        Rejection,
        Sample,
    )

__version__ = "0.1.0"

__all__ = [
    "Box",
    "Candidate",
    "Dataset",
    "Decision",
    "Face",
    "Image",
    "Origin",
    "Rejection",
    "Sample",
    "__version__",
    "load_model",
]

# Module and attribute of the public names that are not in `gleanset.records`.
_PLACES = {
    "Dataset": ("gleanset.dataset", "Dataset"),
    "load_model": ("baseline", "load"),
}

# Read when onnxruntime is imported: by default it sends usage data and stores an identifier.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    """Import public names on first use, after scripts handle Ctrl-C."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES.get(name, ("gleanset.records", name))
    value = getattr(import_module(module), attribute)
    globals()[name] = value  # so that the next use does not come here
    return value
