"""What processes compute for a server. They alone load the model, and the libraries that it needs:
the process that talks HTTP names what is to be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, NamedTuple

import msgspec

from gleanset.db.visitors import Claim
from gleanset.records import Box

JOB = "webapp.model_process"
"""The module of what they do."""
# Functions of a `LoadedModel`, requests and `ServeSettings`, which return a result for each.
PREDICT, FIND_FACES = "webapp.recognizer:predict", "webapp.recognizer:find_faces"
JPEGS = "webapp.recognizer:jpegs_of"
CLAIM, WISH = "webapp.visitors:claims_of", "webapp.visitors:wishes_of"
TOGETHER = {PREDICT}
"""Those that take small requests together, with None for one that must be computed alone."""
TELL = f"{JOB}:told_of_model"
"""Each request names a function of `ServeSettings` and a `LoadedModel`, as these are:"""
FACTS, CARD = "webapp.loaded_model:served_facts", "webapp.model_card:model_card"
PORTRAITS = "webapp.portraits:portraits_of"


@dataclass(frozen=True, slots=True)
class Upload:
    """The bytes of a picture, the name it came under, and the faces that are marked in it.

    `boxes` are in pixels of the upright picture; None where the server is to look.
    """

    name: str
    data: bytes
    boxes: tuple[Box, ...] | None = None


class KeptReport(msgspec.Struct, frozen=True):
    """A report with its picture, and the hash of the file that this came in."""

    claim: Claim
    picture: bytes
    sent: str


class ModelSource(NamedTuple):
    """The file of a model, and its hash: the same path may get another file."""

    file: str
    sha256: str


class Task(NamedTuple):
    """Requests for a process: by which model, of which server (`ServeSettings` as text)."""

    computation: str
    settings: str
    source: ModelSource
    requests: Sequence[Any]


def computed(task: Task) -> tuple[list[Any], float]:
    """Return what `model_process.results_of` does."""
    results: tuple[list[Any], float] = resolve_name(f"{JOB}:results_of")(task)
    return results
