"""What a run left in its folder, typed: written when it is trained and judged, read for its report.

torch is not needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from baseline.data.runs import METRICS, NETWORK, SETTINGS, WEIGHTS, read_run_json
from baseline.evaluation.calibration import ScoreCalibration
from baseline.evaluation.metrics import RetrievalMetrics, SplitMetrics
from baseline.settings import UNUSED_SETTINGS_BY_HEAD
from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.words import count

if TYPE_CHECKING:
    from baseline.data.samples import Examples


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One pass over the training samples. Validation figures are None without such samples.

    Losses are those of the method (cross entropies in nats, weighted by class where that is
    set); `seconds` and `images_per_second` count training, not validation; `data_wait` is the
    share of these seconds in which a step waited for its batch; `learning_rate` that of the
    last step.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    seconds: float = 0.0
    images_per_second: float = 0.0
    data_wait: float = 0.0
    learning_rate: float = 0.0


@dataclass(frozen=True, slots=True)
class RunMetrics:
    """The content of `metrics.json`.

    `data` is how many pictures there were, `training` what the method says of itself, `gap` by how
    much the accuracy on train is above that on other splits, `copies` is from
    `summarize_copy_search` of test.
    """

    classes: list[str]
    settings: dict[str, Any]
    data: dict[str, Any]
    epochs: list[EpochReport] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    device: str | None = None
    precision: str | None = None
    parameters: int | None = None
    training: dict[str, Any] = field(default_factory=dict)
    temperature: float | None = None
    calibration: ScoreCalibration | None = None
    train: SplitMetrics | None = None
    val: SplitMetrics | None = None
    test: SplitMetrics | None = None
    gap: dict[str, float] = field(default_factory=dict)
    retrieval: RetrievalMetrics | None = None
    copies: dict[str, int] | None = None

    @property
    def has_no_copies(self) -> bool:
        """Whether near copies were looked for in all that was learnt and judged by, and none is
        left.
        """
        return is_free_of_copies(self.copies)

    @property
    def copies_note(self) -> str:
        """How far pictures of test are ones that it has not learnt, as a sentence."""
        words = describe_copy_search(self.copies)
        return f"{words[0].upper()}{words[1:]}."

    @property
    def settings_used(self) -> dict[str, Any]:
        """The settings that had a say: a head that was solved did not descend."""
        idle = UNUSED_SETTINGS_BY_HEAD["logistic"] if "strength" in self.training else set()
        return {key: value for key, value in self.settings.items() if key not in idle}

    @property
    def course(self) -> str:
        """How the network was trained, as a sentence after its name."""
        if self.epochs:
            passes = count(len(self.epochs), "pass", "passes")
            kept = f"{passes} over the training pictures; epoch {self.best_epoch} was kept"
            return kept + self._parts
        if "strength" not in self.training:
            return "no passes over the training pictures are recorded"
        limit = "" if self.training.get("converged", True) else ", which had not converged yet"
        return (
            "its head was solved as a logistic regression (strength "
            f"{self.training['strength']:g}){limit}; nothing was learnt pass by pass{self._parts}"
        )

    @property
    def _parts(self) -> str:
        """How much each part of the features counts, as the rest of a sentence."""
        parts = self.training.get("parts", {})
        if len(parts) < 2:
            return ""
        first, *others = parts.items()
        beside = " and ".join(f"{name} {weight:g}" for name, weight in others)
        return f"; beside {first[0]} (1) {beside} was weighed in, by {self.training['parts_by']}"

    @property
    def splits(self) -> dict[str, SplitMetrics]:
        """The splits that were judged."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: figures for name, figures in named.items() if figures is not None}


def write_metrics(folder: Path, figures: RunMetrics, *, scratch: Path | None = None) -> None:
    """Write `metrics.json`. Raises NotWritable or DiskFull."""
    text = json.dumps(msgspec.to_builtins(figures), ensure_ascii=False, indent=1)
    write_atomic(folder / METRICS, text.encode(), scratch=scratch)


def read_metrics(folder: Path) -> RunMetrics:
    """Return the figures of a run. Raises `InputUnusable`."""
    path = folder / METRICS
    try:
        # By way of `json`: a figure that is no number may be written as NaN.
        figures = msgspec.convert(json.loads(path.read_bytes()), RunMetrics, strict=False)
    except FileNotFoundError:
        raise InputUnusable(
            f"run {folder.name} has no figures: {path} is missing",
            "name another run (gleanset list runs), or train again: baseline train",
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise InputUnusable(f"{path} cannot be read: {error}", "baseline train") from error
    if figures.parameters is None:
        figures = replace(figures, parameters=_recorded_parameters(folder))
    return figures


class _RecordedLayer(msgspec.Struct):
    parameters: int


def _recorded_parameters(folder: Path) -> int | None:
    """Return the parameters of a run of an earlier version, which recorded its layers."""
    fix = "train again: baseline train"
    layers = read_run_json(folder, NETWORK, list[_RecordedLayer], fix)
    return sum(layer.parameters for layer in layers) if layers else None


def weights_size(folder: Path) -> int | None:
    """Return bytes of the weights' file that the settings name; None where it is gone.

    It has another name than `WEIGHTS` once the gallery of a run was changed.
    """
    try:
        described = json.loads((folder / SETTINGS).read_bytes())
        return (folder / Path(described.get("weights", WEIGHTS)).name).stat().st_size
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def summarize_copy_search(dataset: Dataset, examples: Examples, split: str) -> dict[str, int]:
    """Return in how many `pictures`, learnt from or of `split`, copies were `searched` for.

    `torn` are those of the split that are of a moment that train has, too.
    """
    keys = {sample.key for part in {"train", split} for sample in examples.splits[part]}
    searched = Pairs(dataset.db).count_searched(keys)
    return {
        "pictures": len(keys),
        "searched": searched,
        "torn": examples.count_leaked_samples(split),
    }


def is_free_of_copies(search: Mapping[str, Any] | None) -> bool:
    """Return whether copies were looked for in all pictures, and no moment is torn.

    None is what a run of before has noted.
    """
    return search is not None and search["searched"] == search["pictures"] and not search["torn"]


def describe_copy_search(search: Mapping[str, Any] | None) -> str:
    """Say how far pictures of test are ones that a run has not learnt."""
    if search and search["torn"]:
        of = "a scene, a post or a look that it learnt"
        return f"{search['torn']} of them of {of}: no true test"
    if is_free_of_copies(search):
        return "none of which it learnt, nor a near copy that was found"
    looks = "labeler split looks for them"
    if not search or not search["searched"]:
        return f"nobody looked for near copies of them among those it learnt ({looks})"
    of = f"{search['searched']:,} of {count(search['pictures'], 'picture')}"
    return f"near copies of those it learnt were looked for in {of} only ({looks})"
