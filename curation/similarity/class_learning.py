"""Class prediction for samples, shared by prelabelings and windows without one.

Ridge regression maps embeddings to classes (`ridge.py`). Its leave-one-group-out scores calibrate
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

from curation.similarity.ridge import (
    PENALTY,
    Ridge,
    TrainingRows,
    compute_sample_weights,
    shorten_vectors,
)
from curation.similarity.unknown_classes import estimate_known_odds
from gleanset.arrays import (
    BoolArray,
    Float32Array,
    Float64Array,
    IntArray,
    limit_threads,
    thin_out,
)
from gleanset.db.journal import HINT, IMPORT, classify_provenance
from gleanset.db.proposals import PrelabelSample, Proposal

PRIOR_TEMPERATURE = 0.16
"""Prior temperature of ridge scores."""
PRIOR_GROUPS = 40
"""The number of groups that this prior weighs."""
UNLABELLED_WEIGHT = 0.5
"""Weight of an unlabelled sample in self-training; a labelled one has 1."""
ROUNDS = 5
"""Rounds of self-training."""
MAX_SELF_TRAINING_SAMPLES = 1500
"""Maximum number of samples used for self-training, at most half of them labelled."""
NEIGHBORS = 8
"""Nearest neighbors of a sample that count in each round."""
SMOOTHING_LABELS = 3
"""Labels per class at which the neighbors have half the weight."""
PROPAGATION = 0.9
"""Share of a label that reaches the neighbors in each step of label propagation."""
PROPAGATION_STEPS = 10
FOLDS = 5
"""Folds of the labelled samples in self-training."""
TEMPERATURE_FACTORS = np.geomspace(0.5, 10, 40)
"""Candidate temperatures, as multiples of the prior one. Clusters that were labelled at once are
easy to distinguish: a temperature fitted to them alone is too low for unlabelled samples.
"""
MIN_BACKGROUND_SAMPLES = 5
"""Number of rejected samples from which they form a background class."""
MAX_PREDICTIONS = 3
"""Maximum number of classes proposed for a sample."""
MIN_CONFIDENCE = 0.01
"""Minimum confidence of a class that is proposed."""
DUPLICATE_TRUST = 0.998
"""Probability that duplicates have the same class: `labeler dedup` makes errors."""


class Evidence(NamedTuple):
    """Votes N x classes of one kind of evidence; rows add up to 1, or 0 for none.

    A prior share of correct votes (`prior_share`) weighs as many groups as `prior_groups`.
    """

    votes: Float64Array
    prior_share: float
    prior_groups: float

    def compute_gains(
        self, training: TrainingRows, is_judge: BoolArray
    ) -> Float64Array:
        """Return additions to log probabilities (N x classes), by leave-one-group-out trust.

        Labels of training samples with `is_judge` (M) show how often votes are right.
        """
        votes = self.votes[training.rows]
        correct = votes[np.arange(len(votes)), training.y]
        is_judged = votes.any(axis=1) & is_judge
        groups = training.groups[is_judged]

        # Each group is one case, however many samples it has: its share of correct votes.
        group_count = int(training.groups.max()) + 1
        voters = np.bincount(groups, minlength=group_count)
        hits = np.bincount(groups, correct[is_judged], group_count)
        shares = hits / np.maximum(voters, 1)
        is_case = voters > 0

        # The mean share, with that of the prior, is the probability that a vote is right.
        prior = self.prior_share * self.prior_groups
        cases = is_case.sum() + self.prior_groups
        trust = np.full(len(self.votes), (shares.sum() + prior) / cases)
        # For a training sample: the mean without its own group, whose labels its votes may repeat.
        trust_without_group = (shares.sum() - shares + prior) / (cases - is_case)
        trust[training.rows] = trust_without_group[training.groups]
        # No evidence is surer than that of duplicates.
        trust = np.minimum(trust, DUPLICATE_TRUST)

        # A wrong vote may be of any other class.
        other_classes = max(self.votes.shape[1] - 1, 1)
        log_odds = np.log(trust) - np.log((1 - trust) / other_classes)
        return np.asarray(self.votes * log_odds[:, None])


class OutOfFold(NamedTuple):
    """Out-of-fold probabilities (K x classes) of those training samples that have some."""

    indices: IntArray
    """Which of the M training samples these K are."""
    probabilities: Float64Array


def predict_classes(
    vectors: Float32Array,
    training: TrainingRows,
    hints: Evidence,
    ties: Evidence,
    copies: Evidence,
    *,
    open_set: bool,
) -> tuple[Float64Array, OutOfFold]:
    """Train on unit vectors (N x D); return predictions as in `LearnedClasses`.

    Further evidence are weak labels, ties (scenes, posts) and copies (also tracks). `open_set`
    lowers the probabilities of samples that seem to be of a class without labels.
    """
    vectors = shorten_vectors(vectors)
    rows = training.rows
    is_copy = np.asarray(copies.votes.any(axis=1))
    is_tied = np.asarray(ties.votes.any(axis=1))
    # A copy is predicted by its twin, so it does not show how often vectors are right.
    is_judge = training.reviewed & ~is_copy[rows]

    # Vectors alone: the classes by self-training, the confidence by the labels only.
    ridge = Ridge.fit(vectors[rows], training)
    self_training = SelfTraining.create(vectors, training)
    ridge_scores = ridge.score(vectors)
    ridge_held_out = ridge.score_held_out(training.groups)
    held_out = raise_likeliest(
        ridge_held_out, self_training.predict_held_out(training.groups)
    )
    ridge_temperature, _ = calibrate(held_out, training, is_judge, PRIOR_TEMPERATURE)
    scores = raise_likeliest(ridge_scores, self_training.predict(vectors))
    scores /= ridge_temperature

    # A weak label does not confirm a label that it gave.
    hint_gains = hints.compute_gains(
        training,
        training.reviewed & ~training.by_hint,
    )
    hint_gains[rows[training.by_hint]] = 0
    # `is_judge` leaves out tracks with several labelled faces: the tracks of a scene are labelled
    # together, so they do not show how often a scene is right.
    shared_gains = hint_gains + ties.compute_gains(training, is_judge)

    # Vectors and weak labels, for all samples. The prior temperature is 1, because the scores are
    # already divided by that of the ridge regression.
    held_out = held_out / ridge_temperature + hint_gains[rows]
    temperature, leave_group_out = calibrate(held_out, training, is_judge, 1.0)
    probabilities = softmax((scores + hint_gains) / temperature)

    # Ties as well, for samples that have some: with a temperature of their own.
    if is_tied[rows].any():
        # A scene or post is within one group: without the group, ties have no votes. So each sample
        # is left out alone here.
        samples = np.arange(len(rows))
        held_out = raise_likeliest(
            ridge.score_held_out(samples), self_training.predict_held_out(samples)
        )
        held_out = held_out / ridge_temperature + shared_gains[rows]
    # Without a tied training sample, the temperature is the prior one.
    temperature, _ = calibrate(
        held_out,
        training,
        is_judge & is_tied[rows],
        1.0,
    )
    probabilities[is_tied] = softmax((scores + shared_gains)[is_tied] / temperature)

    # Samples that seem to be of no labelled class: all probabilities become lower.
    known_odds = None
    if open_set:
        highest = ridge_scores.max(axis=1)
        # Training samples without their group: the fit has not seen the others either.
        highest[rows] = ridge_held_out.max(axis=1)
        known_odds = estimate_known_odds(vectors, training, highest)
    if known_odds is not None:
        # Weak labels and shared scenes are evidence for a labelled class, too.
        gains = np.where(is_tied[:, None], shared_gains, hint_gains)
        known_odds += np.logaddexp.reduce(scores + gains, axis=1)
        known_odds -= np.logaddexp.reduce(scores, axis=1)
        probabilities /= 1 + np.exp(-known_odds)[:, None]

    # A duplicate has the class of its twin. Its embedding is that of the twin: no new evidence.
    by_twin = DUPLICATE_TRUST * copies.votes[is_copy]
    by_others = (1 - DUPLICATE_TRUST) * probabilities[is_copy]
    probabilities[is_copy] = by_twin + by_others
    return probabilities, leave_group_out


def calibrate(
    scores: Float64Array,
    training: TrainingRows,
    is_judge: BoolArray,
    prior_temperature: float,
) -> tuple[float, OutOfFold]:
    """Return a temperature for out-of-fold scores (M x classes), and calibrated probabilities.

    Samples with `is_judge` (M) that have scores count. With few groups the temperature stays near
    `prior_temperature`.
    """
    # A sample without out-of-fold scores has NaN in all columns, so the first one tells.
    judges = np.flatnonzero(is_judge & np.isfinite(scores[:, 0]))
    judge_scores = scores[judges]
    y = training.y[judges]
    group_count = len(np.unique(training.groups[judges]))
    if not group_count:
        return prior_temperature, OutOfFold(judges, judge_scores)

    def loss(temperature: float) -> float:
        """Return the cross-entropy of the judges' labels."""
        correct = softmax(judge_scores / temperature)[np.arange(len(y)), y]
        return -float(np.log(correct + 1e-12).mean())

    # The mean of the best temperature and the prior one, on a logarithmic scale.
    best = np.log(min(prior_temperature * TEMPERATURE_FACTORS, key=loss))
    total = group_count * best + PRIOR_GROUPS * np.log(prior_temperature)
    temperature = float(np.exp(total / (group_count + PRIOR_GROUPS)))
    return temperature, OutOfFold(judges, softmax(judge_scores / temperature))


class SelfTraining(NamedTuple):
    """Self-training from `own` labelled rows (M x (D+1)) and predictions for `others`.

    The last column of both is 1, for the intercept.
    """

    training: TrainingRows
    own: Float32Array
    others: Float32Array
    """Unlabelled samples and part of the labelled ones, at most `MAX_SELF_TRAINING_SAMPLES`."""
    places: IntArray
    """Row of each labelled sample in `others` (M), -1 for none."""
    neighbors: Any
    """Sparse weights of the neighbors of `others`; rows add up to 1."""
    products: Float32Array
    """Gram matrix of `others`, times `UNLABELLED_WEIGHT`."""

    @classmethod
    def create(cls, vectors: Float32Array, training: TrainingRows) -> Self:
        """Prepare self-training for vectors (N x D)."""
        seeds = thin_out(training.rows, MAX_SELF_TRAINING_SAMPLES // 2)
        unlabelled_rows = np.delete(np.arange(len(vectors)), training.rows)
        rows = np.append(
            seeds, thin_out(unlabelled_rows, MAX_SELF_TRAINING_SAMPLES - len(seeds))
        )
        places = np.full(len(vectors), -1)
        places[rows] = np.arange(len(rows))

        others = _with_ones(vectors[rows])
        return cls(
            training=training,
            own=_with_ones(vectors[training.rows]),
            others=others,
            places=places[training.rows],
            neighbors=_link_neighbors(vectors[rows]),
            products=UNLABELLED_WEIGHT * (others.T @ others),
        )

    def predict(self, rows: Float32Array) -> IntArray:
        """Return the likeliest class number of each of N rows."""
        scores = _with_ones(rows) @ self._fit(np.ones(len(self.own), np.bool_))
        return np.asarray(scores.argmax(axis=1))

    def predict_held_out(self, groups: IntArray) -> IntArray:
        """Return out-of-fold class numbers (M); folds keep groups together."""
        y = self.training.y
        predictions = np.zeros(len(y), np.int64)

        # Stratified folds: a class with several groups is never held out completely. Groups are
        # dealt out in turn, in the order of the class of their first sample.
        firsts = np.unique(groups, return_index=True)[1]
        by_class = firsts[np.argsort(y[firsts], kind="stable")]
        position_of_group = np.zeros(int(groups.max()) + 1, np.int64)
        position_of_group[groups[by_class]] = np.arange(len(firsts))
        folds = position_of_group[groups] % FOLDS

        for fold in range(FOLDS):
            is_left_out = folds == fold
            # If all samples are in one fold, none is left to fit. They keep class 0, which has no
            # effect, because they have no held-out score either.
            if is_left_out.any() and not is_left_out.all():
                scores = self.own[is_left_out] @ self._fit(~is_left_out)
                predictions[is_left_out] = scores.argmax(1)
        return predictions

    def _fit(self, is_training: BoolArray) -> Float32Array:
        """Return ridge weights ((D+1) x classes) after rounds of self-training."""
        from scipy.linalg import lu_factor, lu_solve

        # What stays the same in all rounds: labels, and factors of the normal equations.
        y = self.training.y[is_training]
        one_hot = np.eye(self.training.classes, dtype=np.float32)
        sample_weights = compute_sample_weights(y).astype(np.float32)
        own = self.own[is_training]
        scaled_own = own * sample_weights[:, None]
        penalty = np.full(own.shape[1], PENALTY, np.float32)
        penalty[-1] = 1e-6  # almost none for the intercept
        factors = lu_factor(scaled_own.T @ own + np.diag(penalty) + self.products)
        targets = scaled_own.T @ one_hot[y]

        # The first shares are those of label propagation.
        is_seed = is_training & (self.places >= 0)
        seeds = self.places[is_seed]
        seed_shares = one_hot[self.training.y[is_seed]]
        shares = self._propagate(seeds, seed_shares)

        # The more labels there are, the less the neighbors count.
        labels_per_class = len(y) / self.training.classes
        smoothing = np.float32(1 / (1 + labels_per_class / SMOOTHING_LABELS))

        # Labels stay certain, before and after the neighbors are mixed in.
        for _ in range(ROUNDS):
            shares[seeds] = seed_shares
            soft_targets = UNLABELLED_WEIGHT * (self.others.T @ shares)
            weights: Float32Array = lu_solve(factors, targets + soft_targets)
            scores = self.others @ weights
            shares = softmax(scores / PRIOR_TEMPERATURE).astype(np.float32)
            shares[seeds] = seed_shares
            shares = (1 - smoothing) * shares + smoothing * (self.neighbors @ shares)
        return weights

    def _propagate(self, seeds: IntArray, seed_shares: Float32Array) -> Float32Array:
        """Return class shares of `others`, spread from labelled rows `seeds`."""
        seeds_per_class = np.maximum(seed_shares.sum(axis=0), 1)
        source = np.zeros((len(self.others), seed_shares.shape[1]), np.float32)
        # By the root, so that a class with many labels does not dominate the others.
        source[seeds] = seed_shares / np.sqrt(seeds_per_class)

        shares = source
        for _ in range(PROPAGATION_STEPS):
            shares = PROPAGATION * (self.neighbors @ shares) + source
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
        return shares


def _link_neighbors(rows: Float32Array) -> Any:
    """Return a sparse matrix (N x N) of links to neighbors, either way; rows add up to 1."""
    from scipy.sparse import csr_array, diags_array

    similarity = rows @ rows.T
    np.fill_diagonal(similarity, 0)
    count = min(NEIGHBORS, len(rows))
    nearest = np.argpartition(similarity, -count, axis=1)[:, -count:]
    # Cosines may be negative or 0; the sum of a row must not be.
    weights = np.maximum(np.take_along_axis(similarity, nearest, axis=1), 1e-6)

    # Each row of the sparse matrix has `count` entries.
    row_ends = np.arange(0, weights.size + 1, count)
    links = csr_array(
        (weights.ravel(), nearest.ravel(), row_ends), shape=similarity.shape
    )
    links = links + links.T
    return diags_array(1 / links.sum(axis=1)) @ links


def _with_ones(rows: Float32Array) -> Float32Array:
    return np.column_stack([rows, np.ones(len(rows), np.float32)])


def raise_likeliest(scores: Float64Array, likeliest: IntArray) -> Float64Array:
    """Swap each row's highest score with that of its `likeliest` class.

    So another model (self-training) chooses the class, and the confidence stays that of the scores.
    """
    rows = np.arange(len(scores))
    highest = scores.argmax(axis=1)
    new_scores = scores.copy()
    new_scores[rows, likeliest] = scores[rows, highest]
    new_scores[rows, highest] = scores[rows, likeliest]
    return new_scores


def softmax(scores: npt.NDArray[np.floating[Any]]) -> Float64Array:
    """Return probabilities (N x classes) whose rows add up to 1."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def vote_by_name(names: Sequence[Sequence[str]], training: TrainingRows) -> Evidence:
    """Return votes of groups of training samples that share a name with each of N samples.

    `names` are those of a sample: of its scene and post, or of its duplicates and track. Each
    group gives one vote, divided among the classes of its samples.
    """
    rows = training.rows.tolist()
    group_of_row = dict(zip(rows, training.groups.tolist(), strict=True))
    one_hot_of_row = dict(zip(rows, np.eye(training.classes)[training.y], strict=True))

    # For each name, the labels in each group: a count for each class.
    counts_by_name: dict[str, dict[int, Float64Array]] = {}
    for row, group in group_of_row.items():
        for name in names[row]:
            counts_by_group = counts_by_name.setdefault(name, {})
            counts_by_group[group] = counts_by_group.get(group, 0) + one_hot_of_row[row]

    votes = np.zeros((len(names), training.classes))
    for row, sample_names in enumerate(names):
        group_counts: dict[int, Float64Array] = {}
        for name in sample_names:
            for group, counts in counts_by_name.get(name, {}).items():
                if group == group_of_row.get(row):
                    # A sample does not vote for itself.
                    counts = counts - one_hot_of_row[row]
                group_counts[group] = group_counts.get(group, 0) + counts

        for counts in group_counts.values():
            votes[row] += counts / max(counts.sum(), 1)

    votes /= np.maximum(votes.sum(axis=1, keepdims=True), 1e-12)
    # The prior is guessing: a share of 1 / classes is right. It weighs as many groups as there are
    # classes.
    return Evidence(votes, 1 / training.classes, training.classes)


class LearnedClasses(NamedTuple):
    """Probabilities (N x classes), with a last column for rejected samples if there are many.

    The out-of-fold ones of training samples are without their whole group.
    """

    classes: tuple[str, ...]
    training: TrainingRows
    probabilities: Float64Array
    leave_group_out: OutOfFold

    def list_proposals(self) -> list[list[Proposal]]:
        """Return at most `MAX_PREDICTIONS` proposals a sample, the likeliest first."""
        # Without the column of rejected samples.
        shares = self.probabilities[:, : len(self.classes)]
        best = np.argsort(-shares, axis=1, kind="stable")[:, :MAX_PREDICTIONS]
        best_shares = np.take_along_axis(shares, best, axis=1)

        proposals = []
        for numbers, confidences in zip(
            best.tolist(), best_shares.tolist(), strict=True
        ):
            proposals.append(
                [
                    Proposal(self.classes[number], confidence)
                    for number, confidence in zip(numbers, confidences, strict=True)
                    if confidence >= MIN_CONFIDENCE
                ]
            )
        return proposals


LOG_ODDS_STEP = 0.1
"""Resolution of log odds of confidences: half a step is 0.0012 at 0.975, 0.0125 at 0.5."""
_MIN_SHARE = 1e-4


def round_confidences(proposals: Sequence[Proposal]) -> tuple[Proposal, ...]:
    """Round log odds to `LOG_ODDS_STEP`, so that small changes rewrite no rows."""
    new_proposals = []
    remaining = 1.0
    for label, exact in proposals:
        share = min(max(exact, _MIN_SHARE), 1 - _MIN_SHARE)
        log_odds = math.log(share / (1 - share))
        rounded_log_odds = LOG_ODDS_STEP * round(log_odds / LOG_ODDS_STEP)
        rounded_share = round(1 / (1 + math.exp(-rounded_log_odds)), 5)

        # Rounded, they could add up to more than 1.
        confidence = min(rounded_share, round(remaining, 5))
        new_proposals.append(Proposal(label, confidence))
        remaining -= confidence
    return tuple(new_proposals)


def estimate_membership(vectors: Float32Array, is_member: BoolArray) -> Float64Array:
    """Return the probability of each of N samples to have the members' class.

    All others count as negatives although some are positive, so scores are divided by the mean
    leave-one-out score of the members (Elkan and Noto, "Learning classifiers from only
    positive and unlabeled data", 2008).
    """
    y = np.where(is_member, 0, 1)  # column 0 of the scores is the members' class
    # Each sample is a group of its own.
    scores = _score_held_out(vectors, y, np.arange(len(y)), classes=2)[:, 0]

    # A single member has no leave-one-out score, and without others none has.
    mean_score = 1.0
    if is_member.sum() > 1 and not is_member.all():
        mean_score = max(float(np.nanmean(scores[is_member])), 0.1)
    return np.clip(np.nan_to_num(scores) / mean_score, 0, 1)


REVIEW_PENALTY = 1.0
"""Penalty of the ridge regression that reviews labels: with more, wrong labels that similar faces
share confirm each other less (docs/experiments.md)."""
REVIEW_NEIGHBORS = 3
"""Most similar samples of each class whose mean similarity counts in a review."""
REVIEW_NEIGHBOR_WEIGHT = 0.5
"""Weight of that similarity, next to the score of the ridge regression (1)."""


@limit_threads()
def predict_left_out(
    vectors: Float32Array, y: IntArray, groups: IntArray
) -> Float64Array:
    """Return probabilities (N x classes) of labelled samples, each without its group.

    Scores are those of the ridge regression plus the weighted similarity to the nearest samples of
    each class. A sample whose class has no other group has the same probability for each class.
    """
    scores = _score_held_out(
        vectors, y, groups, classes=int(y.max()) + 1, penalty=REVIEW_PENALTY
    )
    for number in range(scores.shape[1]):
        members = y == number
        similarities = vectors @ vectors[members].T
        # -1, the lowest cosine, stands for samples of the own group, which do not count.
        similarities[groups[:, None] == groups[members]] = -1
        nearest = -np.sort(-similarities)[:, :REVIEW_NEIGHBORS]
        # A class with fewer samples is judged by those that it has.
        similarity = np.where(nearest > -1, nearest, nearest[:, :1]).mean(1)
        scores[:, number] += REVIEW_NEIGHBOR_WEIGHT * similarity
    # The scores of a sample are NaN if its class has no other group. The prior temperature is for
    # ridge scores alone; with the weighted similarity added, scores are larger by its weight.
    temperature = PRIOR_TEMPERATURE * (1 + REVIEW_NEIGHBOR_WEIGHT)
    return softmax(np.nan_to_num(scores) / temperature)


def _score_held_out(
    vectors: Float32Array,
    y: IntArray,
    groups: IntArray,
    *,
    classes: int,
    penalty: float = PENALTY,
) -> Float64Array:
    """Return leave-one-group-out scores (N x classes) if all samples are labelled."""
    training = TrainingRows(
        rows=np.arange(len(y)),
        y=y,
        groups=groups,
        reviewed=np.ones(len(y), np.bool_),
        classes=classes,
        by_hint=np.zeros(len(y), np.bool_),
    )
    return Ridge.fit(shorten_vectors(vectors), training, penalty).score_held_out(groups)


def list_training_keys(samples: Sequence[PrelabelSample]) -> list[str]:
    """Return the keys of training samples: labelled or rejected."""
    return [
        sample.key for sample in samples if sample.label or sample.status == "rejected"
    ]


@limit_threads()
def learn_classes(
    samples: Sequence[PrelabelSample],
    vectors: Float32Array,
    groups: Mapping[str, str],
    unseen: Collection[str] = (),
    *,
    open_set: bool = False,
) -> LearnedClasses | None:
    """Train on decided samples (unit vectors N x D); None with fewer than two classes.

    `groups` are split groups by key. Samples with keys in `unseen` have a label that no person
    reviewed.
    `open_set` estimates how many samples are of classes without labels (`unknown_classes.py`). It
    is too pessimistic about what is left after the most similar samples were labelled together, as
    in the window.
    """
    classes, training = _list_training_rows(samples, groups, unseen)
    if len(np.unique(training.y)) < 2:
        return None

    # A weak label votes for its class. Number -1 is the last row: no vote.
    number = {name: index for index, name in enumerate(classes)}
    hint_numbers = [number.get(sample.hint or "", -1) for sample in samples]
    one_hot = np.vstack([np.eye(training.classes), np.zeros(training.classes)])

    # Duplicates and the faces of a track are the same person.
    copy_names = [
        [name for name in (sample.group, sample.track) if name] for sample in samples
    ]

    # Few labels do not show how often weak labels are right: 0.8 is assumed, as if 5 groups had
    # shown it.
    probabilities, leave_group_out = predict_classes(
        vectors,
        training,
        hints=Evidence(one_hot[hint_numbers], prior_share=0.8, prior_groups=5),
        ties=vote_by_name([sample.ties for sample in samples], training),
        copies=vote_by_name(copy_names, training),
        open_set=open_set,
    )

    for row, sample in enumerate(samples):
        # The probability of a class that a person refused goes to the other classes, labelled or
        # not: what a row lacks to 1 is the probability of classes without labels.
        refusals = [number[name] for name in sample.refused if name in number]
        if refusals:
            others = 1 - probabilities[row, refusals].sum()
            probabilities[row, refusals] = 0
            probabilities[row] /= max(others, 1e-12)
    return LearnedClasses(classes, training, probabilities, leave_group_out)


def _list_training_rows(
    samples: Sequence[PrelabelSample],
    groups: Mapping[str, str],
    unseen: Collection[str],
) -> tuple[tuple[str, ...], TrainingRows]:
    """Return the classes and the training samples, labelled ones first, then rejected ones.

    Enough rejected samples form a class more, with the number after the last of `classes`.
    """
    classes = tuple(sorted({sample.label for sample in samples if sample.label}))
    number = {name: index for index, name in enumerate(classes)}
    rows = [row for row, sample in enumerate(samples) if sample.label]
    # `str` only for type checkers: these samples have a label.
    y = [number[str(samples[row].label)] for row in rows]
    class_count = len(classes)

    rejected_rows = [
        row for row, sample in enumerate(samples) if sample.status == "rejected"
    ]
    if len(rejected_rows) >= MIN_BACKGROUND_SAMPLES:
        rows += rejected_rows
        y += [class_count] * len(rejected_rows)
        class_count += 1

    keys = [samples[row].key for row in rows]
    group_names = np.array([groups[key] for key in keys])
    return classes, TrainingRows(
        rows=np.array(rows, np.int64),
        y=np.array(y, np.int64),
        groups=np.unique(group_names, return_inverse=True)[1].astype(np.int64),
        reviewed=np.array([key not in unseen for key in keys], np.bool_),
        classes=class_count,
        by_hint=np.array(
            [
                classify_provenance(samples[row].label_by) in (HINT, IMPORT)
                for row in rows
            ]
        ),
    )
