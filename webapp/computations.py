"""Tasks and results exchanged with the compute processes.

Only those load the model and its libraries; the HTTP process refers to functions by name.
"""

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Any, NamedTuple

import msgspec

from gleanset.db.reports import Claim
from gleanset.records import Box
from webapp.settings import ServeSettings

JOB = "webapp.model_process"
"""Module that the compute processes run."""
LOAD = f"{JOB}:load"
"""Loads the model and returns the function that works on a `Task`."""
# Functions (LoadedModel, request, ServeSettings) -> result.
PREDICT = "webapp.recognizer:predict"
FIND_FACES = "webapp.recognizer:find_faces"
CONVERT_TO_JPEG = "webapp.recognizer:convert_to_jpeg"
CHECK_REPORT = "webapp.report_checks:check_report"
GET_FACTS = "webapp.loaded_model:get_served_facts"
MODEL_CARD = "webapp.model_card:model_card"
PORTRAITS = "webapp.portraits:portraits"
BATCH_COMPUTATIONS = {PREDICT}
"""These take a list of requests, and return a list of results."""


class Upload(NamedTuple):
    """An uploaded image with its file name.

    `boxes` of faces are in pixels of the upright image; None lets the server detect them. An image
    that `is_alone` in its request is refused with it, if it cannot be read.
    """

    name: str
    data: bytes
    boxes: tuple[Box, ...] | None = None
    is_alone: bool = False


class KeptReport(msgspec.Struct, frozen=True):
    """A report with its image, and the hash of the uploaded file."""

    claim: Claim
    image: bytes
    upload_sha256: str = msgspec.field(name="sent")
    # Reports that an earlier version left to be imported have no such field.
    has_new_box: bool = False


class ServedFacts(NamedTuple):
    """Facts about the model for the HTTP process, which does not load it.

    `page` and `device` are the JSON of `GET /api/v1/classes` and `model.json`, `finder` is the
    file of the face detector for browsers. `of_faces`: the model classifies faces, not images.
    `names` are the current ones of classes that were renamed since the training.
    """

    run: str
    version: str
    file: str
    of_faces: bool
    finder: str
    page: dict[str, Any]
    device: dict[str, Any]
    names: dict[str, str]


class Task(NamedTuple):
    """A computation and its requests."""

    computation: str
    requests: Sequence[Any]


def load_served_facts(settings: ServeSettings) -> ServedFacts:
    """Return the facts of a model; for use in another process."""
    # A task returns the result of each request, here of one, and the CPU seconds used.
    (facts,), _ = resolve_name(LOAD)(settings)(Task(GET_FACTS, [None]))
    assert isinstance(facts, ServedFacts)
    return facts
