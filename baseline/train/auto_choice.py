"""Choosing a preset within train: each candidate is trained on folds and judged on what they hold.

The rule: of the presets whose held-out answers have a log loss that is not above the lowest one
beyond luck, the simplest is taken; each answers at its own temperature. On few pictures log loss
tells presets apart more surely than how many are right, and what costs less to be wrong about goes
first. A dear preset is given up as soon as it is behind beyond luck on the folds so far: paired by
moments, p < 0.05.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from baseline.judge.calibration import fit_calibration
from baseline.judge.intervals import compare_paired, several_interval, standard_error
from baseline.judge.outputs import Floats, Outputs, log_softmax
from baseline.judge.run_figures import PresetChoice, TrialResult
from baseline.settings import AUTO, Settings, check_shared, load_preset
from baseline.train.auto_candidates import PresetCandidate, candidates
from baseline.train.trials import FoldTrials, answered_by_all
from gleanset.errors import DiskFull, InputUnusable, MissingComponent, NotWritable
from gleanset.html.words import count, duration
from gleanset.work.progress import Progress

Say = Callable[[str], None]
LUCK = 2.0
"""Log losses no further apart are level: in standard errors of their difference, paired."""


@dataclass(frozen=True, slots=True)
class ChoicePlan:
    """What will be tried: `candidates`, each trained on so many folds; 0 where nothing can be held
    out.

    Classes that are `unjudged` have a single moment: they are learnt in every fold.
    """

    candidates: tuple[PresetCandidate, ...]
    folds: int
    judged: int
    pictures: int
    unjudged: tuple[str, ...] = ()

    @property
    def tried(self) -> list[PresetCandidate]:
        """Those that are tried, the simplest first."""
        return [one for one in self.candidates if not one.left_out]

    def words(self) -> list[str]:
        """Return the plan as lines for a person."""
        if not self.folds:
            return [f"{AUTO}: {self._alone()}"]
        seconds = sum(candidate.seconds for candidate in self.tried)
        return [
            f"{AUTO}: trying {count(len(self.tried), 'preset')} on {count(self.folds, 'fold')} of "
            f"the {count(self.pictures, 'picture')} of train, about "
            f"{duration(max(1.0, seconds))} in all, less where features are there already; "
            "test is not looked at",
            *(f"  {candidate.words}" for candidate in self.candidates),
            *(
                [f"  of a single moment, so not judged: {', '.join(self.unjudged)}"]
                if self.unjudged
                else []
            ),
        ]

    def _alone(self) -> str:
        return (
            f"no class has pictures of two moments in train, so nothing can be held out: "
            f"{self.tried[0].preset} by rule, the simplest that learns from so few"
        )


def plan_choice(trials: FoldTrials, options: Mapping[str, str]) -> ChoicePlan:
    """Return what choosing will try. Raises `UsageError` for options that presets do not share."""
    check_shared(options)
    judged, pictures = len(trials.judged), len(trials.labelled)
    classes = len(trials.examples.classes)
    found = tuple(candidates(options, pictures, classes, trials.folds))
    seen = {str(trials.labelled[key].label) for key in trials.judged}
    bare = tuple(name for name in trials.examples.classes if name not in seen)
    return ChoicePlan(found, trials.folds, judged, pictures, bare)


def choose_preset(
    trials: FoldTrials, options: Mapping[str, str], progress: Progress, say: Say
) -> tuple[Settings, PresetChoice]:
    """Return the settings of the preset that suits the train split best, and why.

    What each training came to is kept: whoever was stopped goes on there. `say` is told what will
    be tried and how long it takes before it begins. Raises what training raises, but for weights
    that are not there: those presets are out.
    """
    plan = plan_choice(trials, options)
    for line in plan.words():
        say(line)
    if not plan.folds:
        first = plan.tried[0]
        alone = PresetChoice(first.preset, plan.words()[0], (), 0, 0, 0)
        return first.settings, alone
    answers: dict[str, Outputs] = {}
    failed: dict[str, str] = {}
    for candidate in plan.tried:
        try:
            outcome = _tried(trials, candidate, answers, progress)
        except (DiskFull, NotWritable):
            raise
        except (MissingComponent, InputUnusable) as error:
            outcome = error.what
        if isinstance(outcome, str):
            failed[candidate.preset] = outcome
        else:
            answers[candidate.preset] = outcome
        say(f"  {candidate.preset}: {outcome if isinstance(outcome, str) else _figure(outcome)}")
    choice = chosen(plan, answers, trials.examples.moments, failed)
    say(f"{AUTO}: {choice.why}")
    return load_preset(choice.preset, options), choice


def _tried(
    trials: FoldTrials,
    candidate: PresetCandidate,
    before: Mapping[str, Outputs],
    progress: Progress,
) -> Outputs | str:
    """Return the answers of a candidate to all folds, or why there are none.

    A dear one is given up once it is behind the best of those `before`. Raises what training
    raises.
    """
    trainings = trials.trainings(candidate.settings)
    for done, cell in enumerate(trials.each(trainings, progress, candidate.preset), start=1):
        if cell.failed:
            return cell.failed
        outputs = trials.outputs(trainings[:done])
        if not candidate.cost.on_features and (
            why := _hopeless(outputs, before, trials.examples.moments)
        ):
            return f"given up after {done} of {count(len(trainings), 'fold')}: {why}"
    return trials.outputs(trainings)


def _hopeless(outputs: Outputs, before: Mapping[str, Outputs], moments: Mapping[str, str]) -> str:
    """Say by how much answers are behind those of the best preset before; empty if by luck."""
    if not before:
        return ""
    best = min(before, key=lambda preset: held_out_loss(before[preset]))
    mine, other = answered_by_all((outputs, before[best]))
    against = compare_paired(mine.right, other.right, [moments[key] for key in mine.keys])
    if not against.clear or against.difference >= 0:
        return ""
    return f"{-100 * against.difference:.0f} points behind {best}"


def _figure(outputs: Outputs) -> str:
    return f"{float(outputs.right.mean()):.3f} of what it had not learnt right"


def held_out_loss(outputs: Outputs) -> float:
    """Return the log loss of answers at the temperature that suits them."""
    return float(_sample_losses(outputs).mean())


def _sample_losses(outputs: Outputs) -> Floats:
    logs = log_softmax(
        fit_calibration(outputs.logits, outputs.y, outputs.keys).apply(outputs.logits)
    )
    found: Floats = -logs[np.arange(len(outputs)), outputs.y]
    return found


def _level(outputs: Outputs, best: Outputs, places: Sequence[str]) -> bool:
    """Return whether it may be luck that the log loss of `outputs` is above that of `best`."""
    above = _sample_losses(outputs) - _sample_losses(best)
    return float(above.mean()) <= LUCK * standard_error(above, places)


def chosen(
    plan: ChoicePlan,
    answers: Mapping[str, Outputs],
    moments: Mapping[str, str],
    failed: Mapping[str, str],
) -> PresetChoice:
    """Apply the rule to the `answers` of each candidate. Raises `InputUnusable` if all failed."""
    tried = [candidate for candidate in plan.tried if candidate.preset in answers]
    if not tried:
        raise InputUnusable(
            f"no preset can be trained: {next(iter(failed.values()), 'none was tried')}",
            "see what one of them says: baseline train --preset simple",
        )
    presets = [candidate.preset for candidate in tried]
    shared = answered_by_all(answers[preset] for preset in presets)
    answered = dict(zip(presets, shared, strict=True))
    losses = {preset: held_out_loss(outputs) for preset, outputs in answered.items()}
    best = answered[min(losses, key=lambda preset: losses[preset])]
    places = [moments[key] for key in best.keys]
    taken = next(
        candidate.preset for candidate in tried if _level(answered[candidate.preset], best, places)
    )
    why = _reason(taken, losses)
    results = [
        _result(candidate, answered, losses[candidate.preset], taken, places) for candidate in tried
    ]
    results += [TrialResult(p, why=why_not) for p, why_not in failed.items()]
    results += [TrialResult(c.preset, why=c.left_out) for c in plan.candidates if c.left_out]
    results.sort(key=lambda outputs: outputs.preset != taken)
    judged = len(set(answered[taken].keys))
    return PresetChoice(taken, why, tuple(results), plan.folds, judged, len(set(places)))


def _reason(taken: str, losses: Mapping[str, float]) -> str:
    others = [f"{loss:.3f} of {preset}" for preset, loss in losses.items() if preset != taken]
    if not others:
        return f"{taken}, the only one that could be tried to the end"
    level = "" if losses[taken] <= min(losses.values()) else "; that may be luck, so the simplest"
    own = f"{taken}, whose held-out answers have a log loss of {losses[taken]:.3f}"
    return f"{own} (not {', '.join(others)}{level})"


def _result(
    candidate: PresetCandidate,
    answered: Mapping[str, Outputs],
    loss: float,
    taken: str,
    places: Sequence[str],
) -> TrialResult:
    hits = answered[candidate.preset].right
    return TrialResult(
        candidate.preset,
        float(hits.mean()),
        several_interval(hits, places),
        loss,
        None if candidate.preset == taken else compare_paired(hits, answered[taken].right, places),
    )
