"""What an exported file says of itself: the same JSON inside the file and beside it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from baseline.engines import Facts
from baseline.evaluation.answers import Answers
from gleanset.errors import InputUnusable

KEY = "gleanset"
"""The name of the JSON in an ONNX file's metadata, and `gleanset.json` in a LiteRT file's zip."""
FORMAT = 1
INPUT = (
    "uint8 N x size x size x 3, RGB, the upright picture or face scaled to size x size without "
    "keeping its proportions (bilinear with antialiasing); scaling to 0..1, normalising and "
    "greying are done inside"
)
OUTPUTS = {
    "probabilities": "float32 N x classes, in the order of classes, calibrated: they sum to 1",
    "embedding": "float32 N x D, what the classes are told apart by",
    "likeness": "float32 N x classes x K, cosine likeness to the known pictures of each class",
}


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A description for whoever uses the file without Gleanset.

    Below `unknown_below` the answer is "unknown"; a class in `thresholds` is answered unless all
    others together have more than that probability. `checked` tells how far the answers were from
    PyTorch's when it was written.
    """

    format: int
    run: str
    precision: str
    classes: tuple[str, ...]
    size: int
    input: str
    outputs: dict[str, str]
    temperature: float
    unknown_below: float | None
    thresholds: dict[str, float]
    known: tuple[tuple[str, ...], ...] | None = None
    checked: dict[str, float | int | str] = {}

    @property
    def facts(self) -> Facts:
        """What is needed to use the model; its temperature is inside."""
        answers = Answers(self.temperature, self.unknown_below, self.thresholds)
        return Facts(self.run, self.size, self.classes, answers, self.known)

    def to_json(self) -> str:
        """The text that is stored."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode()


def card_of(facts: Facts, precision: str) -> Card:
    """The description of a model before it is checked."""
    names = [name for name in OUTPUTS if name != "likeness" or facts.known is not None]
    return Card(
        FORMAT, facts.run, precision, facts.classes, facts.size, INPUT,
        {name: OUTPUTS[name] for name in names}, facts.answers.temperature,
        facts.answers.unknown_below, dict(facts.answers.thresholds), facts.known,
    )  # fmt: skip


def read_card(text: str | bytes | None, path: Path) -> Card:
    """The description in a file. Raises `InputUnusable` where it is none of ours."""
    try:
        card = msgspec.json.decode(text or b"", type=Card)
    except msgspec.DecodeError as error:
        raise InputUnusable(
            f"{path} is no model that Gleanset exported: {error}", "write one: baseline export"
        ) from error
    if card.format > FORMAT:
        raise InputUnusable(f"{path} was written by a newer Gleanset", "pip install -U gleanset")
    return card
