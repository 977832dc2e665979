"""Section 7: the commands that would build such a dataset again, as far as it remembers them.

Every command is read back from what the stage recorded, and only of stages that did something.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from baseline.judge.run_figures import RunFigures
from baseline.request import option_text
from facecrop.detectors.options import RecordedDetector
from facecrop.request import FaceSearch
from gleanset import Dataset
from gleanset.credit import Credit, page_address
from gleanset.db.classes import class_name
from gleanset.db.journal import label_provenances
from gleanset.db.samples import Balances
from gleanset.db.statistics import SampledVideo, ScanCount, SourceRequest, Statistics
from gleanset.errors import UsageError
from gleanset.html.words import count
from gleanset.settings import CropSettings
from harvest.frames_request import FramesRequest
from harvest.request import FolderRequest, KeywordRequest, UrlsRequest
from harvest.sources import Source, source_named
from harvest.video.inputs import is_address
from harvest.video.options import SamplingTable
from pipeline.episodes.request import EpisodesRequest

VIDEOS, LISTS = 20, 5
"""So many are named one by one."""


@dataclass(frozen=True, slots=True)
class CommandStep:
    """A line of the listing: what it does, and the command."""

    words: str
    command: str


def command_steps(dataset: Dataset, metrics: RunFigures | None) -> list[CommandStep]:
    """Return the commands from sources to training.

    Words in capitals stand for places on your disk.
    """
    known = Statistics(dataset.db)
    hints = "hint" in label_provenances(dataset.db).values()
    copies = ("set aside",) in dataset.samples.counts("kept")
    return [
        *_harvests(known.requests()),
        *_frames(known.sampled_videos()),
        *_crops(known.searches(), dataset.settings.crop),
        *([CommandStep("set copies aside", "labeler dedup")] if copies else []),
        *(
            [CommandStep("label what has one undisputed hint", "labeler accept hints")]
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
        yield _search(source, label, asked)
    yield from dict.fromkeys(_folder(row) for row in taken if row.source in _PLACES)
    yield from _lists([row.hint for row in taken if row.source == "urls"])
    imported = [row.grouped for row in taken if row.source == "import"]
    if imported:
        words = f"take labelled pictures in{_regrouped(any(imported))}"
        yield CommandStep(words, "labeler import LABELLED")


def _search(source: str, label: str | None, asked: list[str]) -> CommandStep:
    if _is_label(label):
        request = KeywordRequest(keywords=tuple(asked), source=source, label=label)
        return CommandStep(f"search {source}", request.shell_line())
    # No command takes such a label, but a list may hold any.
    request = KeywordRequest(source=source, input="KEYWORDS.txt")
    words = f"search {source} for the keywords of a list, each with a tab and its label behind it"
    return CommandStep(words, request.shell_line())


def _is_label(hint: str | None) -> bool:
    """Return whether a command takes it as a label."""
    try:
        return hint is None or class_name(hint) == hint
    except UsageError:
        return False


_PLACES = {"folder": "FOLDER", "dropped": "FOLDER", "archive": "ARCHIVE"}


def _folder(row: SourceRequest) -> CommandStep:
    by_folder = row.hint is not None and all(_names_folder(row.hint, path) for path in row.paths)
    place = _PLACES[row.source]
    label = row.hint if not by_folder and _is_label(row.hint) else None
    request = FolderRequest(
        path=place,
        hints_from_folders=by_folder,
        label=label,
        **_sayable(row.credit)._asdict(),
    )
    kind = "a folder tree" if place == "FOLDER" else "an archive"
    words = f"take the pictures of {kind}{_regrouped(row.grouped)}"
    return CommandStep(words, request.shell_line())


def _regrouped(grouped: bool) -> str:
    """Words for pictures that belong together: their groups are known, not what made them."""
    return ", with the --group-by or sources.csv that grouped them" if grouped else ""


def _sayable(credit: Credit) -> Credit:
    """Return what an option can say of that: a page is the address of one."""
    return credit._replace(page=page_address(credit.page))


def _names_folder(hint: str, path: str | None) -> bool:
    """Return whether a hint is the name of a folder that a picture lies in, or of its archive."""
    folders = Path(path or "").parts[:-1]
    return any(folder == hint or folder.startswith(f"{hint}.") for folder in folders)


def _lists(hints: list[str | None]) -> Iterator[CommandStep]:
    """Yield a list for each hint; where there are many, the hints stood in the list."""
    file = "LIST.txt"
    if len(hints) > LISTS or not all(map(_is_label, hints)):
        words = "download a list of addresses, each with a tab and its hint behind it"
        yield CommandStep(words, UrlsRequest(file=file).shell_line())
        return
    for hint in hints:
        command = UrlsRequest(file=file, label=hint).shell_line()
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
    for (settings, hint), of_hint in places.items():
        files = [place for place in of_hint if not is_address(place)]
        if len(files) > VIDEOS:
            of_hint = [place for place in of_hint if is_address(place)] + ["EPISODES"]
        if "mode=seen" in settings.split():
            try:
                followed = EpisodesRequest.recorded(tuple(of_hint), settings)
            except UsageError:  # a detector that this version does not have
                continue
            words = f"find and follow the faces of {count(len(of_hint), 'video')}"
            yield CommandStep(words, followed.shell_line())
            continue
        request = FramesRequest(
            videos=tuple(of_hint),
            label=hint if _is_label(hint) else None,
            **SamplingTable.recorded(settings),
        )
        yield CommandStep(f"sample frames of {count(len(of_hint), 'video')}", request.shell_line())


def _crops(searches: list[ScanCount], own: CropSettings) -> Iterator[CommandStep]:
    # An image without a face is cut in any way.
    cut = {(one.detector, one.settings) for one in searches if one.cut}
    chosen = [one for one in searches if one.cut or (one.detector, one.settings) not in cut]
    for search in chosen:
        try:
            detector = RecordedDetector.of(search.detector, search.settings)
        except UsageError:  # a detector that this version does not have
            continue
        part = f" ({count(search.images, 'image')})" if len(chosen) > 1 else ""
        words = FaceSearch.recorded(detector, search.cut, own).command_line()
        yield CommandStep(f"find the faces and cut them out{part}", shlex.join(words))


def _split(settings: str) -> Iterator[CommandStep]:
    if "=" in settings:
        yield CommandStep("split, keeping every moment whole", split_command(settings))


def split_command(settings: str) -> str:
    """Return what splits with these settings, or with those of the dataset where there are none."""
    return _command("labeler split", _options(settings))


def _balance(settings: str) -> Iterator[CommandStep]:
    if settings and not settings.startswith("method=off"):
        command = _command("labeler balance", _options(settings))
        yield CommandStep("let the classes of train count alike", command)


def _options(settings: str) -> list[str]:
    """`ratio=8:1:1 seed=0` as options."""
    words = [word.partition("=") for word in shlex.split(settings)]
    return [part for key, sign, value in words if sign for part in (f"--{key}", value)]


def _train(metrics: RunFigures) -> Iterator[CommandStep]:
    from baseline.settings import load_preset

    preset = str(metrics.settings.get("preset", "simple"))
    try:
        own = load_preset(preset, {}).to_json()
    except UsageError:  # a preset that this version does not have
        return
    options = [
        word
        for key, value in _in_force(metrics.settings).items()
        if key not in ("preset", "method") and own.get(key) != value
        for word in ("-o", f"{key}={option_text(value)}")
    ]
    words = ["--preset", preset, *options]
    yield CommandStep("train, and judge on test", _command("baseline train", words))


def _in_force(recorded: Mapping[str, object]) -> Mapping[str, object]:
    """Return the settings of a run that had a say; of one that came later, what it was until then.

    Those of another version that had other ones are returned as they are.
    """
    from baseline.settings import idle_settings, settings_from

    try:
        settings = settings_from(recorded)
    except UsageError:
        return recorded
    idle = idle_settings(settings)
    return {key: value for key, value in settings.to_json().items() if key not in idle}


def _command(program: str, options: Iterable[str]) -> str:
    """As a shell takes it."""
    return " ".join([program, *map(shlex.quote, options)])
