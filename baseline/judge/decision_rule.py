"""What a model answers: a class, or "unknown", by thresholds that are kept with the run.

`answers.json` beside the weights holds them: {"temperature": 1.3, "unknown_below": 0.6,
"thresholds": {"photo": 0.98}, "unfamiliar_below": 0.4}. A file that is missing means none of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from baseline.judge.calibration import calibrated_scores
from baseline.judge.intervals import share_at_most
from baseline.judge.outputs import Floats, Indices, Outputs, Scores, softmax
from gleanset.binomial import needed_for
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic

FILE = "answers.json"
UNKNOWN = -1

Share = Annotated[float, Meta(ge=0, le=1)]


class DecisionRule(msgspec.Struct, frozen=True):
    """How scores become answers.

    Scores are divided by `temperature`, and `offsets` are added to those of the classes named,
    before softmax (`baseline.judge.calibration`). Where the answer's probability is below
    `unknown_below`, or its familiarity (`baseline.judge.familiarity`) below
    `unfamiliar_below`, the answer is "unknown". A class in `thresholds` is spared: another class is
    answered only where all others together have more than that probability. `chosen` is what
    val said when the thresholds were chosen, for the report.
    """

    temperature: Annotated[float, Meta(gt=0)] = 1.0
    unknown_below: Share | None = None
    thresholds: dict[str, Share] = {}
    chosen: dict[str, Any] = {}
    offsets: dict[str, float] = {}
    unfamiliar_below: float | None = None

    @property
    def says_unknown(self) -> bool:
        """Whether there are pictures that it answers "unknown"."""
        return self.unknown_below is not None or self.unfamiliar_below is not None

    def class_offsets(self, classes: Sequence[str]) -> list[float]:
        """Return what is added to the score of each class."""
        return [self.offsets.get(name, 0.0) for name in classes]


class Decisions(NamedTuple):
    """Answers as classes' numbers, or `UNKNOWN` (int64, N), and all probabilities (N x C)."""

    classes: Indices
    probabilities: Floats


def rule_scores(logits: Scores, classes: Sequence[str], rule: DecisionRule) -> Scores:
    """Return the scores (N x C) whose softmax are the probabilities that are answered."""
    offsets = rule.class_offsets(classes)
    return calibrated_scores(logits, rule.temperature, offsets).astype(np.float32)


def decide(
    logits: Scores,
    classes: Sequence[str],
    rule: DecisionRule,
    familiarity: Floats | None = None,
) -> Decisions:
    """Decide what is answered to each row of scores (N x C), by its `familiarity` (N) if given."""
    probabilities = softmax(rule_scores(logits, classes, rule))
    chosen = probabilities.argmax(1)
    ranked = probabilities.copy()
    for name, threshold in rule.thresholds.items():
        if name in classes:
            number = classes.index(name)
            claimed = 1 - probabilities[:, number] <= threshold
            # Above every probability, and in their order where several classes are spared.
            ranked[claimed, number] += 2
    chosen = ranked.argmax(1).astype(np.int64)
    if rule.unknown_below is not None:
        sure = probabilities[np.arange(len(chosen)), chosen]
        chosen = np.where(sure < rule.unknown_below, UNKNOWN, chosen)
    return Decisions(
        np.where(_unfamiliar(chosen, rule, familiarity), UNKNOWN, chosen), probabilities
    )


def _unfamiliar(
    chosen: Indices, rule: DecisionRule, familiarity: Floats | None
) -> npt.NDArray[np.bool_]:
    """Return which pictures are unknown because they look like nothing that was learnt."""
    if rule.unfamiliar_below is None or familiarity is None:
        return np.zeros(len(chosen), np.bool_)
    return familiarity < rule.unfamiliar_below


def without_thresholds(rule: DecisionRule) -> DecisionRule:
    """Return the same rule without any threshold."""
    return msgspec.structs.replace(
        rule, unknown_below=None, unfamiliar_below=None, thresholds={}, chosen={}
    )


def save_decision_rule(folder: Path, rule: DecisionRule, *, scratch: Path | None = None) -> None:
    """Write `answers.json`, whole. Raises NotWritable or DiskFull."""
    text = json.dumps(msgspec.to_builtins(rule), ensure_ascii=False, indent=1)
    write_atomic(folder / FILE, text.encode(), scratch=scratch)


def load_decision_rule(folder: Path) -> DecisionRule:
    """Return the rule in a run's folder; the plain one where there is none. `InputUnusable`."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=DecisionRule)
    except FileNotFoundError:
        return DecisionRule()
    except (OSError, msgspec.DecodeError) as error:
        raise InputUnusable(
            f"{folder / FILE} cannot be used: {error}", "choose them anew: baseline evaluate RUN"
        ) from error


POINTS = 40


@dataclass(frozen=True, slots=True)
class RecallThreshold:
    """A class that is spared: `threshold` for all other classes together.

    Of `count` pictures of the class on val, of `moments` moments, `lost` do not keep their name,
    `unknown` of them because the answer is "unknown"; with 95 % confidence at most `at_most` of
    such pictures will. `needed` moments of val it would take to promise `wanted`. `others_kept`
    is the share of the other classes' pictures that still get their right name, `others_before`
    without any threshold.
    """

    name: str
    wanted: float
    threshold: float
    count: int
    moments: int
    lost: int
    unknown: int
    at_most: float
    needed: int
    others_kept: float | None
    others_before: float | None

    @property
    def promised(self) -> bool:
        """Whether val is large enough for the promise."""
        return self.at_most <= 1 - self.wanted + 1e-12

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values."""
        return asdict(self) | {"promised": self.promised}


def fit_recall_thresholds(
    val: Outputs, classes: Sequence[str], wanted: Mapping[str, float], rule: DecisionRule
) -> DecisionRule:
    """Fit the lowest thresholds with which each class keeps its `wanted` share (0..1) on val.

    Where two spared classes claim a picture the likelier takes it, so a threshold may have to rise
    because of another's. Each only ever rises, up to the least thresholds that serve all. Raises
    UsageError for a class that the run does not know, InputUnusable where val has no picture of
    it, or where no thresholds serve all.
    """
    for name in wanted:
        _known(val, classes, name)
    thresholds = dict(rule.thresholds) | dict.fromkeys(wanted, 0.0)
    plain = msgspec.structs.replace(rule, unknown_below=None)
    before = None
    while thresholds != before:
        before = dict(thresholds)
        for name, share in wanted.items():
            told = msgspec.structs.replace(plain, thresholds=thresholds)
            least = _least(val, classes, name, share, told)
            thresholds = thresholds | {name: max(thresholds[name], least)}
    return msgspec.structs.replace(rule, thresholds=thresholds)


def _known(val: Outputs, classes: Sequence[str], name: str) -> None:
    if name not in classes:
        raise UsageError(f"the run knows no class {name!r}", f"name one of: {', '.join(classes)}")
    if not (val.y == classes.index(name)).any():
        raise InputUnusable(
            f"val has no picture of {name}, so no threshold can be chosen for it",
            "give val a share of it: labeler split --ratio 8:1:1",
        )


def _least(
    val: Outputs, classes: Sequence[str], name: str, wanted: float, rule: DecisionRule
) -> float:
    """Return the lowest threshold that spares so much of a class, those of other classes being
    given.
    """
    number = classes.index(name)
    its = val.at(np.flatnonzero(val.y == number))
    kept = {
        end: decide(
            its.logits,
            classes,
            msgspec.structs.replace(rule, thresholds=dict(rule.thresholds) | {name: end}),
        ).classes
        == number
        for end in (0.0, 1.0)
    }
    claimed = 1 - decide(its.logits, classes, rule).probabilities[:, number]
    # What is called by its name anyway is lost at no threshold, what another takes at any.
    against = np.where(kept[0.0], 0.0, np.where(kept[1.0], claimed, np.inf))
    allowed = math.floor((1 - wanted) * len(its) + 1e-9)
    if allowed >= len(its):
        return 0.0
    least = float(np.sort(against)[::-1][allowed])
    if math.isinf(least):
        others = ", ".join(other for other in rule.thresholds if other != name)
        raise InputUnusable(
            f"{name} cannot be spared {100 * wanted:.4g} % beside {others}: on val "
            f"{int(np.isinf(against).sum())} of its {len(its)} pictures look more like these",
            "spare less of one of them, or one alone (--forget drops what was chosen before)",
        )
    return least


def recall_threshold(
    val: Outputs,
    classes: Sequence[str],
    name: str,
    wanted: float,
    rule: DecisionRule,
    moments: Indices,
    familiarity: Floats | None = None,
) -> RecallThreshold:
    """Return what all thresholds in force do to a class on val, with numbered `moments` (N)."""
    number = classes.index(name)
    its = val.y == number
    plain = decide(val.logits, classes, without_thresholds(rule)).classes
    kept = decide(val.logits, classes, rule, familiarity).classes
    lost = kept[its] != number
    return RecallThreshold(
        name=name,
        wanted=wanted,
        threshold=rule.thresholds[name],
        count=int(its.sum()),
        moments=len(np.unique(moments[its])),
        lost=int(lost.sum()),
        unknown=int((kept[its] == UNKNOWN).sum()),
        at_most=share_at_most(lost, moments[its]),
        needed=needed_for(1 - wanted),
        others_kept=float((kept == val.y)[~its].mean()) if not its.all() else None,
        others_before=float((plain == val.y)[~its].mean()) if not its.all() else None,
    )


@dataclass(frozen=True, slots=True)
class RejectOption:
    """When to say "unknown": `coverage` of val is answered, `errors` of these answers are wrong.

    The `answered` pictures are of `moments` moments. `at_most` is the error rate that is not
    exceeded with 95 % confidence; `wanted` the one that was asked for, None where the threshold
    itself was given.
    """

    below: float
    wanted: float | None
    coverage: float
    answered: int
    moments: int
    errors: int
    at_most: float

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values."""
        return asdict(self)


def reject_option_for(
    val: Outputs,
    classes: Sequence[str],
    wanted: float,
    rule: DecisionRule,
    moments: Indices,
    familiarity: Floats | None = None,
) -> RejectOption:
    """Find the lowest threshold with at most `wanted` wrong answers on val among those given.

    What `rule` calls unknown by its `familiarity` (N) anyway is not answered.

    Raises InputUnusable where not even the surest rule are so often right, or val is empty.
    """
    _some(val)
    sure, right = _confidence(val, classes, rule, familiarity)
    order = np.argsort(-sure, kind="stable")
    wrong = (~right[order]).cumsum()
    # A threshold cannot part answers of equal confidence.
    last = np.append(sure[order][1:] != sure[order][:-1], True) & (sure[order] >= 0)
    fits = np.flatnonzero(last & (wrong <= wanted * np.arange(1, len(order) + 1)))
    if not len(fits):
        raise InputUnusable(
            f"no threshold makes {wanted:.4g} wrong answers on val: its surest ones are wrong",
            "allow more errors, or train a better model",
        )
    at = int(fits[-1])
    below = float(sure[order][at]) if at + 1 < len(order) else 0.0
    return reject_option_at(val, classes, below, rule, moments, wanted, familiarity)


def reject_option_at(
    val: Outputs,
    classes: Sequence[str],
    below: float,
    rule: DecisionRule,
    moments: Indices,
    wanted: float | None = None,
    familiarity: Floats | None = None,
) -> RejectOption:
    """Return what a threshold does on val; one chosen for an error rate `wanted` promises less.

    `moments` are the numbers of val's moments (N).
    """
    _some(val)
    sure, right = _confidence(val, classes, rule, familiarity)
    given = sure >= below
    wrong, of = ~right[given], moments[given]
    coverage = float(given.mean())
    doubt = 0.05 if wanted is None else _doubt(coverage)
    return RejectOption(
        below,
        wanted,
        coverage,
        len(of),
        len(np.unique(of)),
        int(wrong.sum()),
        share_at_most(wrong, of, 1 - doubt),
    )


def _doubt(coverage: float) -> float:
    """Return the part of 5 % for a threshold with this coverage: of about 1/2**k it is
    1/(k+1)(k+2).
    """
    halvings = math.floor(-math.log2(coverage)) if coverage else 0
    return 0.05 / ((halvings + 1) * (halvings + 2))


def risk_coverage_curve(
    outputs: Outputs, classes: Sequence[str], rule: DecisionRule
) -> list[tuple[float, float]]:
    """Return (coverage, error rate among the answers given), the surest first."""
    sure, right = _confidence(outputs, classes, rule)
    order = np.argsort(-sure, kind="stable")
    risk = (~right[order]).cumsum() / np.arange(1, len(order) + 1)
    at = np.unique(np.linspace(1, len(order), min(POINTS, len(order))).round().astype(int)) - 1
    return [(float((i + 1) / len(order)), float(risk[i])) for i in at]


def _confidence(
    outputs: Outputs,
    classes: Sequence[str],
    rule: DecisionRule,
    familiarity: Floats | None = None,
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the probability of each answer, thresholds applied, and whether it is right.

    It is -1, below every threshold, where a picture is unknown by its familiarity.
    """
    told = msgspec.structs.replace(rule, unknown_below=None)
    chosen, probabilities = decide(outputs.logits, classes, told)
    sure = probabilities[np.arange(len(chosen)), chosen]
    return np.where(_unfamiliar(chosen, rule, familiarity), -1.0, sure), chosen == outputs.y


def _some(val: Outputs) -> None:
    if not len(val):
        raise InputUnusable(
            "val is empty, so no threshold can be chosen",
            "give it a share: labeler split --ratio 8:1:1, then train again",
        )
