"""Splits of samples and their groups."""

import hashlib
import random
from collections.abc import Sequence

import numpy as np
from catalogue_rows import add_image, cut, sha

from curation.similarity.clustering import cluster_rows, refine_with_tracks
from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.db.duplicates import SAME, Pairs, PairVerdict
from gleanset.db.journal import Choice
from gleanset.records import Origin


def add(dataset: Dataset, number: int, *origins: Origin, faces: int = 1) -> list[str]:
    """Add an image with dissimilar faces; return its sample keys."""
    add_image(dataset, number, *origins)
    cuts = [cut(number, 20 * place) for place in range(faces)]
    cuts = [crop._replace(phash=_look(crop.key)) for crop in cuts]
    dataset.faces.replace(sha(number), "test", "", cuts)
    return [crop.key for crop in cuts]


def _look(key: str) -> int:
    return int(hashlib.sha256(key.encode()).hexdigest()[:16], 16)


def label(dataset: Dataset, *keys: str) -> None:
    dataset.journal.apply("Label", [Choice(key, "label", "cat") for key in keys])


def frame(number: int, scene: int, time: float) -> Origin:
    return Origin("video", f"v@{number}", video="ff", scene=scene, time=time)


def partition(group_of: dict[str, str], *groups: Sequence[str]) -> bool:
    """Return whether the partition equals `groups`."""
    result = {
        frozenset(k for k in group_of if group_of[k] == name)
        for name in group_of.values()
    }
    return result == {frozenset(group) for group in groups}


def test_groups_by_image_scene_and_post(dataset: Dataset) -> None:
    """Groups include labelled, unlabelled, rejected and retired samples."""
    faces = add(dataset, 1, faces=2)
    (frame_a,) = add(dataset, 2, frame(2, 7, 1.0))
    (frame_b,) = add(dataset, 3, frame(3, 7, 90.0))
    (post_a,) = add(dataset, 4, Origin("pixiv", "9:0", post="9"))
    (post_b,) = add(dataset, 5, Origin("pixiv", "9:1", post="9"))
    (retired,) = add(dataset, 6, frame(6, 7, 95.0))
    label(dataset, faces[0], frame_a, post_a)
    dataset.journal.apply("No", [Choice(post_b, "reject", None)])
    dataset.faces.replace(sha(6), "test", "", [])
    assert dataset.samples.get(retired).status == "retired"  # type: ignore[union-attr]
    everything = [
        *faces,
        frame_a,
        frame_b,
        post_a,
        post_b,
        retired,
        "not in this catalogue",
    ]
    assert partition(
        assign_split_groups(dataset.db, everything),
        faces,
        [frame_a, frame_b, retired],
        [post_a, post_b],
        ["not in this catalogue"],
    )
    assert partition(assign_split_groups(dataset.db), faces[:1], [frame_a], [post_a])


def test_unlabelled_frames_do_not_chain_groups(dataset: Dataset) -> None:
    """Chains of unlabelled frames would make an episode one group."""
    first, unlabelled, last = (
        add(dataset, n, frame(n, scene=10 * n, time=n * 0.8))[0] for n in (1, 2, 3)
    )
    label(dataset, first, last)
    assert partition(assign_split_groups(dataset.db), [first], [last])
    assert partition(
        assign_split_groups(dataset.db, [unlabelled]), [first, unlabelled, last]
    )


def test_groups_are_independent_of_insertion_order(dataset: Dataset) -> None:
    """Each group is named after its first labelled sample."""
    origins = {n: frame(n, scene=n // 3, time=5.0 * n) for n in range(24)}
    keys = {
        n: add(dataset, n, origins[n])[0]
        for n in random.Random(1).sample(range(24), 24)
    }
    label(dataset, *(keys[n] for n in range(0, 24, 2)))
    result = assign_split_groups(dataset.db, keys.values())
    for number, key in keys.items():
        scene = [keys[n] for n in range(24) if n // 3 == number // 3 and n % 2 == 0]
        assert result[key] == min(scene)
    assert result == assign_split_groups(dataset.db, reversed(list(keys.values())))


def test_duplicates_and_similar_images_are_grouped(dataset: Dataset) -> None:
    first, second, third = (add(dataset, n)[0] for n in (1, 2, 3))
    label(dataset, first, second, third)
    pairs = Pairs(dataset.db)
    rows = pairs.get_ids([first, second, third])
    a, b = sorted(rows[:2])
    pairs.save_verdicts([PairVerdict(a, b, 0.0, 1.0, SAME)])
    assert partition(assign_split_groups(dataset.db), [first, second], [third])
    with dataset.db.transaction():
        dataset.db.execute(
            "UPDATE sample SET phash=(SELECT phash FROM sample WHERE id=?) WHERE id=?",
            (rows[1], rows[2]),
        )
    assert partition(assign_split_groups(dataset.db), [first, second, third])


def test_groups_by_similar_hash_and_neighbouring_frames(dataset: Dataset) -> None:
    scaled = [add(dataset, n)[0] for n in (1, 2)]
    frames = [
        add(dataset, n, frame(n, scene=10 * n, time=n * 0.8))[0] for n in (3, 4, 5)
    ]
    other = add(dataset, 6)[0]
    keys = [*scaled, *frames, other]
    rows = dict(zip(keys, Pairs(dataset.db).get_ids(keys), strict=True))
    with dataset.db.transaction():
        dataset.db.execute(
            "UPDATE sample SET phash=(SELECT phash FROM sample WHERE id=?)+1 WHERE id=?",
            (rows[scaled[0]], rows[scaled[1]]),
        )
    label(dataset, *keys)
    assert partition(assign_split_groups(dataset.db), scaled, frames, [other])


def test_blank_images_are_not_grouped(dataset: Dataset) -> None:
    """Blank pages have equal hashes without a common origin."""
    keys = [add(dataset, n)[0] for n in (1, 2)]
    label(dataset, *keys)
    with dataset.db.transaction():
        dataset.db.execute("UPDATE sample SET phash=?", (-(2**63),))
    assert partition(assign_split_groups(dataset.db), keys[:1], keys[1:])


def faces(seed: int) -> tuple[np.ndarray, list[list[int]], list[int]]:  # type: ignore[type-arg]
    """Return faces of three people whose expression varies more than their identity."""
    random = np.random.default_rng(seed)
    people = np.eye(24)[:3] * 0.6
    mood = np.eye(24)[3:7]
    rows = []
    tracks = []
    person = []
    for track in range(24):
        tracks.append([*range(len(rows), len(rows) + 4)])
        for _ in range(4):
            moods = random.normal(0, 1, 4) @ mood
            rows.append(people[track % 3] + moods + random.normal(0, 0.02, 24))
            person.append(track % 3)
    vectors = np.array(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), tracks, person


def purity(vectors: np.ndarray, tracks: list[list[int]], person: list[int]) -> float:  # type: ignore[type-arg]
    groups = cluster_rows(vectors[[track[0] for track in tracks]], 3)
    majorities = [
        max(np.bincount([person[tracks[n][0]] for n in group])) for group in groups
    ]
    return float(sum(majorities)) / len(tracks)


def test_refinement_clusters_by_person() -> None:
    vectors, tracks, person = faces(1)
    assert purity(vectors, tracks, person) < 0.75
    assert purity(refine_with_tracks(vectors, tracks), tracks, person) == 1


def test_track_shares_one_vector() -> None:
    vectors, tracks, _ = faces(2)
    vectors[0] = 0
    weighed = refine_with_tracks(vectors, tracks)
    assert not weighed[0].any()
    assert np.allclose(weighed[1], weighed[3])
    assert np.allclose(np.linalg.norm(weighed[1:], axis=1), 1, atol=1e-5)


def test_refinement_without_tracks_is_identity() -> None:
    vectors, _, _ = faces(3)
    assert refine_with_tracks(vectors, [[0], [1]]) is vectors


def test_cooccurring_faces_are_separated_when_possible() -> None:
    """Cannot-link pairs never raise the number of clusters."""
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    assert sorted(map(sorted, cluster_rows(vectors, 2))) == [[0, 1], [2, 3]]
    assert sorted(map(sorted, cluster_rows(vectors, 3, apart=[(0, 1)]))) == [
        [0],
        [1],
        [2, 3],
    ]
    assert len(cluster_rows(vectors, 2, apart=[(0, 1), (2, 3)])) == 2
