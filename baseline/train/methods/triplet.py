"""An embedding in which pictures of one class lie together, and the known ones to compare with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils.extmath import randomized_svd
from torch import nn
from torch.nn import functional

from baseline.data.samples import check_classes
from baseline.features.backbone import PictureShape
from baseline.features.compute import reproducible
from baseline.features.scaling import one_thread
from baseline.settings import Triplet
from baseline.train.batches import (
    FeatureSamples,
    ImageSamples,
    LabelledSamples,
    class_batches,
    iterate_batches,
)
from baseline.train.callbacks import TrainingCallback, TrainingResult
from baseline.train.loop import VALIDATION_BATCH, TrainingTask, train_network
from baseline.train.methods.frozen import FrozenFeatures, load_pretrained_backbone
from baseline.train.methods.gallery import build_gallery, get_gallery_head
from baseline.train.methods.head_descent import linear_layers
from baseline.train.methods.logistic import TrainRows, Whitening
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import (
    EmbeddingNet,
    NearestImageHead,
    build_net,
    configure_batch_norm,
    projection,
    to_trained_net,
)
from baseline.train.trained_net import TrainedNet, stack_by_class

MOST_KNOWN = 2000
"""Pictures of train that validation compares with, at most."""

Embed = Callable[[nn.Module, torch.Tensor], torch.Tensor]


class BatchHardObjective:
    """For each picture its farthest of the class and its nearest of another one, in the batch.

    (Hermans et al., In Defense of the Triplet Loss, 2017.) `embed` gives what is compared, before
    it is brought to length 1. Val is judged against `known`, as a gallery would: by cross entropy
    of the likenesses, and by recall@1.
    """

    def __init__(self, margin: float, known: LabelledSamples, classes: int, embed: Embed) -> None:
        # Imported here: whoever uses a trained run need not wait for it.
        from pytorch_metric_learning.losses import TripletMarginLoss
        from pytorch_metric_learning.miners import BatchHardMiner

        self.loss, self.miner = TripletMarginLoss(margin=margin), BatchHardMiner()
        self.known, self.classes, self.embed = known, classes, embed

    def weigh(self, y: torch.Tensor) -> torch.Tensor:
        """Return how many pictures there are."""
        return torch.tensor(float(len(y)), device=y.device)

    def terms(
        self, net: nn.Module, x: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean over the triplets not yet apart, times the pictures; and recall@1
        therein.
        """
        embedded = functional.normalize(self.embed(net, x).float(), dim=1)
        loss: torch.Tensor = self.loss(embedded, y, self.miner(embedded, y))
        likeness = embedded.detach() @ embedded.detach().T
        likeness.fill_diagonal_(-2.0)
        return loss * len(y), (y[likeness.argmax(1)] == y).sum()

    def judge(self, net: nn.Module, material: LabelledSamples, batch: int) -> tuple[float, float]:
        """Cross entropy in nats and recall@1 of `material` against the known pictures."""
        with torch.inference_mode():
            known, owners = self._embedded(net, self.known, batch)
            asked, truth = self._embedded(net, material, batch)
            vectors = stack_by_class(known.numpy(), owners.numpy(), self.classes)
            scores = NearestImageHead(torch.from_numpy(vectors))(asked)
        loss = float(functional.cross_entropy(scores, truth))
        return loss, float((scores.argmax(1) == truth).float().mean())

    def _embedded(
        self, net: nn.Module, material: LabelledSamples, batch: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        parts, labels, count = [], [], 0
        for x, y in iterate_batches(material, net, batch):
            parts.append(functional.normalize(self.embed(net, x).float(), dim=1).cpu())
            labels.append(y.cpu())
            count += len(y)
            if material is self.known and count >= MOST_KNOWN:
                break
        return torch.cat(parts), torch.cat(labels)


def fit_triplet(
    material: TrainingData, settings: Triplet, callback: TrainingCallback
) -> TrainingResult[TrainedNet]:
    """Learn the projection of features, or with learn 'all' the backbone as well."""
    if settings.learn == "all":
        return _whole(material, settings, callback)
    return _projection(material, settings, callback)


def _projection(
    material: TrainingData, settings: Triplet, callback: TrainingCallback
) -> TrainingResult[TrainedNet]:
    frozen = FrozenFeatures.of(material, settings, callback)
    train = FeatureSamples(frozen.rows.x, frozen.rows.y)
    with reproducible(settings.seed):
        learning = projection(settings, frozen.backbone.width)
    initialize_with_discriminants(train.x, train.y, learning[1])  # type: ignore[arg-type]
    objective = BatchHardObjective(settings.margin, train, len(material.classes), _embed_features)
    samples = train, FeatureSamples(*frozen.val(material))
    fitted = _descended(learning, samples, objective, material, settings, callback)
    embedded = _all_of(learning, train, _embed_features)
    head = build_gallery(embedded, train.y, frozen.keys, len(material.classes))
    (layer,) = linear_layers(learning)
    shape = PictureShape(settings.channels, settings.size)
    net = TrainedNet(frozen.backbone, head, shape, layer.after(frozen.scaling))
    return _finished(fitted, net, frozen.facts)


def _whole(
    material: TrainingData, settings: Triplet, callback: TrainingCallback
) -> TrainingResult[TrainedNet]:
    keys = tuple(sample.key for sample in material.examples.splits["train"])
    check_classes(material.classes_of("train", keys), material.classes)
    backbone, facts = load_pretrained_backbone(settings, callback)
    with reproducible(settings.seed):
        net = build_net(settings, len(material.classes), backbone)
    assert isinstance(net, EmbeddingNet)
    train = material.arrays("train")
    check_classes(train.y, material.classes)
    batch = settings.classes_per_batch * settings.pictures_per_class
    facts["norms"] = configure_batch_norm(net.backbone, settings.weights, batch, callback)
    pictures, val = ImageSamples(train, settings.augment), ImageSamples(material.arrays("val"))
    objective = BatchHardObjective(
        settings.margin, pictures, len(material.classes), _embed_pictures
    )
    fitted = _descended(net, (pictures, val), objective, material, settings, callback)
    embedded = _all_of(net, pictures, _embed_pictures)
    made = to_trained_net(net, settings, backbone)
    made.head = build_gallery(embedded, train.y, train.keys, len(material.classes))
    return _finished(fitted, made, facts)


def _descended(
    learning: nn.Module,
    samples: tuple[FeatureSamples | ImageSamples, FeatureSamples | ImageSamples],
    objective: BatchHardObjective,
    material: TrainingData,
    settings: Triplet,
    callback: TrainingCallback,
) -> TrainingResult[nn.Module]:
    train, val = samples
    plan = class_batches(train.y, settings.classes_per_batch, settings.pictures_per_class)
    task = TrainingTask(learning, train, objective, plan, settings, val)
    return train_network(task, callback, material.place)


def _finished(
    fitted: TrainingResult[nn.Module], net: TrainedNet, facts: dict[str, Any]
) -> TrainingResult[TrainedNet]:
    known = [len(keys) for keys in get_gallery_head(net).known]
    return fitted.with_net(net, facts | {"known_pictures": sum(known), "known_most": max(known)})


def _embed_features(projection: nn.Module, x: torch.Tensor) -> torch.Tensor:
    embedded: torch.Tensor = projection(x)
    return embedded


def _embed_pictures(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    embedded: torch.Tensor = net.projection(net.backbone(x))  # type: ignore[operator]
    return embedded


def _all_of(net: nn.Module, material: FeatureSamples | ImageSamples, embed: Any) -> Any:
    """Embeddings of length 1 of all samples in the plain view, float32 N x D."""
    with torch.inference_mode():
        parts = [
            functional.normalize(embed(net, x).float(), dim=1).cpu().numpy()
            for x, _ in iterate_batches(material, net, VALIDATION_BATCH)
        ]
    return np.concatenate(parts)


COMPONENTS = 256
"""Principal components of the features that discriminants are looked for in."""
OTHER = 0.3
"""How much directions count that do not tell the classes apart: they are for new classes."""

Floats = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]


def initialize_with_discriminants(x: npt.NDArray[np.float32], y: Classes, layer: nn.Linear) -> None:
    """Begin `layer` as discriminants of `x` (N x views x D, standardised) by the classes `y`.

    There are fewer discriminants than classes; the other rows are directions in which pictures
    of one class vary as little as they can.
    """
    # One thread: on a busy machine several wait for each other far longer than this takes.
    with one_thread():
        rows = _rows(x.reshape(-1, x.shape[2]).astype(np.float64), np.repeat(y, x.shape[1]))
    rows = rows[: layer.out_features]
    with torch.no_grad():
        layer.weight[: len(rows)] = torch.from_numpy(rows)
        layer.weight[len(rows) :] = 0
        layer.bias.zero_()


def _rows(x: Floats, y: Classes) -> Floats:
    """Discriminants, then other directions: at most `COMPONENTS` x D."""
    components = randomized_svd(x - x.mean(0), min(COMPONENTS, *x.shape), random_state=0)[2]
    seen = TrainRows(x @ components.T, y, np.ones(len(y)), y)
    whitening = Whitening.of(seen, [len(components)])
    white = whitening.evened(seen.x)
    means = np.stack([white[y == name].mean(0) for name in np.unique(y)])
    turn = np.linalg.svd(means - means.mean(0))[2]
    weights = np.where(np.arange(len(turn)) < len(means) - 1, 1.0, OTHER)
    rows: Floats = whitening.restored(weights[:, None] * turn) @ components
    return rows
