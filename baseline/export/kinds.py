"""The kinds of files there are: how each is written and computed, loaded when it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from baseline.engines import Engine
from baseline.export.card import Card
from baseline.pixels import Pixels
from baseline.portable import Portable


class Writer(NamedTuple):
    """How a kind of file is made: the model, the model with its card, and what computes it."""

    model: Callable[[Portable, Card, Pixels], bytes]
    with_card: Callable[[bytes, Card], bytes]
    engine: Callable[[bytes], Engine]


def writer_of(kind: str) -> Writer:
    """The writer of onnx or litert. Raises `MissingComponent`."""
    if kind == "onnx":
        from baseline.export import onnx_file
        from baseline.export.run_onnx import OnnxEngine

        onnx_file.need_onnx()
        return Writer(onnx_file.onnx_bytes, onnx_file.with_card, OnnxEngine)
    from baseline.export import litert_file
    from baseline.export.run_litert import LiteRtEngine

    litert_file.need_litert()
    return Writer(litert_file.litert_bytes, litert_file.with_card, LiteRtEngine)
