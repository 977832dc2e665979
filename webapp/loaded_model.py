"""The model of a server, restricted to what `[web]` shows, and facts about it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from baseline.data.runs import read_current_names
from baseline.use.engines import OnnxEngine
from baseline.use.model import ImagePrediction, Model
from facecrop.detectors.drawnface import MODEL
from gleanset.arrays import Pixels
from gleanset.command_result import JsonDict
from gleanset.config import did_you_mean
from gleanset.db.faces import WHOLE
from gleanset.errors import UsageError
from gleanset.files.store import hash_file
from gleanset.settings import CropGeometry
from webapp.box_styles import BOX_STYLES, BROWSER, BoxStyle
from webapp.computations import ServedFacts
from webapp.settings import ServeSettings


def select_classes(classes: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return the classes with these names, in the model's order; without names all.

    Raises `UsageError` for a class that the model does not have.
    """
    for name in names:
        if name not in classes:
            raise UsageError(
                f"not a class of the model: {name!r}",
                f"{did_you_mean(name, classes)}fix classes in [web] of dataset.toml; "
                f"use some of: {', '.join(classes)}",
            )
    return tuple(name for name in classes if not names or name in names)


def _hide_others(
    answer: ImagePrediction, classes: Sequence[str], top: int
) -> ImagePrediction:
    """Return a prediction without the classes that are not shown."""
    predictions = [score for score in answer.predictions if score.label in classes]
    nearest = [sample for sample in answer.nearest if sample.label in classes]
    return replace(
        answer,
        best=answer.best if answer.best in classes else None,
        predictions=tuple(predictions[:top]),
        nearest=tuple(nearest),
    )


class LoadedModel(NamedTuple):
    """A model with its run, its file, and the classes to show.

    `content` is the file that was loaded and is sent to devices, with the hash `sha256`; `file` is
    where it came from. `names` are the current ones of classes that were renamed.
    """

    run: str
    predictor: Model
    file: Path
    content: Path
    sha256: str
    visible_classes: tuple[str, ...]
    names: dict[str, str]

    @property
    def version(self) -> str:
        """The run, and which file of it: an export may be repeated. ASCII, for headers."""
        return f"{quote(self.run)}+{self.sha256[:8]}"

    def predict_pixels(self, pixels: Pixels, top: int) -> list[ImagePrediction]:
        """Return predictions for pixels (uint8, N x size x size x 3).

        Predictions of classes that are not shown become "unknown"; probabilities do not change.
        """
        # All classes are asked for, because some of them are hidden afterwards.
        count = len(self.predictor.classes)
        if len(self.visible_classes) == count:
            return self.predictor.predict_pixels(pixels, top)
        answers = self.predictor.predict_pixels(pixels, count)
        return [_hide_others(answer, self.visible_classes, top) for answer in answers]

    @property
    def of_faces(self) -> bool:
        """Whether the model classifies faces, not whole images."""
        return self.predictor.cropping.reader.detector is not None


def make_device_facts(model: LoadedModel) -> JsonDict:
    """Return the JSON of `GET /api/v1/model.json`: classes, thresholds and cropping."""
    facts = model.predictor.facts
    reader = model.predictor.cropping.reader
    return {
        "run": model.run,
        "bytes": model.content.stat().st_size,
        "model_version": model.version,
        "sha256": model.sha256,
        "classes": facts.classes,
        "shown": model.visible_classes,
        "size": facts.size,
        "fit": facts.fit,
        "detector": reader.detector.name if reader.detector else WHOLE,
        # Settings of a dataset have more fields, none of which matters to the page.
        "cut": {
            name: getattr(reader.cutting, name)
            for name in CropGeometry.__struct_fields__
        },
        "unknown_below": facts.rule.unknown_below,
        "unfamiliar_below": facts.rule.unfamiliar_below,
        "unfamiliar_by_class": facts.rule.unfamiliar_by_class,
        "thresholds": facts.rule.thresholds,
        "scale": msgspec.to_builtins(facts.scale),
    }


def make_page_facts(settings: ServeSettings, model: LoadedModel) -> JsonDict:
    """Return the JSON of `GET /api/v1/classes`: what the page needs to know."""
    detector = getattr(model.predictor.cropping.reader.detector, "name", "")
    return {
        "title": settings.web.title or "",
        "description": settings.web.description or "",
        "contact": settings.web.contact or "",
        "languages": settings.web.languages,
        "sure_from": settings.web.sure_from,
        "run": model.run,
        "model_version": model.version,
        "classes": model.visible_classes,
        "size": model.predictor.facts.size,
        "max_pixels": settings.limits.all_pixels,
        "cropping": model.predictor.cropping.to_json(),
        "finder": "browser" if detector == BROWSER else "server",
        "box_style": list(BOX_STYLES.get(detector, BoxStyle())),
        "portraits": settings.web.faces and settings.dataset is not None,
        "on_device": settings.on_device,
        "reports": settings.dataset is not None,
    }


def load_model(settings: ServeSettings) -> LoadedModel:
    """Load the model of a server.

    Raises `InputUnusable` for a file that is not a model, and `UsageError` for an unknown class or
    a detector that is not available.
    """
    file = Path(settings.model)
    content = Path(settings.copy or file)
    web = settings.web

    # One thread: the compute processes already use all cores.
    engine = OnnxEngine(content, threads=1, source=file)
    if web.unknown_below is not None:
        engine.facts = engine.facts._replace(
            rule=msgspec.structs.replace(
                engine.facts.rule,
                unknown_below=web.unknown_below,
            )
        )

    # One image at a time: on one thread faster than a batch, with half the memory.
    predictor = Model(engine, file, settings.detector, batch_size=1)
    # A cached property, evaluated for its side effect: it is built now, so that errors appear at
    # once and the first request does not wait.
    predictor.cropping  # noqa: B018

    names = settings.names
    if names is None:
        names = read_current_names(file.parent, predictor.classes)
    predictor.rename_classes(names)
    return LoadedModel(
        predictor.facts.run,
        predictor,
        file,
        content,
        hash_file(content),
        select_classes(
            predictor.classes, [names.get(name, name) for name in web.classes]
        ),
        names,
    )


def get_served_facts(
    model: LoadedModel, _: None, settings: ServeSettings
) -> ServedFacts:
    """Return the facts of the model that the HTTP process needs.

    A computation of `webapp/computations.py`, whose request is None.
    """
    return ServedFacts(
        run=model.run,
        version=model.version,
        file=str(model.content),
        of_faces=model.of_faces,
        finder=str(MODEL),
        page=make_page_facts(settings, model),
        device=make_device_facts(model),
        names=model.names,
    )
