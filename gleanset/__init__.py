"""Gleanset: from a keyword or a stack of episodes to a labelled, honestly split dataset."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gleanset.dataset import Dataset
    from gleanset.records import Box, Candidate, Decision, Face, Image, Origin, Rejection, Sample

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
]

# Read when onnxruntime is imported: it would send usage data and keep an identifier on the disk.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    """Import what is asked for: a console script hears Ctrl-C before it waits for all that."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "gleanset.dataset" if name == "Dataset" else "gleanset.records"
    value = globals()[name] = getattr(import_module(module), name)
    return value
