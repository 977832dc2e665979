"""What a device must know to answer as the server does: the page's `model.json`."""

from __future__ import annotations

from typing import Any

import msgspec

from gleanset.db.faces import WHOLE
from webapp.served import LoadedModel


def facts_for_device(loaded: LoadedModel) -> dict[str, Any]:
    """Return classes, thresholds and cutting of a model, and how large its file is."""
    facts, read = loaded.model.facts, loaded.model.cropping.read
    return {
        "run": loaded.run,
        "bytes": loaded.file.stat().st_size,
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
