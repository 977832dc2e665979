"""The part of a recipe that gets images in: folders, lists of URLs, searches, videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.work.progress import Progress
from harvest.archives import checked_places, harvest_archives
from harvest.filters import parse_filter
from harvest.folder import harvest_folders
from harvest.frames import harvest_frames
from harvest.http import Client, Limits
from harvest.keyword import LIMIT, Search, harvest_searches, read_keywords, searches
from harvest.selection import Selection, parse_range
from harvest.sources import source_named
from harvest.urls import checked_list, harvest_urls
from harvest.video.inputs import find_inputs, is_address
from harvest.video.remote import VideoAddress, all_inputs
from pipeline.recipe import (
    FolderSource,
    FramesSource,
    KeywordSource,
    NetSource,
    Recipe,
    UrlsSource,
)

Result = dict[str, object]
Stage = tuple[str, Callable[[Dataset], Result]]
Check = Callable[[], object]
_NAMED = 3


@dataclass(frozen=True)
class Gathering:
    """The sources of a recipe as stages. `here` is where its paths start.

    `options` are those of `-o source.key=value`; they win over the recipe's own.
    """

    recipe: Recipe
    here: Path
    progress: Progress
    allow_private: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Stage]:
        recipe = self.recipe
        for folder in recipe.folder:
            yield f"folder {folder.path}", partial(self._folder, folder)
        for urls in recipe.urls:
            yield f"urls {urls.file}", partial(self._urls, urls)
        for keyword in recipe.keyword:
            words = [search.keyword for search in self._searches(keyword)]
            yield f"{', '.join(keyword.sources)} {_short(words)}", partial(self._search, keyword)
        for frames in recipe.frames:
            yield f"frames {_short(frames.videos)}", partial(self._frames, frames)

    def checks(self) -> Iterator[Check]:
        """What finds mistakes in names and values before anything is begun: each may raise."""
        recipe = self.recipe
        for option in self.options:
            yield partial(source_named, option.partition(".")[0])
        yield from (partial(self._check_folder, folder) for folder in recipe.folder)
        yield from (partial(self._check_urls, urls) for urls in recipe.urls)
        for keyword in recipe.keyword:
            yield partial(_selection, keyword)
            yield partial(self._searches, keyword)
        for frames in recipe.frames:
            yield frames.sampling
            yield partial(self._check_videos, frames)

    def _check_folder(self, folder: FolderSource) -> None:
        checked_places([self._existing(folder.path)], self.here / "none")

    def _check_urls(self, urls: UrlsSource) -> None:
        checked_list(self._existing(urls.file))

    def _check_videos(self, frames: FramesSource) -> None:
        find_inputs(self._videos(frames), self.here / "none", lambda url: VideoAddress(url, Client))

    def _place(self, path: str) -> Path:
        try:
            return self.here / Path(path).expanduser()
        except RuntimeError as error:
            raise InputUnusable(f"{path}: {error}", "write the whole path") from error

    def _existing(self, path: str) -> Path:
        place = self._place(path)
        if not place.exists():
            raise InputUnusable(f"there is no {place}, which the recipe names", "mend its path")
        return place

    def _videos(self, part: FramesSource) -> list[str | Path]:
        return [one if is_address(one) else self._place(one) for one in part.videos]

    def _folder(self, part: FolderSource, dataset: Dataset) -> Result:
        trees, archives = checked_places([self._place(part.path)], dataset.root)
        if archives:
            return harvest_archives(
                dataset,
                archives,
                hints=part.hints_from_folders,
                label=part.label,
                progress=self.progress,
            )
        return harvest_folders(
            dataset,
            trees,
            hints=part.hints_from_folders,
            label=part.label,
            progress=self.progress,
        )

    def _urls(self, part: UrlsSource, dataset: Dataset) -> Result:
        return harvest_urls(
            dataset,
            [self._place(part.file)],
            self._client(dataset, part),
            label=part.label,
            limit=part.limit,
            progress=self.progress,
        )

    def _search(self, part: KeywordSource, dataset: Dataset) -> Result:
        selection = _selection(part)
        # A range that was asked for is meant whole, on each source.
        whole = LIMIT if selection.size is None else selection.size * len(part.sources)
        return harvest_searches(
            dataset,
            self._searches(part),
            self._client(dataset, part),
            limit=part.limit or whole,
            selection=selection,
            progress=self.progress,
        )

    def _searches(self, part: KeywordSource) -> list[Search]:
        file = None if part.input is None else self._existing(part.input)
        listed = [] if file is None else read_keywords((), file, part.label)
        asked = [pair for pair in dict.fromkeys([*part.pairs(), *listed]) if pair[0]]
        if not asked or not part.sources:
            missing = "keyword" if part.sources else "source"
            raise UsageError(f"a [[keyword]] of the recipe has no {missing}", "write one there")
        settings = part.settings()
        for name, value in self.options.items():
            site, _, key = name.partition(".")
            if site in settings:
                settings[site][key] = value
        return searches(asked, [source_named(site) for site in part.sources], settings)

    def _frames(self, part: FramesSource, dataset: Dataset) -> Result:
        sampling = part.sampling()
        client = self._client(dataset, NetSource())
        inputs = all_inputs(self._videos(part), dataset, dataset.root, sampling.settings, client)
        return harvest_frames(dataset, inputs, sampling, label=part.label, progress=self.progress)

    def _client(self, dataset: Dataset, part: NetSource) -> Callable[[], Client]:
        net = dataset.settings.net
        return lambda: Client(
            Limits.of(net, delay=part.sleep),
            allow_private=self.allow_private,
            contact=net.contact,
            ignore_robots=frozenset(part.ignore_robots),
        )


def _selection(part: KeywordSource) -> Selection:
    first, last = (1, None) if part.range is None else parse_range(part.range)
    return Selection(first, last, None if part.filter is None else parse_filter(part.filter))


def _short(names: list[str]) -> str:
    """Some names, and how many more; one more is as short as saying so."""
    if len(names) <= _NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
