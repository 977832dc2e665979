"""Backbones by their names: networks of timm, embeddings, those that come along, or several.

A name says which: `efficientnet_lite0`, `colours` and `faces`
(`shipped_backbones.py`), or some as `efficientnet_lite0+colours` (`backbone_names.py` has the
spelling).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from baseline.extras import require_torch
from baseline.features.backbone import (
    Array,
    Backbone,
    FeatureExtractor,
    PictureShape,
    State,
    Weights,
)
from baseline.features.backbone_names import (
    COLOURS,
    FACES,
    JOIN,
    backbone_names,
    is_embedding,
    refuse_own_file,
)
from baseline.features.onnx_backbone import OnnxBackbone
from baseline.features.shipped_backbones import (
    BODY,
    LITE,
    ColourBackbone,
    IdentityBackbone,
    LiteBackbone,
    random_state,
)
from baseline.features.stored_weights import fitting, packaged_weights, weights_in_file
from baseline.settings import Precision
from gleanset.errors import UsageError


class SideBySide(Backbone):
    """Several backbones, the features of which follow each other."""

    def __init__(self, members: Sequence[Backbone]) -> None:
        self._members = tuple(members)
        self.name = JOIN.join(member.name for member in members)
        self.parts = tuple(part for member in members for part in member.parts)
        self.emphasis = np.concatenate([member.emphasis for member in members])

    @property
    def members(self) -> tuple[Backbone, ...]:
        """The backbones that stand side by side."""
        return self._members

    @property
    def identity(self) -> tuple[object, ...]:
        """Those of all members."""
        return tuple(member.identity for member in self.members)

    @property
    def kept_files(self) -> Mapping[str, bytes]:
        """Those of all members."""
        return {name: data for one in self.members for name, data in one.kept_files.items()}

    @property
    def state(self) -> State:
        """Those of all members, by their numbers."""
        return {
            f"backbones.{number}.{name}": value
            for number, member in enumerate(self.members)
            for name, value in member.state.items()
        }

    def fill(self, state: State) -> None:
        """Take weights. Raises `ValueError` where they are those of another network."""
        own: dict[str, dict[str, Array]] = {str(n): {} for n in range(len(self.members))}
        for name, value in state.items():
            _, number, rest = name.split(".", 2)
            if number not in own:
                raise ValueError(f"{name} is of no backbone")
            own[number][rest] = value
        for member, part in zip(self.members, own.values(), strict=True):
            member.fill(part)

    def extractor(
        self, shape: PictureShape, precision: Precision, *, padded: bool = True
    ) -> FeatureExtractor:
        """Return what makes the features of all members, one after another."""
        each = [one.extractor(shape, precision, padded=padded) for one in self.members]
        return lambda pictures: np.concatenate([extract(pictures) for extract in each], 1)

    @property
    def parameters(self) -> int:
        """Those of all members."""
        return sum(member.parameters for member in self.members)


def bare_backbone(name: str, kept: Path | None = None, seed: int = 0) -> Backbone:
    """Return a backbone, or several side by side (`a+b`); networks that learn without weights.

    `kept` is the folder of a run that keeps what they are built from. Raises `UsageError` for an
    unknown name, `InputUnusable` or `MissingComponent` for a file that cannot serve.
    """
    members = [_bare(one, kept, seed) for one in backbone_names(name)]
    return members[0] if len(members) == 1 else SideBySide(members)


def _bare(name: str, kept: Path | None, seed: int) -> Backbone:
    refuse_own_file(name)
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
    """Return the backbone of that name with its weights, and where they are from.

    Weights are 'packaged', 'hub', 'none' (drawn by the seed), or a file's path. Of several side by
    side each network has its own (`packaged+hub`), or all have the same. Raises `UsageError`,
    `InputUnusable` or `MissingComponent`, with a fix.
    """
    backbone = bare_backbone(name, seed=seed)
    networks = sum(bool(member.shapes) for member in backbone.members)
    each = [part.strip() for part in weights.split(JOIN)]
    if len(each) == 1:
        each *= networks
    if len(each) != networks:
        raise UsageError(
            f"'{weights}' are weights of {len(each)} networks, and '{name}' has {networks}",
            f"name as many, with {JOIN} between; {COLOURS}, {FACES} and embeddings need none",
        )
    return backbone, _joined(list(_given(backbone.members, iter(each), seed)))


def _given(members: Sequence[Backbone], wanted: Iterator[str], seed: int) -> Iterator[Weights]:
    for member in members:
        if member.shapes:
            yield _filled(member, next(wanted), seed)
        elif isinstance(member, OnnxBackbone):
            yield Weights(f"hub {member.name}", member.spec.sha256)


def _filled(member: Backbone, weights: str, seed: int) -> Weights:
    if weights == "none":
        if isinstance(member, LiteBackbone):
            member.fill(random_state(member.shapes, seed))
        return Weights("none", None)
    shapes = {name.removeprefix(BODY): shape for name, shape in member.shapes.items()}
    state: State
    if weights == "packaged":
        state, origin = packaged_weights(member.name, shapes)
    elif weights == "hub":
        state, origin = _timm().hub_weights(member)
    else:
        state, origin = weights_in_file(Path(weights))
    fit = fitting(state, shapes, member.name, origin.source)
    member.fill({f"{BODY}{name}": value for name, value in fit.items()})
    return origin


def _joined(weights: Sequence[Weights]) -> Weights:
    if not weights:
        return Weights("none", None)
    digests = [one.sha256 or "" for one in weights]
    return Weights(f" {JOIN} ".join(one.source for one in weights), JOIN.join(digests) or None)
