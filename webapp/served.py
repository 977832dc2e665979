"""Which model a server answers by, and what is shown of it, by the `[web]` table.

A small file names the model, and every worker watches that file.

So a retrained run is taken over, and taken back, without a request that is dropped: a worker loads
the new model beside the old one, and what was begun ends with the model it began with.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from baseline.data.pixels import Pixels
from baseline.use.engines.base import ModelFacts
from baseline.use.engines.onnx_engine import OnnxEngine
from baseline.use.model import Model, PictureAnswer
from gleanset.config import did_you_mean
from gleanset.db.faces import WHOLE
from gleanset.errors import GleansetError, InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.files.store import sha256_of_file
from gleanset.settings import WebSettings

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


def shown_classes(known: Sequence[str], web: WebSettings) -> tuple[str, ...]:
    """Return the classes of a model that are shown, in the model's order: all, or those named.

    A retrained model may lack some of them. Raises `UsageError` where it has none.
    """
    shown = tuple(name for name in known if not web.classes or name in web.classes)
    if not shown:
        raise _unknown_class(web.classes[0], known)
    return shown


def refuse_unknown_classes(known: Sequence[str], web: WebSettings) -> None:
    """Raise `UsageError` for a class to be shown that the model does not know."""
    for name in web.classes:
        if name not in known:
            raise _unknown_class(name, known)


def _unknown_class(name: str, known: Sequence[str]) -> UsageError:
    meant = did_you_mean(name, known)
    return UsageError(
        f"{name!r} is to be shown on the page, and is no class of the model",
        f"{meant}mend classes in [web] of dataset.toml, or --class; it knows: {', '.join(known)}",
    )


def with_threshold(facts: ModelFacts, web: WebSettings) -> ModelFacts:
    """Return the same model with the page's own threshold of "unknown", where it has one."""
    if web.unknown_below is None:
        return facts
    rule = msgspec.structs.replace(facts.answers, unknown_below=web.unknown_below)
    return replace(facts, answers=rule)


def answers_shown(
    model: Model, pixels: Pixels, shown: Sequence[str], top: int
) -> list[PictureAnswer]:
    """Return the answers to pixels (uint8 N x size x size x 3) in the classes that are shown.

    Probabilities stay as they are. What is of a class that is not shown is "unknown".
    """
    if len(shown) == len(model.classes):
        return model.answers_to(pixels, top)
    return [_shown(answer, shown, top) for answer in model.answers_to(pixels, len(model.classes))]


def _shown(answer: PictureAnswer, shown: Sequence[str], top: int) -> PictureAnswer:
    return replace(
        answer,
        label=answer.label if answer.label in shown else None,
        predictions=tuple(one for one in answer.predictions if one.label in shown)[:top],
        nearest=tuple(one for one in answer.nearest if one.label in shown),
    )


class ModelSource(NamedTuple):
    """The file of a model, and its hash: the same path may get another file."""

    file: str
    sha256: str


class LoadedModel(NamedTuple):
    """A model with the name of its run, the classes that are `shown`, and where it is from."""

    run: str
    model: Model
    file: Path
    shown: tuple[str, ...]
    source: ModelSource

    def answers_to(self, pixels: Pixels, top: int) -> list[PictureAnswer]:
        """Return the answers to pixels that were read already, in the classes that are shown."""
        return answers_shown(self.model, pixels, self.shown, top)


def facts_for_device(loaded: LoadedModel) -> dict[str, Any]:
    """Return classes, thresholds and cutting of a model, and how large its file is."""
    facts, read = loaded.model.facts, loaded.model.cropping.read
    return {
        "run": loaded.run,
        "bytes": loaded.file.stat().st_size,
        "sha256": loaded.source.sha256,
        "classes": facts.classes,
        "shown": loaded.shown,
        "size": facts.size,
        "fit": facts.fit,
        "detector": read.detector.name if read.detector else WHOLE,
        "cut": {
            "margin": read.cutting.margin,
            "square": read.cutting.square,
            "pad": read.cutting.pad,
        },
        "unknown_below": facts.answers.unknown_below,
        "unfamiliar_below": facts.answers.unfamiliar_below,
        "thresholds": facts.answers.thresholds,
        "scale": msgspec.to_builtins(facts.scale),
    }


class ModelInForce:
    """The model that one worker answers by, as `web` shows it, with a `detector` as in `load`."""

    def __init__(
        self, place: Path, web: WebSettings | None = None, detector: str | None = None
    ) -> None:
        """Load it.

        Raises `InputUnusable` for no model, `UsageError` for no way to cut pictures and where no
        class of it is to be shown.
        """
        self._place, self._web, self._detector = place, web or WebSettings(), detector
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
        except (GleansetError, OSError) as error:
            log.warning("the model before goes on: %s", error)
            return False
        self.now = loaded
        return True

    def _loaded(self, served: ServedModel) -> LoadedModel:
        file = Path(served.file)
        source = ModelSource(served.file, sha256_of_file(file) if file.is_file() else "")
        return load_model(source, self._web, self._detector)


def load_model(source: ModelSource, web: WebSettings, detector: str | None) -> LoadedModel:
    """Return a model as a page shows it. Raises what `ModelInForce` raises."""
    place = Path(source.file)
    # One thread: processes side by side keep the cores busy, and threads in each would wait.
    engine = OnnxEngine(place, threads=1)
    engine.facts = with_threshold(engine.facts, web)
    model = Model(engine, place, detector)
    # Asked for now, so that the first visitor does not wait and what lacks is said at once.
    model.cropping  # noqa: B018
    return LoadedModel(model.facts.run, model, place, shown_classes(model.classes, web), source)


def _stamp(place: Path) -> tuple[int, int] | None:
    try:
        told = place.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_ino
