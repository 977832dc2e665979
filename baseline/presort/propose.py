"""From features and what is known of samples to what a presort says of them: no dataset, no clock.

The same samples, vectors and seed give the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from baseline.evaluation.outputs import Floats
from baseline.presort.acquisition import diverse_uncertain, typical_of_clusters
from baseline.presort.classify import FeatureRows, Indices, learn_scores
from baseline.presort.clusters import outlier_score, similarity_order
from baseline.presort.label_priors import CombinedProbabilities, LabelPrior, combine, label_priors
from gleanset.db.proposals import PresortSample, Proposal, Standing

TOP = 3
"""Classes that are proposed for a sample."""
LEAST = 0.01
"""Confidence below which a class is not worth a row."""
BACKGROUND = 5
"""So many rejected samples make a kind of their own: what is like them is of no class."""
PULL = 0.7
"""How far what a model thinks draws samples together in the order of likeness."""


class PresortResult(NamedTuple):
    """What is said of the samples, and figures for a person (JSON values)."""

    standings: list[Standing]
    facts: dict[str, object]


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
) -> PresortResult:
    """What a presort says of samples with vectors N x D of length 1.

    Rejected samples and labelled copies that were set aside teach, but have no standing.
    `moments` are those of what teaches (`teaching`), by key.
    """
    known = _known(samples, moments)
    waiting = np.array([one.status == "queue" and one.kept for one in samples])
    groups = [one.group or one.key for one in samples]
    if not known.learnable or not known.classes:
        return _by_likeness(samples, vectors, waiting, groups, seed)
    learnt = learn_scores(vectors, known.rows, known.y, known.moments, _width(known), seed)
    of = dict(zip(known.rows.tolist(), known.moments, strict=True))
    spoken = [of.get(row) for row in range(len(samples))]
    numbers = {name: number for number, name in enumerate(known.classes)}
    kinds = label_priors(samples, numbers, spoken)
    weighed = combine(learnt, known.rows, known.y, kinds, spoken)
    sure = _allowed(weighed.probabilities, samples, known.classes)
    drawn = np.concatenate([vectors, PULL * np.sqrt(sure)], axis=1).astype(np.float32)
    along = similarity_order(drawn, seed)
    kind = np.where(waiting, sure.argmax(1), 0)
    kind[known.rows] = known.y
    odd = outlier_score(vectors, kind)
    alone = weighed.alone
    odd[known.rows[alone.rows]] = 1 - alone.probabilities[np.arange(len(alone.y)), alone.y]
    asked = diverse_uncertain(sure, vectors, waiting, groups)
    proposals = [
        _top(sure[row], known.classes) if waiting[row] else () for row in range(len(samples))
    ]
    facts = _facts(samples, known, weighed, kinds, sure[waiting])
    facts |= learnt.way._asdict()
    return PresortResult(
        _standings(samples, along.place, along.cluster, odd, asked, proposals), facts
    )


def teaching(samples: Sequence[PresortSample]) -> list[str]:
    """The keys of the samples that presort learns from."""
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


def _allowed(sure: Floats, samples: Sequence[PresortSample], classes: Sequence[str]) -> Floats:
    """No class that a person refused for a sample: what it had goes to the others."""
    number = {name: index for index, name in enumerate(classes)}
    for row, one in enumerate(samples):
        if refused := [number[name] for name in one.refused if name in number]:
            sure[row, refused] = 0
            sure[row] /= max(sure[row].sum(), 1e-12)
    return sure


def _by_likeness(
    samples: Sequence[PresortSample],
    vectors: FeatureRows,
    waiting: npt.NDArray[np.bool_],
    groups: Sequence[str],
    seed: int,
) -> PresortResult:
    """Nothing to learn from: clusters, and typical samples of them to label first."""
    along = similarity_order(vectors, seed)
    asked = typical_of_clusters(vectors, along.cluster, waiting, ~waiting, groups)
    odd = outlier_score(vectors, along.cluster)
    standings = _standings(samples, along.place, along.cluster, odd, asked, [()] * len(samples))
    facts = {
        "samples": len(standings),
        "labelled": sum(bool(one.label) for one in samples),
        "clusters": len(np.unique(along.cluster)),
    }
    return PresortResult(standings, dict(facts))


def _top(sure: npt.NDArray[np.float64], classes: Sequence[str]) -> tuple[Proposal, ...]:
    best = np.argsort(-sure[: len(classes)], kind="stable")[:TOP]
    return tuple(Proposal(classes[c], float(sure[c])) for c in best if sure[c] >= LEAST)


def _standings(
    samples: Sequence[PresortSample],
    place: Indices,
    cluster: Indices,
    odd: Floats,
    asked: Sequence[int],
    proposals: Sequence[tuple[Proposal, ...]],
) -> list[Standing]:
    ask = {row: number for number, row in enumerate(asked)}
    return [
        Standing(
            one.key,
            int(place[row]),
            proposals[row],
            int(cluster[row]),
            float(odd[row]),
            ask.get(row),
        )
        for row, one in enumerate(samples)
        if _shown(one)
    ]


def _shown(one: PresortSample) -> bool:
    """Whether a window has a place for it: not what was rejected, nor copies set aside."""
    return one.kept and one.status != "rejected"


def _facts(
    samples: Sequence[PresortSample],
    known: _Known,
    weighed: CombinedProbabilities,
    kinds: Sequence[LabelPrior],
    sure: Floats,
) -> dict[str, object]:
    """Figures: how good on labels that were held out, and what to expect of the proposals."""
    best = sure[:, : len(known.classes)].max(1) if len(sure) else np.zeros(1)
    return {
        "samples": sum(map(_shown, samples)),
        "labelled": sum(bool(one.label) for one in samples),
        "classes": len(known.classes),
        "moments": len(set(known.moments)),
        **weighed.alone.to_json(),
        "beside": weighed.beside.to_json(),
        "temperature": weighed.scale.looks,
        "expected_right": float(best.mean()),
        "evidence": {
            one.kind: {"trust": one.trust(), "cases": len(one.judged), "named": len(one.named())}
            for one in kinds
            if one.votes
        },
    }
