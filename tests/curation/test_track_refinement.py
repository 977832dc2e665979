"""Similarity refined by tracks: one vector per track, less weight for variation within."""

from __future__ import annotations

import numpy as np

from curation.similarity.clustering import cluster_rows, refine_with_tracks


def faces(seed: int) -> tuple[np.ndarray, list[list[int]], list[int]]:  # type: ignore[type-arg]
    """Return faces of three people whose expression varies more than their identity."""
    random = np.random.default_rng(seed)
    people, mood = np.eye(24)[:3] * 0.6, np.eye(24)[3:7]
    rows, tracks, person = [], [], []
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
    majorities = [max(np.bincount([person[tracks[n][0]] for n in group])) for group in groups]
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
    assert sorted(map(sorted, cluster_rows(vectors, 3, apart=[(0, 1)]))) == [[0], [1], [2, 3]]
    assert len(cluster_rows(vectors, 2, apart=[(0, 1), (2, 3)])) == 2
