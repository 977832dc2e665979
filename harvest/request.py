"""One request object for each harvest: what is asked for, as plain values.

The command line, recipes and the report make the same objects, so that all of them mean the same:

- `check(root)` raises what is wrong with names and values before a dataset is made at `root`;
- `run(dataset, progress)` carries it out and returns its counts;
- `preview(view, root, dataset)` shows what `run` would fetch, and fetches none of it;
- `command_line()` is the command that asks for the same, as words; `shell_line()` as one line.

Modules that do the work are imported when it is done: the commands' help needs none of them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gleanset.credit import NOTHING, Credit
from gleanset.db.classes import class_name
from gleanset.errors import UsageError
from gleanset.file_groups import GroupBy
from gleanset.named_files import few_files, rejections_of
from gleanset.work.progress import Progress
from harvest.list_columns import PLAIN, ListColumns
from harvest.net_options import NetOptions
from harvest.request_words import command_words, valued
from harvest.video.options import FramesOptions

if TYPE_CHECKING:
    from gleanset import Dataset
    from harvest.keyword import Search
    from harvest.preview import Preview
    from harvest.selection import Selection
    from harvest.sources import Source
    from harvest.video.inputs import VideoInput

Result = dict[str, object]
NO_PROGRESS = Progress(quiet=True)


class HarvestRequest(Protocol):
    """What all requests can do; see the top of this module."""

    def check(self, root: Path) -> None:
        """Raise the `GleansetError` of what cannot be, for a dataset at `root`."""

    def run(self, dataset: Dataset, progress: Progress = NO_PROGRESS) -> Result:
        """Harvest into a dataset; return the counts of what happened."""

    def preview(self, view: Preview, root: Path, dataset: Dataset | None) -> Result:
        """Show what would be harvested; return the numbers. Without a dataset all is new."""

    def command_line(self) -> list[str]:
        """Return the words of the command that asks for the same."""


def shell_line(request: HarvestRequest) -> str:
    """Return the command of a request as a shell takes it."""
    program, command, *words = request.command_line()
    return " ".join([program, command, *map(shlex.quote, words)])


@dataclass(frozen=True, slots=True, kw_only=True)
class KeywordRequest:
    """`harvest keyword`: what some sites find for some keywords.

    - `keywords`: texts, or pairs of a text and its own label.
    - `label`: the class that all others hint at; without it each keyword is its own hint.
    - `sources`: names of sites, each once; one text may name several with commas.
    - `file`: more keywords, one a line, then perhaps a tab and a label.
    - `limit`: distinct images for each keyword, over all sources together.
    - `span`, `condition`: the texts of `--range` and `--filter`.
    - `options`: settings of each source, by its name.

    Raises `UsageError` for a label that is no class name.
    """

    keywords: tuple[str | tuple[str, str], ...] = ()
    sources: tuple[str, ...] = ("bing",)
    file: Path | None = None
    limit: int | None = None
    span: str | None = None
    condition: str | None = None
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    label: str | None = None
    workers: int | None = None
    net: NetOptions = field(default_factory=NetOptions)

    def __post_init__(self) -> None:
        names = (name.strip() for text in self.sources for name in text.split(","))
        _set(
            self,
            keywords=tuple(map(_checked_keyword, self.keywords)),
            sources=tuple(dict.fromkeys(filter(None, names))),
            options={site: dict(own) for site, own in self.options.items() if own},
            label=_checked_label(self.label),
        )

    def sites(self) -> list[Source]:
        """Return the sources. Raises `UsageError` for unknown ones, and where there is none."""
        from harvest.sources import source_named

        if not self.sources:
            raise UsageError("no source is named", "write for instance --source bing")
        return [source_named(name) for name in self.sources]

    def selection(self) -> Selection:
        """Return which results are meant. Raises `UsageError`."""
        from harvest.filters import parse_filter
        from harvest.selection import Selection, parse_range

        first, last = (1, None) if self.span is None else parse_range(self.span)
        condition = None if self.condition is None else parse_filter(self.condition)
        return Selection(first, last, condition)

    def searches(self) -> list[Search]:
        """Return every keyword with what each source is asked for it.

        Raises `UsageError` for names and options that do not exist and where there is no keyword,
        `InputUnusable` for a file that cannot be read.
        """
        from harvest.keyword import read_keywords, searches

        pairs = [(one, self.label) if isinstance(one, str) else one for one in self.keywords]
        return searches(read_keywords(pairs, self.file, self.label), self.sites(), self.options)

    def most(self) -> int:
        """Return the images for each keyword; a range that was asked for is meant whole."""
        from harvest.keyword import LIMIT

        size = self.selection().size
        return self.limit or (LIMIT if size is None else size * len(self.sources))

    def by_label(self) -> Iterator[KeywordRequest]:
        """Yield the same as requests with one label each, which a command line can say.

        What stands in a file comes with the first of them that has this request's own label.
        """
        groups: dict[str | None, list[str]] = {}
        if self.file is not None:
            groups[self.label] = []
        for one in self.keywords:
            text, label = (one, self.label) if isinstance(one, str) else one
            groups.setdefault(label or None, []).append(text)
        for label, texts in groups.items():
            file = self.file if label == self.label else None
            yield replace(self, keywords=tuple(texts), label=label, file=file)

    def check(self, root: Path) -> None:
        """Raise what is wrong, before any request."""
        self.selection()
        self.searches()

    def run(self, dataset: Dataset, progress: Progress = NO_PROGRESS) -> Result:
        """Search and download."""
        from harvest.keyword import harvest_searches

        return harvest_searches(
            dataset,
            self.searches(),
            self.net.client(dataset),
            limit=self.most(),
            selection=self.selection(),
            threads=self.workers,
            progress=progress,
        )

    def preview(self, view: Preview, root: Path, dataset: Dataset | None) -> Result:
        """Ask the sites, and show the addresses that would be downloaded."""
        from harvest.preview import preview_searches

        with self.net.client(dataset)() as client:
            return preview_searches(view, self.searches(), client, self.most(), self.selection())

    def command_line(self) -> list[str]:
        """Return `harvest keyword` with its words.

        Raises `ValueError` where keywords have labels of their own; see `by_label`.
        """
        texts = [one for one in self.keywords if isinstance(one, str)]
        if len(texts) < len(self.keywords):
            raise ValueError("a command line has one label for all keywords")
        options = [word for site in self.sources for word in ("--source", site)]
        options += valued(limit=self.limit, input=self.file, range=self.span)
        options += valued(filter=self.condition)
        for site, own in self.options.items():
            options += [
                word for key, text in own.items() for word in ("-o", f"{site}.{key}={text}")
            ]
        options += valued(label=self.label, workers=self.workers)
        return command_words("keyword", [*options, *self.net.words()], texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlsRequest:
    """`harvest urls`: every address of some lists. `limit` is of distinct images in all."""

    files: tuple[Path, ...]
    label: str | None = None
    columns: ListColumns = PLAIN
    limit: int | None = None
    workers: int | None = None
    net: NetOptions = field(default_factory=NetOptions)

    def __post_init__(self) -> None:
        _set(self, label=_checked_label(self.label))

    def check(self, root: Path) -> None:
        """Raise what is wrong with the beginning of a list, as `check_list`."""
        from harvest.lists import check_list

        for file in self.files:
            check_list(file, self.columns)

    def run(self, dataset: Dataset, progress: Progress = NO_PROGRESS) -> Result:
        """Download."""
        from harvest.urls import harvest_urls

        return harvest_urls(
            dataset,
            self.files,
            self.net.client(dataset),
            label=self.label,
            columns=self.columns,
            limit=self.limit,
            threads=self.workers,
            progress=progress,
        )

    def preview(self, view: Preview, root: Path, dataset: Dataset | None) -> Result:
        """Show the addresses that were not visited yet, should all be images."""
        from harvest.preview import preview_urls

        return preview_urls(view, self.files, self.label, self.limit, self.columns)

    def command_line(self) -> list[str]:
        """Return `harvest urls` with its words."""
        options = valued(label=self.label, limit=self.limit, workers=self.workers)
        options += [*self.columns.words(), *self.net.words()]
        return command_words("urls", options, self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderRequest:
    """`harvest folder`: pictures in folders, single ones, and zip or tar archives.

    With `hints_from_folders` the name of each picture's class folder is its hint, the outermost
    one or that of `class_level`, else `label`. `credit` is that of the pictures of which nothing
    else is said, and `group_by` says which of them belong together. Raises `UsageError` for a
    level where no folder hints.
    """

    places: tuple[Path, ...]
    hints_from_folders: bool = False
    class_level: int | None = None
    label: str | None = None
    credit: Credit = NOTHING
    group_by: GroupBy | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.class_level is not None and not self.hints_from_folders:
            raise UsageError(
                "a class level was given, and folders are not to hint at classes",
                "add --hints-from-folders, in a recipe hints_from_folders = true",
            )
        _set(self, label=_checked_label(self.label))

    def check(self, root: Path) -> None:
        """Raise `InputUnusable` for what is none of these, and for the dataset itself."""
        from harvest.archives import checked_places

        checked_places(self.places, root)

    def run(self, dataset: Dataset, progress: Progress = NO_PROGRESS) -> Result:
        """Take the pictures in."""
        from harvest.archives import checked_places, combined, groups_in, harvest_archives
        from harvest.folder import harvest_folders

        trees, archives = checked_places(self.places, dataset.root)
        groups, refused = groups_in(self.group_by, trees, archives, dataset.root), list[str]()
        given = self._given() | {"groups": groups, "refused": refused, "progress": progress}
        given["workers"] = self.workers or 0
        done = combined(
            harvest_folders(dataset, trees, **given), harvest_archives(dataset, archives, **given)
        )
        if refused:
            done["rejected_files"] = few_files(refused, rejections_of(dataset))
        return done | groups.told(partial(self._again, root=dataset.root))

    def preview(self, view: Preview, root: Path, dataset: Dataset | None) -> Result:
        """Show the files that would be tried, and every member of the archives."""
        from harvest.archives import checked_places, groups_in
        from harvest.preview import preview_folders

        trees, archives = checked_places(self.places, root)
        groups = groups_in(self.group_by, trees, archives, root)
        told = partial(groups.told, partial(self._again, root=root))
        return preview_folders(view, root, trees, archives, groups, told, **self._given())

    def _again(self, by: GroupBy, root: Path) -> str:
        program, command, *words = replace(self, group_by=by).command_line()
        return shlex.join([program, command, "-d", str(root), *words])

    def _given(self) -> dict[str, Any]:
        hints, level = self.hints_from_folders, self.class_level
        said = {"label": self.label, "credit": self.credit}
        return {"hints": hints, "class_level": 1 if level is None else level, **said}

    def command_line(self) -> list[str]:
        """Return `harvest folder` with its words."""
        hints = ["--hints-from-folders"] if self.hints_from_folders else []
        options = [*hints, *valued(class_level=self.class_level, label=self.label)]
        given = {**self.credit._asdict(), "group_by": self.group_by, "workers": self.workers}
        return command_words("folder", [*options, *valued(**given)], self.places)


@dataclass(frozen=True, slots=True, kw_only=True)
class FramesRequest:
    """`harvest frames`: frames of videos, which are files, folders, patterns or addresses."""

    videos: tuple[str, ...]
    options: FramesOptions = field(default_factory=FramesOptions)
    label: str | None = None
    workers: int | None = None
    allow_private: bool = False

    def __post_init__(self) -> None:
        _set(self, label=_checked_label(self.label))

    def check(self, root: Path) -> None:
        """Raise `UsageError` for options that make no sense, `InputUnusable` without videos.

        Addresses are not asked.
        """
        from harvest.video.inputs import find_inputs, is_address

        self.options.sampling()
        if not self.videos:
            raise UsageError("no video is named", "write for instance: harvest frames ~/episodes")
        find_inputs([video for video in self.videos if not is_address(video)], root)

    def run(self, dataset: Dataset, progress: Progress = NO_PROGRESS) -> Result:
        """Sample the frames."""
        from harvest.frames import harvest_frames

        return harvest_frames(
            dataset,
            self._inputs(dataset.root, dataset),
            self.options.sampling(),
            label=self.label,
            workers=self.workers or 0,
            progress=progress,
        )

    def preview(self, view: Preview, root: Path, dataset: Dataset | None) -> Result:
        """Show the videos that would be sampled, and about what that gives."""
        from harvest.preview import preview_frames

        return preview_frames(view, dataset, self.options.sampling(), self._inputs(root, dataset))

    def command_line(self) -> list[str]:
        """Return `harvest frames` with its words."""
        options = [*self.options.words(), *valued(label=self.label, workers=self.workers)]
        options += ["--allow-private"] if self.allow_private else []
        return command_words("frames", options, self.videos)

    def _inputs(self, root: Path, dataset: Dataset | None) -> list[VideoInput]:
        from harvest.video.inputs import find_inputs, is_address

        if not any(map(is_address, self.videos)):
            return find_inputs(self.videos, root)
        # Only here: what the web needs takes as long to load as all the rest.
        from harvest.video.remote import all_inputs

        client = NetOptions(self.allow_private).client(dataset)
        settings = self.options.sampling().settings
        return all_inputs(self.videos, dataset, root, settings, client)


def _set(request: object, **values: object) -> None:
    """Put checked values in the place of those that a frozen request was made with."""
    for name, value in values.items():
        object.__setattr__(request, name, value)


def _checked_label(label: str | None) -> str | None:
    return None if label is None else class_name(label)


def _checked_keyword(keyword: str | tuple[str, str]) -> str | tuple[str, str]:
    """Strip a keyword; one with an empty label of its own is its own hint."""
    if isinstance(keyword, str):
        return keyword.strip()
    text, label = keyword
    return text.strip(), class_name(label) if label.strip() else ""
