"""A dataset of drawn patterns with a small trained network."""

from pathlib import Path

import numpy as np
import torch
from drawn_dataset import CLASSES, EIGHT_TO_ONE, fill

from baseline.data.runs import write_run_json
from baseline.data.samples import find_examples, load_arrays
from baseline.evaluation.decision_rule import (
    SCALE_FILE,
    DecisionRule,
    fit_feature_scale,
    save_decision_rule,
)
from baseline.features.graph_backbones import SmallBackbone
from baseline.settings import Settings, load_preset
from baseline.train.networks import SmallNet, to_trained_net
from baseline.train.trained_net import TrainedNet, save_model
from baseline.use.model import load
from gleanset import Dataset

RUN = "20261120-120000-simple"


def train_small(dataset: Dataset) -> tuple[TrainedNet, Settings]:
    """Train a small network on the patterns in about a second."""
    settings = load_preset("simple", {"size": "32", "blocks": "8,16", "dense": "16"})
    examples = find_examples(dataset)
    arrays = load_arrays(dataset, examples, settings, "train")
    x = torch.from_numpy(arrays.x).float() / 255
    y = torch.from_numpy(arrays.y)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        net = SmallNet(settings, len(examples.classes))
        optimiser = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(25):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(x), y).backward()
            optimiser.step()
    return to_trained_net(net, settings, SmallBackbone(settings)), settings


def make_patterns(folder: Path) -> None:
    """Fill `folder/dataset` and train its run `RUN`."""
    torch.set_num_threads(1)
    root = folder / "dataset"
    with Dataset.create(root) as dataset:
        fill(dataset, 30, EIGHT_TO_ONE)
        net, settings = train_small(dataset)
        folder = root / "runs" / RUN
        dataset.runs.start(RUN, "baseline", settings.to_json())
        save_model(folder, net, settings, tuple(sorted(CLASSES)))
        _make_wary(folder, sorted((root / "images").glob("*/*.png")))
        dataset.runs.finish(RUN, "done", {})


def _make_wary(folder: Path, pictures: list[Path]) -> None:
    """Add a decision rule; 5 % of the images are out-of-distribution."""
    rule = DecisionRule(1.5, 0.6, offsets={"cross": 0.7, "stripes": -0.9})
    save_decision_rule(folder, rule)
    scale = fit_feature_scale(load(folder).embed(pictures))
    write_run_json(folder, SCALE_FILE, scale)
    similarities = [
        answer.similarity or 0.0 for answer in load(folder).predict_images(pictures)
    ]
    save_decision_rule(
        folder, rule.but(unfamiliar_below=float(np.quantile(similarities, 0.05)))
    )
