"""Backbones by their names: networks of timm, ONNX files, the colour layout, or several of them.

A name says which: `efficientnet_lite0`, `colours` (`colour_layout.py`), or both as
`efficientnet_lite0+colours` (`backbone_names.py` has the spelling).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import torch
from torch import nn

from baseline.features.backbone import Backbone, FeaturePart, Weights
from baseline.features.backbone_names import COLOURS, JOIN, backbone_names
from baseline.features.colour_layout import ColourLayout
from baseline.features.onnx_backbone import OnnxBackbone
from baseline.features.onnx_graph import EmbeddingGraph
from baseline.features.onnx_spec import is_embedding
from baseline.features.timm_backbone import TimmBackbone, load_weights
from curation.likeness.colour_layout import VERSION, WIDTH
from gleanset.errors import UsageError


class ColourBackbone(Backbone):
    """The colour layout of drawn faces as a backbone: it has no weights."""

    exact: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.name = COLOURS
        self.layout = ColourLayout()
        self.parts = (FeaturePart(COLOURS, False, (WIDTH,)),)
        self.emphasis = np.ones(WIDTH)

    @property
    def identity(self) -> tuple[object, ...]:
        """Name and version of the formula."""
        return (COLOURS, VERSION)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the colour layouts: N x width."""
        layout: torch.Tensor = self.layout(x)
        return layout


class SideBySide(Backbone):
    """Several backbones, the features of which follow each other."""

    def __init__(self, members: Sequence[Backbone]) -> None:
        super().__init__()
        self.backbones = nn.ModuleList(members)
        self.name = JOIN.join(member.name for member in members)
        self.parts = tuple(part for member in members for part in member.parts)
        self.emphasis = np.concatenate([member.emphasis for member in members])

    @property
    def members(self) -> tuple[Backbone, ...]:
        """The backbones that stand side by side."""
        return tuple(self.backbones)  # type: ignore[arg-type]

    @property
    def identity(self) -> tuple[object, ...]:
        """Those of all members."""
        return tuple(member.identity for member in self.members)

    @property
    def kept_files(self) -> Mapping[str, bytes]:
        """Those of all members."""
        return {name: data for one in self.members for name, data in one.kept_files.items()}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of all members: N x width."""
        return torch.cat([member(x) for member in self.members], 1)

    def train(self, mode: bool = True) -> Self:
        """To learn, or (False) to predict."""
        for member in self.members:
            member.keeps_norms = self.keeps_norms
        return super().train(mode)


def bare_backbone(name: str, kept: Path | None = None) -> Backbone:
    """Return a backbone, or several side by side (`a+b`); networks that learn without weights.

    `kept` is the folder of a run that keeps what they are built from. Raises `UsageError` for an
    unknown name, `InputUnusable` or `MissingComponent` for a file that cannot serve.
    """
    members = [_bare(one, kept) for one in backbone_names(name)]
    return members[0] if len(members) == 1 else SideBySide(members)


def _bare(name: str, kept: Path | None) -> Backbone:
    if name == COLOURS:
        return ColourBackbone()
    if is_embedding(name):
        return OnnxBackbone(EmbeddingGraph.open(name, kept))
    return TimmBackbone(name, kept)


def load_backbone(name: str, weights: str) -> tuple[Backbone, Weights]:
    """Return the backbone with its weights, ready to predict, and where they are from."""
    backbone = bare_backbone(name)
    return backbone.eval(), give_weights(backbone, name, weights)


def give_weights(backbone: Backbone, name: str, weights: str) -> Weights:
    """Give the backbone of that name its weights: 'packaged', 'hub', 'none', or a file's path.

    Of several side by side each network has its own (`packaged+hub`), or all have the same.
    Raises `UsageError`, `InputUnusable` or `MissingComponent`, with the mend.
    """
    networks = [member for member in backbone.members if isinstance(member, TimmBackbone)]
    each = [part.strip() for part in weights.split(JOIN)]
    if len(each) == 1:
        each *= len(networks)
    if len(each) != len(networks):
        raise UsageError(
            f"'{weights}' are weights of {len(each)} networks, and '{name}' has {len(networks)}",
            f"name as many, with {JOIN} between; {COLOURS} and ONNX files need none",
        )
    return _joined(list(_weights(backbone.members, iter(each))))


def _weights(members: Sequence[Backbone], wanted: Iterator[str]) -> Iterator[Weights]:
    """Give the networks the next weights each; yield where those of all members are from."""
    for member in members:
        if isinstance(member, TimmBackbone):
            yield load_weights(member, next(wanted))
        elif isinstance(member, OnnxBackbone):
            yield Weights(f"file {member.graph.spec.name}", member.graph.spec.sha256)


def _joined(weights: Sequence[Weights]) -> Weights:
    """Return what is said of the weights of all networks together."""
    if not weights:
        return Weights("none", None)
    digests = [one.sha256 or "" for one in weights]
    return Weights(f" {JOIN} ".join(one.source for one in weights), JOIN.join(digests) or None)
