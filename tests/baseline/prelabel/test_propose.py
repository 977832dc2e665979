"""What a prelabeling says, on points in space whose classes are known."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from baseline.prelabel.propose import PrelabelResult, choose_label_next, outlier_scores
from baseline.prelabel.propose import propose as propose_by_groups
from curation.similarity.class_learning import MIN_BACKGROUND_SAMPLES
from gleanset.db.proposals import PrelabelledSample, PrelabelSample

CLASSES = ("ann", "bea", "cid", "dot")
WIDTH = 16


def blobs(count: int, noise: float = 0.35, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """`count` points of each class around a direction of its own, of length 1."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(CLASSES)), count)
    centres = np.eye(WIDTH)[: len(CLASSES)]
    points = centres[truth] + random.normal(0, noise, (len(truth), WIDTH))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points.astype(np.float32), [CLASSES[t] for t in truth]


def sortables(truth: list[str], known: set[int], **more: dict[int, object]) -> list[PrelabelSample]:
    """The samples, those in `known` labelled; `more` sets fields of some rows."""
    made = []
    for row, label in enumerate(truth):
        one = PrelabelSample(f"{row:04}", "queue", None, None, (), None, frozenset())
        if row in known:
            one = one._replace(status="labelled", label=label)
        made.append(one._replace(**{k: v[row] for k, v in more.items() if row in v}))
    return made


def propose(samples: list[PrelabelSample], vectors: np.ndarray) -> PrelabelResult:
    """With groups as the catalogue has them where nothing else ties: copies, scenes, posts."""
    groups = {sample.key: sample.group or (sample.ties or (sample.key,))[0] for sample in samples}
    return propose_by_groups(samples, vectors, groups)


def by_key(found: PrelabelResult) -> dict[int, PrelabelledSample]:
    return {int(one.sample): one for one in found.prelabelled}


def every(step: int, truth: list[str]) -> set[int]:
    return set(range(0, len(truth), step))


def test_proposals_are_right_and_as_sure_as_they_say() -> None:
    vectors, truth = blobs(150)
    result = by_key(propose(sortables(truth, every(6, truth)), vectors))
    waiting = {row: one for row, one in result.items() if row % 6}
    right = np.array([one.proposals[0].label == truth[row] for row, one in waiting.items()])
    sure = np.array([one.proposals[0].confidence for one in waiting.values()])
    assert 0.6 < right.mean() < 1
    assert abs(right.mean() - sure.mean()) < 0.06
    assert right[sure > np.median(sure)].mean() > right[sure <= np.median(sure)].mean()
    assert all(sum(p.confidence for p in one.proposals) <= 1 + 1e-9 for one in waiting.values())
    assert all(not result[row].proposals for row in every(6, truth))


def test_the_same_samples_say_the_same() -> None:
    vectors, truth = blobs(20)
    samples = sortables(truth, every(4, truth))
    first, second = (propose(samples, vectors) for _ in range(2))
    assert (first.prelabelled, first.facts) == (second.prelabelled, second.facts)


def test_without_labels_there_is_an_order_and_clusters() -> None:
    vectors, truth = blobs(40, noise=0.15)
    results = propose(sortables(truth, set()), vectors)
    result = by_key(results)
    assert not any(one.proposals for one in result.values())
    assert sorted(one.position for one in result.values()) == list(range(160))
    along = [truth[row] for row in sorted(result, key=lambda row: result[row].position)]
    assert sum(a != b for a, b in pairwise(along)) < 12  # 119 in an order by chance
    groups: dict[int | None, set[str]] = {}
    for row, one in result.items():
        groups.setdefault(one.cluster, set()).add(truth[row])
    assert sorted(map(sorted, groups.values())) == [[name] for name in sorted(CLASSES)]
    asked = choose_label_next(results.prelabelled, {one.sample for one in results.prelabelled}, 12)
    for turn in range(3):  # one of each cluster, then the next ones
        assert {truth[int(row)] for row in asked[4 * turn : 4 * turn + 4]} == set(CLASSES)


def test_one_class_is_nothing_to_tell_apart() -> None:
    vectors, truth = blobs(10)
    result = propose(sortables(truth, {0, 1}), vectors)
    assert not any(one.proposals for one in result.prelabelled)
    assert result.facts["labelled"] == 2


def test_one_label_of_each_class_is_enough_to_begin() -> None:
    vectors, truth = blobs(10, noise=0.1)
    results = propose(sortables(truth, {0, 10, 20, 30}), vectors)
    result = by_key(results)
    rows = [row for row in result if row % 10]
    assert np.mean([result[row].proposals[0].label == truth[row] for row in rows]) > 0.9
    assert results.facts["accuracy"] is None


def test_a_refused_class_is_never_proposed() -> None:
    vectors, truth = blobs(20)
    refused = {row: frozenset({truth[row]}) for row in range(1, 80, 3)}
    refused[2] = frozenset(CLASSES)
    result = by_key(propose(sortables(truth, every(5, truth), refused=refused), vectors))
    for row, names in refused.items():
        assert not names & {proposal.label for proposal in result[row].proposals}
    assert result[2].proposals == ()
    assert result[4].proposals


def test_copies_get_the_label_of_their_twin() -> None:
    vectors, truth = blobs(20)
    vectors[1] = vectors[26]  # looks like another class
    group = {0: "twins", 1: "twins"}
    samples = sortables(truth, every(5, truth), group=group)
    result = by_key(propose(samples, vectors))
    assert result[1].proposals[0].label == truth[0]
    assert (
        by_key(propose(sortables(truth, every(5, truth)), vectors))[1].proposals[0].label
        != (truth[0])
    )


@pytest.mark.parametrize("honest", [True, False])
def test_scenes_and_hints_count_as_far_as_they_proved_right(honest: bool) -> None:
    vectors, truth = blobs(60, noise=0.9, seed=2)
    random = np.random.default_rng(1)
    message = {row: truth[row] if honest else str(random.choice(CLASSES)) for row in range(240)}
    known = every(6, truth)
    plain = propose(sortables(truth, known), vectors)
    hinted = propose(sortables(truth, known, hint=message), vectors)
    # Of twenty scenes two frames each have a label: evidence is counted by scenes.
    scenes = {row: (f"scene {message[row]} {row // 12}",) for row in range(240)}
    tied = propose(sortables(truth, known, ties=scenes), vectors)
    before, after, shared = (_accuracy(one, truth) for one in (plain, hinted, tied))
    if honest:
        assert after > 0.95
        assert shared > before + 0.15
    else:
        assert after > before - 0.05
        assert shared > before - 0.05


def _accuracy(found: PrelabelResult, truth: list[str]) -> float:
    result = {row: one for row, one in by_key(found).items() if one.proposals}
    return float(np.mean([one.proposals[0].label == truth[row] for row, one in result.items()]))


def test_what_is_like_the_rejected_is_proposed_less_surely() -> None:
    vectors, truth = blobs(40, noise=0.2)
    known = {row for row in every(4, truth) if truth[row] != "dot"}
    junk = [row for row, label in enumerate(truth) if label == "dot"]
    plain = by_key(propose(sortables(truth, known), vectors))
    status = dict.fromkeys(junk[: MIN_BACKGROUND_SAMPLES * 2], "rejected")
    result = by_key(propose(sortables(truth, known, status=status), vectors))
    assert not set(status) & set(result)
    rest = junk[MIN_BACKGROUND_SAMPLES * 2 :]
    before = np.mean([plain[row].proposals[0].confidence for row in rest])
    after = np.mean([sum(p.confidence for p in result[row].proposals) for row in rest])
    assert after < before / 2


def test_what_to_label_next_is_uncertain_and_of_different_clusters() -> None:
    vectors, truth = blobs(60, noise=0.6)
    results = propose(sortables(truth, every(7, truth)), vectors)
    result = by_key(results)
    waiting = {one.sample for one in results.prelabelled if one.proposals}
    asked = [int(key) for key in choose_label_next(results.prelabelled, waiting)]
    assert len({result[row].cluster for row in asked}) == len(asked) == 10
    sure = [result[row].proposals[0].confidence for row in asked]
    assert sure == sorted(sure)
    assert sure[-1] < np.mean([result[int(row)].proposals[0].confidence for row in waiting])
    assert choose_label_next(results.prelabelled, ()) == []


def test_odd_ones_stand_out() -> None:
    vectors, truth = blobs(30, noise=0.1)
    vectors[7] = -vectors[7]
    odd = outlier_scores(vectors, np.array([CLASSES.index(label) for label in truth]))
    assert odd[7] > 0.9
    assert np.median(odd) < 0.1
    assert odd.argmax() == 7
    # A wrong label is doubted by a model that had not learnt it.
    wrong = list(truth)
    wrong[40] = "cid"
    result = by_key(propose(sortables(wrong, set(range(120))), vectors))
    assert result[40].outlier is not None
    assert result[40].outlier > 0.8


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_very_few_samples(count: int) -> None:
    vectors, truth = blobs(count)
    result = propose(sortables(truth[:count], set()), vectors[:count])
    assert sorted(one.position for one in result.prelabelled) == list(range(count))


def test_many_samples_are_ordered_and_grouped() -> None:
    vectors, truth = blobs(700, noise=0.15)
    result = by_key(propose(sortables(truth, set()), vectors))
    assert sorted(one.position for one in result.values()) == list(range(2800))
    along = [truth[row] for row in sorted(result, key=lambda row: result[row].position)]
    assert sum(a != b for a, b in pairwise(along)) < 60  # 2,100 in an order by chance
    pairs = Counter((one.cluster, truth[row]) for row, one in result.items())
    clusters = {cluster for cluster, _ in pairs}
    largest = [max(n for pair, n in pairs.items() if pair[0] == one) for one in clusters]
    assert sum(largest) > 0.99 * 2800


def test_what_a_model_labelled_by_itself_makes_it_no_surer() -> None:
    """Labels that nobody has looked at agree with the model that gave them."""
    vectors, truth = blobs(150, noise=0.5)
    known = every(12, truth)
    first = by_key(propose(sortables(truth, known), vectors))
    sure = {n: one.proposals[0] for n, one in first.items() if one.proposals}
    taken = {n: one.label for n, one in sure.items() if one.confidence > 0.7}
    assert len(taken) > 2 * len(known)
    samples = sortables([taken.get(n, name) for n, name in enumerate(truth)], known | taken.keys())
    groups = {sample.key: sample.key for sample in samples}
    unseen = {samples[n].key for n in taken}
    result = propose_by_groups(samples, vectors, groups, unseen=unseen)
    assert result.facts["held_out"] == len(known)
    waits = {n: one for n, one in by_key(result).items() if one.proposals}
    right = np.mean([one.proposals[0].label == truth[n] for n, one in waits.items()])
    message = np.mean([wait.proposals[0].confidence for wait in waits.values()])
    as_any = by_key(propose_by_groups(samples, vectors, groups))
    before = np.mean([as_any[n].proposals[0].confidence for n in waits])
    assert message < before - 0.03
    assert abs(message - right) < abs(before - right)
