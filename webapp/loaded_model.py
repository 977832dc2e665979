"""A model as a page shows it, by the `[web]` table, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from baseline.data.pixels import Pixels
from baseline.use.engines.exported_engines import OnnxEngine
from baseline.use.model import Model, PictureAnswer
from facecrop.detectors.drawnface import MODEL
from gleanset.config import did_you_mean
from gleanset.db.faces import WHOLE
from gleanset.errors import UsageError
from gleanset.files.store import sha256_of_file
from gleanset.settings import WebSettings
from webapp.box_styles import BOX_STYLES, BoxStyle, finder_for
from webapp.computations import ServedFacts
from webapp.settings import ServeSettings


def shown_classes(known: Sequence[str], web: WebSettings) -> tuple[str, ...]:
    """Return the classes of a model that are shown, in the model's order: all, or those named.

    Raises `UsageError` for a name that the model does not know.
    """
    for name in web.classes:
        if name not in known:
            raise UsageError(
                f"{name!r} is to be shown on the page, and is no class of the model",
                f"{did_you_mean(name, known)}fix classes in [web] of dataset.toml, or --class; "
                f"it knows: {', '.join(known)}",
            )
    return tuple(name for name in known if not web.classes or name in web.classes)


def _shown(answer: PictureAnswer, shown: Sequence[str], top: int) -> PictureAnswer:
    return replace(
        answer,
        label=answer.label if answer.label in shown else None,
        predictions=tuple(one for one in answer.predictions if one.label in shown)[:top],
        nearest=tuple(one for one in answer.nearest if one.label in shown),
    )


class LoadedModel(NamedTuple):
    """A model with the name of its run, the classes that are `shown`, and where it is from."""

    run: str
    model: Model
    file: Path
    shown: tuple[str, ...]

    def answers_to(self, pixels: Pixels, top: int) -> list[PictureAnswer]:
        """Return the answers to pixels (uint8 N x size x size x 3) in the classes that are shown.

        Probabilities stay as they are. What is of a class that is not shown is "unknown".
        """
        every = len(self.model.classes)
        if len(self.shown) == every:
            return self.model.answers_to(pixels, top)
        return [_shown(one, self.shown, top) for one in self.model.answers_to(pixels, every)]

    @property
    def of_faces(self) -> bool:
        """Whether it judges faces, and not pictures as a whole."""
        return self.model.cropping.read.detector is not None


def facts_for_device(loaded: LoadedModel) -> dict[str, Any]:
    """Return classes, thresholds and cutting of a model, and how large its file is."""
    facts, read = loaded.model.facts, loaded.model.cropping.read
    return {
        "run": loaded.run,
        "bytes": loaded.file.stat().st_size,
        "sha256": sha256_of_file(loaded.file),
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


def page_facts(settings: ServeSettings, loaded: LoadedModel) -> dict[str, Any]:
    """Return what the page must know of a model, as the JSON of `GET /api/v1/classes`."""
    spec = loaded.model.cropping.read.detector
    detector = spec.name if spec else ""
    return {
        "title": settings.web.title or "",
        "languages": settings.web.languages,
        "sure_from": settings.web.sure_from,
        "run": loaded.run,
        "classes": loaded.shown,
        "size": loaded.model.facts.size,
        "cropping": loaded.model.cropping.to_json(),
        "finder": finder_for(detector),
        "box_style": list(BOX_STYLES.get(detector, BoxStyle())),
        "portraits": settings.web.faces and settings.dataset is not None,
        "on_device": settings.on_device,
        "reports": settings.dataset is not None,
    }


def load_model(settings: ServeSettings) -> LoadedModel:
    """Return a model as a page shows it. Raises `InputUnusable` for none,
    and `UsageError` for no way to cut pictures and for a class to be shown that it does not know.
    """
    file, web = Path(settings.model), settings.web
    # One thread: processes side by side keep the cores busy, and threads in each would wait.
    engine = OnnxEngine(file, threads=1)
    if web.unknown_below is not None:
        rule = msgspec.structs.replace(engine.facts.answers, unknown_below=web.unknown_below)
        engine.facts = replace(engine.facts, answers=rule)
    # One after the other: on one thread that is quicker than together, and takes half the memory.
    model = Model(engine, file, settings.detector, at_once=1)
    # Asked for now, so that the first visitor does not wait and what lacks is said at once.
    model.cropping  # noqa: B018
    return LoadedModel(model.facts.run, model, file, shown_classes(model.classes, web))


def served_facts(
    loaded: LoadedModel, requests: Sequence[None], settings: ServeSettings
) -> list[ServedFacts]:
    """Return what the process that talks HTTP must know of a model."""
    page, device = page_facts(settings, loaded), facts_for_device(loaded)
    facts = ServedFacts(loaded.run, str(loaded.file), loaded.of_faces, str(MODEL), page, device)
    return [facts for _ in requests]
