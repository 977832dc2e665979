"""An embedding's ONNX file as a backbone: pictures are brought to what it takes, inside."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from baseline.features.backbone import Backbone, FeaturePart
from baseline.features.onnx_graph import EmbeddingGraph

OPERATOR = "gleanset::Embedding"
"""What stands for the graph in an exported network, until the graph itself is put there."""


class OnnxBackbone(Backbone):
    """A network of an ONNX file, computed by onnxruntime. It does not learn.

    Pictures are scaled by `bilinear_weights` where the file takes another size, and normalised as
    the file's details say: all of it by plain operators, so that an export holds the same.
    """

    exact: ClassVar[bool] = True
    mean: torch.Tensor
    std: torch.Tensor
    order: torch.Tensor

    def __init__(self, graph: EmbeddingGraph) -> None:
        super().__init__()
        self.graph = graph
        self.numbers = graph.numbers
        self.name = graph.spec.name
        self.parts = (FeaturePart(self.name, True, (graph.width,)),)
        self.emphasis = np.ones(graph.width)
        told = graph.spec.details
        for key, values in (("mean", told.mean or (0, 0, 0)), ("std", told.std or (1, 1, 1))):
            value = torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1)
            self.register_buffer(key, value, persistent=False)
        order = torch.tensor([0, 1, 2] if told.colours == "rgb" else [2, 1, 0])
        self.register_buffer("order", order, persistent=False)

    @property
    def identity(self) -> tuple[object, ...]:
        """The file's hash, and all that decides what it is given and asked for."""
        details = self.graph.spec.details
        return (
            "onnx",
            self.graph.spec.sha256,
            self.graph.side,
            self.graph.layout,
            self.graph.output,
            (details.mean, details.std, self.graph.range, details.colours),
        )

    @property
    def kept_files(self) -> dict[str, bytes]:
        """The publisher's file."""
        return {self.graph.file_name: self.graph.data}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the embeddings: N x width."""
        pixels = self._as_taken(x.float())
        if torch.compiler.is_exporting():
            embeddings: torch.Tensor = torch.onnx.ops.symbolic(
                OPERATOR,
                (pixels,),
                {"sha256": self.graph.spec.sha256},
                dtype=torch.float32,
                shape=(pixels.shape[0], self.graph.width),
                version=1,
            )
            return embeddings
        answer = self.graph(np.ascontiguousarray(pixels.detach().cpu().numpy()))
        return torch.from_numpy(answer).to(x.device)

    def _as_taken(self, x: torch.Tensor) -> torch.Tensor:
        """Return pictures (N x 1 or 3 x height x width in 0..1) as the network takes them."""
        x = x.expand(-1, 3, -1, -1)
        if self.graph.side and tuple(x.shape[2:]) != self.graph.side:
            rows, columns = (
                torch.from_numpy(bilinear_weights(old, new)).to(x.device)
                for old, new in zip(x.shape[2:], self.graph.side, strict=True)
            )
            x = rows @ x @ columns.T
        x = (x.index_select(1, self.order) * self.graph.range - self.mean) / self.std
        return x.permute(0, 2, 3, 1) if self.graph.layout == "nhwc" else x


def bilinear_weights(old: int, new: int) -> npt.NDArray[np.float32]:
    """Return what each of `old` pixels in a line counts for each of `new` ones: new x old.

    A triangle around each new pixel, as wide as two pixels of the coarser line, so that nothing is
    left out when scaling down: bilinear with antialiasing, as Pillow scales.
    """
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale
    distance = np.abs(centres[:, None] - (np.arange(old) + 0.5)) / max(scale, 1.0)
    weights = np.maximum(1.0 - distance, 0.0)
    found: npt.NDArray[np.float32] = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return found
