"""What the page shows of a model, by the `[web]` table: which classes, and what is "unknown"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from baseline.data.pixels import Pixels
from baseline.use.engines.base import ModelFacts
from baseline.use.model import Model, PictureAnswer
from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.settings import WebSettings


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
