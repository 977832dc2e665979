"""What processes compute for a server. They alone load the model, and the libraries that it needs:
the process that talks HTTP names what is to be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, NamedTuple

import msgspec

from gleanset.db.reports import Claim
from gleanset.records import Box

JOB = "webapp.model_process"
"""The module of what they do."""
WORK = f"{JOB}:load"
# Functions of a `LoadedModel`, requests and `ServeSettings`, which return a result for each.
PREDICT, FIND_FACES = "webapp.recognizer:predict", "webapp.recognizer:find_faces"
JPEGS = "webapp.recognizer:jpegs_of"
CLAIM = "webapp.visitors:claims_of"
FACTS, CARD = "webapp.loaded_model:served_facts", "webapp.model_card:model_cards"
PORTRAITS = "webapp.portraits:portraits_of"
TOGETHER = {PREDICT}
"""Those that take small requests together."""


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


class ServedFacts(NamedTuple):
    """What the process that talks HTTP knows of a model: it loads none itself.

    `page` and `device` are the JSON of `GET /api/v1/classes` and `model.json`. `of_faces` says
    whether it judges faces, `finder` which file finds them in a browser.
    """

    run: str
    file: str
    of_faces: bool
    finder: str
    page: dict[str, Any]
    device: dict[str, Any]


class Task(NamedTuple):
    """Requests for a process."""

    computation: str
    requests: Sequence[Any]


def facts_of(settings: str) -> ServedFacts:
    """Return what `FACTS` tells of the model of `ServeSettings`, in a process that is for that."""
    (facts,), _ = resolve_name(WORK)(settings)(Task(FACTS, [None]))
    assert isinstance(facts, ServedFacts)
    return facts
