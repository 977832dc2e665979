"""What a network says of a split: a frozen backbone sees a picture once, to learn and to judge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from drawn_dataset import fill

import baseline
from baseline.cli import commands
from baseline.data.pixels import Pixels
from baseline.data.runs import run_folder
from baseline.data.samples import find_examples
from baseline.evaluation.decision_rule import calibrate_with_rule, load_decision_rule
from baseline.evaluation.evaluate import reevaluate_run
from baseline.evaluation.outputs import softmax
from baseline.features.graph_backbone import GraphExtractor
from baseline.settings import Settings, load_preset
from baseline.train.methods.training_data import TrainingData, network_outputs, split_outputs
from baseline.train.train_run import train_run
from baseline.train.trained_net import load_model
from baseline.train.trials import find_label_issues, sweep
from gleanset import Dataset
from gleanset.records import SPLITS

TINY = {"size": "32", "backbone": "efficientnet_lite0", "weights": "none"}
FROZEN = {
    "transfer": TINY | {"views": "1", "strength": "1"},
    "triplet": TINY | {"epochs": "2", "views": "1", "embedding": "8"},
}


LATER = pytest.param("triplet", marks=pytest.mark.long)


@pytest.fixture(scope="module", params=["transfer", LATER])
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Dataset, str, Settings, list[int]]]:
    """A dataset with a run whose backbone is frozen, and how many pictures went through it."""
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
        run = str(train_run(dataset, settings)["run"])
        yield dataset, run, settings, extracted


def test_one_extraction_feeds_learning_and_judging(
    trained: tuple[Dataset, str, Settings, list[int]],
) -> None:
    dataset, run, settings, extracted = trained
    counts = find_examples(dataset).counts()
    views = 2  # the plain one and that of the settings
    assert sum(extracted) == counts["train"] * views + counts["val"] + counts["test"]
    extracted.clear()
    for split in SPLITS:
        reevaluate_run(dataset, run, split)
    sweep(dataset, settings.preset, [FROZEN[settings.preset]])
    assert extracted == []
    # Folds learn from samples of val and test as well, which wants their one changed view.
    find_label_issues(dataset, run, run_folder(dataset, run), 2)
    assert sum(extracted) <= counts["val"] + counts["test"]
    assert not (dataset.cache / "pixels").exists()  # no picture was decoded for a whole network


def test_cached_features_say_what_the_whole_network_says(
    trained: tuple[Dataset, str, Settings, list[int]],
) -> None:
    dataset, run, settings, _ = trained
    net, _, _ = load_model(run_folder(dataset, run))
    data = TrainingData(dataset, find_examples(dataset), settings)
    for split in SPLITS:
        cached, whole = split_outputs(net, data, split), network_outputs(net, data.arrays(split))
        assert cached.keys == whole.keys
        assert np.array_equal(cached.y, whole.y)
        assert np.allclose(cached.logits, whole.logits, atol=1e-4)
        assert cached.embeddings is not None
        assert whole.embeddings is not None
        assert np.allclose(cached.embeddings, whole.embeddings, atol=1e-4)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("trained", ["transfer", "triplet"], indirect=True)
def test_cached_features_say_what_the_exported_network_says(
    trained: tuple[Dataset, str, Settings, list[int]], tmp_path: Path
) -> None:
    dataset, run, settings, _ = trained
    folder, out = run_folder(dataset, run), tmp_path / "model.onnx"
    words = ["export", run, str(out), "-d", str(dataset.root)]
    done = CliRunner().invoke(commands, words)
    assert done.exit_code == 0, done.output
    net, _, classes = load_model(folder)
    data = TrainingData(dataset, find_examples(dataset), settings)
    result = split_outputs(net, data, "test")
    expected = softmax(calibrate_with_rule(result.logits, classes, load_decision_rule(folder)))
    samples = {sample.key: sample for sample in data.examples.splits["test"]}
    files = [dataset.image_path(samples[key].image, "PNG") for key in result.keys]
    model = baseline.load(out)
    for row, answer in enumerate(model.predict_many(files, top=len(classes))):
        given = {one.label: one.confidence for one in answer}
        assert [given[name] for name in classes] == pytest.approx(expected[row], abs=1e-4)
    assert result.embeddings is not None
    assert np.allclose(model.embed(files), result.embeddings, atol=1e-4)
