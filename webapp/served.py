"""Which model a server answers by: a small file names it, and every worker watches that file.

So a retrained run is taken over, and taken back, without a request that is dropped: a worker loads
the new model beside the old one, and what was begun ends with the model it began with.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import NamedTuple

import msgspec

from baseline.data.pixels import Pixels
from baseline.use.engines.onnx_engine import OnnxEngine
from baseline.use.model import Model, PictureAnswer
from gleanset.errors import GleansetError, InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.settings import WebSettings
from webapp.shown import answers_shown, shown_classes, with_threshold

FILE = "served.json"
KEPT = 20
"""Models before the one in force that are remembered."""
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


class LoadedModel(NamedTuple):
    """A model with the name of its run, and the classes that are `shown` of it."""

    run: str
    model: Model
    file: Path
    shown: tuple[str, ...]

    def answers_to(self, pixels: Pixels, top: int) -> list[PictureAnswer]:
        """Return the answers to pixels that were read already, in the classes that are shown."""
        return answers_shown(self.model, pixels, self.shown, top)


class ModelInForce:
    """The model that one worker answers by, as `web` shows it. `faces` is as in `baseline.load`."""

    def __init__(
        self, place: Path, faces: bool | None = None, web: WebSettings | None = None
    ) -> None:
        """Load it.

        Raises `InputUnusable` for no model, `UsageError` for no way to cut pictures and where no
        class of it is to be shown.
        """
        self._place, self._faces, self._web = place, faces, web or WebSettings()
        self._seen = _stamp(place)
        self.now = self._loaded(read_served(place).in_force)

    def look(self) -> bool:
        """Take over what the file names by now; True where that is another model.

        A model that cannot be loaded is told in the log, and the old one goes on.
        """
        stamp = _stamp(self._place)
        if stamp in (self._seen, None):
            return False
        self._seen = stamp
        try:
            loaded = self._loaded(read_served(self._place).in_force)
        except GleansetError as error:
            log.warning("the model before goes on: %s", error)
            return False
        self.now = loaded
        return True

    def _loaded(self, served: ServedModel) -> LoadedModel:
        place = Path(served.file)
        # One thread: workers side by side keep the cores busy, and threads in each would wait.
        engine = OnnxEngine(place, threads=1)
        engine.facts = with_threshold(engine.facts, self._web)
        model = Model(engine, place, self._faces)
        # Asked for now, so that the first visitor does not wait and what lacks is said at once.
        model.cropping  # noqa: B018
        return LoadedModel(model.facts.run, model, place, shown_classes(model.classes, self._web))


def _stamp(place: Path) -> tuple[int, int] | None:
    try:
        told = place.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_ino
