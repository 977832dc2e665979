"""Training by gradient descent: whole networks, and embeddings by triplet loss."""

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd
from torch import nn

from baseline.data.samples import check_classes
from baseline.features.backbone import ImageShape
from baseline.features.compute import reproducible
from baseline.features.graph_backbones import SmallBackbone
from baseline.settings import Finetune, Simple, Triplet
from baseline.train.batches import (
    BatchHardObjective,
    FeatureSamples,
    choose_batch_size,
    embed_samples,
    make_class_sampler,
)
from baseline.train.loop import (
    VALIDATION_BATCH,
    TrainingTask,
    make_classifier_task,
    train_network,
)
from baseline.train.methods.logistic import TrainRows, Whitening
from baseline.train.methods.transfer import FrozenFeatures, load_pretrained_backbone
from baseline.train.networks import (
    BackboneNet,
    SmallNet,
    configure_batch_norm,
    to_trained_net,
)
from baseline.train.trained_net import (
    LinearLayer,
    TrainedNet,
    build_gallery,
)
from baseline.train.training import TrainingCallback, TrainingData, TrainingResult
from gleanset.arrays import Float32Array, Float64Array, IntArray, limit_threads


def fit_simple(
    data: TrainingData, settings: Simple, callback: TrainingCallback
) -> TrainingResult:
    """Train the small network on train with early stopping on val."""
    train = data.arrays("train")
    check_classes(train.y, data.classes)
    with reproducible(settings.seed):
        net = SmallNet(settings, len(data.classes))

    task = make_classifier_task(
        net,
        train,
        data.arrays("val"),
        settings,
    )
    course = train_network(task, callback, data.checkpoint_folder)
    trained = to_trained_net(net, settings, SmallBackbone(settings))
    return TrainingResult(trained, course, facts={})


def fit_finetune(
    data: TrainingData, settings: Finetune, callback: TrainingCallback
) -> TrainingResult:
    """Train a head, then its pretrained backbone too, with early stopping on val."""
    train = data.arrays("train")
    check_classes(train.y, data.classes)
    backbone, facts = load_pretrained_backbone(settings, callback)
    with reproducible(settings.seed):
        net = BackboneNet(settings, backbone, len(data.classes))

    facts["norms"] = configure_batch_norm(
        net.backbone,
        settings.weights,
        choose_batch_size(len(train), settings.batch),
        callback,
    )

    task = make_classifier_task(
        net,
        train,
        data.arrays("val"),
        settings,
    )
    task = task._replace(frozen=net.backbone, frozen_epochs=settings.warm_up)
    course = train_network(task, callback, data.checkpoint_folder)

    return TrainingResult(to_trained_net(net, settings, backbone), course, facts)


def fit_triplet(
    data: TrainingData, settings: Triplet, callback: TrainingCallback
) -> TrainingResult:
    """Train a projection of features."""
    frozen = FrozenFeatures.compute(data, settings, callback)
    train = FeatureSamples(frozen.rows.x, frozen.rows.y)
    with reproducible(settings.seed):
        layer = nn.Linear(frozen.backbone.width, settings.embedding)
    # .90 of images are right with it, where the nearest neighbour has .67 (docs/experiments.md).
    initialize_with_discriminants(train.x, train.y, layer)
    network = nn.Sequential(nn.Dropout(settings.dropout), layer)

    val_x, val_y = frozen.val(data)
    task = TrainingTask(
        net=network,
        train=train,
        objective=BatchHardObjective(settings.margin, train, len(data.classes)),
        sampler=make_class_sampler(
            train.y,
            settings.classes_per_batch,
            settings.images_per_class,
        ),
        settings=settings,
        val=FeatureSamples(val_x, val_y),
    )
    course = train_network(task, callback, data.checkpoint_folder)

    # The projection becomes one for unscaled features, and the training images the gallery.
    with torch.inference_mode():
        embeddings, _ = embed_samples(network, train, VALIDATION_BATCH)
        weight = layer.weight.cpu().numpy()
        bias = layer.bias.cpu().numpy()
    head = build_gallery(
        embeddings.numpy(),
        train.y,
        frozen.keys,
        len(data.classes),
    )
    net = TrainedNet(
        frozen.backbone,
        head,
        ImageShape(settings.channels, settings.size),
        LinearLayer(weight, bias).after(frozen.scaling),
    )
    return TrainingResult(net, course, frozen.facts)


COMPONENTS = 256
"""Principal components of the features that discriminants are computed in."""
OTHER_DIRECTION_WEIGHT = 0.3
"""Weight of directions that do not discriminate the classes: they are for new classes."""


def initialize_with_discriminants(
    x: Float32Array, y: IntArray, layer: nn.Linear
) -> None:
    """Initialize `layer` with discriminants of `x` (N x views x D, standardized) by classes `y`.

    There are fewer discriminants than classes; the other rows are other directions of the data,
    whitened within classes.
    """
    _, views, width = x.shape
    flat = x.reshape(-1, width).astype(np.float64)
    # One thread: on a busy machine, synchronization would take longer than the computation.
    with limit_threads():
        rows = _compute_discriminants(flat, np.repeat(y, views))

    # Fewer rows than the layer has are followed by zeros.
    rows = rows[: layer.out_features]
    with torch.no_grad():
        layer.weight[: len(rows)] = torch.from_numpy(rows)
        layer.weight[len(rows) :] = 0
        layer.bias.zero_()


def _compute_discriminants(x: Float64Array, y: IntArray) -> Float64Array:
    """Return discriminants, then other directions, at most `COMPONENTS` x D."""
    # Whitened within classes, in a space of fewer dimensions.
    rank = min(COMPONENTS, *x.shape)
    _, _, components = randomized_svd(
        x - x.mean(0),
        rank,
        random_state=0,
    )
    rows = TrainRows(
        x @ components.T,
        y,
        weights=np.ones(len(y)),
        groups=y,
    )
    whitening = Whitening.fit(rows, [len(components)])
    white = whitening.transform(rows.x)

    means = np.stack([white[y == name].mean(0) for name in np.unique(y)])
    # All right singular vectors, by descending variance between the classes.
    _, _, directions = np.linalg.svd(means - means.mean(0))
    # The means of C classes span C - 1 dimensions, whose directions come first. The other
    # directions are arbitrary, because whitened data vary alike in all.
    is_discriminant = np.arange(len(directions)) < len(means) - 1
    weights = np.where(is_discriminant, 1.0, OTHER_DIRECTION_WEIGHT)
    discriminants = whitening.transform_coefficients(weights[:, None] * directions)
    return np.asarray(discriminants @ components)
