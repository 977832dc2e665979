"""Which class each sample is of: the one way in which a presort and a window without one propose.

What a sample looks like is learnt by ridge regression onto the classes. What
it would say of a sample had it not learnt that one, or its moment, follows in closed form (Allen,
"The relationship between variable selection and data augmentation", 1974): by that its sureness is
calibrated. In which class that is, what waits has a say: it teaches in a few rounds what was
thought of it (self-training: Nigam, McCallum, Thrun and Mitchell, "Text classification from
labeled and unlabeled documents using EM", 2000). In how sure that is, it has none: rounds make all
that waits like some class, also what is of no class. Hints and shared scenes are evidence beside
looks, as far as they proved right (naive Bayes): frames of one scene are one witness and one case,
however many of them are labelled.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from gleanset.db.proposals import PresortSample, Proposal

Rows = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
PENALTY = 0.3
"""Of the ridge regression, for vectors of length 1 (docs/experiments.md)."""
CAUTIOUS, CAUTION = 0.16, 40
"""The temperature of scores where nothing says a better one, and how many moments are as much."""
EVENED = 0.5
"""How far classes weigh alike: of 1 rare ones are proposed too often, of 0 hardly ever."""
WAITING, ROUNDS = 0.5, 5
"""What a sample that waits counts beside a labelled one, and how often it is learnt from."""
SOME = 2000
"""So many samples that wait are learnt from, at most."""
FOLDS = 5
"""Parts of what is labelled; each is told by what learnt from the others."""
TIMES = np.geomspace(0.5, 10, 40)
"""Temperatures that are tried, as parts of the usual one. What groups that were named at once would
ask for is too low for what waits: they are easy to tell apart.
"""
BACKGROUND = 5
"""So many rejected samples make a kind of their own: what is like them is of no class."""
TOP, LEAST = 3, 0.01
"""So many classes are proposed for a sample, none with less confidence."""
SURE = 0.998
"""Copies of one image are of one class, as far as `labeler dedup` is right."""


class TrainingRows(NamedTuple):
    """The samples (rows of the vectors) that are learnt from.

    `y` are the numbers of their classes, of which there are `classes`; `moments` number what must
    not judge itself. Only those that a person has `seen` calibrate.
    """

    rows: Indices
    y: Indices
    moments: Indices
    seen: Flags
    classes: int

    @property
    def learnable(self) -> bool:
        """Whether there are two kinds to tell apart."""
        return len(np.unique(self.y)) > 1


class Trust(NamedTuple):
    """What is believed of evidence before it was judged: so many moments, such a share right."""

    share: float
    moments: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Votes N x classes of one kind of evidence; rows add up to 1, or 0 for none."""

    votes: Floats
    trust: Trust

    @property
    def speaks(self) -> Flags:
        """Of which samples it says anything."""
        spoken: Flags = self.votes.max(axis=1) > 0
        return spoken

    def gains(self, taught: TrainingRows) -> Floats:
        """Return gains of log probabilities N x classes, leaving out each sample's own group."""
        own = self.votes[taught.rows]
        judged = own.any(axis=1) & taught.seen
        right = own[np.arange(len(own)), taught.y]
        count = int(taught.moments.max()) + 1
        cases = np.bincount(taught.moments[judged], minlength=count)
        share = np.bincount(taught.moments[judged], right[judged], count) / np.maximum(cases, 1)
        met = cases > 0
        believed, moments = self.trust.share * self.trust.moments, self.trust.moments
        trust = np.full(len(self.votes), (share.sum() + believed) / (met.sum() + moments))
        without = (share.sum() - share + believed) / (met.sum() - met + moments)
        trust[taught.rows] = without[taught.moments]
        width = self.votes.shape[1]
        gains: Floats = self.votes * compute_log_odds(np.minimum(trust, SURE), width)[:, None]
        return gains


def compute_log_odds(trust: Floats, classes: int) -> Floats:
    """Return how much likelier a class is for being named, as a logarithm."""
    odds: Floats = np.log(trust) - np.log((1 - trust) / max(classes - 1, 1))
    return odds


class HeldOut(NamedTuple):
    """Probabilities M x classes of taught samples (numbers `at`), as they were served unlearnt."""

    at: Indices
    probabilities: Floats


class Recommendation(NamedTuple):
    """Probabilities N x classes, and those of the taught samples had their moment, or they
    themselves `beside` others of their scene, not been learnt."""

    probabilities: Floats
    alone: HeldOut
    beside: HeldOut


@dataclass(frozen=True, slots=True)
class SharedEvidence:
    """What samples share with labelled ones: `hints`, `ties` (scenes, posts) and `copies`."""

    hints: Evidence
    ties: Evidence
    copies: Evidence


def recommend(vectors: Rows, taught: TrainingRows, shared: SharedEvidence) -> Recommendation:
    """Learn from taught rows of unit vectors N x D, and return probabilities of all."""
    rows = taught.rows
    copied, tied = shared.copies.speaks, shared.ties.speaks
    judges = taught.seen & ~copied[rows]
    ridge, waiting = Ridge.fitted(vectors[rows], taught), SelfTraining.of(vectors, taught)
    unlearnt = raise_likeliest(ridge.without(taught.moments), waiting.without(taught.moments))
    looks = Calibration.fitted(unlearnt, taught, judges, CAUTIOUS)
    scores = raise_likeliest(ridge.scores(vectors), waiting.likeliest(vectors))
    scores /= looks.temperature
    encode_hints = shared.hints.gains(taught)
    both = encode_hints + shared.ties.gains(taught)
    held = unlearnt / looks.temperature + encode_hints[rows]
    alone = Calibration.fitted(held, taught, judges, 1.0)
    probabilities = softmax((scores + encode_hints) / alone.temperature)
    if tied[rows].any():
        each = np.arange(len(rows))
        held = raise_likeliest(ridge.without(each), waiting.without(each))
        held = held / looks.temperature + both[rows]
    beside = Calibration.fitted(held, taught, judges & tied[rows], 1.0)
    probabilities[tied] = softmax((scores + both)[tied] / beside.temperature)
    # A copy is of the class of its twin, or no copy: its looks are those of the twin anyway.
    said = SURE * shared.copies.votes[copied]
    probabilities[copied] = said + (1 - SURE) * probabilities[copied]
    return Recommendation(probabilities, alone.held_out, beside.held_out)


class Calibration(NamedTuple):
    """A temperature, by how surely the classes of what is `held_out` are told."""

    temperature: float
    held_out: HeldOut

    @classmethod
    def fitted(cls, held: Floats, taught: TrainingRows, judges: Flags, usual: float) -> Self:
        """Fit it to scores M x classes of taught samples; near the `usual` where they are few."""
        at = np.flatnonzero(judges & np.isfinite(held[:, 0]))
        y, places = taught.y[at], np.arange(len(at))
        moments = len(np.unique(taught.moments[at]))
        if not moments:
            return cls(usual, HeldOut(at, held[at]))

        def loss(temperature: float) -> float:
            right = softmax(held[at] / temperature)[places, y]
            return -float(np.log(right + 1e-12).mean())

        likeliest = np.log(min(usual * TIMES, key=loss))
        drawn = (moments * likeliest + CAUTION * np.log(usual)) / (moments + CAUTION)
        temperature = float(np.exp(drawn))
        return cls(temperature, HeldOut(at, softmax(held[at] / temperature)))


def compute_sample_weights(y: Indices) -> Floats:
    """Return what each of M taught samples weighs, by how frequent its class is: 1 on average."""
    each = np.bincount(y)[y].astype(np.float64) ** -EVENED
    weights: Floats = each / each.mean()
    return weights


@dataclass(frozen=True, slots=True)
class Ridge:
    """A ridge regression onto M taught samples: `weights` D x classes about `middle` and `mean`."""

    taught: TrainingRows
    weights: Floats
    middle: Floats
    mean: Floats
    residuals: Floats
    lever: Floats
    """M x D: a row times one of `arm` is how far the class of one sample moves what is said of
    another one."""
    arm: Floats

    @classmethod
    def fitted(cls, rows: Rows, taught: TrainingRows) -> Self:
        """Fit it to rows M x D."""
        x, y = rows.astype(np.float64), np.eye(taught.classes)[taught.y]
        each = compute_sample_weights(taught.y)
        middle, mean = each @ x / each.sum(), each @ y / each.sum()
        x, weighed = x - middle, (x - middle) * each[:, None]
        inverse = np.linalg.inv(weighed.T @ x + PENALTY * np.eye(x.shape[1]))
        weights = inverse @ (weighed.T @ (y - mean))
        # The column of ones is for the means.
        lever = np.column_stack([x @ inverse, np.ones(len(x))])
        arm = np.column_stack([weighed, each / each.sum()])
        return cls(taught, weights, middle, mean, y - mean - x @ weights, lever, arm)

    def scores(self, rows: Rows) -> Floats:
        """Return N x classes of rows N x D."""
        weights = self.weights.astype(np.float32)
        scores: Floats = rows @ weights + (self.mean - self.middle @ self.weights)
        return scores

    def without(self, groups: Indices) -> Floats:
        """Return leave-group-out scores M x classes; NaN where nothing else is of a class."""
        y = self.taught.y
        actual = np.eye(self.taught.classes)[y]
        scores = np.full(actual.shape, np.nan)
        order = np.argsort(groups, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
        counts = np.bincount(y, minlength=self.taught.classes)
        for part in parts:
            left = counts - np.bincount(y[part], minlength=len(counts))
            if np.count_nonzero(left) > 1:
                hat = self.lever[part] @ self.arm[part].T
                gone = np.linalg.solve(np.eye(len(part)) - hat, self.residuals[part])
                known = left[y[part]] > 0
                scores[part[known]] = (actual[part] - gone)[known]
        return scores


@dataclass(frozen=True, slots=True)
class SelfTraining:
    """Learns in rounds from taught rows M x (D+1) and from what it thought of `others`."""

    taught: TrainingRows
    own: Rows
    others: Rows
    products: Rows
    """Of `others`, times `WAITING`."""

    @classmethod
    def of(cls, vectors: Rows, taught: TrainingRows) -> Self:
        """Prepare it for vectors N x D."""
        others = _with_ones(vectors[:: max(1, -(-len(vectors) // SOME))])
        own = _with_ones(vectors[taught.rows])
        return cls(taught, own, others, WAITING * (others.T @ others))

    def likeliest(self, rows: Rows) -> Indices:
        """Return the number of the class of each of N rows."""
        weights = self._weights(np.ones(len(self.own), np.bool_))
        numbers: Indices = (rows @ weights[:-1] + weights[-1]).argmax(axis=1)
        return numbers

    def without(self, groups: Indices) -> Indices:
        """Return the same for the M taught samples, by what had not learnt the group of each."""
        y = self.taught.y
        numbers = np.zeros(len(y), np.int64)
        # Groups of one class go to parts in turns, so that others of it are left.
        firsts = np.unique(groups, return_index=True)[1]
        turn = np.zeros(int(groups.max()) + 1, np.int64)
        turn[groups[firsts[np.argsort(y[firsts], kind="stable")]]] = np.arange(len(firsts))
        for part in range(FOLDS):
            left_out = turn[groups] % FOLDS == part
            if left_out.any() and not left_out.all():
                numbers[left_out] = (self.own[left_out] @ self._weights(~left_out)).argmax(axis=1)
        return numbers

    def _weights(self, known: Flags) -> Rows:
        y = self.taught.y[known]
        weighed = self.own[known] * compute_sample_weights(y).astype(np.float32)[:, None]
        penalty = np.full(weighed.shape[1], PENALTY, np.float32)
        penalty[-1] = 1e-6  # next to none for the means
        own = weighed.T @ self.own[known] + np.diag(penalty)
        said = weighed.T @ np.eye(self.taught.classes, dtype=np.float32)[y]
        weights: Rows = np.linalg.solve(own, said)
        inverse = np.linalg.inv(own + self.products)
        for _ in range(ROUNDS):
            thought = softmax(self.others @ weights / CAUTIOUS).astype(np.float32, copy=False)
            weights = inverse @ (said + WAITING * (self.others.T @ thought))
        return weights


def _with_ones(rows: Rows) -> Rows:
    return np.column_stack([rows, np.ones(len(rows), np.float32)])


def raise_likeliest(scores: Floats, likeliest: Indices) -> Floats:
    """Return scores N x classes in which that of the `likeliest` class and the highest change
    places."""
    swapped, rows = scores.copy(), np.arange(len(scores))
    highest = scores.argmax(axis=1)
    swapped[rows, likeliest], swapped[rows, highest] = (
        scores[rows, highest],
        scores[rows, likeliest],
    )
    return swapped


def softmax(scores: npt.NDArray[np.floating[Any]]) -> Floats:
    """Return probabilities, each row of which adds up to 1."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def encode_hints(hints: Sequence[int], classes: int) -> Evidence:
    """Return what hints say: the number of a class for each sample, -1 for none."""
    named = np.array(hints, np.int64)
    votes = np.zeros((len(named), classes))
    there = np.flatnonzero(named >= 0)
    votes[there, named[there]] = 1
    return Evidence(votes, Trust(0.8, 5))


def vote_by_name(names: Sequence[Sequence[str]], taught: TrainingRows) -> Evidence:
    """Return votes of samples that share a name (N); each group has one vote."""
    numbers = {name: n for n, name in enumerate(sorted({one for some in names for one in some}))}
    votes = np.zeros((len(names), taught.classes))
    moments, labels = taught.moments.tolist(), taught.y.tolist()
    label = dict(zip(taught.rows.tolist(), zip(moments, labels, strict=True), strict=True))
    members: dict[int, dict[int, Floats]] = {}
    for row, (moment, own) in label.items():
        for name in names[row]:
            speaker = members.setdefault(numbers[name], {})
            speaker.setdefault(moment, np.zeros(taught.classes))[own] += 1
    for row, some in enumerate(names):
        heard: dict[int, Floats] = {}
        for name in some:
            for moment, counts in members.get(numbers[name], {}).items():
                heard[moment] = heard.get(moment, 0) + counts
                if row in label and label[row][0] == moment:
                    heard[moment] = heard[moment] - np.eye(taught.classes)[label[row][1]]
        for counts in heard.values():
            votes[row] += counts / max(counts.sum(), 1)
    total = votes.sum(axis=1, keepdims=True)
    return Evidence(votes / np.maximum(total, 1e-12), Trust(1 / taught.classes, taught.classes))


@dataclass(frozen=True, slots=True)
class LearnedClasses:
    """Classes and probabilities N x classes, with a column for rejected samples if many."""

    classes: tuple[str, ...]
    taught: TrainingRows
    probabilities: Floats
    alone: HeldOut
    beside: HeldOut

    @property
    def likeliest(self) -> list[list[Proposal]]:
        """The `TOP` classes of each sample, the likeliest first."""
        known = self.probabilities[:, : len(self.classes)]
        best = np.argsort(-known, axis=1, kind="stable")[:, :TOP]
        shares = np.take_along_axis(known, best, axis=1)
        return [
            [
                Proposal(self.classes[label], share)
                for label, share in zip(labels, sure, strict=True)
                if share >= LEAST
            ]
            for labels, sure in zip(best.tolist(), shares.tolist(), strict=True)
        ]


LOG_ODDS_STEP = 0.1
"""Of the log odds of confidences: half a step is 0.0012 at 0.975 and 0.0125 at 0.5."""
_EDGE = 1e-4


def round_confidences(proposals: Sequence[Proposal]) -> tuple[Proposal, ...]:
    """Round log odds to `LOG_ODDS_STEP`, so that small changes write no row."""
    rounded, left = [], 1.0
    for label, exact in proposals:
        inside = min(max(exact, _EDGE), 1 - _EDGE)
        steps = round(math.log(inside / (1 - inside)) / LOG_ODDS_STEP)
        # Rounded, they could add up to more than 1.
        sure = min(round(1 / (1 + math.exp(-LOG_ODDS_STEP * steps)), 5), round(left, 5))
        rounded.append(Proposal(label, sure))
        left -= sure
    return tuple(rounded)


def estimate_membership(vectors: Rows, known: Flags) -> Floats:
    """Return how likely each of N samples is of the one class that some are `known` to be of.

    Those are told from all others, of whom some are of it, too: by how surely those known would be
    told without their own label that is put right (Elkan and Noto, "Learning classifiers from only
    positive and unlabeled data", 2008).
    """
    places, seen = np.arange(len(known)), np.ones(len(known), np.bool_)
    taught = TrainingRows(places, np.where(known, 0, 1), places, seen, 2)
    held = Ridge.fitted(vectors, taught).without(places)[:, 0]
    usual = np.nanmean(held[known]) if known.sum() > 1 and not known.all() else 1.0
    likely: Floats = np.clip(np.nan_to_num(held) / max(float(usual), 0.1), 0, 1)
    return likely


def list_training_keys(samples: Sequence[PresortSample]) -> list[str]:
    """Return the keys of the samples that are learnt from."""
    return [one.key for one in samples if one.label or one.status == "rejected"]


def learn_classes(
    samples: Sequence[PresortSample],
    vectors: Rows,
    moments: Mapping[str, str],
    unseen: Collection[str] = (),
) -> LearnedClasses | None:
    """Learn from decided samples with unit vectors N x D; None without two kinds to learn."""
    classes, taught = _taught(samples, moments, unseen)
    if not classes or not taught.learnable:
        return None
    number = {name: index for index, name in enumerate(classes)}
    shared = SharedEvidence(
        encode_hints([number.get(sample.hint or "", -1) for sample in samples], taught.classes),
        vote_by_name([sample.ties for sample in samples], taught),
        vote_by_name([tuple(filter(None, (one.group, one.track))) for one in samples], taught),
    )
    made = recommend(vectors, taught, shared)
    for row, one in enumerate(samples):
        # What a class had that a person refused goes to the others.
        if refused := [number[name] for name in one.refused if name in number]:
            made.probabilities[row, refused] = 0
            made.probabilities[row] /= max(made.probabilities[row].sum(), 1e-12)
    return LearnedClasses(classes, taught, made.probabilities, made.alone, made.beside)


def _taught(
    samples: Sequence[PresortSample], moments: Mapping[str, str], unseen: Collection[str]
) -> tuple[tuple[str, ...], TrainingRows]:
    classes = tuple(sorted({one.label for one in samples if one.label}))
    number = {name: index for index, name in enumerate(classes)}
    rejected = [row for row, one in enumerate(samples) if one.status == "rejected"]
    rows = [row for row, one in enumerate(samples) if one.label]
    y = [number[str(samples[row].label)] for row in rows]
    if len(rejected) >= BACKGROUND:
        rows, y = rows + rejected, y + [len(classes)] * len(rejected)
    keys = [samples[row].key for row in rows]
    names = np.array([moments[key] for key in keys])
    taught = TrainingRows(
        np.array(rows, np.int64),
        np.array(y, np.int64),
        np.unique(names, return_inverse=True)[1].astype(np.int64),
        np.array([key not in unseen for key in keys], np.bool_),
        max(len(classes), max(y, default=0) + 1),
    )
    return classes, taught
