"""What each `harvest` command is asked: see `gleanset.request` for all that comes from it.

Beside its fields a request has

- `check(root)`, which raises what is wrong before a dataset is made at `root`;
- `run(dataset, progress)`, which carries it out and returns its counts;
- `preview(view, root, dataset)`, which shows what `run` would fetch, and fetches none of it.

Modules that do the work are imported when it is done: the commands' help needs none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

import msgspec

from gleanset.config import Param, did_you_mean
from gleanset.credit import Credit, checked_page, credit_text
from gleanset.db.classes import class_name
from gleanset.errors import UsageError
from gleanset.file_groups import GROUP_BY_HELP, FileGroups, GroupBy
from gleanset.files.names import LEVEL_HELP
from gleanset.named_files import few_files, rejections_of
from gleanset.plugins import plugin_words
from gleanset.request import Count, Request, WorkerCount, several
from gleanset.settings import NetSettings, read_settings
from gleanset.source_table import unmatched_summary
from gleanset.work.progress import Progress
from harvest.lists import check_columns
from harvest.robots_words import WORDS, OptOutSignal
from harvest.selection import Selection, parse_range
from harvest.source_names import SOURCES

if TYPE_CHECKING:
    from gleanset import Dataset
    from harvest.folder import ImportOptions
    from harvest.http import Client
    from harvest.keyword import Search
    from harvest.preview import Preview
    from harvest.sources import Source

Result = dict[str, object]
NO_PROGRESS = Progress(quiet=True)

Label = Annotated[
    str | None,
    Param(
        "The class these images hint at (a hint is not a label).",
        metavar="CLASS",
        parse=class_name,
        common=True,
    ),
]
Workers = Annotated[
    WorkerCount | None,
    Param("Worker processes or threads.", common=True),
]
AllowPrivate = Annotated[
    bool,
    Param("Also fetch from this machine and private networks.", common=True, in_files=False),
]
SourceOptions = Annotated[
    dict[str, str | int | dict[str, str | int]],
    Param(
        "A setting of a source, such as bing.size=large.",
        option="--option",
        short="-o",
        metavar="SOURCE.KEY=VALUE",
        example="bing.size=large",
    ),
]


class HarvestRequest(Protocol):
    """What all requests that get images in can do; see the top of this module."""

    def check(self, root: Path) -> None:
        """Raise the `GleansetError` of what cannot be, for a dataset at `root`."""

    def run(self, dataset: Dataset, progress: Progress = NO_PROGRESS) -> Result:
        """Harvest into a dataset; return the counts of what happened."""

    def preview(self, view: Preview, root: Path, dataset: Dataset | None) -> Result:
        """Show what would be harvested; return the numbers. Without a dataset all is new."""


class Downloads(Request, frozen=True, kw_only=True):
    """What all that downloads is asked: the manners."""

    ignore_robots: Annotated[
        tuple[OptOutSignal, ...],
        Param(
            f"What a host may say to robots in vain: {', '.join(WORDS)}.",
            metavar="WORD",
            common=True,
        ),
    ] = ()
    allow_private: AllowPrivate = False

    def client(self, dataset: Dataset | None = None) -> Callable[[], Client]:
        """Return what opens the downloader, with the dataset's settings for the net."""
        return client_factory(dataset, self.allow_private, self.ignore_robots)


def client_factory(
    dataset: Dataset | None, allow_private: bool, ignore_robots: tuple[str, ...] = ()
) -> Callable[[], Client]:
    """Return what opens a client, with what the dataset, or the user, says of the net."""
    from harvest.http import Client, DownloadLimits

    net = _net(dataset)
    return lambda: Client(
        DownloadLimits.of(net),
        allow_private=allow_private,
        contact=net.contact,
        ignore_robots=frozenset(ignore_robots),
    )


def _net(dataset: Dataset | None) -> NetSettings:
    return dataset.settings.net if dataset else read_settings(None).net


Settings = dict[str, dict[str, str]]


def source_settings(options: Mapping[str, Any], asked: tuple[str, ...]) -> Settings:
    """Return the options of each source that is asked; those of an only one may lack its name.

    Raises `UsageError` for those of another.
    """
    settings: Settings = {name: {} for name in asked}
    for name, value in options.items():
        if isinstance(value, dict):
            for key, text in value.items():
                _settings_of(settings, name, key)[key] = str(text)
        elif len(asked) == 1:
            settings[asked[0]][name] = str(value)
        else:
            raise UsageError(
                f"options.{name}: of which source?",
                f'write options = {{ {", ".join(asked[:1])}.{name} = "{value}" }}',
            )
    return settings


def _settings_of(settings: Settings, site: str, key: str) -> dict[str, str]:
    from harvest.sources import load_source

    if site in settings:
        return settings[site]
    near = did_you_mean(site, settings, "{}")
    if not near:
        # A name that no source has is said to be that, with the nearest one.
        load_source(site)
    guess = f"Did you mean {near}.{key}? " if near else ""
    raise UsageError(
        f"-o {site}.{key}: {site} is not asked, only {', '.join(settings)}.",
        f"{guess}Leave it out, or ask {site} too.",
    )


def _checked_range(text: str) -> str:
    parse_range(text)
    return text


def _checked_filter(text: str) -> str:
    from harvest.result_filter import parse_filter

    parse_filter(text)
    return text


def _stripped(keyword: Any) -> Any:
    if isinstance(keyword, str):
        return keyword.strip()
    text, label = keyword
    return text.strip(), class_name(label) if label.strip() else ""


class KeywordRequest(Downloads, frozen=True, kw_only=True):
    """`harvest keyword`: what some sites find for some keywords.

    A keyword may be a pair, of the words to search and a label; without that and without `label`
    each is its own hint. One text of `source` may name several with commas. The options of an only
    source may lack its name.
    """

    COMMAND: ClassVar[str] = "harvest keyword"

    keywords: Annotated[
        tuple[str | tuple[str, str], ...],
        Param(metavar="[KEYWORD]...", argument=True, parse=_stripped),
    ] = ()
    source: Annotated[
        str | tuple[str, ...],
        Param(
            f"A site to search: {', '.join(SOURCES)}. Repeat it, or write several with commas.",
            metavar="NAME",
            show_default=True,
            more=partial(plugin_words, "sources", SOURCES),
        ),
    ] = ("bing",)
    limit: Annotated[
        Count | None,
        Param(
            "Distinct images for each keyword, over all sources together.",
            show_default="100, or the whole --range",
        ),
    ] = None
    input: Annotated[
        str | None,
        Param(
            "Keywords from a file: one a line, then perhaps a tab and a label.",
            short="-i",
            metavar="FILE",
            path=True,
        ),
    ] = None
    range: Annotated[
        str | None,
        Param("Only these results of each query.", metavar="A-B", parse=_checked_range),
    ] = None
    filter: Annotated[
        str | None,
        Param(
            "Only results of which the site tells this, such as 'width >= 800 and not ai'; also "
            "title, author, licence, tags, rating, url, page_url, len() and lower().",
            metavar="EXPR",
            parse=_checked_filter,
        ),
    ] = None
    options: SourceOptions = msgspec.field(default_factory=dict)
    label: Label = None

    def __post_init__(self) -> None:
        """Spell the sources each once, and their options by their names."""
        super().__post_init__()
        names = (name.strip() for text in self.source for name in text.split(","))
        msgspec.structs.force_setattr(self, "source", tuple(dict.fromkeys(filter(None, names))))

    def sites(self) -> list[Source]:
        """Return the sources. Raises `UsageError` for unknown ones, and where there is none."""
        from harvest.sources import load_source

        if not self.source:
            raise UsageError("no source is named", "write for instance --source bing")
        return [load_source(name) for name in several(self.source)]

    def selection(self) -> Selection:
        """Return which results are meant."""
        from harvest.result_filter import parse_filter

        first, last = (1, None) if self.range is None else parse_range(self.range)
        return Selection(first, last, None if self.filter is None else parse_filter(self.filter))

    def searches(self) -> list[Search]:
        """Return every keyword with what each source is asked for it.

        Raises `UsageError` for names and options that do not exist and where there is no keyword,
        `InputUnusable` for a file that cannot be read.
        """
        from harvest.keyword import read_keywords, searches

        sites = self.sites()
        pairs = [(text, self.label) if isinstance(text, str) else text for text in self.keywords]
        words = read_keywords(pairs, Path(self.input) if self.input else None, self.label)
        asked = tuple(site.name for site in sites)
        return searches(words, sites, source_settings(self.options, asked))

    def over(self, options: Mapping[str, str]) -> KeywordRequest:
        """Return the same with other options ('bing.size': 'large') of the sources it asks."""
        settings = source_settings(self.options, several(self.source))
        for name, value in options.items():
            site, _, key = name.partition(".")
            if site in settings:
                settings[site][key] = value
        named: dict[str, Any] = {site: own for site, own in settings.items() if own}
        return msgspec.structs.replace(self, options=named)

    def most(self) -> int:
        """Return the images for each keyword; a range that was asked for is meant whole."""
        from harvest.keyword import LIMIT

        size = self.selection().size
        return self.limit or (LIMIT if size is None else size * len(self.source))

    def check(self, root: Path) -> None:
        """Raise what is wrong, before any request."""
        self.searches()

    def check_ready(self) -> None:
        """Raise `NeedsLogin` or `MissingComponent` for what a source needs and is not here."""
        from harvest.sources import Query

        sites = self.sites()
        options = source_settings(self.options, tuple(site.name for site in sites))
        for site in sites:
            site.check_ready(site.settings(Query(site.example, options=options[site.name])))

    def run(self, dataset: Dataset, progress: Progress = NO_PROGRESS) -> Result:
        """Search and download."""
        from harvest.downloads import DownloadRun
        from harvest.keyword import harvest_searches

        searches = self.searches()
        for site in several(self.source):
            dataset.note_plugin("sources", site)
        return harvest_searches(
            dataset,
            searches,
            DownloadRun(self.client(dataset), progress),
            limit=self.most(),
            selection=self.selection(),
        )

    def preview(self, view: Preview, root: Path, dataset: Dataset | None) -> Result:
        """Ask the sites, and show the addresses that would be downloaded."""
        from harvest.preview import preview_searches

        with self.client(dataset)() as client:
            return preview_searches(view, self.searches(), client, self.most(), self.selection())


class UrlsRequest(Downloads, frozen=True, kw_only=True):
    """`harvest urls`: every address of some lists."""

    COMMAND: ClassVar[str] = "harvest urls"

    file: Annotated[
        str | tuple[str, ...], Param(metavar="FILE...", argument=True, required=True, path=True)
    ]
    columns: Annotated[
        dict[str, str],
        Param(
            "In a table: which column says what, such as caption=TEXT; also url (by default url), "
            "label, licence, author and page.",
            option="--column",
            metavar="WHAT=NAME",
            example="caption=TEXT",
            parse=check_columns,
        ),
    ] = msgspec.field(default_factory=dict)
    limit: Annotated[Count | None, Param("Stop at that many distinct images.")] = None
    label: Label = None

    @property
    def files(self) -> list[Path]:
        """The lists."""
        return list(map(Path, several(self.file)))

    def check(self, root: Path) -> None:
        """Raise what is wrong with the beginning of a list."""
        from harvest.urls import check

        for file in self.files:
            check(file, self.columns)

    def run(self, dataset: Dataset, progress: Progress = NO_PROGRESS) -> Result:
        """Download."""
        from harvest.downloads import DownloadRun
        from harvest.urls import harvest_urls

        return harvest_urls(
            dataset,
            self.files,
            DownloadRun(self.client(dataset), progress),
            label=self.label,
            columns=self.columns,
            limit=self.limit,
        )

    def preview(self, view: Preview, root: Path, dataset: Dataset | None) -> Result:
        """Show the addresses that were not visited yet, should all be images."""
        from harvest.preview import preview_urls

        return preview_urls(view, self.files, self.label, self.limit, self.columns)


ClassLevel = Annotated[int, msgspec.Meta(ge=0)]


def _checked_groups(text: str) -> str:
    return str(GroupBy.parse(text))


class FolderRequest(Request, frozen=True, kw_only=True):
    """`harvest folder`: pictures in folders, single ones, and zip or tar archives."""

    COMMAND: ClassVar[str] = "harvest folder"

    path: Annotated[
        str | tuple[str, ...],
        Param(metavar="DIR|FILE|ARCHIVE...", argument=True, required=True, path=True),
    ]
    hints_from_folders: Annotated[bool, Param("Names of class folders are hints.")] = False
    class_level: Annotated[
        ClassLevel | None, Param(f"{LEVEL_HELP} 0: the innermost.", metavar="N")
    ] = None
    exclude: Annotated[
        tuple[str, ...], Param("Leave out folders and files of that name or path.", metavar="GLOB")
    ] = ()
    label: Label = None
    group_by: Annotated[
        str | None, Param(GROUP_BY_HELP, metavar="folder|REGEX", parse=_checked_groups)
    ] = None
    author: Annotated[
        str | None, Param("Who made the pictures, where nothing else says it.", parse=credit_text)
    ] = None
    licence: Annotated[
        str | None,
        Param("What may be done with them, such as CC-BY-4.0 or 'my own'.", parse=credit_text),
    ] = None
    page: Annotated[
        str | None, Param("The page that they are from.", metavar="URL", parse=checked_page)
    ] = None
    workers: Workers = None

    @property
    def places(self) -> list[Path]:
        """What was named."""
        return list(map(Path, several(self.path)))

    @property
    def credit(self) -> Credit:
        """Who made the pictures of which nothing else is said."""
        return Credit(self.author, self.licence, self.page)

    def check(self, root: Path) -> None:
        """Raise `InputUnusable` for what is none of these, and for the dataset itself.

        Raises `UsageError` for a level where no folder hints.
        """
        from harvest.archives import split_archives

        if self.class_level is not None and not self.hints_from_folders:
            raise UsageError(
                "a class level was given, and folders are not to hint at classes",
                "add --hints-from-folders, in a recipe hints_from_folders = true",
            )
        split_archives(self.places, root)

    def run(self, dataset: Dataset, progress: Progress = NO_PROGRESS) -> Result:
        """Take the pictures in."""
        from harvest.archives import harvest_archives, split_archives
        from harvest.folder import harvest_folders
        from harvest.importer import combined

        trees, archives = split_archives(self.places, dataset.root)
        groups = self._groups(trees, archives)
        refused: list[str] = []
        reserved: list[str] = []
        options = replace(
            self._options(groups), refused=refused, reserved=reserved, progress=progress
        )
        taken = [harvest_folders(dataset, trees, options)] if trees else []
        taken += [harvest_archives(dataset, archives, options)] if archives else []
        done = combined(*taken) | unmatched_summary(options.unmatched)
        if refused:
            done["rejected_files"] = few_files(refused, rejections_of(dataset))
        if reserved:
            done["reserved"] = len(reserved)
            done["reserved_files"] = few_files(reserved, "docs/legal.md")
        return done | groups.summary()

    def preview(self, view: Preview, root: Path, dataset: Dataset | None) -> Result:
        """Show the files that would be tried, and every member of the archives."""
        from harvest.archives import split_archives
        from harvest.preview import preview_folders

        trees, archives = split_archives(self.places, root)
        groups = self._groups(trees, archives)
        return preview_folders(view, (trees, archives), self._options(groups), groups.summary)

    def _groups(self, trees: Sequence[Path], archives: Sequence[Path]) -> FileGroups:
        from harvest.archives import member_names
        from harvest.folder import image_names

        by = None if self.group_by is None else GroupBy.parse(self.group_by)
        if by is None or by.pattern is None:
            return FileGroups(by)
        names = [name for tree in trees for name in image_names(tree, self.exclude)]
        return FileGroups(by, [*names, *(name for path in archives for name in member_names(path))])

    def _options(self, groups: FileGroups) -> ImportOptions:
        from harvest.folder import ImportOptions

        return ImportOptions(
            hints=self.hints_from_folders,
            class_level=1 if self.class_level is None else self.class_level,
            label=self.label,
            credit=self.credit,
            groups=groups,
            exclude=self.exclude,
            workers=self.workers or 0,
        )


class RetryRequest(Downloads, frozen=True, kw_only=True):
    """`harvest retry`: what failed before, from lists and searches."""

    COMMAND: ClassVar[str] = "harvest retry"

    reason: Annotated[
        str | None, Param("Only what failed for this reason, such as 'http 403'.")
    ] = None


class CheckRequest(Request, frozen=True, kw_only=True):
    """`harvest check`: one small real query to a site."""

    COMMAND: ClassVar[str] = "harvest check"

    source: Annotated[str, Param(argument=True, required=True)]
    options: SourceOptions = msgspec.field(default_factory=dict)
    allow_private: AllowPrivate = False

    def client(self, dataset: Dataset | None = None) -> Callable[[], Client]:
        """Return what opens the client; a page that is asked for once needs no manners more."""
        return client_factory(dataset, self.allow_private)


class LoginRequest(Request, frozen=True, kw_only=True):
    """`harvest login`: an account of a site."""

    COMMAND: ClassVar[str] = "harvest login"

    site: Annotated[Literal["flickr", "pixiv"], Param(argument=True, required=True)]
    token_stdin: Annotated[
        bool, Param("Take a refresh token that you have from standard input.")
    ] = False
    options: SourceOptions = msgspec.field(default_factory=dict)
