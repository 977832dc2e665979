"""A logistic regression on the features of a frozen backbone, which are computed once."""

from typing import Any, NamedTuple, Self

import numpy as np

from baseline.data.samples import check_classes, compute_class_weights
from baseline.features.backbone import Backbone, ImageShape
from baseline.features.backbone_names import JOIN
from baseline.features.backbones import load_backbone
from baseline.features.graph_backbones import OnnxBackbone
from baseline.features.scaling import Scaling
from baseline.features.texture import get_prior_weights, parse_part_weights
from baseline.settings import Finetune, Transfer, Triplet
from baseline.train.methods.logistic import (
    TrainRows,
    choose_part_weights,
    choose_strength,
    fit_linear_head,
)
from baseline.train.trained_net import LinearLayer, TrainedNet
from baseline.train.training import (
    TrainingCallback,
    TrainingCourse,
    TrainingData,
    TrainingResult,
)
from gleanset.arrays import Float32Array, IntArray


def load_pretrained_backbone(
    settings: Transfer | Finetune | Triplet, callback: TrainingCallback
) -> tuple[Backbone, dict[str, Any]]:
    """Load the backbone of the settings with its weights; return facts for the metrics too."""
    backbone, weights = load_backbone(
        settings.backbone, settings.weights, settings.seed
    )
    names = JOIN.join(member.name for member in backbone.members)
    callback.say(f"backbone: {names} ({weights.source})")

    for member in backbone.members:
        if not isinstance(member, OnnxBackbone):
            continue
        side = min(member.side)
        if side > settings.size:
            callback.say(
                f"images are read at {settings.size} x {settings.size}, but {member.name} expects "
                f"{side}: -o size={side}"
            )

    return backbone, {
        "backbone": names,
        "weights": weights.source,
        "weights_sha256": weights.sha256,
    }


class FrozenFeatures(NamedTuple):
    """Scaled features of train (`rows`, N x V x D), by `keys`.

    A layer trained on them becomes one for unscaled features by `LinearLayer.after(scaling)`.
    """

    backbone: Backbone
    rows: TrainRows
    keys: tuple[str, ...]
    scaling: Scaling
    facts: dict[str, Any]

    @classmethod
    def compute(
        cls,
        data: TrainingData,
        settings: Transfer | Triplet,
        callback: TrainingCallback,
    ) -> Self:
        """Compute features and choose their block weights.

        Raises `InputUnusable` if classes are missing, `UsageError` if the setting does not fit the
        feature blocks.
        """
        train = data.examples.splits["train"]
        keys = [sample.key for sample in train]
        check_classes(
            data.examples.classes_of("train", keys),
            data.classes,
        )

        backbone, facts = load_pretrained_backbone(settings, callback)
        features = data.train_features(backbone)
        y = data.examples.classes_of("train", features.keys)
        # Checked again, because unreadable images have no features: a class may be empty now.
        check_classes(y, data.classes)

        # A rare class weighs more, which is the same as drawing its images more often.
        by_class = compute_class_weights(
            y,
            len(data.classes),
            settings.balance,
        )
        rows = TrainRows(
            x=features.vectors,
            y=y,
            weights=by_class[y].astype(np.float64),
            groups=data.groups_of(features.keys),
        )

        parts = backbone.parts
        part_weights = parse_part_weights(settings.part_weights, parts)
        if part_weights is None:
            # Chosen on plain images (view 0), scaled so that all parts have the same weight.
            prior = get_prior_weights(parts, data.dataset, train, data.progress)
            standard = Scaling.fit(rows.x, backbone).transform(rows.x[:, 0])
            plain = rows._replace(x=standard.astype(np.float64))
            part_weights = choose_part_weights(plain, parts, prior, settings.seed)
        if description := part_weights.describe(parts):
            callback.say(description)

        # All views now, with these weights.
        scaling = Scaling.fit(rows.x, backbone, part_weights.weights)
        facts |= part_weights.to_json(parts) | {"views": rows.x.shape[1]}
        rows = rows._replace(x=scaling.transform(rows.x))
        return cls(
            backbone,
            rows,
            features.keys,
            scaling,
            facts,
        )

    def val(self, data: TrainingData) -> tuple[Float32Array, IntArray]:
        """Return scaled features (N x 1 x D) and class numbers of val."""
        features = data.features("val", self.backbone)
        y = data.examples.classes_of("val", features.keys)
        return self.scaling.transform(features.vectors), y


def fit_transfer(
    data: TrainingData, settings: Transfer, callback: TrainingCallback
) -> TrainingResult:
    """Fit the regression; choose its strength unless the settings say it."""
    frozen = FrozenFeatures.compute(data, settings, callback)
    layers = frozen.backbone.layers
    rows = frozen.rows

    facts: dict[str, Any]
    if settings.strength:
        facts = {"strength": settings.strength, "strength_by": "settings"}
    else:
        choice = choose_strength(rows, layers, settings.seed)
        facts = {"strength": choice.strength, "strength_by": choice.by}
        callback.say(f"regularization: C = {choice.strength:g} ({choice.by})")

    linear = fit_linear_head(rows, facts["strength"], layers)
    layer = LinearLayer(linear.coefficients, linear.bias).after(frozen.scaling)
    shape = ImageShape(settings.channels, settings.size)
    net = TrainedNet(frozen.backbone, layer, shape)

    facts |= {"converged": linear.converged} | frozen.facts
    return TrainingResult(net, TrainingCourse(), facts)
