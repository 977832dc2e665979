"""How well a run says "unknown": measured on classes that were left out of the training.

Classes are left out in turn. Each time a network learns from the others with the settings of the
run, is calibrated and given its threshold on val as a run is, and is shown the known pictures of
test and all pictures of the classes that it never met.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from baseline.data.grouped_split import with_val
from baseline.data.samples import Examples, find_examples, prior_shift
from baseline.judge.answers import UNKNOWN, DecisionRule, decide
from baseline.judge.familiarity import FeatureScale
from baseline.judge.judging import TEST, fitted_rule
from baseline.judge.metrics import empty_split, sample_context
from baseline.judge.open_set import OpenSetResult, Round, SeenPictures, open_set_result
from baseline.judge.outputs import Outputs
from baseline.judge.thresholds import choose_familiarity
from baseline.settings import Settings
from baseline.train.inference import outputs_familiarity, scale_of, split_outputs
from baseline.train.methods.registry import fit_method
from baseline.train.methods.training_data import TrainingData
from baseline.train.storage import load_model
from baseline.train.trained_net import GalleryHead
from gleanset import Dataset
from gleanset.db.runs import SplitEvaluations
from gleanset.errors import InputUnusable
from gleanset.records import Sample
from gleanset.work.progress import Progress

PARTS = 5
"""Networks that are trained, each without another part of the classes."""
STRANGERS = "strangers"


def measure_open_set(
    dataset: Dataset, run: str, folder: Path, wanted: float, progress: Progress | None = None
) -> OpenSetResult:
    """Measure "unknown" with the settings of a run, at most `wanted` of known pictures unknown.

    Test is looked at, which is recorded. Raises `InputUnusable` where there are fewer than three
    classes or test is empty, and what training raises.
    """
    _, settings, _ = load_model(folder)
    examples = find_examples(dataset)
    if not examples.splits[TEST]:
        raise empty_split("there is no picture in test to be known", f" {dataset.option}")
    keys = [sample.key for sample in examples.splits[TEST]]
    SplitEvaluations(dataset.db).add(run, TEST, keys, "open-set")
    rounds = leave_classes_out(dataset, examples, settings, wanted, progress)
    return open_set_result(wanted, list(rounds))


def leave_classes_out(
    dataset: Dataset,
    examples: Examples,
    settings: Settings,
    wanted: float,
    progress: Progress | None = None,
) -> Iterator[Round]:
    """Yield what is said of known pictures and of strangers, each class being left out once.

    Raises `InputUnusable` where there are fewer than three classes, and what training raises.
    """
    if len(examples.classes) < 3:
        raise InputUnusable(
            f"there are {len(examples.classes)} classes: one left out leaves nothing to tell apart",
            "measure it on a dataset of three classes or more",
        )
    shuffled = np.random.default_rng(settings.seed).permutation(examples.classes).tolist()
    # With three or four classes only one at a time, so that two are left.
    parts = np.array_split(shuffled, max(min(PARTS, len(shuffled)), -(-len(shuffled) // 2)))
    for out in (progress or Progress()).over(parts, "classes left out", total=len(parts)):
        part = without_classes(examples, {str(name) for name in out}, settings.seed)
        yield _shown(TrainingData(dataset, part, settings), examples, wanted)


def without_classes(examples: Examples, out: set[str], seed: int) -> Examples:
    """Return the examples without some classes, whose pictures are the split `STRANGERS`.

    Among these are none of a moment that is learnt from, and none whose label nobody has looked at.
    They go by the name of some class that stays, for pictures are read with one.
    """
    stay = [number for number, name in enumerate(examples.classes) if name not in out]
    classes = tuple(examples.classes[number] for number in stay)
    splits = {
        split: tuple(sample for sample in samples if sample.label not in out)
        for split, samples in examples.splits.items()
    }
    weights = tuple(examples.weights[number] for number in stay) if examples.weights else ()
    known, _ = with_val(replace(examples, classes=classes, splits=splits, weights=weights), seed)
    learnt = {
        examples.moments[sample.key] for part in ("train", "val") for sample in known.splits[part]
    }
    away = {
        sample.key: replace(sample, label=classes[0])
        for sample in _all_samples(examples)
        if sample.label in out
        and sample.key not in examples.unseen
        and examples.moments[sample.key] not in learnt
    }
    return replace(known, splits=known.splits | {STRANGERS: tuple(away.values())})


def _all_samples(examples: Examples) -> Iterable[Sample]:
    return (sample for samples in examples.splits.values() for sample in samples)


def _shown(data: TrainingData, everything: Examples, wanted: float) -> Round:
    """Train, choose the threshold on val, and show what was not learnt from."""
    examples = data.examples
    net = fit_method(data, data.settings).net
    outputs = {
        split: split_outputs(net, data, split).unique()
        for split, samples in examples.splits.items()
        if samples
    }
    if "val" not in outputs:
        why = "val is empty, so no threshold can be chosen"
        raise empty_split(why, f" {data.dataset.option}")
    context = sample_context(data.dataset, list(_all_samples(examples)), examples.moments)
    shift = prior_shift(examples, data.settings)
    _, rule = fitted_rule(outputs["val"], examples.classes, context, shift)
    scale = None if isinstance(net.head, GalleryHead) else scale_of(outputs["train"])
    val = outputs_familiarity(outputs["val"], examples.classes, rule, scale)
    chosen = choose_familiarity(val, context.groups(outputs["val"].keys), wanted)
    rule = rule.but(unfamiliar_below=chosen.below)
    names = {sample.key: str(sample.label) for sample in _all_samples(everything)}

    def seen(split: str, cases: Mapping[str, str]) -> SeenPictures:
        return _seen(outputs.get(split), examples.classes, rule, scale, cases)

    return seen(TEST, examples.moments), seen(STRANGERS, names)


def _seen(
    outputs: Outputs | None,
    classes: tuple[str, ...],
    rule: DecisionRule,
    scale: FeatureScale | None,
    cases: Mapping[str, str],
) -> SeenPictures:
    """Return what is answered to pictures, which count as `cases`."""
    if outputs is None:
        return SeenPictures(np.zeros(0), np.zeros(0, np.bool_), ())
    familiarity = outputs_familiarity(outputs, classes, rule, scale)
    answers = decide(outputs.logits, classes, rule, familiarity)
    return SeenPictures(
        familiarity, answers.classes == UNKNOWN, [cases[key] for key in outputs.keys]
    )
