"""Cached features of a frozen backbone: computed once, equal to the network's."""

from collections.abc import Iterator

import numpy as np
import pytest
from drawn_dataset import fill

from baseline.data.runs import run_folder
from baseline.data.samples import find_examples
from baseline.evaluation.decision_rule import RuleRequest
from baseline.evaluation.evaluate import reevaluate_run
from baseline.features.graph_backbones import GraphExtractor
from baseline.settings import Settings, load_preset
from baseline.train.train_run import train_run
from baseline.train.trained_net import load_model
from baseline.train.training import TrainingData, compute_split_outputs, network_outputs
from baseline.train.trials import find_label_issues
from gleanset import Dataset
from gleanset.arrays import Pixels
from gleanset.records import SPLITS
from gleanset.work.progress import NO_PROGRESS

TINY = {"size": "32", "backbone": "efficientnet_lite0", "weights": "none"}
FROZEN = {
    "transfer": TINY | {"views": "1", "strength": "1"},
    "triplet": TINY | {"epochs": "2", "views": "1", "embedding": "8"},
}


TRIPLET = pytest.param("triplet", marks=pytest.mark.long)


@pytest.fixture(scope="module", params=["transfer", TRIPLET])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Dataset, str, Settings, list[int]]]:
    """Dataset with a run on a frozen backbone, and the sizes of the batches it computed."""
    settings = load_preset(request.param, FROZEN[request.param])
    extracted: list[int] = []
    plain = GraphExtractor.__call__

    def counting(self: GraphExtractor, pictures: Pixels) -> np.ndarray:
        extracted.append(len(pictures))
        return plain(self, pictures)

    with (
        Dataset.create(tmp_path_factory.mktemp("frozen") / "dataset") as dataset,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(GraphExtractor, "__call__", counting)
        fill(dataset, 10)
        run = train_run(dataset, settings).run
        yield dataset, run, settings, extracted


def test_features_are_extracted_once(
    trained: tuple[Dataset, str, Settings, list[int]],
) -> None:
    dataset, run, settings, extracted = trained
    counts = {split: len(part) for split, part in find_examples(dataset).splits.items()}
    views = 2  # unchanged and augmented
    background = 64 * (settings.preset == "transfer")
    assert (
        sum(extracted)
        == background + counts["train"] * views + counts["val"] + counts["test"]
    )
    extracted.clear()
    for split in SPLITS:
        reevaluate_run(dataset, run, split, RuleRequest({}), NO_PROGRESS)
    assert extracted == []
    # Folds also train on samples of val and test, which need the augmented view.
    find_label_issues(dataset, run, run_folder(dataset, run), 2, NO_PROGRESS)
    assert sum(extracted) <= counts["val"] + counts["test"]
    # Features are enough: no pixels were cached.
    assert not (dataset.cache / "pixels").exists()


def test_cached_features_match_network(
    trained: tuple[Dataset, str, Settings, list[int]],
) -> None:
    dataset, run, settings, _ = trained
    net, _, _ = load_model(run_folder(dataset, run))
    data = TrainingData(dataset, find_examples(dataset), settings)
    for split in SPLITS:
        cached = compute_split_outputs(net, data, split)
        computed = network_outputs(net, data.arrays(split))
        assert cached.keys == computed.keys
        assert np.array_equal(cached.y, computed.y)
        assert np.allclose(cached.logits, computed.logits, atol=1e-4)
        assert np.allclose(cached.embeddings, computed.embeddings, atol=1e-4)
