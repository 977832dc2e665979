"""From features and what is known of samples to what a presort says of them: no dataset, no clock.

The same samples, vectors and seed give the same answer, where nothing is remembered of a presort
before. What takes long and changes little is taken from there (`PresortMemory`) until enough more
is decided: the order of likeness, and how a model is fitted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from baseline.judge.intervals import share_at_most
from baseline.judge.outputs import Floats
from baseline.presort.acquisition import diverse_uncertain, typical_of_clusters
from baseline.presort.classify import FeatureRows, Indices, UsualFit, learn_scores
from baseline.presort.clusters import SimilarityOrder, outlier_score, similarity_order
from baseline.presort.label_priors import (
    TIES,
    CombinedProbabilities,
    LabelPrior,
    combine,
    label_priors,
)
from baseline.presort.standings import StandingTable, likeliest
from gleanset.db.proposals import PresortSample, Standing

BACKGROUND = 5
"""So many rejected samples make a kind of their own: what is like them is of no class."""
PULL = 0.7
"""How far what a model thinks draws samples together in the order of likeness."""
MORE = 1.25
"""Of what is remembered the options are chosen, and the order found, anew when so many times as
much is decided."""


@dataclass(frozen=True, slots=True)
class PresortMemory:
    """What a presort leaves to the next one on the same vectors: how it ordered samples (`keys`),
    and how it fitted its model; and how many samples were decided when it found out either.
    """

    keys: list[str]
    order: SimilarityOrder
    ordered_at: int
    fit: UsualFit | None = None
    fitted_at: int = 0


@dataclass(frozen=True, slots=True)
class PresortResult:
    """What is said of the samples, figures for a person (JSON values), and what to remember."""

    table: StandingTable
    facts: dict[str, object]
    memory: PresortMemory

    @property
    def standings(self) -> list[Standing]:
        """What is said, sample by sample."""
        return list(self.table.each())


class _Known(NamedTuple):
    """The classes, and what is learnt from: rows, their classes' numbers, their moments."""

    classes: tuple[str, ...]
    rows: Indices
    y: Indices
    moments: list[str]

    @property
    def learnable(self) -> bool:
        """Whether there are two kinds to tell apart."""
        return len(np.unique(self.y)) > 1


def propose(
    samples: Sequence[PresortSample],
    vectors: FeatureRows,
    moments: Mapping[str, str],
    seed: int = 0,
    before: PresortMemory | None = None,
    unseen: Collection[str] = (),
) -> PresortResult:
    """Propose classes for samples with vectors N x D of length 1, and order them by likeness.

    Rejected samples and labelled copies that were set aside teach, but have no standing.
    `moments` are those of what teaches (`teaching`), by key. Labels of samples (keys) that are
    `unseen` judge nothing.
    """
    known = _known(samples, moments)
    waiting = np.array([one.status == "queue" and one.kept for one in samples])
    groups = [one.group or one.key for one in samples]
    if not known.learnable or not known.classes:
        return _by_likeness(samples, vectors, waiting, groups, seed, before)
    moment_of = dict(zip(known.rows.tolist(), known.moments, strict=True))
    teachers = [moment_of.get(row) for row in range(len(samples))]
    numbers = {name: number for number, name in enumerate(known.classes)}
    priors = label_priors(samples, numbers, teachers)
    usual = _usual(before, len(known.rows))
    what = vectors, known.rows, known.y, known.moments, _width(known), seed
    learnt = learn_scores(*what, beside=_tied(priors), usual=usual)
    hidden = {row for row, one in enumerate(samples) if one.key in unseen}
    combined = combine(learnt, known.rows, known.y, priors, teachers, hidden)
    probabilities = _without_refused(combined.probabilities, samples, known.classes)
    memory = _ordered(samples, vectors, probabilities, len(known.rows), seed, before)
    kind = np.where(waiting, probabilities.argmax(1), 0)
    kind[known.rows] = known.y
    outlier = outlier_score(vectors, kind)
    alone = combined.alone
    outlier[known.rows[alone.rows]] = 1 - alone.probabilities[np.arange(len(alone.y)), alone.y]
    to_label = diverse_uncertain(probabilities, vectors, waiting, groups)
    table = _table(samples, known.classes, memory.order, outlier, to_label, probabilities, waiting)
    facts = _facts(samples, known, combined, priors, probabilities[waiting])
    facts |= learnt.options._asdict()
    facts |= {
        "like_rejected": round(float(probabilities[waiting, len(known.classes) :].sum()), 1),
        "of_no_class_at_most": _rejected_share_at_most(samples, moments),
    }
    at = before.fitted_at if before is not None and usual is not None else len(known.rows)
    fit = UsualFit(learnt.options, learnt.folds) if learnt.folds else None
    return PresortResult(table, facts, replace(memory, fit=fit, fitted_at=at))


def _usual(before: PresortMemory | None, decided: int) -> UsualFit | None:
    """Return how the model was fitted before; None where that is to be found out anew."""
    return before.fit if before is not None and decided < MORE * before.fitted_at else None


def _tied(priors: Sequence[LabelPrior]) -> bool:
    """Whether samples share a scene or a post with labelled ones, and that counts."""
    return any(one.kind == TIES and one.counts and one.votes for one in priors)


def _ordered(
    samples: Sequence[PresortSample],
    vectors: FeatureRows,
    probabilities: Floats | None,
    decided: int,
    seed: int,
    before: PresortMemory | None,
) -> PresortMemory:
    """Return the order of likeness: that of before where the samples are the same and little more
    is decided.

    What a model thinks (`probabilities`) draws samples together.
    """
    keys = [one.key for one in samples]
    # From no model to the first one, everything changes.
    since = decided < MORE * before.ordered_at or decided == before.ordered_at if before else False
    if before is not None and since and before.keys == keys:
        return before
    pulled = vectors
    if probabilities is not None:
        pulled = np.concatenate([vectors, PULL * np.sqrt(probabilities)], axis=1).astype(np.float32)
    return PresortMemory(keys, similarity_order(pulled, seed), decided)


def _rejected_share_at_most(
    samples: Sequence[PresortSample], moments: Mapping[str, str]
) -> float | None:
    """Return the share of samples of no class that is not exceeded with 95 % confidence.

    As far as those that wait are like what was decided; None where nothing was rejected: a person
    may have met nobody of no class, or left them out.
    """
    decided = [one for one in samples if one.label or one.status == "rejected"]
    rejected = np.array([one.status == "rejected" for one in decided])
    if not rejected.any():
        return None
    return share_at_most(rejected, [moments[one.key] for one in decided])


def teaching(samples: Sequence[PresortSample]) -> list[str]:
    """Return the keys of the samples that presort learns from."""
    return [one.key for one in samples if one.label or one.status == "rejected"]


def _known(samples: Sequence[PresortSample], moments: Mapping[str, str]) -> _Known:
    classes = tuple(sorted({one.label for one in samples if one.label}))
    number = {name: index for index, name in enumerate(classes)}
    rejected = [row for row, one in enumerate(samples) if one.status == "rejected"]
    rows = [row for row, one in enumerate(samples) if one.label]
    y = [number[str(samples[row].label)] for row in rows]
    if len(rejected) >= BACKGROUND:
        rows, y = rows + rejected, y + [len(classes)] * len(rejected)
    named = [moments[samples[row].key] for row in rows]
    return _Known(classes, np.array(rows, np.int64), np.array(y, np.int64), named)


def _width(known: _Known) -> int:
    """Classes, and the kind of what was rejected where it is one."""
    return int(max(len(known.classes), known.y.max() + 1))


def _without_refused(
    probabilities: Floats, samples: Sequence[PresortSample], classes: Sequence[str]
) -> Floats:
    """No class that a person refused for a sample: what it had goes to the others."""
    number = {name: index for index, name in enumerate(classes)}
    for row, one in enumerate(samples):
        if refused := [number[name] for name in one.refused if name in number]:
            probabilities[row, refused] = 0
            probabilities[row] /= max(probabilities[row].sum(), 1e-12)
    return probabilities


def _by_likeness(
    samples: Sequence[PresortSample],
    vectors: FeatureRows,
    waiting: npt.NDArray[np.bool_],
    groups: Sequence[str],
    seed: int,
    before: PresortMemory | None,
) -> PresortResult:
    """Nothing to learn from: clusters, and typical samples of them to label first."""
    memory = _ordered(samples, vectors, None, 0, seed, before)
    order = memory.order
    to_label = typical_of_clusters(vectors, order.cluster, waiting, ~waiting, groups)
    outlier = outlier_score(vectors, order.cluster)
    nothing = np.zeros((len(samples), 0))
    table = _table(samples, (), order, outlier, to_label, nothing, waiting)
    facts: dict[str, object] = {
        "samples": len(table),
        "labelled": sum(bool(one.label) for one in samples),
        "clusters": len(np.unique(order.cluster)),
    }
    return PresortResult(table, facts, memory)


def _table(
    samples: Sequence[PresortSample],
    classes: tuple[str, ...],
    order: SimilarityOrder,
    outlier: Floats,
    to_label: Sequence[int],
    proposed: Floats,
    waiting: npt.NDArray[np.bool_],
) -> StandingTable:
    """Return what is said of the samples that a window has a place for."""
    ask = np.full(len(samples), -1, np.int64)
    ask[list(to_label)] = np.arange(len(to_label))
    labels, confidence = likeliest(proposed, waiting, len(classes))
    shown = np.flatnonzero([_shown(one) for one in samples])
    return StandingTable(
        [samples[row].key for row in shown.tolist()],
        classes,
        order.place[shown],
        order.cluster[shown],
        np.round(outlier[shown], 2),
        ask[shown],
        labels[shown],
        confidence[shown],
    )


def _shown(one: PresortSample) -> bool:
    """Return whether a window has a place for it: not what was rejected, nor copies set aside."""
    return one.kept and one.status != "rejected"


def _facts(
    samples: Sequence[PresortSample],
    known: _Known,
    combined: CombinedProbabilities,
    priors: Sequence[LabelPrior],
    probabilities: Floats,
) -> dict[str, object]:
    """Figures: how good on labels that were held out, and what to expect of the proposals."""
    best = probabilities[:, : len(known.classes)].max(1) if len(probabilities) else np.zeros(1)
    return {
        "samples": sum(map(_shown, samples)),
        "labelled": sum(bool(one.label) for one in samples),
        "classes": len(known.classes),
        "moments": len(set(known.moments)),
        **combined.alone.to_json(),
        "beside": combined.beside.to_json(),
        "temperature": combined.temperatures.scores,
        "expected_right": float(best.mean()),
        "evidence": {
            one.kind: {"trust": one.trust(), "cases": len(one.judged), "named": len(one.named())}
            for one in priors
            if one.votes
        },
    }
