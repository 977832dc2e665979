"""Class prediction for samples, shared by prelabelings and windows without one.

Ridge regression maps embeddings to classes. Leave-one-group-out scores follow in closed form
(Allen, "The relationship between variable selection and data augmentation", 1974) and calibrate
the confidence. Unlabelled samples help to choose the likeliest class, by label propagation among
nearest neighbors (Zhou et al., "Learning with local and global consistency", 2003) and a few rounds
of self-training (Nigam, McCallum, Thrun and Mitchell, "Text classification from labeled and
unlabeled documents using EM", 2000). They do not affect the confidence, because self-training
draws every sample towards some class, also samples of no class. Weak labels and shared scenes are
further evidence, weighted by how often they were right (naive Bayes). Frames of one scene give one
vote and count as one case, however many of them are labelled.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from curation.similarity.clustering import Indices, Rows
from curation.similarity.unknown_classes import Floats, estimate_known_odds
from gleanset.db.journal import HINT, IMPORT, classify_provenance
from gleanset.db.proposals import PrelabelSample, Proposal

Flags = npt.NDArray[np.bool_]
PENALTY = 0.3
"""Regularization of the ridge regression, for unit vectors (docs/experiments.md)."""
PRIOR_TEMPERATURE, PRIOR_GROUPS = 0.16, 40
"""Prior temperature of ridge scores, and the number of groups that this prior weighs."""
CLASS_BALANCE = 0.5
"""Class balance: at 1 rare classes are predicted too often, at 0 hardly ever."""
UNLABELLED_WEIGHT, ROUNDS = 0.5, 5
"""Weight of an unlabelled sample (a labelled one: 1), and rounds of self-training."""
MAX_SELF_TRAINING_SAMPLES = 1500
"""Maximum number of samples used for self-training, at most half of them labelled."""
NEIGHBORS, SMOOTHING_LABELS = 8, 3
"""Nearest neighbors of a sample, and labels per class at which they count half in each round."""
PROPAGATION, PROPAGATION_STEPS = 0.9, 10
"""Share of a label that reaches the neighbors in each step of label propagation."""
FOLDS = 5
"""Folds of the labelled samples in self-training."""
TEMPERATURE_FACTORS = np.geomspace(0.5, 10, 40)
"""Candidate temperatures, as multiples of the prior one. Clusters that were labelled at once are
easy to distinguish: a temperature fitted to them alone is too low for unlabelled samples.
"""
MIN_BACKGROUND_SAMPLES = 5
"""Number of rejected samples from which they form a background class."""
MAX_PREDICTIONS, MIN_CONFIDENCE = 3, 0.01
"""Maximum number of classes proposed for a sample, and their minimum confidence."""
DUPLICATE_TRUST = 0.998
"""Probability that duplicates have the same class: `labeler dedup` makes errors."""


HINT_KINDS = (HINT, IMPORT)


class TrainingRows(NamedTuple):
    """Training samples, as `rows` of the vectors.

    `y` are class numbers below `classes`, `groups` group numbers for leave-one-group-out
    estimates. Only samples that a person has `reviewed` are used for calibration. Labels `by_hint`
    were given by a weak label, or imported with names that may be those of the same folders: they
    do not show how often weak labels are right.
    """

    rows: Indices
    y: Indices
    groups: Indices
    reviewed: Flags
    classes: int
    by_hint: Flags


class Evidence(NamedTuple):
    """Votes N x classes of one kind of evidence; rows add up to 1, or 0 for none.

    A prior share of correct votes (`prior_share`) weighs as many groups as `prior_groups`.
    """

    votes: Floats
    prior_share: float
    prior_groups: float

    def gains(self, taught: TrainingRows, judges: Flags) -> Floats:
        """Return additions to log probabilities (N x classes), by leave-one-group-out trust.

        `judges` (M) are training samples whose labels show how often votes are right.
        """
        own = self.votes[taught.rows]
        is_judged = own.any(axis=1) & judges
        right = own[np.arange(len(own)), taught.y]
        count = int(taught.groups.max()) + 1
        cases = np.bincount(taught.groups[is_judged], minlength=count)
        hits = np.bincount(taught.groups[is_judged], right[is_judged], count)
        share = hits / np.maximum(cases, 1)
        met = cases > 0
        groups = self.prior_groups
        believed = self.prior_share * groups
        trust = np.full(
            len(self.votes), (share.sum() + believed) / (met.sum() + groups)
        )
        without = (share.sum() - share + believed) / (met.sum() - met + groups)
        trust[taught.rows] = without[taught.groups]
        trust = np.minimum(trust, DUPLICATE_TRUST)
        log_odds = np.log(trust) - np.log((1 - trust) / max(self.votes.shape[1] - 1, 1))
        return np.asarray(self.votes * log_odds[:, None])


class OutOfFold(NamedTuple):
    """Out-of-fold probabilities (M x classes) of the training samples with numbers `at`."""

    at: Indices
    probabilities: Floats


def predict_classes(
    vectors: Rows, taught: TrainingRows, evidence: Sequence[Evidence], *, open_set: bool
) -> tuple[Floats, OutOfFold, OutOfFold]:
    """Train on the `taught` unit vectors (N x D); return predictions as in `LearnedClasses`.

    Further `evidence` are weak labels, ties (scenes, posts) and copies (also tracks). `open_set`
    lowers the probabilities of samples that seem to be of a class without labels.
    """
    rows = taught.rows
    (hints, ties, copies) = evidence
    copied, tied = (np.asarray(kind.votes.any(axis=1)) for kind in (copies, ties))
    judges = taught.reviewed & ~copied[rows]
    ridge = Ridge.fitted(vectors[rows], taught)
    self_training = SelfTraining.create(vectors, taught)
    ridge_scores = ridge.scores(vectors)
    ridge_held_out = ridge.without(taught.groups)
    out_of_group_scores = raise_likeliest(
        ridge_held_out, self_training.without(taught.groups)
    )
    ridge_temperature, _ = calibrate(
        out_of_group_scores, taught, judges, PRIOR_TEMPERATURE
    )
    scores = raise_likeliest(ridge_scores, self_training.likeliest(vectors))
    scores /= ridge_temperature
    hint_gains = hints.gains(taught, taught.reviewed & ~taught.by_hint)
    hint_gains[rows[taught.by_hint]] = 0
    # The tracks of a scene are labelled at once, so they do not show what a scene says.
    shared_gains = hint_gains + ties.gains(taught, judges)
    held_out_scores = out_of_group_scores / ridge_temperature + hint_gains[rows]
    temperature, leave_group_out = calibrate(held_out_scores, taught, judges, 1.0)
    probabilities = softmax((scores + hint_gains) / temperature)
    if tied[rows].any():
        each = np.arange(len(rows))
        held_out_scores = raise_likeliest(
            ridge.without(each), self_training.without(each)
        )
        held_out_scores = held_out_scores / ridge_temperature + shared_gains[rows]
    temperature, leave_sample_out = calibrate(
        held_out_scores, taught, judges & tied[rows], 1.0
    )
    probabilities[tied] = softmax((scores + shared_gains)[tied] / temperature)
    known_odds = None
    if open_set:
        known_odds = _estimate_known_odds(vectors, taught, ridge_scores, ridge_held_out)
    if known_odds is not None:
        # Weak labels and shared scenes are evidence for a labelled class, too.
        gains = np.where(tied[:, None], shared_gains, hint_gains)
        known_odds += np.logaddexp.reduce(scores + gains, axis=1)
        known_odds -= np.logaddexp.reduce(scores, axis=1)
        probabilities /= 1 + np.exp(-known_odds)[:, None]
    # A duplicate has the class of its twin. Its embedding is that of the twin: no new evidence.
    duplicate_votes = DUPLICATE_TRUST * copies.votes[copied]
    probabilities[copied] = (
        duplicate_votes + (1 - DUPLICATE_TRUST) * probabilities[copied]
    )
    return probabilities, leave_group_out, leave_sample_out


def _estimate_known_odds(
    vectors: Rows, taught: TrainingRows, scores: Floats, held_out_scores: Floats
) -> Floats | None:
    def score_left_out(left_out: Flags) -> Floats:
        part = taught._replace(rows=taught.rows[~left_out], y=taught.y[~left_out])
        scores = Ridge.fitted(vectors[part.rows], part).scores(own[left_out])
        return np.asarray(scores.max(1))

    own = vectors[taught.rows]
    best = scores.max(1)
    best[taught.rows] = held_out_scores.max(1)
    return estimate_known_odds(
        vectors, taught.rows, taught.y, taught.groups, best, score_left_out
    )


def calibrate(
    scores: Floats, taught: TrainingRows, judges: Flags, usual: float
) -> tuple[float, OutOfFold]:
    """Fit a temperature to out-of-fold scores (M x classes); few groups stay near `usual`.

    Returns the calibrated probabilities as well.
    """
    at = np.flatnonzero(judges & np.isfinite(scores[:, 0]))
    y = taught.y[at]
    places = np.arange(len(at))
    groups = len(np.unique(taught.groups[at]))
    if not groups:
        return usual, OutOfFold(at, scores[at])

    def loss(temperature: float) -> float:
        right = softmax(scores[at] / temperature)[places, y]
        return -float(np.log(right + 1e-12).mean())

    likeliest = np.log(min(usual * TEMPERATURE_FACTORS, key=loss))
    drawn = (groups * likeliest + PRIOR_GROUPS * np.log(usual)) / (
        groups + PRIOR_GROUPS
    )
    temperature = float(np.exp(drawn))
    return temperature, OutOfFold(at, softmax(scores[at] / temperature))


def compute_sample_weights(y: Indices) -> Floats:
    """Return weights of M training samples, higher for rare classes; mean 1."""
    each = np.bincount(y)[y].astype(np.float64) ** -CLASS_BALANCE
    return np.asarray(each / each.mean())


class Ridge(NamedTuple):
    """Ridge regression: `weights` (D x classes); `middle` and `mean` of rows and targets."""

    taught: TrainingRows
    weights: Floats
    middle: Floats
    mean: Floats
    residuals: Floats
    lever: Floats
    """M x (D+1): with `arm` (the same shape) it gives the hat matrix, `lever @ arm.T`."""
    arm: Floats

    @classmethod
    def fitted(cls, rows: Rows, taught: TrainingRows) -> Self:
        """Fit to unit vectors (M x D) of the training samples."""
        from scipy.linalg import cho_factor, cho_solve

        x = rows.astype(np.float64)
        y = np.eye(taught.classes)[taught.y]
        each = compute_sample_weights(taught.y)
        middle, mean = each @ x / each.sum(), each @ y / each.sum()
        x, weighed = x - middle, (x - middle) * each[:, None]
        factor = cho_factor(weighed.T @ x + PENALTY * np.eye(x.shape[1]))
        weights = cho_solve(factor, weighed.T @ (y - mean))
        # The last column is the effect of a sample on the means.
        lever = np.column_stack([cho_solve(factor, x.T).T, np.ones(len(x))])
        arm = np.column_stack([weighed, each / each.sum()])
        return cls(taught, weights, middle, mean, y - mean - x @ weights, lever, arm)

    def scores(self, rows: Rows) -> Floats:
        """Return scores (N x classes) of rows (N x D)."""
        weights = self.weights.astype(np.float32)
        return rows @ weights + (self.mean - self.middle @ self.weights)

    def without(self, groups: Indices) -> Floats:
        """Return leave-one-group-out scores (M x classes), NaN for single-group classes."""
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
                held_out_residuals = np.linalg.solve(
                    np.eye(len(part)) - hat, self.residuals[part]
                )
                has_others = left[y[part]] > 0
                scores[part[has_others]] = (actual[part] - held_out_residuals)[
                    has_others
                ]
        return scores


class SelfTraining(NamedTuple):
    """Self-training from `own` labelled rows (M x (D+1)) and predictions for `others`."""

    taught: TrainingRows
    own: Rows
    others: Rows
    places: Indices
    """Row of each labelled sample in `others` (M), -1 for none."""
    neighbors: Any
    """Sparse weights of the neighbors of `others`; rows add up to 1."""
    products: Rows
    """Gram matrix of `others`, times `UNLABELLED_WEIGHT`."""

    @classmethod
    def create(cls, vectors: Rows, taught: TrainingRows) -> Self:
        """Prepare self-training for vectors (N x D)."""
        labelled = _thin_out(taught.rows, MAX_SELF_TRAINING_SAMPLES // 2)
        unlabelled = np.delete(np.arange(len(vectors)), taught.rows)
        selected = np.append(
            labelled, _thin_out(unlabelled, MAX_SELF_TRAINING_SAMPLES - len(labelled))
        )
        places = np.full(len(vectors), -1)
        places[selected] = np.arange(len(selected))
        others = _with_ones(vectors[selected])
        products = UNLABELLED_WEIGHT * (others.T @ others)
        neighbors = _link_neighbors(vectors[selected])
        own = _with_ones(vectors[taught.rows])
        return cls(taught, own, others, places[taught.rows], neighbors, products)

    def likeliest(self, rows: Rows) -> Indices:
        """Return the likeliest class number of each of N rows."""
        weights = self._weights(np.ones(len(self.own), np.bool_))
        return np.asarray((rows @ weights[:-1] + weights[-1]).argmax(axis=1))

    def without(self, groups: Indices) -> Indices:
        """Return out-of-fold class numbers (M); folds keep groups together."""
        y = self.taught.y
        numbers = np.zeros(len(y), np.int64)
        # Stratified folds: a class with several groups is never held out completely.
        firsts = np.unique(groups, return_index=True)[1]
        turn = np.zeros(int(groups.max()) + 1, np.int64)
        turn[groups[firsts[np.argsort(y[firsts], kind="stable")]]] = np.arange(
            len(firsts)
        )
        for part in range(FOLDS):
            left_out = turn[groups] % FOLDS == part
            if left_out.any() and not left_out.all():
                numbers[left_out] = (
                    self.own[left_out] @ self._weights(~left_out)
                ).argmax(axis=1)
        return numbers

    def _weights(self, is_training: Flags) -> Rows:
        from scipy.linalg import lu_factor, lu_solve

        y = self.taught.y[is_training]
        labels = np.eye(self.taught.classes, dtype=np.float32)
        weighed = (
            self.own[is_training]
            * compute_sample_weights(y).astype(np.float32)[:, None]
        )
        penalty = np.full(weighed.shape[1], PENALTY, np.float32)
        penalty[-1] = 1e-6  # almost none for the intercept
        own = weighed.T @ self.own[is_training] + np.diag(penalty)
        targets = weighed.T @ labels[y]
        factors = lu_factor(own + self.products)
        is_chosen = is_training & (self.places >= 0)
        seeds = self.places[is_chosen]
        known = labels[self.taught.y[is_chosen]]
        thought = self._propagate(seeds, known)
        smoothing = np.float32(
            1 / (1 + len(y) / self.taught.classes / SMOOTHING_LABELS)
        )
        for _ in range(ROUNDS):
            thought[seeds] = known
            pull = UNLABELLED_WEIGHT * (self.others.T @ thought)
            weights: Rows = lu_solve(factors, targets + pull)
            thought = softmax(self.others @ weights / PRIOR_TEMPERATURE).astype(
                np.float32
            )
            thought[seeds] = known
            thought = (1 - smoothing) * thought + smoothing * (self.neighbors @ thought)
        return weights

    def _propagate(self, seeds: Indices, known: Rows) -> Rows:
        """Return class shares of `others`, spread from the labels `known` of the rows `seeds`."""
        source = np.zeros((len(self.others), known.shape[1]), np.float32)
        source[seeds] = known / np.sqrt(np.maximum(known.sum(0), 1))
        shares = source
        for _ in range(PROPAGATION_STEPS):
            shares = PROPAGATION * (self.neighbors @ shares) + source
        return np.asarray(shares / np.maximum(shares.sum(1, keepdims=True), 1e-12))


def _thin_out(rows: Indices, limit: int) -> Indices:
    return rows[:: max(1, -(-len(rows) // limit))]


def _link_neighbors(rows: Rows) -> Any:
    from scipy.sparse import csr_array, diags_array

    similarity = rows @ rows.T
    np.fill_diagonal(similarity, 0)
    each = min(NEIGHBORS, len(rows))
    nearest = np.argpartition(similarity, -each, axis=1)[:, -each:]
    weights = np.maximum(np.take_along_axis(similarity, nearest, axis=1), 1e-6)
    ends = np.arange(0, weights.size + 1, each)
    links = csr_array((weights.ravel(), nearest.ravel(), ends), shape=similarity.shape)
    links = links + links.T
    return diags_array(1 / links.sum(axis=1)) @ links


def _with_ones(rows: Rows) -> Rows:
    return np.column_stack([rows, np.ones(len(rows), np.float32)])


def raise_likeliest(scores: Floats, likeliest: Indices) -> Floats:
    """Swap each row's highest score with that of its `likeliest` class."""
    swapped = scores.copy()
    rows = np.arange(len(scores))
    highest = scores.argmax(axis=1)
    swapped[rows, likeliest] = scores[rows, highest]
    swapped[rows, highest] = scores[rows, likeliest]
    return swapped


def softmax(scores: npt.NDArray[np.floating[Any]]) -> Floats:
    """Return probabilities (N x classes) whose rows add up to 1."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def vote_by_name(names: Sequence[Sequence[str]], taught: TrainingRows) -> Evidence:
    """Return votes of groups of training samples that share a name."""
    votes = np.zeros((len(names), taught.classes))
    groups, labels = taught.groups.tolist(), taught.y.tolist()
    label = dict(
        zip(taught.rows.tolist(), zip(groups, labels, strict=True), strict=True)
    )
    members: dict[str, dict[int, Floats]] = {}
    for row, (group, own) in label.items():
        for name in names[row]:
            speaker = members.setdefault(name, {})
            speaker.setdefault(group, np.zeros(taught.classes))[own] += 1
    for row, sample_names in enumerate(names):
        heard: dict[int, Floats] = {}
        for name in sample_names:
            for group, counts in members.get(name, {}).items():
                heard[group] = heard.get(group, 0) + counts
                if row in label and label[row][0] == group:
                    heard[group] = heard[group] - np.eye(taught.classes)[label[row][1]]
        for counts in heard.values():
            votes[row] += counts / max(counts.sum(), 1)
    total = votes.sum(axis=1, keepdims=True)
    return Evidence(
        votes / np.maximum(total, 1e-12), 1 / taught.classes, taught.classes
    )


class LearnedClasses(NamedTuple):
    """Probabilities (N x classes), with a last column for rejected samples if there are many.

    The out-of-fold ones of training samples are without their whole group, or without only the
    sample itself.
    """

    classes: tuple[str, ...]
    taught: TrainingRows
    probabilities: Floats
    leave_group_out: OutOfFold
    leave_sample_out: OutOfFold

    @property
    def likeliest(self) -> list[list[Proposal]]:
        """At most `MAX_PREDICTIONS` proposals for each sample, the likeliest first."""
        known_probabilities = self.probabilities[:, : len(self.classes)]
        best = np.argsort(-known_probabilities, axis=1, kind="stable")[
            :, :MAX_PREDICTIONS
        ]
        shares = np.take_along_axis(known_probabilities, best, axis=1)
        return [
            [
                Proposal(self.classes[label], share)
                for label, share in zip(labels, confidences, strict=True)
                if share >= MIN_CONFIDENCE
            ]
            for labels, confidences in zip(best.tolist(), shares.tolist(), strict=True)
        ]


LOG_ODDS_STEP = 0.1
"""Resolution of log odds of confidences: half a step is 0.0012 at 0.975, 0.0125 at 0.5."""
_EDGE = 1e-4


def round_confidences(proposals: Sequence[Proposal]) -> tuple[Proposal, ...]:
    """Round log odds to `LOG_ODDS_STEP`, so that small changes rewrite no rows."""
    rounded = []
    left = 1.0
    for label, exact in proposals:
        inside = min(max(exact, _EDGE), 1 - _EDGE)
        steps = round(math.log(inside / (1 - inside)) / LOG_ODDS_STEP)
        # Rounded, they could add up to more than 1.
        confidence = min(
            round(1 / (1 + math.exp(-LOG_ODDS_STEP * steps)), 5), round(left, 5)
        )
        rounded.append(Proposal(label, confidence))
        left -= confidence
    return tuple(rounded)


def estimate_membership(vectors: Rows, members: Flags) -> Floats:
    """Return each sample's probability of having the class of `members`.

    All others count as negatives although some are positive, so scores are divided by the mean
    leave-one-out score of the members (Elkan and Noto, "Learning classifiers from only
    positive and unlabeled data", 2008).
    """
    y = np.where(members, 0, 1)
    scores = _score_without_group(vectors, y, np.arange(len(y)), 2)[:, 0]
    usual = (
        np.nanmean(scores[members]) if members.sum() > 1 and not members.all() else 1.0
    )
    return np.clip(np.nan_to_num(scores) / max(float(usual), 0.1), 0, 1)


def predict_left_out(vectors: Rows, y: Indices, groups: Indices) -> Floats:
    """Return probabilities (N x classes) of labelled samples, each without its group.

    They are equal for a sample whose class has no other group.
    """
    scores = _score_without_group(vectors, y, groups, int(y.max()) + 1)
    return softmax(np.nan_to_num(scores) / PRIOR_TEMPERATURE)


def _score_without_group(
    vectors: Rows, y: Indices, groups: Indices, classes: int
) -> Floats:
    is_reviewed = np.ones(len(y), np.bool_)
    taught = TrainingRows(
        np.arange(len(y)), y, groups, is_reviewed, classes, ~is_reviewed
    )
    return Ridge.fitted(vectors, taught).without(groups)


def list_training_keys(samples: Sequence[PrelabelSample]) -> list[str]:
    """Return the keys of training samples: labelled or rejected."""
    return [
        sample.key for sample in samples if sample.label or sample.status == "rejected"
    ]


def learn_classes(
    samples: Sequence[PrelabelSample],
    vectors: Rows,
    groups: Mapping[str, str],
    unseen: Collection[str] = (),
    *,
    open_set: bool = False,
) -> LearnedClasses | None:
    """Train on decided samples (unit vectors N x D); None without classes.

    `open_set` estimates how many samples are of classes without labels (`unknown_classes.py`). It
    is too pessimistic about what is left after the most similar samples were labelled together, as
    in the window.
    """
    classes, taught = _taught(samples, groups, unseen)
    if not classes or len(np.unique(taught.y)) < 2:
        return None
    number = {name: index for index, name in enumerate(classes)}
    hints = [number.get(sample.hint or "", -1) for sample in samples]
    # Number -1 is the last row: no vote.
    hint_votes = np.vstack([np.eye(taught.classes), np.zeros(taught.classes)])[hints]
    ties = vote_by_name([sample.ties for sample in samples], taught)
    copies = vote_by_name(
        [tuple(filter(None, (s.group, s.track))) for s in samples], taught
    )
    evidence = Evidence(hint_votes, 0.8, 5), ties, copies
    probabilities, *held_out = predict_classes(
        vectors, taught, evidence, open_set=open_set
    )
    for row, sample in enumerate(samples):
        # The probability of a class that a person refused goes to the others.
        if refused := [number[name] for name in sample.refused if name in number]:
            probabilities[row, refused] = 0
            probabilities[row] /= max(probabilities[row].sum(), 1e-12)
    return LearnedClasses(classes, taught, probabilities, *held_out)


def _taught(
    samples: Sequence[PrelabelSample],
    groups: Mapping[str, str],
    unseen: Collection[str],
) -> tuple[tuple[str, ...], TrainingRows]:
    classes = tuple(sorted({sample.label for sample in samples if sample.label}))
    number = {name: index for index, name in enumerate(classes)}
    rejected = [
        row for row, sample in enumerate(samples) if sample.status == "rejected"
    ]
    rows = [row for row, sample in enumerate(samples) if sample.label]
    y = [number[str(samples[row].label)] for row in rows]
    if len(rejected) >= MIN_BACKGROUND_SAMPLES:
        rows, y = rows + rejected, y + [len(classes)] * len(rejected)
    keys = [samples[row].key for row in rows]
    names = np.array([groups[key] for key in keys])
    taught = TrainingRows(
        np.array(rows, np.int64),
        np.array(y, np.int64),
        np.unique(names, return_inverse=True)[1].astype(np.int64),
        np.array([key not in unseen for key in keys], np.bool_),
        max(len(classes), max(y, default=0) + 1),
        np.array(
            [classify_provenance(samples[row].label_by) in HINT_KINDS for row in rows]
        ),
    )
    return classes, taught
