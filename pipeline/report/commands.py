"""Section 7: the commands that would build such a dataset again, as far as it remembers them.

Every command is read back from what the stage recorded, and only of stages that did something.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from baseline.report.run_files import Metrics
from facecrop.detectors.options import RecordedDetector, cut_options
from gleanset import Dataset
from gleanset.db.hints import label_provenances
from gleanset.db.samples import Balances
from gleanset.db.statistics import SampledVideo, ScanCount, SourceRequest, Statistics
from gleanset.errors import UsageError
from gleanset.html.words import count
from gleanset.settings import CropSettings
from harvest.sources import Source, source_named
from harvest.video.inputs import is_address
from harvest.video.options import command_line_options

VIDEOS, LISTS = 20, 5
"""So many are named one by one."""


@dataclass(frozen=True, slots=True)
class CommandStep:
    """A line of the listing: what it does, and the command."""

    words: str
    command: str


def command_steps(dataset: Dataset, metrics: Metrics | None) -> list[CommandStep]:
    """The commands from sources to training. Words in capitals stand for places on your disk."""
    known = Statistics(dataset.db)
    hints = "hint" in label_provenances(dataset.db).values()
    copies = ("set aside",) in dataset.samples.counts("kept")
    return [
        *_harvests(known.requests()),
        *_frames(known.sampled_videos()),
        *_crops(known.searches(), dataset.settings.crop),
        *([CommandStep("set copies aside", "labeler dedup")] if copies else []),
        *(
            [CommandStep("label what has one undisputed hint", "labeler accept-hints")]
            if hints
            else []
        ),
        *_split(dataset.samples.split_settings()),
        *_balance(Balances(dataset.db).settings()),
        *(_train(metrics) if metrics else ()),
        CommandStep("see how far it has come", "gleanset status"),
    ]


def _harvests(requests: Iterable[SourceRequest]) -> Iterator[CommandStep]:
    """In the order of the sources' names; each command once."""
    searches: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    taken = []
    for row in requests:
        if row.query is not None and (site := _site(row.source)) is not None:
            hinted = row.query if site.hints else None
            searches[row.source, row.hint if row.hint != hinted else None].append(row.query)
        elif row.query is None:
            taken.append(row)
    for (source, label), asked in searches.items():
        options = ["--source", source, *_label(label)]
        yield CommandStep(f"search {source}", _command("harvest keyword", options, asked))
    yield from dict.fromkeys(_folder(row) for row in taken if row.source in _PLACES)
    yield from _lists([row.hint for row in taken if row.source == "urls"])
    if any(row.source == "import" for row in taken):
        yield CommandStep("take labelled pictures in", "labeler import LABELLED")


_PLACES = {"folder": "FOLDER", "dropped": "FOLDER", "archive": "ARCHIVE"}


def _folder(row: SourceRequest) -> CommandStep:
    by_folder = row.hint is not None and all(_names_folder(row.hint, path) for path in row.paths)
    options = ["--hints-from-folders"] if by_folder else _label(row.hint)
    words = (
        "take the pictures of a folder tree"
        if _PLACES[row.source] == "FOLDER"
        else ("take the pictures of an archive")
    )
    return CommandStep(words, _command("harvest folder", options, [_PLACES[row.source]]))


def _names_folder(hint: str, path: str | None) -> bool:
    """Whether a hint is the name of a picture's folder, or of the archive it lies at the top of."""
    folder = Path(path or "").parent.name
    return folder == hint or folder.startswith(f"{hint}.")


def _lists(hints: list[str | None]) -> Iterator[CommandStep]:
    """A list for each hint; where there are many, the hints stood in the list."""
    if len(hints) > LISTS:
        words = "download a list of addresses, each with a tab and its hint behind it"
        yield CommandStep(words, "harvest urls LIST.txt")
        return
    for hint in hints:
        command = _command("harvest urls", _label(hint), ["LIST.txt"])
        yield CommandStep("download a list of addresses", command)


def _site(name: str) -> Source | None:
    try:
        return source_named(name)
    except UsageError:  # a source that this version does not have
        return None


def _frames(videos: Iterable[SampledVideo]) -> Iterator[CommandStep]:
    places: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for video in videos:
        places[video.settings, video.hint].append(video.place)
    for (settings, hint), found in places.items():
        files = [place for place in found if not is_address(place)]
        if len(files) > VIDEOS:
            found = [place for place in found if is_address(place)] + ["EPISODES"]
        yield CommandStep(
            f"sample frames of {count(len(found), 'video')}",
            _command("harvest frames", [*command_line_options(settings), *_label(hint)], found),
        )


def _crops(searches: list[ScanCount], own: CropSettings) -> Iterator[CommandStep]:
    # An image without a face is cut in any way.
    cut = {(one.detector, one.settings) for one in searches if one.cut}
    chosen = [one for one in searches if one.cut or (one.detector, one.settings) not in cut]
    for search in chosen:
        try:
            options = RecordedDetector.of(search.detector, search.settings).options()
        except UsageError:  # a detector that this version does not have
            continue
        part = f" ({count(search.images, 'image')})" if len(chosen) > 1 else ""
        words = [*options, *cut_options(search.cut, own)]
        yield CommandStep(f"find the faces and cut them out{part}", _command("facecrop run", words))


def _split(settings: str) -> Iterator[CommandStep]:
    if "=" in settings:
        yield CommandStep(
            "split, keeping every moment whole", _command("labeler split", _told(settings))
        )


def _balance(settings: str) -> Iterator[CommandStep]:
    if settings and not settings.startswith("method=off"):
        command = _command("labeler balance", _told(settings))
        yield CommandStep("let the classes of train count alike", command)


def _told(settings: str) -> list[str]:
    """`ratio=8:1:1 seed=0` as options."""
    words = [word.partition("=") for word in shlex.split(settings)]
    return [part for key, sign, value in words if sign for part in (f"--{key}", value)]


def _train(metrics: Metrics) -> Iterator[CommandStep]:
    from baseline.settings import load_preset

    preset = str(metrics.settings.get("preset", "simple"))
    try:
        own = load_preset(preset, {}).to_json()
    except UsageError:  # a preset that this version does not have
        return
    options = [
        word
        for key, value in metrics.settings.items()
        if key not in ("preset", "method") and own.get(key) != value
        for word in ("-o", f"{key}={_text(value)}")
    ]
    words = ["--preset", preset, *options]
    yield CommandStep("train, and judge on test", _command("baseline train", words))


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _label(hint: str | None) -> list[str]:
    return [] if hint is None else ["--label", hint]


def _command(program: str, options: Iterable[str], arguments: Iterable[str] = ()) -> str:
    """As a shell takes it; nothing that begins with a dash is read as an option."""
    named = list(arguments)
    dashed = any(word.startswith("-") for word in named)
    words = [*named, *options] if not dashed else [*options, "--", *named]
    return " ".join([program, *map(shlex.quote, words)])
