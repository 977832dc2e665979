"""Building backbones by name: networks of timm, embeddings, shipped ones, or several joined.

The shipped ones are `efficientnet_lite0`, `colours` and `faces` (`shipped_backbones.py`); several
are joined as `efficientnet_lite0+colours` (`backbone_names.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from baseline.extras import require_torch
from baseline.features.backbone import (
    Array,
    Backbone,
    FeatureExtractor,
    ImageShape,
    State,
    Weights,
)
from baseline.features.backbone_names import (
    COLOURS,
    FACES,
    JOIN,
    backbone_names,
    check_backbone_name,
    is_embedding,
)
from baseline.features.onnx_backbone import OnnxBackbone
from baseline.features.shipped_backbones import (
    BODY,
    LITE,
    ColourBackbone,
    IdentityBackbone,
    LiteBackbone,
    draw_random_weights,
)
from baseline.features.stored_weights import (
    load_packaged_weights,
    load_weights_file,
    select_tensors,
)
from baseline.settings import Precision


class JoinedBackbone(Backbone):
    """Several backbones with concatenated features."""

    def __init__(self, members: Sequence[Backbone]) -> None:
        self._members = tuple(members)
        self.name = JOIN.join(member.name for member in members)
        self.parts = tuple(part for member in members for part in member.parts)
        self.emphasis = np.concatenate([member.emphasis for member in members])

    @property
    def members(self) -> tuple[Backbone, ...]:
        """The joined backbones."""
        return self._members

    @property
    def identity(self) -> tuple[object, ...]:
        """The identities of all members."""
        return tuple(member.identity for member in self.members)

    @property
    def run_files(self) -> Mapping[str, bytes]:
        """The files of all members."""
        return {name: data for m in self.members for name, data in m.run_files.items()}

    @property
    def state(self) -> State:
        """The weights of all members, with their numbers as prefix."""
        return {
            f"backbones.{number}.{name}": value
            for number, member in enumerate(self.members)
            for name, value in member.state.items()
        }

    def fill(self, state: State) -> None:
        """Load weights. Raises `ValueError` if they do not fit."""
        member_states: dict[str, dict[str, Array]] = {str(n): {} for n in range(len(self.members))}
        for name, value in state.items():
            _, number, rest = name.split(".", 2)
            if number not in member_states:
                raise ValueError(f"{name} does not belong to a backbone")
            member_states[number][rest] = value
        for member, part in zip(self.members, member_states.values(), strict=True):
            member.fill(part)

    def extractor(
        self, shape: ImageShape, precision: Precision, *, padded: bool = True
    ) -> FeatureExtractor:
        """Return an extractor of the concatenated features."""
        extractors = [member.extractor(shape, precision, padded=padded) for member in self.members]
        return lambda images: np.concatenate([extract(images) for extract in extractors], 1)

    @property
    def parameters(self) -> int:
        """The number of trained parameters of all members."""
        return sum(member.parameters for member in self.members)


def build_backbone(name: str, kept: Path | None = None, seed: int = 0) -> Backbone:
    """Return a backbone, or several joined ones (`a+b`), without loading weights.

    `kept` is the folder of a run with the files they are built from. Raises `UsageError` for an
    unknown name, `InputUnusable` or `MissingComponent` for an unusable file.
    """
    members = [_build_member(member, kept, seed) for member in backbone_names(name)]
    return members[0] if len(members) == 1 else JoinedBackbone(members)


def _build_member(name: str, kept: Path | None, seed: int) -> Backbone:
    check_backbone_name(name)
    if name == COLOURS:
        return ColourBackbone()
    if name == FACES:
        return IdentityBackbone(kept)
    if name == LITE:
        return LiteBackbone()
    if is_embedding(name):
        return OnnxBackbone.open(name, kept)
    backbone: Backbone = _timm().TimmBackbone(name, kept, seed)
    return backbone


def _timm() -> ModuleType:
    require_torch(f"a network other than {LITE}")
    return import_module("baseline.features.timm_backbone")


def load_backbone(name: str, weights: str, seed: int = 0) -> tuple[Backbone, Weights]:
    """Return a backbone with its weights, and their source.

    Weights are 'packaged', 'hub', 'none' (random by the seed), or the path of a file. Raises
    `UsageError`, `InputUnusable` or `MissingComponent`.
    """
    backbone = build_backbone(name, seed=seed)
    loaded = []
    for member in backbone.members:
        if member.shapes:
            loaded.append(_fill_member(member, weights, seed))
        elif isinstance(member, OnnxBackbone):
            loaded.append(Weights(f"hub {member.name}", member.spec.sha256))
    if not loaded:
        return backbone, Weights("none", None)
    source = f" {JOIN} ".join(member.source for member in loaded)
    return backbone, Weights(source, JOIN.join(member.sha256 or "" for member in loaded) or None)


def _fill_member(member: Backbone, weights: str, seed: int) -> Weights:
    if weights == "none":
        if isinstance(member, LiteBackbone):
            member.fill(draw_random_weights(member.shapes, seed))
        return Weights("none", None)
    shapes = {name.removeprefix(BODY): shape for name, shape in member.shapes.items()}
    state: State
    if weights == "packaged":
        state, origin = load_packaged_weights(member.name, shapes)
    elif weights == "hub":
        state, origin = _timm().hub_weights(member)
    else:
        state, origin = load_weights_file(Path(weights))
    fit = select_tensors(state, shapes, member.name, origin.source)
    member.fill({f"{BODY}{name}": value for name, value in fit.items()})
    return origin
