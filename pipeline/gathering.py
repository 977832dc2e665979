"""The part of a recipe that gets images in: folders, lists of URLs, searches, videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from gleanset import Dataset
from gleanset.work.progress import Progress
from harvest.frames_request import FramesRequest
from harvest.request import FolderRequest, KeywordRequest, UrlsRequest
from harvest.sources import source_named
from pipeline.episodes.request import EpisodesRequest
from pipeline.recipe import Recipe

Result = dict[str, object]
Stage = tuple[str, Callable[[Dataset], Result]]
Check = Callable[[], object]
Source = FolderRequest | UrlsRequest | KeywordRequest | FramesRequest | EpisodesRequest
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
            yield f"folder {_short(folder.path)}", self._stage(folder)
        for urls in recipe.urls:
            yield f"urls {_short(urls.file)}", self._stage(urls)
        for keyword in recipe.keyword:
            words = [search.keyword for search in keyword.at(self.here).searches()]
            yield f"{', '.join(keyword.source)} {_short(words)}", self._stage(keyword)
        for frames in recipe.frames:
            yield f"frames {_short(frames.videos)}", self._stage(frames)
        for episodes in recipe.episodes:
            yield f"episodes {_short(episodes.videos)}", self._stage(episodes)

    def checks(self, root: Path) -> Iterator[Check]:
        """Yield what finds mistakes in names and values before anything is begun: each may raise.

        `root` is where the dataset will be.
        """
        for option in self.options:
            yield partial(source_named, option.partition(".")[0])
        recipe = self.recipe
        parts: list[Source] = [*recipe.folder, *recipe.urls, *recipe.keyword, *recipe.frames]
        for part in (*parts, *recipe.episodes):
            yield partial(self._check, part, root)

    def _check(self, part: Source, root: Path) -> None:
        request = self.request(part)
        request.check(root)
        if isinstance(request, KeywordRequest):
            request.check_ready()

    def _stage(self, part: Source) -> Callable[[Dataset], Result]:
        return lambda dataset: self.request(part).run(dataset, self.progress)

    def request(self, part: Source) -> Source:
        """Return what a table asks for from here. Raises `InputUnusable` for a wrong path."""
        placed = part.at(self.here)
        if isinstance(placed, FolderRequest):
            return placed
        allowed = msgspec.structs.replace(placed, allow_private=self.allow_private)
        return allowed.over(self.options) if isinstance(allowed, KeywordRequest) else allowed


def _short(names: str | tuple[str, ...] | list[str]) -> str:
    """Return some names, and how many more; one more is as short as saying so."""
    names = [names] if isinstance(names, str) else list(names)
    if len(names) <= _NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
