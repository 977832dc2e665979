"""What tracks say of likeness: one vector for each, and what varies within them counts less."""

from __future__ import annotations

import numpy as np

from curation.similarity.clustering import cluster_rows, refine_with_tracks


def faces(seed: int) -> tuple[np.ndarray, list[list[int]], list[int]]:  # type: ignore[type-arg]
    """Three people in eight tracks of four faces each, whose mood is louder than who they are."""
    random = np.random.default_rng(seed)
    people, mood = np.eye(24)[:3] * 0.6, np.eye(24)[3:7]
    rows, tracks, who = [], [], []
    for track in range(24):
        tracks.append([*range(len(rows), len(rows) + 4)])
        for _ in range(4):
            moods = random.normal(0, 1, 4) @ mood
            rows.append(people[track % 3] + moods + random.normal(0, 0.02, 24))
            who.append(track % 3)
    vectors = np.array(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), tracks, who


def purity(vectors: np.ndarray, tracks: list[list[int]], who: list[int]) -> float:  # type: ignore[type-arg]
    groups = cluster_rows(vectors[[track[0] for track in tracks]], 3)
    most = [max(np.bincount([who[tracks[n][0]] for n in group])) for group in groups]
    return float(sum(most)) / len(tracks)


def test_groups_are_of_people_and_not_of_moods() -> None:
    vectors, tracks, who = faces(1)
    assert purity(vectors, tracks, who) < 0.75
    assert purity(refine_with_tracks(vectors, tracks), tracks, who) == 1


def test_a_track_is_one_vector_and_what_is_not_known_stays_so() -> None:
    vectors, tracks, _ = faces(2)
    vectors[0] = 0
    weighed = refine_with_tracks(vectors, tracks)
    assert not weighed[0].any()
    assert np.allclose(weighed[1], weighed[3])
    assert np.allclose(np.linalg.norm(weighed[1:], axis=1), 1, atol=1e-5)


def test_without_tracks_nothing_changes() -> None:
    vectors, _, _ = faces(3)
    assert refine_with_tracks(vectors, [[0], [1]]) is vectors


def test_who_is_seen_beside_somebody_is_likely_another_person() -> None:
    """Evidence, and no ban: more groups are not made than are wanted."""
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]
    assert sorted(map(sorted, cluster_rows(vectors, 2))) == [[0, 1], [2, 3]]
    assert sorted(map(sorted, cluster_rows(vectors, 3, apart=[(0, 1)]))) == [[0], [1], [2, 3]]
    assert len(cluster_rows(vectors, 2, apart=[(0, 1), (2, 3)])) == 2
