"""What a method learns from: the samples of a dataset as pictures or as features, on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from baseline.data.samples import Arrays, Examples, load_arrays
from baseline.features.backbone import Backbone, FeaturePart
from baseline.features.features import Features, FeatureSpec, features_of
from baseline.features.texture import PartWeights, expected_weights
from baseline.settings import Settings, Transfer, Triplet, views_of
from gleanset import Dataset
from gleanset.work.progress import Progress


@dataclass(slots=True)
class TrainingData:
    """The `examples` of `dataset`, read when first asked for. Only train and val are learnt from.

    `place` is a folder for checkpoints, None for a training that is not taken up after a kill.
    """

    dataset: Dataset
    examples: Examples
    settings: Settings
    progress: Progress = field(default_factory=Progress)
    place: Path | None = None
    _arrays: dict[str, Arrays] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in order."""
        return self.examples.classes

    @property
    def frozen_backbone(self) -> bool:
        """Whether the backbone stays as it was, so that cached features stand for pictures."""
        return isinstance(self.settings, Transfer) or (
            isinstance(self.settings, Triplet) and self.settings.learn == "projection"
        )

    def arrays(self, split: str) -> Arrays:
        """Return the pixels of a split, read once. An unreadable picture is left out."""
        if split not in self._arrays:
            self._arrays[split] = load_arrays(
                self.dataset, self.examples, self.settings, split, self.progress
            )
        return self._arrays[split]

    def train_features(self, backbone: Backbone) -> Features:
        """Return what `backbone` sees of train, in the plain view and those of the settings."""
        assert isinstance(self.settings, Transfer | Triplet)
        views = views_of(self.settings, len(self.examples.splits["train"]))
        return self.features("train", backbone, views)

    def features(self, split: str, backbone: Backbone, views: int = 0) -> Features:
        """Return what `backbone` sees of a split, in the plain view and `views` more."""
        assert isinstance(self.settings, Transfer | Triplet)
        spec = FeatureSpec.of(self.settings, views=views)
        samples = self.examples.splits[split]
        return features_of(self.dataset, samples, spec, self.progress, backbone, split)

    def expected_weights(self, parts: Sequence[FeaturePart]) -> PartWeights:
        """Return what the parts of the features count by the texture of train's pictures."""
        return expected_weights(parts, self.dataset, self.examples.splits["train"], self.progress)

    def classes_of(self, split: str, keys: tuple[str, ...]) -> npt.NDArray[np.int64]:
        """Return the index of the class of each key."""
        return self.examples.classes_of(split, keys)

    def moments_of(self, keys: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the number of the moment of each key: what must not be learnt from and judged by
        at once.
        """
        names = np.array([self.examples.moments[key] for key in keys])
        return np.unique(names, return_inverse=True)[1]
