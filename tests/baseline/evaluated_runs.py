"""Datasets of drawn images with an evaluated run, as a training leaves them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from catalogue_rows import store
from PIL import Image
from tools_for_tests import encode

from baseline.data.samples import Examples, find_examples
from baseline.evaluation.evaluate import evaluate_run, fit_decision_rule
from baseline.evaluation.metrics import RunMetrics, write_metrics
from baseline.evaluation.outputs import NO_SHIFT, Outputs
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.runs import EvaluationCounts
from gleanset.records import Origin

SIDE = 32


def fill(dataset: Dataset, classes: Sequence[str], each: int = 10) -> None:
    """Add `each` weakly labelled images per class, colored by class, split 8:1:1."""
    random = np.random.default_rng(0)
    choices = []
    splits = {}
    with dataset.db.transaction():
        for number in range(each * len(classes)):
            kind, place = divmod(number, each)
            data = _drawn(kind, len(classes), random)
            split = {each - 2: "val", each - 1: "test"}.get(place, "train")
            post = f"{kind}-{place // 2 if split == 'train' else split}"
            key = store(
                dataset, data, Origin("folder", str(number), post=post), alone=True
            )
            choices.append(Choice(key, "label", classes[kind], "hint"))
            splits[key] = (post, split)
        dataset.journal.apply("Label", choices)
        dataset.samples.set_splits(splits)


def _drawn(kind: int, kinds: int, random: np.random.Generator) -> bytes:
    pixels = random.integers(0, 60, (SIDE, SIDE, 3))
    pixels[kind * SIDE // kinds : (kind + 1) * SIDE // kinds] += 190
    return encode(Image.fromarray(pixels.astype(np.uint8)), "PNG")


def simulate_outputs(
    examples: Examples, skill: float = 2.0, seed: int = 0
) -> dict[str, Outputs]:
    """Simulate the outputs of a network of some skill for every split."""
    random = np.random.default_rng(seed)
    number = {name: at for at, name in enumerate(examples.classes)}
    result = {}
    for split, samples in examples.splits.items():
        y = np.array([number[str(s.label)] for s in samples], np.int64)
        logits = random.normal(size=(len(y), len(number))).astype(np.float32)
        logits[np.arange(len(y)), y] += skill
        result[split] = Outputs(logits, y, tuple(s.key for s in samples), logits.copy())
    return result


def make_evaluated_run(
    dataset: Dataset,
    name: str,
    skill: float = 2.0,
    seed: int = 0,
    only: Sequence[str] = ("train", "val", "test"),
) -> tuple[Path, EvaluationCounts | None]:
    """Make a finished, evaluated run; return its folder and earlier evaluations on test."""
    examples = find_examples(dataset)
    folder = dataset.root / "runs" / name
    dataset.runs.start(name, "baseline", {"name": name})
    outputs = {
        s: result
        for s, result in simulate_outputs(examples, skill, seed).items()
        if s in only
    }
    calibration, rule = fit_decision_rule(outputs.get("val"), examples, NO_SHIFT)
    splits, earlier = evaluate_run(dataset, name, examples, outputs, rule)
    # As a report reads it.
    figures = RunMetrics(
        classes=list(examples.classes),
        settings={"preset": "simple", "size": 32},
        data={split: len(samples) for split, samples in examples.splits.items()},
        seconds=12.0,
        calibration=calibration,
        **splits,
    )
    write_metrics(folder, figures)
    dataset.runs.finish(name, "done", {})
    return folder, earlier
