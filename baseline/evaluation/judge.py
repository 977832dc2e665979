"""All figures of a run, from what its network said about each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from baseline.data import Examples
from baseline.evaluation.answers import Answers, save_answers
from baseline.evaluation.calibration import Calibration, fit_calibration
from baseline.evaluation.calibration_error import calibration_error
from baseline.evaluation.context import Context, context_of
from baseline.evaluation.figures import evaluate_logits
from baseline.evaluation.intervals import group_numbers, intervals
from baseline.evaluation.openset import open_set
from baseline.evaluation.outputs import Outputs, save_outputs
from baseline.evaluation.probabilities import softmax
from baseline.evaluation.retrieval import Vectors, retrieval, vectors_of
from baseline.evaluation.slices import slices
from baseline.evaluation.thresholds import risk_curve
from baseline.evaluation.verification import verification
from gleanset import Dataset
from gleanset.db.peeks import Looks, Peeks
from gleanset.page.words import count

TEST = "test"
Figures = dict[str, object]


@dataclass(frozen=True, slots=True)
class Judged:
    """`metrics` are what `metrics.json` gains: a key for each split, and some for all of them.

    `looks` are those at test before this one; None where there is no test split.
    """

    metrics: Figures
    looks: Looks | None
    calibration: Calibration


def judge_run(
    dataset: Dataset, run_id: str, folder: Path, examples: Examples,
    outputs: Mapping[str, Outputs], *, scratch: Path | None = None,
) -> Judged:  # fmt: skip
    """Judge a new run on its splits, and keep what later questions need in its `folder`.

    Written are `outputs.npz` and `answers.json`; the look at test is recorded. Splits without
    pictures may be missing. Raises what the disk raises.
    """
    context = context_of(dataset, (s for part in examples.splits.values() for s in part))
    outputs = {split: unique(told) for split, told in outputs.items() if len(told)}
    fitted = calibration_on(outputs.get("val"), context)
    save_outputs(folder, outputs, scratch=scratch)
    save_answers(folder, Answers(fitted.temperature), scratch=scratch)
    metrics = all_figures(outputs, examples.classes, context, fitted)
    looks = Peeks(dataset.db).add(run_id, TEST, outputs[TEST].keys, "train") if (
        TEST in outputs) else None  # fmt: skip
    return Judged(metrics, looks, fitted)


def calibration_on(val: Outputs | None, context: Context) -> Calibration:
    """The calibration that val gives; none without one."""
    if val is None:
        return Calibration()
    return fit_calibration(val.logits, val.y, context.groups(val.keys))


def unique(told: Outputs) -> Outputs:
    """Each sample once: balancing may have repeated some of train."""
    _, first = np.unique(np.array(told.keys, dtype=np.str_), return_index=True)
    return told if len(first) == len(told) else told.at(np.sort(first).astype(np.int64))


def all_figures(
    outputs: Mapping[str, Outputs], classes: Sequence[str], context: Context, fitted: Calibration
) -> Figures:
    """The figures of every split, the overfitting gap, and retrieval where there are embeddings."""
    told = {
        split: split_figures(found, classes, context, fitted.temperature)
        for split, found in outputs.items()
    }
    return {
        "temperature": fitted.temperature, "calibration": fitted.to_json(), **told,
        "gap": _gap(outputs), "retrieval": retrieval_figures(outputs, context),
    }  # fmt: skip


def split_figures(
    told: Outputs, classes: Sequence[str], context: Context, temperature: float
) -> Figures:
    """One split: plain figures, intervals, calibration before and after, parts of the data.

    `calibrated` holds what scaling by the temperature changes; accuracy is not among it. The
    confidences of mistakes are scaled, as those of a prediction are.
    """
    groups = context.groups(told.keys)
    plain = evaluate_logits(told.logits, told.y, told.keys, classes)
    warm = evaluate_logits(told.logits, told.y, told.keys, classes, temperature=temperature)
    before = calibration_error(softmax(told.logits), told.y)
    after = calibration_error(softmax(told.logits, temperature), told.y)
    ranges = intervals(told.logits, told.y, groups)
    return {
        **plain.to_json(),
        "mistakes": warm.to_json()["mistakes"],
        "moments": len(set(groups)),
        "intervals": {name: list(found) for name, found in ranges.items()},
        **before.to_json(),
        "calibrated": {"log_loss": warm.log_loss, **after.to_json()},
        "kinds": [part.to_json() for part in slices(told, context.kinds, context.moments)],
        "labels": [part.to_json() for part in slices(told, context.givers, context.moments)],
        "risk": risk_curve(told, classes, Answers(temperature)),
    }


def _gap(outputs: Mapping[str, Outputs]) -> dict[str, float]:
    """By how much the accuracy on train is above that on the other splits."""
    right = {s: float((told.logits.argmax(1) == told.y).mean()) for s, told in outputs.items()}
    if "train" not in right:
        return {}
    return {s: right["train"] - share for s, share in right.items() if s != "train"}


def retrieval_figures(outputs: Mapping[str, Outputs], context: Context) -> Figures | None:
    """Test (or val) against the gallery of train, or against itself where there is no train."""
    held = {s: told for s, told in outputs.items() if told.embeddings is not None}
    split = next((s for s in (TEST, "val", "train") if s in held), None)
    if split is None:
        return None
    against = "train" if "train" in held else split
    queries, gallery = _vectors(held[split], held[against], context)
    found = retrieval(queries, gallery)
    if found is None:
        return None
    pairs, opened = verification(queries, gallery), open_set(queries, gallery)
    return {
        "split": split, "against": against, **found.to_json(),
        "verification": pairs and pairs.to_json(), "open_set": opened and opened.to_json(),
    }  # fmt: skip


def _vectors(queries: Outputs, gallery: Outputs, context: Context) -> tuple[Vectors, Vectors]:
    """Both with numbers of moments that mean the same."""
    numbers = group_numbers(context.groups((*queries.keys, *gallery.keys)))
    return (
        vectors_of(queries, numbers[: len(queries)]),
        vectors_of(gallery, numbers[len(queries) :]),
    )


def looked(looks: Looks) -> str:
    """How often test was looked at before by other runs, or for doubts; empty when never."""
    if not looks.times:
        return ""
    runs = ", ".join(looks.runs[:5]) + (" and others" if len(looks.runs) > 5 else "")
    return (
        f"these test pictures were looked at {count(looks.times, 'time')} before, by {runs}: "
        "whoever chooses by them makes their figures too good"
    )
