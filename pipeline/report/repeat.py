"""Section 7: the commands that would build such a dataset again, as far as it remembers them."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from baseline.report.read import Metrics
from gleanset import Dataset
from gleanset.db.provenance import Provenance, Search, Yielded
from gleanset.errors import UsageError
from gleanset.page.words import shortened
from harvest.video.options import spelled

VIDEOS = 20


@dataclass(frozen=True, slots=True)
class Step:
    """A line of the listing: what it does, and the command."""

    words: str
    command: str


def steps(dataset: Dataset, metrics: Metrics | None) -> list[Step]:
    """The commands from sources to training. Words in capitals stand for places on your disk."""
    known = Provenance(dataset.db)
    return [
        *_harvests(known.yields()),
        *_frames(known.sampled_videos()),
        *(_crop(search) for search in known.searches()),
        Step("label what has one undisputed hint", "labeler accept-hints"),
        *_split(dataset.samples.split_settings()),
        *([_train(metrics)] if metrics else []),
        Step("see how far it has come", "gleanset status"),
    ]


def _harvests(yields: list[Yielded]) -> Iterator[Step]:
    searches: dict[str, list[str]] = defaultdict(list)
    for row in yields:
        if row.kind == "search" and row.asked:
            searches[row.source].append(row.asked)
    for source, asked in searches.items():
        words = " ".join(shlex.quote(query) for query in asked)
        yield Step(f"search {source}", f"harvest keyword {words} --source {shlex.quote(source)}")
    if folders := [row for row in yields if row.kind == "folder"]:
        hinted = " --hints-from-folders" if any(row.asked for row in folders) else ""
        yield Step("take the pictures of a folder tree", f"harvest folder FOLDER{hinted}")
    if any(row.source == "urls" for row in yields):
        yield Step("download a list of addresses", "harvest urls LIST.txt")


def _frames(videos: list[tuple[str, str]]) -> Iterator[Step]:
    names: dict[str, list[str]] = defaultdict(list)
    for name, settings in videos:
        names[settings].append(shlex.quote(shortened(name, 80)))
    for settings, found in names.items():
        files = " ".join(found[:VIDEOS]) + (" …" if len(found) > VIDEOS else "")
        yield Step(
            "sample frames of videos", " ".join(["harvest frames", files, *spelled(settings)])
        )


def _crop(search: Search) -> Step:
    options = {"detector": search.detector} | dict(
        re.findall(r"\b(threshold|margin)=([\d.]+)", search.settings)
    )
    written = " ".join(f"--{key} {shlex.quote(value)}" for key, value in options.items())
    return Step("find the faces and cut them out", f"facecrop run {written}")


def _split(settings: str) -> Iterator[Step]:
    if settings:
        words = [word.partition("=") for word in shlex.split(settings)]
        options = " ".join(f"--{key} {shlex.quote(value)}" for key, sign, value in words if sign)
        yield Step("split, keeping every moment whole", f"labeler split {options}")


def _train(metrics: Metrics) -> Step:
    preset = str(metrics.settings.get("preset", "simple"))
    written = "".join(
        f" -o {key}={shlex.quote(_text(value))}" for key, value in _overrides(preset, metrics)
    )
    return Step("train, and judge once on test", f"baseline train --preset {preset}{written}")


def _overrides(preset: str, metrics: Metrics) -> list[tuple[str, object]]:
    """The settings that differ from the preset's own."""
    from baseline.settings import load_preset

    try:
        own = load_preset(preset, {}).to_json()
    except UsageError:
        own = {}
    return [(key, value) for key, value in metrics.settings.items()
            if key != "preset" and own.get(key) != value]  # fmt: skip


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
