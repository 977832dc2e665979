"""An embedding's graph, ready to run: which input and output were found, and what they are."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from baseline.extras import need_graphs
from baseline.features.onnx_spec import EmbeddingSpec, parse, pinned_embedding, refused
from gleanset.errors import InputUnusable
from gleanset.files.fetch import Published, fetched
from gleanset.files.hub import ask_hub, is_on_hub
from gleanset.files.store import sha256_of
from gleanset.work.onnx_session import onnx_session

Floats = npt.NDArray[np.float32]
Layout = Literal["nchw", "nhwc"]
USUAL_SIDE = 224
"""Pixels of a picture that a network is asked about whose input may have any size."""
WIDEST = 65536
"""Features; more are rather a map of places than a description of a picture."""


@dataclass(frozen=True, eq=False)
class EmbeddingGraph:
    """A graph that makes `width` numbers of a picture. It never changes and is never copied.

    `data` is the publisher's file, `model` the part that runs (`graph_file.prepared`), `side` the
    height and width of its input, None where any will do. `output` is what it was called, `range`
    the value of white, `numbers` how many weights it has.
    """

    spec: EmbeddingSpec
    data: bytes
    model: Any
    opset: int
    layout: Layout
    side: tuple[int, int] | None
    output: str
    width: int
    range: int
    numbers: int

    @classmethod
    def open(cls, name: str, kept: Path | None = None) -> Self:
        """Return the graph that a pinned name means, from `kept` (a run's folder) if it is there.

        Raises `InputUnusable` for a file that cannot serve, `MissingComponent` without onnx or
        where the file cannot be fetched.
        """
        opened = _OPEN.get(name)
        if opened is None:
            need_graphs()
            spec = parse(pinned_embedding(name, ask_hub) if is_on_hub(name) else name)
            opened = _OPEN[name] = _opened(spec, _bytes_of(spec, kept))
        assert isinstance(opened, cls)
        return opened

    @property
    def file_name(self) -> str:
        """The name of its file in a run's folder."""
        return kept_name(self.spec)

    @property
    def words(self) -> str:
        """What was decided about the file, in a line."""
        details = self.spec.details
        across = f"{self.side[1]} x {self.side[0]}" if self.side else "any size"
        values = f"0..{self.range}"
        if details.mean or details.std:
            mean, std = details.mean or (0.0, 0.0, 0.0), details.std or (1.0, 1.0, 1.0)
            values += f" less {_numbers(mean)} by {_numbers(std)}"
            values += f" ({self.spec.source})" if self.spec.source else ""
        elif self.range == 1:
            values += " as it is (nothing tells a mean or deviation)"
        return (
            f"{self.spec.name}: takes {across}, {details.colours.upper()} in {values}, "
            f"{self.layout.upper()}; gives {self.width} features, '{self.output}'"
        )

    def to_json(self) -> dict[str, object]:
        """Return the same for the metrics."""
        details = self.spec.details
        return {
            "name": self.spec.name,
            "model": self.spec.model,
            "sha256": self.spec.sha256,
            "layout": self.layout,
            "side": self.side,
            "colours": details.colours,
            "range": self.range,
            "mean": details.mean,
            "std": details.std,
            "told": self.spec.source,
            "output": self.output,
            "width": self.width,
        }


_OPEN: weakref.WeakValueDictionary[str, EmbeddingGraph] = weakref.WeakValueDictionary()
"""Graphs in use by their names, so that a large one is in memory once."""


def kept_name(spec: EmbeddingSpec) -> str:
    """Return the name of the publisher's file in a run's folder."""
    return f"embedding-{spec.sha256[:16]}.onnx"


def _bytes_of(spec: EmbeddingSpec, kept: Path | None) -> bytes:
    """Return the publisher's bytes: of the run, of this disk, or fetched once."""
    path = kept / kept_name(spec) if kept else None
    if path is None or not path.is_file():
        if spec.is_address:
            path = fetched(
                Published(spec.model, spec.sha256), "name a copy of it: -o backbone=FILE.onnx"
            )
        else:
            path = Path(spec.model)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputUnusable(
            f"the backbone {path} cannot be read: {error.strerror}", "put the file back"
        ) from error
    if sha256_of(data) != spec.sha256:
        raise InputUnusable(
            f"{path} is another file than the one meant: its SHA-256 is {sha256_of(data)}, "
            f"not {spec.sha256}",
            "put the file back",
        )
    return data


def _opened(spec: EmbeddingSpec, data: bytes) -> EmbeddingGraph:
    from baseline.features import onnx_graph_file as graph_file
    from baseline.features.graph_builder import opset_of

    model = graph_file.read_graph(data, spec.name)
    picture, whole, sides = graph_file.picture_input(model, spec.name)
    layout = _layout(spec, sides)
    side = _side(spec, sides, layout)
    if spec.details.output:
        outputs = [graph_file.value_named(model, spec.details.output, spec.name)]
    else:
        outputs = graph_file.outputs_of(model)[::-1]
    seen = []
    for output in outputs:
        graph = graph_file.prepared(model, picture, sides, output, flat=False)
        session = _session(graph, spec.name)
        shape = _asked(session, spec.name, layout, side)
        if shape[2:] == (1, 1) or (len(shape) == 4 and shape[1:3] == (1, 1)):
            graph = graph_file.prepared(model, picture, sides, output, flat=True)
            shape = 2, max(shape[1:])
        if len(shape) == 2 and 2 <= shape[1] <= WIDEST:
            return EmbeddingGraph(
                spec,
                data,
                graph,
                opset_of(graph),
                layout,
                side,
                output=spec.details.output or output,
                width=shape[1],
                range=spec.details.range or (255 if whole else 1),
                numbers=graph_file.numbers_in(graph),
            )
        seen.append(f"'{output}' is {' x '.join(map(str, ('N', *shape[1:])))}")
    raise refused(
        spec.name,
        f"no output is N x features: {', '.join(seen)}",
        'name one, or a value inside the network: output = "…" in its .toml',
    )


def _layout(spec: EmbeddingSpec, sides: tuple[int | None, ...]) -> Layout:
    """Return where the colours stand: said, or the side that is 3."""
    fits: dict[Layout, int | None] = {"nchw": sides[1], "nhwc": sides[3]}
    wanted = spec.details.layout
    found = [one for one, side in fits.items() if side == 3]
    if wanted is None and len(found) == 1:
        wanted = found[0]
    if wanted is None or fits[wanted] not in (3, None):
        raise refused(
            spec.name,
            f"its input is {' x '.join(str(side or 'any') for side in sides)}, in which the three "
            "colours cannot be told",
            'say it in its .toml: layout = "nchw" or "nhwc"',
        )
    if wanted == "nhwc" and spec.source == "config.json":
        raise refused(
            spec.name,
            "it takes N x height x width x 3, and the config.json beside it is of timm, whose "
            "networks do not: what that says of mean and deviation may not hold for this file",
            "describe it in a .toml of the same name: range, colours, mean and std",
        )
    return wanted


def _side(
    spec: EmbeddingSpec, sides: tuple[int | None, ...], layout: Layout
) -> tuple[int, int] | None:
    """Return height and width of the input: the file's, else those told, else None."""
    height, width = sides[2:] if layout == "nchw" else sides[1:3]
    told = spec.side
    if told and not spec.source and (height or told[0], width or told[1]) != told:
        raise refused(spec.name, f"it takes {width} x {height}", "leave size away")
    height, width = height or (told and told[0]), width or (told and told[1])
    if height is None or width is None:
        return None
    if not 8 <= min(height, width) <= max(height, width) <= 2048:
        raise refused(spec.name, f"it takes pictures of {width} x {height}")
    return height, width


def _session(graph: Any, name: str) -> Any:
    try:
        return onnx_session(graph.SerializeToString())
    except ValueError as error:
        raise refused(name, f"onnxruntime does not take it ({error})") from error


def _asked(
    session: Any, name: str, layout: Layout, side: tuple[int, int] | None
) -> tuple[int, ...]:
    """Return the shape of the answer to two pictures.

    Raises `InputUnusable` where it fails, holds no numbers, or depends on the other picture.
    """
    height, width = side or (USUAL_SIDE, USUAL_SIDE)
    pictures = np.random.default_rng(0).random((2, height, width, 3)).astype(np.float32)
    pictures[1] = 0.5
    if layout == "nchw":
        pictures = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
    try:
        both, alone = _run(session, pictures), _run(session, pictures[1:])
    except Exception as error:
        raise refused(name, f"it fails on two pictures of {width} x {height} ({error})") from error
    if len(both) != 2 or len(alone) != 1:
        raise refused(name, f"of two pictures it makes {len(both)} vectors, of one {len(alone)}")
    if not np.isfinite(both).all():
        raise refused(name, "its answer holds values that are no numbers")
    if np.abs(both[1] - alone[0]).max(initial=0) > 1e-2 * max(float(np.abs(both).max()), 1e-6):
        raise refused(name, "what it says of a picture depends on the others beside it")
    return both.shape


def _run(session: Any, pictures: Floats) -> Floats:
    answer: Floats = session.run(None, {session.get_inputs()[0].name: pictures})[0]
    return answer


def _numbers(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:.3g}" for value in values)
