"""Features made on the nodes of a real cluster: to the bit those made here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_dataset import fill
from ray_nodes import NEEDS_RAY, RayCluster, ray_cluster

from baseline.data.pixels import PixelSource, ViewRequest
from baseline.features import features as module
from baseline.features.features import FeatureSpec, MakeFeatures, features_of
from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.records import Box

SPEC = FeatureSpec("efficientnet_lite0+colours", "none", 32, 3, "characters", 1)


def test_a_node_with_other_weights_makes_no_features() -> None:
    wanted = [ViewRequest(PixelSource("a", Path("gone"), Path("gone"), Box(0, 0, 1, 1)), (0,))]
    spec = replace(SPEC, precision="fp32")
    with pytest.raises(InputUnusable, match="would give other features than here"):
        MakeFeatures(spec, ("another", "name"))(wanted)
    names = tuple(
        module.features_name(replace(spec, precision="fp32"), one) for one in spec.load().members
    )
    # What cannot be read is no failure of the others.
    assert MakeFeatures(spec, names)(wanted) == [None]


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(1, 1) as made:
        yield made


@NEEDS_RAY
@pytest.mark.long
@pytest.mark.damages("a picture is gone")
def test_features_of_nodes_are_those_made_here(tmp_path: Path, cluster: RayCluster) -> None:
    with Dataset.create(tmp_path / "here") as here, Dataset.create(tmp_path / "there") as there:
        fill(here, 20)
        fill(there, 20)
        there.work_on(cluster.address)
        wanted = list(here.samples.in_splits())
        # One that is gone is left out, and costs its pass nothing.
        for dataset in (here, there):
            dataset.image_path(wanted[5].image, "PNG").unlink()
        expected = features_of(here, wanted, SPEC)
        found = features_of(there, list(there.samples.in_splits()), SPEC)
    assert len(expected.keys) == 59
    assert found.keys == expected.keys
    assert np.array_equal(found.vectors, expected.vectors)
