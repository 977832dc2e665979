"""The number of clusters, chosen from the data."""

from __future__ import annotations

import numpy as np
import pytest

from curation.similarity.clustering import Rows, cluster_rows


def draw(classes: int, rows: int) -> tuple[Rows, list[int]]:
    """Draw unit vectors around class means; return them with their class numbers."""
    random = np.random.default_rng(0)
    y = np.sort(random.integers(0, classes, rows))
    vectors = random.normal(0, 1, (classes, 40))[y] + random.normal(0, 0.9, (rows, 40))
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), y.tolist()


@pytest.mark.parametrize(("classes", "rows"), [(3, 60), (8, 100), (15, 100), (3, 600)])
def test_cluster_count_is_that_of_the_classes(classes: int, rows: int) -> None:
    vectors, y = draw(classes, rows)
    clusters = cluster_rows(vectors)
    assert len(clusters) == classes
    assert all(len({y[row] for row in cluster}) == 1 for cluster in clusters)


def test_equal_vectors_are_one_cluster() -> None:
    same = np.tile(np.eye(2, 8, dtype=np.float32)[:1], (6, 1))
    assert len(cluster_rows(same)) == 1
