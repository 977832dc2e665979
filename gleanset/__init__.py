"""Gleanset: from a keyword or a stack of episodes to a labelled, honestly split dataset."""

from gleanset.dataset import Dataset
from gleanset.records import Box, Candidate, Decision, Face, Image, Origin, Rejection, Sample

__version__ = "0.1.0"

__all__ = [
    "Box", "Candidate", "Dataset", "Decision", "Face", "Image", "Origin", "Rejection", "Sample",
    "__version__",
]  # fmt: skip
