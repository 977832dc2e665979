"""The part of a recipe that gets images in: folders, lists of URLs, searches, videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from gleanset import Dataset
from gleanset.credit import given_credit
from gleanset.errors import InputUnusable, UsageError
from gleanset.file_groups import GroupBy
from gleanset.work.progress import Progress
from harvest.list_columns import ListColumns
from harvest.net_options import NetOptions
from harvest.request import (
    FolderRequest,
    FramesRequest,
    HarvestRequest,
    KeywordRequest,
    UrlsRequest,
)
from harvest.sources import source_named
from harvest.video.inputs import is_address
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
            yield f"folder {folder.path}", self._stage(partial(self.folder_request, folder))
        for urls in recipe.urls:
            yield f"urls {urls.file}", self._stage(partial(self.urls_request, urls))
        for keyword in recipe.keyword:
            request = self.keyword_request(keyword)
            words = [search.keyword for search in request.searches()]
            name = f"{', '.join(request.sources)} {_short(words)}"
            yield name, self._stage(partial(self.keyword_request, keyword))
        for frames in recipe.frames:
            yield (
                f"frames {_short(frames.videos)}",
                self._stage(partial(self.frames_request, frames)),
            )

    def checks(self, root: Path) -> Iterator[Check]:
        """Yield what finds mistakes in names and values before anything is begun: each may raise.

        `root` is where the dataset will be.
        """
        recipe = self.recipe
        for option in self.options:
            yield partial(source_named, option.partition(".")[0])
        makers: list[Callable[[], HarvestRequest]] = [
            *(partial(self.folder_request, part) for part in recipe.folder),
            *(partial(self.urls_request, part) for part in recipe.urls),
            *(partial(self.keyword_request, part) for part in recipe.keyword),
            *(partial(self.frames_request, part) for part in recipe.frames),
        ]
        yield from (partial(_check, make, root) for make in makers)
        # Apart, so that a wrong range is said beside a wrong option, a wrong size beside a path.
        yield from (part.sampling for part in recipe.frames)
        yield from (partial(_check_searches, self.keyword_request, part) for part in recipe.keyword)

    def _stage(self, make: Callable[[], HarvestRequest]) -> Callable[[Dataset], Result]:
        return lambda dataset: make().run(dataset, self.progress)

    def folder_request(self, part: FolderSource) -> FolderRequest:
        """Return what a [[folder]] asks for. Raises `InputUnusable` for a wrong path."""
        return FolderRequest(
            places=(self._existing(part.path),),
            hints_from_folders=part.hints_from_folders,
            class_level=part.class_level,
            label=part.label,
            credit=given_credit(part.author, part.licence, part.page),
            group_by=None if part.group_by is None else GroupBy.parse(part.group_by),
        )

    def urls_request(self, part: UrlsSource) -> UrlsRequest:
        """Return what a [[urls]] asks for. Raises `InputUnusable` for a list that is not there."""
        return UrlsRequest(
            files=(self._existing(part.file),),
            label=part.label,
            columns=ListColumns(**part.columns),
            limit=part.limit,
            net=self._net(part),
        )

    def keyword_request(self, part: KeywordSource) -> KeywordRequest:
        """Return what a [[keyword]] asks for. Raises `UsageError` without keywords or sources."""
        request = KeywordRequest(
            keywords=tuple(part.keywords),
            sources=tuple(part.sources),
            file=None if part.input is None else self._existing(part.input),
            limit=part.limit,
            span=part.range,
            condition=part.filter,
            options=self._options(part),
            label=part.label,
            net=self._net(part),
        )
        if not (any(map(_text_of, request.keywords)) or request.file) or not request.sources:
            missing = "keyword" if request.sources else "source"
            raise UsageError(f"a [[keyword]] of the recipe has no {missing}", "write one there")
        return request

    def _options(self, part: KeywordSource) -> dict[str, dict[str, str]]:
        """Return the settings of its sources; those of the command line win."""
        settings = part.settings()
        for name, value in self.options.items():
            site, _, key = name.partition(".")
            if site in settings:
                settings[site][key] = value
        return settings

    def frames_request(self, part: FramesSource) -> FramesRequest:
        """Return what a [[frames]] asks for."""
        videos = (one if is_address(one) else str(self._place(one)) for one in part.videos)
        return FramesRequest(
            videos=tuple(videos),
            options=part.options(),
            label=part.label,
            allow_private=self.allow_private,
        )

    def _net(self, part: NetSource) -> NetOptions:
        return NetOptions(self.allow_private, part.sleep, frozenset(part.ignore_robots))

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


def _check(make: Callable[[], HarvestRequest], root: Path) -> None:
    make().check(root)


def _check_searches(make: Callable[[KeywordSource], KeywordRequest], part: KeywordSource) -> None:
    make(part).searches()


def _text_of(keyword: str | tuple[str, str]) -> str:
    return keyword if isinstance(keyword, str) else keyword[0]


def _short(names: list[str]) -> str:
    """Return some names, and how many more; one more is as short as saying so."""
    if len(names) <= _NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
