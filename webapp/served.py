"""Which model a server answers by: a small file names it, and the server watches that file.

So a retrained run is taken over, and taken back, without a request that is dropped: what was begun
ends with the model it began with.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gleanset.config import did_you_mean
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.files.store import sha256_of_file
from gleanset.settings import WebSettings
from gleanset.work.processes import worker_pool
from webapp.computations import FACTS, JOB, TELL, ModelSource, Task, computed
from webapp.settings import ServeSettings

FILE = "served.json"
KEPT = 20
"""Models before the one in force that are remembered."""
LOAD_SECONDS = 300.0
log = logging.getLogger(__name__)


class ServedModel(msgspec.Struct, frozen=True):
    """An exported ONNX file, and the run it came from."""

    run: str
    file: str


class ServedModels(msgspec.Struct, frozen=True):
    """The models that were in force, the newest last; with `follow` a newer run takes over."""

    models: tuple[ServedModel, ...] = ()
    follow: bool = True

    @property
    def in_force(self) -> ServedModel:
        """The model that answers. Raises `InputUnusable` where there is none yet."""
        if not self.models:
            raise InputUnusable("no model is served yet", "start it: webapp serve -d DATASET")
        return self.models[-1]

    def taken_over(self, model: ServedModel, *, follow: bool) -> ServedModels:
        """Return the same with another model in force; the same one twice is one."""
        before = self.models[:-1] if self.models and self.models[-1] == model else self.models
        return ServedModels((*before, model)[-KEPT:], follow)

    def taken_back(self) -> ServedModels:
        """Return the same with the model before, which newer runs leave alone.

        Raises `UsageError` where there is none.
        """
        if len(self.models) < 2:
            raise UsageError(
                "there is no model before this one", "name a run: webapp serve --switch RUN"
            )
        return ServedModels(self.models[:-1], follow=False)


def served_place(root: Path) -> Path:
    """Return the file of a dataset that names the model in force."""
    return root / "web" / FILE


def read_served(place: Path) -> ServedModels:
    """Return what a file says; nothing where there is none. Raises `InputUnusable`."""
    try:
        return msgspec.convert(json.loads(place.read_bytes()), ServedModels)
    except FileNotFoundError:
        return ServedModels()
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise InputUnusable(f"{place} cannot be read: {error}", "remove it and serve again") from (
            error
        )


def write_served(place: Path, served: ServedModels) -> None:
    """Put a model in force: the servers notice within a second. Raises what the disk raises."""
    # msgspec writes no path in bytes that are not UTF-8.
    write_atomic(place, json.dumps(msgspec.to_builtins(served), indent=1).encode())


def refuse_unknown_classes(known: Sequence[str], web: WebSettings) -> None:
    """Raise `UsageError` for a class to be shown that the model does not know."""
    for name in web.classes:
        if name not in known:
            raise unknown_class(name, known)


def unknown_class(name: str, known: Sequence[str]) -> UsageError:
    """Return the error of a class to be shown that the model does not know."""
    meant = did_you_mean(name, known)
    return UsageError(
        f"{name!r} is to be shown on the page, and is no class of the model",
        f"{meant}mend classes in [web] of dataset.toml, or --class; it knows: {', '.join(known)}",
    )


class ServedFacts(NamedTuple):
    """What the process that talks HTTP knows of a model: it loads none itself.

    `page` and `device` are the JSON of `GET /api/v1/classes` and `model.json`. `of_faces` says
    whether it judges faces, `finder` which file finds them in a browser.
    """

    run: str
    source: ModelSource
    of_faces: bool
    finder: str
    page: dict[str, Any]
    device: dict[str, Any]


class ModelInForce:
    """The model that a server answers by: that which its file names by now."""

    now: ServedFacts

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings

    async def load(self) -> None:
        """Let it answer. Raises what `checked_facts` raises."""
        self._seen = _stamp(self._settings.served)
        self.now = await asyncio.to_thread(checked_facts, self._settings)

    async def look(self) -> bool:
        """Take over what the file names by now; True where that is another model.

        A model that cannot be loaded is told in the log, and the old one goes on.
        """
        if _stamp(self._settings.served) in (self._seen, None):
            return False
        try:
            await self.load()
        except Exception as error:  # also of a process that it ends
            log.warning("the model before goes on: %s", error)
            return False
        return True


def checked_facts(settings: ServeSettings) -> ServedFacts:
    """Return what is told of the model to serve, which a process of its own loads to see that it
    can be. Raises what `loaded_model.load_model` raises.
    """
    file = read_served(Path(settings.served)).in_force.file
    source = ModelSource(file, sha256_of_file(Path(file)) if Path(file).is_file() else "")
    task = Task(TELL, settings.to_text(), source, [FACTS])
    with worker_pool(1, LOAD_SECONDS, JOB) as pool:
        (facts,), _ = pool.schedule(computed, task).result()
    assert isinstance(facts, ServedFacts)
    return facts


def _stamp(place: str) -> tuple[int, int] | None:
    try:
        told = Path(place).stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_ino
