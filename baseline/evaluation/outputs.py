"""Outputs of a network for the samples of a split, stored with the run as `outputs.npz`.

Metrics, reports and comparisons are computed from it without the network.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic

FILE = "outputs.npz"


@dataclass(frozen=True, slots=True)
class Outputs:
    """Scores (float32, N x C), true class numbers (int64, N) and sample keys (N) of a split.

    `embeddings` (float32, N x D) are for retrieval metrics, `distances` (N) are those of
    `FeatureScale.distances`, `membership` (N) those of `ClassMembership`; each may be missing.
    """

    logits: Scores
    y: Indices
    keys: tuple[str, ...]
    embeddings: Scores | None = None
    distances: Floats | None = None
    membership: Floats | None = None

    def __post_init__(self) -> None:
        if not len(self.logits) == len(self.y) == len(self.keys):
            raise ValueError("logits, y and keys must be of one length")
        if self.embeddings is not None and len(self.embeddings) != len(self.keys):
            raise ValueError("embeddings and keys must be of one length")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Mask of correct predictions (N)."""
        correct: npt.NDArray[np.bool_] = self.logits.argmax(1) == self.y
        return correct

    def at(self, index: Indices) -> Outputs:
        """Return the outputs of some samples, in this order."""
        return Outputs(
            self.logits[index],
            self.y[index],
            tuple(self.keys[i] for i in index),
            None if self.embeddings is None else self.embeddings[index],
            None if self.distances is None else self.distances[index],
            None if self.membership is None else self.membership[index],
        )


def concatenate_outputs(parts: Sequence[Outputs]) -> Outputs:
    """Concatenate outputs, without embeddings."""
    nonempty = [part for part in parts if len(part)] or parts[:1]
    distances = [part.distances for part in nonempty if part.distances is not None]
    return Outputs(
        np.concatenate([part.logits for part in nonempty]),
        np.concatenate([part.y for part in nonempty]),
        tuple(key for part in nonempty for key in part.keys),
        distances=np.concatenate(distances) if len(distances) == len(nonempty) else None,
    )


def save_outputs(
    folder: Path, splits: Mapping[str, Outputs], *, scratch: Path | None = None
) -> None:
    """Write everything but the embeddings. Raises NotWritable or DiskFull."""
    values: dict[str, np.ndarray] = {}
    for split, outputs in splits.items():
        values |= {
            f"{split}.logits": outputs.logits,
            f"{split}.y": outputs.y,
            f"{split}.keys": np.array(outputs.keys, dtype=np.str_),
        }
        for name in ("distances", "membership"):
            if (numbers := getattr(outputs, name)) is not None:
                values[f"{split}.{name}"] = numbers
    buffer = io.BytesIO()
    np.savez(buffer, **values)  # type: ignore[arg-type]
    write_atomic(folder / FILE, buffer.getvalue(), scratch=scratch)


def load_outputs(folder: Path) -> dict[str, Outputs]:
    """Return the outputs of a run by split, empty without the file. Raises InputUnusable."""
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as values:
            splits = dict.fromkeys(name.partition(".")[0] for name in values.files)
            return {
                split: Outputs(
                    values[f"{split}.logits"].astype(np.float32, copy=False),
                    values[f"{split}.y"].astype(np.int64, copy=False),
                    tuple(map(str, values[f"{split}.keys"])),
                    distances=values.get(f"{split}.distances"),
                    membership=values.get(f"{split}.membership"),
                )
                for split in splits
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputUnusable(
            f"{path} is damaged: {error}", "evaluate the run again: baseline evaluate RUN"
        ) from error


Floats = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


def log_softmax(logits: npt.NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """Return log probabilities (N x C), computed in double precision."""
    scaled = logits.astype(np.float64) / temperature
    shifted = scaled - scaled.max(1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def softmax(logits: npt.NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """Return probabilities (N x C)."""
    result: Floats = np.exp(log_softmax(logits, temperature))
    return result
