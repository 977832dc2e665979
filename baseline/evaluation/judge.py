"""All figures of a run, from what its network said about each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from baseline.data import Examples
from baseline.evaluation.answers import Answers, calibrated, save_answers, without
from baseline.evaluation.calibration import Calibration, fit_calibration
from baseline.evaluation.calibration_error import calibration_error, classwise_error
from baseline.evaluation.context import Context, context_of
from baseline.evaluation.figures import evaluate_logits
from baseline.evaluation.intervals import group_numbers, intervals
from baseline.evaluation.openset import open_set
from baseline.evaluation.outputs import Outputs, save_outputs
from baseline.evaluation.probabilities import Floats, softmax
from baseline.evaluation.retrieval import Vectors, retrieval, vectors_of
from baseline.evaluation.slices import slices
from baseline.evaluation.thresholds import risk_curve
from baseline.evaluation.verification import verification
from gleanset import Dataset
from gleanset.db.runs import EvaluationCounts, SplitEvaluations
from gleanset.html.words import count

TEST = "test"
Figures = dict[str, object]


@dataclass(frozen=True, slots=True)
class Judged:
    """`metrics` are what `metrics.json` gains: a key for each split, and some for all of them.

    `looks` are those at test before this one; None where there is no test split.
    """

    metrics: Figures
    looks: EvaluationCounts | None
    calibration: Calibration


def judge_run(
    dataset: Dataset,
    run_id: str,
    folder: Path,
    examples: Examples,
    outputs: Mapping[str, Outputs],
    *,
    shift: Floats | None = None,
    scratch: Path | None = None,
) -> Judged:
    """Judge a new run on its splits, and keep what later questions need in its `folder`.

    `shift` is what balancing the classes may have done to the scores (`baseline.priors`). Written
    are `outputs.npz` and `answers.json`; the look at test is recorded. Splits without
    pictures may be missing. Raises what the disk raises.
    """
    context = context_of(dataset, (s for part in examples.splits.values() for s in part))
    outputs = {split: unique(told) for split, told in outputs.items() if len(told)}
    fitted = calibration_on(outputs.get("val"), context, shift)
    offsets = dict(zip(examples.classes, fitted.offsets, strict=False))
    answers = Answers(fitted.temperature, offsets=offsets)
    save_outputs(folder, outputs, scratch=scratch)
    save_answers(folder, answers, scratch=scratch)
    metrics = {"temperature": fitted.temperature, "calibration": fitted.to_json()}
    metrics |= all_figures(outputs, examples.classes, context, answers)
    looks = (
        SplitEvaluations(dataset.db).add(run_id, TEST, outputs[TEST].keys, "train")
        if (TEST in outputs)
        else None
    )
    return Judged(metrics, looks, fitted)


def calibration_on(val: Outputs | None, context: Context, shift: Floats | None) -> Calibration:
    """The calibration that val gives; none without one."""
    if val is None:
        return Calibration(share=0.0 if shift is not None and len(shift) else None)
    return fit_calibration(val.logits, val.y, context.groups(val.keys), shift)


def unique(told: Outputs) -> Outputs:
    """Each sample once: balancing may have repeated some of train."""
    _, first = np.unique(np.array(told.keys, dtype=np.str_), return_index=True)
    return told if len(first) == len(told) else told.at(np.sort(first).astype(np.int64))


def all_figures(
    outputs: Mapping[str, Outputs], classes: Sequence[str], context: Context, answers: Answers
) -> Figures:
    """The figures of every split, the overfitting gap, and retrieval where there are embeddings."""
    told = {
        split: split_figures(found, classes, context, answers) for split, found in outputs.items()
    }
    return {**told, "gap": _gap(told), "retrieval": retrieval_figures(outputs, context)}


def split_figures(
    told: Outputs, classes: Sequence[str], context: Context, answers: Answers
) -> Figures:
    """One split: figures, intervals, calibration before and after, parts of the data.

    Accuracy and all that counts answers is of the answers that are given, by calibrated scores.
    Log loss and calibration error are of the scores as the network gives them; `calibrated` holds
    both anew, and `classwise`, the calibration of each class. Thresholds play no part.
    """
    groups, plain = context.groups(told.keys), without(answers)
    given = replace(told, logits=calibrated(told.logits, classes, plain))
    raw = evaluate_logits(told.logits, told.y, told.keys, classes)
    figures = evaluate_logits(given.logits, given.y, given.keys, classes)
    probabilities = softmax(given.logits)
    after = calibration_error(probabilities, told.y)
    ranges = intervals(given.logits, given.y, groups)
    if ranges:
        ranges["log_loss"] = intervals(told.logits, told.y, groups)["log_loss"]
    return {
        **figures.to_json(),
        "log_loss": raw.log_loss,
        "moments": len(set(groups)),
        "intervals": {name: list(found) for name, found in ranges.items()},
        **calibration_error(softmax(told.logits), told.y).to_json(),
        "calibrated": {"log_loss": figures.log_loss, **after.to_json()},
        "classwise": classwise_error(probabilities, told.y, groups, classes).to_json(),
        "kinds": [part.to_json() for part in slices(given, context.kinds, context.moments)],
        "labels": [part.to_json() for part in slices(given, context.givers, context.moments)],
        "risk": risk_curve(told, classes, plain),
    }


def _gap(told: Mapping[str, Figures]) -> dict[str, float]:
    """By how much the accuracy on train is above that on the other splits."""
    right = {split: float(str(figures["accuracy"])) for split, figures in told.items()}
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
        "split": split,
        "against": against,
        **found.to_json(),
        "verification": pairs and pairs.to_json(),
        "open_set": opened and opened.to_json(),
    }


def _vectors(queries: Outputs, gallery: Outputs, context: Context) -> tuple[Vectors, Vectors]:
    """Both with numbers of moments that mean the same."""
    numbers = group_numbers(context.groups((*queries.keys, *gallery.keys)))
    return (
        vectors_of(queries, numbers[: len(queries)]),
        vectors_of(gallery, numbers[len(queries) :]),
    )


def looked(looks: EvaluationCounts) -> str:
    """How often test was looked at before by other runs, or for doubts; empty when never."""
    if not looks.times:
        return ""
    runs = ", ".join(looks.runs[:5]) + (" and others" if len(looks.runs) > 5 else "")
    return (
        f"these test pictures were looked at {count(looks.times, 'time')} before, by {runs}: "
        "whoever chooses by them makes their figures too good"
    )
