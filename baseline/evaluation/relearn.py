"""Training anew, as a run did, on other parts of the samples: for out-of-fold answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from baseline.data import Examples, find_examples, load_arrays
from baseline.evaluation.calibration import fit_calibration
from baseline.evaluation.doubts import likely_wrong
from baseline.evaluation.folds import Learn, out_of_fold
from baseline.evaluation.network import outputs_of
from baseline.evaluation.outputs import Outputs
from baseline.evaluation.probabilities import Floats, softmax
from baseline.methods.fit import fit
from baseline.methods.material import Material
from baseline.priors import prior_shift
from baseline.settings import Settings
from baseline.storage import load_model
from gleanset import Dataset
from gleanset.db.runs import Doubt, Doubts, SplitEvaluations
from gleanset.moments import moments_of
from gleanset.work.progress import Progress


@dataclass(frozen=True, slots=True)
class Search:
    """A search for wrong labels: `judged` of `labelled` samples have an out-of-fold answer.

    `accuracy` is the share of these answers that agree with the label.
    """

    run: str
    folds: int
    labelled: int
    judged: int
    accuracy: float
    doubts: tuple[Doubt, ...]


def search_doubts(
    dataset: Dataset, run: str, folder: Path, folds: int, progress: Progress | None = None
) -> Search:
    """Train once for each fold with the settings of a run, and keep the labels in doubt.

    The labels of test are looked at, too, which counts as a look at test. Raises
    `InputUnusable` where there are too few moments, and what training raises.
    """
    _, settings, _ = load_model(folder)
    examples = find_examples(dataset)
    samples = {sample.key for part in examples.splits.values() for sample in part}
    told = out_of_fold(examples, folds, settings.seed, learner(dataset, settings, progress))
    moments = moments_of(dataset.db, told.keys)
    groups = [moments[key] for key in told.keys]
    shift = prior_shift(examples, settings)
    doubts = doubts_in(told, groups, examples.classes, run, shift)
    if test := examples.splits["test"]:
        SplitEvaluations(dataset.db).add(run, "test", [sample.key for sample in test], "doubts")
    Doubts(dataset.db).replace(doubts)
    agree = float((told.logits.argmax(1) == told.y).mean())
    return Search(run, folds, len(samples), len(told), agree, tuple(doubts))


def doubts_in(
    told: Outputs, moments: Sequence[str], classes: tuple[str, ...], run: str, shift: Floats
) -> list[Doubt]:
    """Labels that are likely wrong by out-of-fold answers, which are calibrated first."""
    fitted = fit_calibration(told.logits, told.y, moments, shift)
    probabilities = softmax(fitted.applied(told.logits))
    return [
        Doubt(
            told.keys[one.row],
            classes[told.y[one.row]],
            classes[one.suggested],
            one.confidence,
            one.margin,
            run,
        )
        for one in likely_wrong(probabilities, told.y)
    ]


def learner(dataset: Dataset, settings: Settings, progress: Progress | None) -> Learn:
    """A function that trains as `settings` say and answers what it had not learnt."""

    def learn(examples: Examples) -> Outputs:
        net = fit(Material(dataset, examples, settings, progress or Progress()), settings).net
        arrays = load_arrays(dataset, examples, settings, splits=["test"], progress=progress)
        return outputs_of(net, arrays["test"])

    return learn
