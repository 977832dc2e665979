"""Requests: the arguments of each `harvest` command (see `gleanset.request`).

In addition to its fields a request has

- `check(root)`, which raises errors before a dataset is created at `root`;
- `run(dataset, progress, simulate=…)`, which carries it out and returns the counts. A simulation
  lists what would be fetched, and changes nothing.

Modules that do the work are imported late: the help of the commands does not need them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import msgspec

from gleanset.config import Param, did_you_mean
from gleanset.credit import Credit, clean_credit_text, validate_page_url
from gleanset.db.classes import normalize_class_name
from gleanset.errors import UsageError
from gleanset.file_groups import FOLDER, FileGroups, GroupByOption
from gleanset.files.names import LEVEL_HELP
from gleanset.named_files import rejections_command, shorten_list, summarize_lines
from gleanset.request import Count, Encoding, Request, WorkerCount, as_tuple
from gleanset.source_table import summarize_unmatched
from gleanset.work.progress import NO_PROGRESS, Progress
from harvest.lists import ListOptions, check_columns, check_list
from harvest.opt_out_signals import SIGNALS, OptOutSignal
from harvest.results import HarvestCounts, VideosPreview
from harvest.source_names import SOURCES
from harvest.video.options import SamplingTable

if TYPE_CHECKING:
    from gleanset import Dataset
    from harvest.http import Client
    from harvest.keyword import Search
    from harvest.sources import Source

HarvestOutcome = HarvestCounts | VideosPreview

Label = Annotated[
    str | None,
    Param(
        "Weak label of these images: a class to suggest, not a decision.",
        metavar="CLASS",
        parse=normalize_class_name,
        common=True,
    ),
]
Workers = Annotated[
    WorkerCount | None,
    Param("Worker processes or threads.", common=True),
]
AllowPrivate = Annotated[
    bool,
    Param(
        "Allow downloads from this machine and private networks.",
        common=True,
        in_files=False,
    ),
]
SourceOptions = Annotated[
    dict[str, str | int | dict[str, str | int]],
    Param(
        "Setting of a source, such as bing.size=large.",
        option="--option",
        short="-o",
        metavar="SOURCE.KEY=VALUE",
        example="bing.size=large",
    ),
]


class HarvestRequest(Protocol):
    """Methods of all requests that collect images; see the top of this module."""

    def check(self, root: Path) -> None:
        """Raise the `GleansetError` of an invalid request for a dataset at `root`."""

    def run(
        self, dataset: Dataset, progress: Progress, *, simulate: bool
    ) -> HarvestOutcome:
        """Harvest into a dataset; return the counts."""


class DownloadRequest(Request, frozen=True, kw_only=True):
    """Options of all commands that download images."""

    ignore_robots: Annotated[
        tuple[OptOutSignal, ...],
        Param(
            f"Opt-out signals to ignore: {', '.join(SIGNALS)}.",
            metavar="SIGNAL",
            common=True,
        ),
    ] = ()
    allow_private: AllowPrivate = False

    def client(self, dataset: Dataset) -> Callable[[], Client]:
        """Return a function that opens the client, with the network settings of the dataset."""

        def open_client() -> Client:
            from harvest.http import Client, DownloadLimits

            net = dataset.settings.net
            limits = DownloadLimits(
                total_timeout=net.seconds, per_host=net.per_host, delay=net.delay
            )
            ignored_signals = frozenset(self.ignore_robots)
            return Client(limits, self.allow_private, net.contact, ignored_signals)

        return open_client


SourceSettings = dict[str, dict[str, str]]


def group_options_by_source(
    options: Mapping[str, Any], sources: tuple[str, ...]
) -> SourceSettings:
    """Return the options by source; those of a single source may lack its name.

    Raises `UsageError` for options of other sources.
    """
    settings: SourceSettings = {source: {} for source in sources}
    for source_or_key, value in options.items():
        if isinstance(value, dict):
            for key, text in value.items():
                _find_settings(settings, source_or_key, key)[key] = str(text)
        elif len(sources) == 1:
            settings[sources[0]][source_or_key] = str(value)
        else:
            example = sources[0] if sources else "SOURCE"
            raise UsageError(
                f"options.{source_or_key}: the source is missing",
                f'write options = {{ {example}.{source_or_key} = "{value}" }}',
            )
    return settings


def _find_settings(settings: SourceSettings, site: str, key: str) -> dict[str, str]:
    from harvest.sources import load_source

    if site in settings:
        return settings[site]
    nearest = did_you_mean(site, settings, "{}")
    if not nearest:
        load_source(site)  # raises for an unknown name
    guess = f"did you mean {nearest}.{key}? " if nearest else ""
    raise UsageError(
        f"-o {site}.{key}: {site} is not searched, only {', '.join(settings)}",
        f"{guess}leave it out, or add --source {site}",
    )


def _check_filter(text: str) -> str:
    from harvest.result_filter import parse_filter

    parse_filter(text)
    return text


def _strip_keyword(keyword: Any) -> Any:
    if isinstance(keyword, str):
        return keyword.strip()
    text, label = keyword
    return text.strip(), normalize_class_name(label) if label.strip() else ""


class KeywordRequest(DownloadRequest, frozen=True, kw_only=True):
    """`harvest keyword`: search sites for keywords.

    A keyword may be a pair of search words and a label; without it and without `label` the keyword
    is its own weak label. `source` may name several sources, separated by commas. Options of a
    single source may lack its name.
    """

    COMMAND = "harvest keyword"

    keywords: Annotated[
        tuple[str | tuple[str, str], ...],
        Param(metavar="[KEYWORD]...", argument=True, parse=_strip_keyword),
    ] = ()
    source: Annotated[
        str | tuple[str, ...],
        Param(
            f"Site to search: {', '.join(SOURCES)}. Repeat it, or separate several by commas.",
            metavar="NAME",
            show_default=True,
        ),
    ] = ("bing",)
    limit: Annotated[
        Count | None,
        Param(
            "Distinct images per keyword, over all sources together.",
            show_default="100",
        ),
    ] = None
    input: Annotated[
        str | None,
        Param(
            "File of keywords: one a line, optionally followed by a tab and a label.",
            short="-i",
            metavar="FILE",
            path=True,
        ),
    ] = None
    filter: Annotated[
        str | None,
        Param(
            "Only results that meet a condition, such as 'width >= 800 and not ai'; also "
            "title, author, licence, tags, rating, url, page_url, len() and lower().",
            metavar="EXPR",
            parse=_check_filter,
        ),
    ] = None
    encoding: Encoding = None
    options: SourceOptions = {}
    label: Label = None

    def __post_init__(self) -> None:
        """Split and deduplicate the sources."""
        super().__post_init__()  # makes a tuple of a single source
        names = [name.strip() for name in ",".join(self.source).split(",")]
        sources = tuple(dict.fromkeys(filter(None, names)))
        msgspec.structs.force_setattr(self, "source", sources)

    def load_sources(self) -> list[Source]:
        """Return the sources. Raises `UsageError` for unknown ones, and without any."""
        from harvest.sources import load_source

        if not self.source:
            raise UsageError("no source is named", "add --source bing")
        return [load_source(name) for name in as_tuple(self.source)]

    def searches(self) -> list[Search]:
        """Return every keyword with the query for each source.

        Raises `UsageError` for unknown sources and options and without a keyword, `InputUnusable`
        for a file that cannot be read.
        """
        from harvest.keyword import plan_searches, read_keywords

        sources = self.load_sources()
        pairs = [
            (text, "") if isinstance(text, str) else text for text in self.keywords
        ]
        file = Path(self.input) if self.input else None
        words = read_keywords(pairs, file, self.label, self.encoding)
        options = group_options_by_source(self.options, as_tuple(self.source))
        return plan_searches(words, sources, options)

    def with_options(self, options: Mapping[str, str]) -> KeywordRequest:
        """Return the same request with other options, such as 'bing.size': 'large'."""
        settings = group_options_by_source(self.options, as_tuple(self.source))
        for name, value in options.items():
            site, _, key = name.partition(".")
            if site in settings:
                settings[site][key] = value
        changed: dict[str, Any] = {site: own for site, own in settings.items() if own}
        return msgspec.structs.replace(self, options=changed)

    def check(self, root: Path) -> None:
        """Raise the errors of the arguments, before any request; `root` does not matter."""
        self.searches()

    def check_ready(self) -> None:
        """Raise `NeedsLogin` or `MissingComponent` if a source lacks something."""
        from harvest.sources import Query

        sources = self.load_sources()
        options = group_options_by_source(self.options, as_tuple(self.source))
        for source in sources:
            query = Query(source.example, options=options[source.name])
            source.check_ready(source.settings(query))

    def run(
        self,
        dataset: Dataset,
        progress: Progress = NO_PROGRESS,
        *,
        simulate: bool = False,
    ) -> HarvestOutcome:
        """Search and download."""
        from harvest.downloads import DownloadRun
        from harvest.keyword import DEFAULT_LIMIT, harvest_searches
        from harvest.result_filter import parse_filter

        searches = self.searches()
        if not simulate:
            # Sites of plugins are noted in the dataset, which then names the packages it needs.
            for site in as_tuple(self.source):
                dataset.note_plugin("sources", site)
        run = DownloadRun(self.client(dataset), progress, simulate)
        limit = self.limit or DEFAULT_LIMIT
        condition = None if self.filter is None else parse_filter(self.filter)
        return harvest_searches(
            dataset, searches, run, limit=limit, condition=condition
        )


class UrlsRequest(DownloadRequest, frozen=True, kw_only=True):
    """`harvest urls`: download the addresses in lists."""

    COMMAND = "harvest urls"

    file: Annotated[
        str | tuple[str, ...],
        Param(metavar="FILE...", argument=True, required=True, path=True),
    ]
    columns: Annotated[
        dict[str, str],
        Param(
            "Column of a table, such as caption=TEXT; also for url, label, licence, author and "
            "page. Default: the column of that name.",
            option="--column",
            metavar="WHAT=NAME",
            example="caption=TEXT",
            parse=check_columns,
        ),
    ] = {}
    encoding: Encoding = None
    limit: Annotated[Count | None, Param("Stop at this number of distinct images.")] = (
        None
    )
    label: Label = None

    @property
    def list_options(self) -> ListOptions:
        """The options for reading a list."""
        return ListOptions(self.label, self.columns, self.encoding)

    def check(self, root: Path) -> None:
        """Raise the errors at the beginning of a list; `root` does not matter."""
        for file in as_tuple(self.file):
            check_list(Path(file), self.list_options)

    def run(
        self,
        dataset: Dataset,
        progress: Progress = NO_PROGRESS,
        *,
        simulate: bool = False,
    ) -> HarvestOutcome:
        """Download."""
        from harvest.downloads import DownloadRun, harvest_urls

        return harvest_urls(
            dataset,
            map(Path, as_tuple(self.file)),
            DownloadRun(self.client(dataset), progress, simulate),
            self.list_options,
            limit=self.limit,
        )


ClassLevel = Annotated[int, msgspec.Meta(ge=0)]


def _normalize_glob(text: str) -> str:
    if PurePath(text).is_absolute():
        raise UsageError(
            f"--exclude {text!r} begins at the root of the disk",
            "write the name of a folder or file, or its path below DIR",
        )
    # A shell completes the name of a folder with a slash.
    return PurePath(text).as_posix()


class FolderRequest(Request, frozen=True, kw_only=True):
    """`harvest folder`: import folders, single images, and zip or tar archives."""

    COMMAND = "harvest folder"

    path: Annotated[
        str | tuple[str, ...],
        Param(metavar="DIR|FILE|ARCHIVE...", argument=True, required=True, path=True),
    ]
    hints_from_folders: Annotated[
        bool, Param("Use the names of class folders as weak labels.")
    ] = False
    class_level: Annotated[
        ClassLevel | None, Param(f"{LEVEL_HELP} 0: the innermost.", metavar="N")
    ] = None
    exclude: Annotated[
        tuple[str, ...],
        Param(
            "Exclude folders and files with this name, or with this path below DIR.",
            metavar="GLOB",
            parse=_normalize_glob,
        ),
    ] = ()
    people: Annotated[
        bool,
        Param(
            "Label faces with the names that digiKam, Lightroom and others stored in XMP, in the "
            "images or in sidecars (name.xmp, name.jpg.xmp)."
        ),
    ] = False
    label: Label = None
    group_by: GroupByOption = None
    encoding: Encoding = None
    author: Annotated[
        str | None,
        Param("Author of images without another credit.", parse=clean_credit_text),
    ] = None
    licence: Annotated[
        str | None,
        Param(
            "Licence of these images, such as CC-BY-4.0 or 'my own'.",
            parse=clean_credit_text,
        ),
    ] = None
    page: Annotated[
        str | None,
        Param(
            "Page that these images are from.", metavar="URL", parse=validate_page_url
        ),
    ] = None
    workers: Workers = None

    def check(self, root: Path) -> None:
        """Raise `InputUnusable` for other paths, and for the dataset itself.

        Raises `UsageError` for a class level without weak labels from folders.
        """
        from harvest.archives import split_archives

        if self.class_level is not None and not self.hints_from_folders:
            raise UsageError(
                "--class-level has no effect without --hints-from-folders",
                "add --hints-from-folders, in a recipe hints_from_folders = true",
            )
        _, archives = split_archives(
            map(Path, as_tuple(self.path)),
            root,
        )
        if self.people and archives:
            raise UsageError(
                f"names of people in an archive are not read: {archives[0]}",
                "unpack it and name its folder, or leave out --people",
            )

    def run(
        self,
        dataset: Dataset,
        progress: Progress = NO_PROGRESS,
        *,
        simulate: bool = False,
    ) -> HarvestOutcome:
        """Import the images."""
        from harvest.archives import harvest_files
        from harvest.importer import ImportOptions

        paths = list(map(Path, as_tuple(self.path)))
        groups = self._groups(paths, dataset.root)
        options = ImportOptions(
            hints=self.hints_from_folders,
            class_level=1 if self.class_level is None else self.class_level,
            label=self.label,
            credit=Credit(self.author, self.licence, self.page),
            groups=groups,
            encoding=self.encoding,
            exclude=self.exclude,
            workers=self.workers or 0,
            progress=progress,
            people=self.people,
            simulate=simulate,
        )
        result = harvest_files(dataset, paths, options)
        result.ignored_files = shorten_list(options.ignored_files)
        result.rejected_files = summarize_lines(
            options.rejected_files, rejections_command(dataset)
        )
        result.reserved = len(options.opted_out_files)
        result.reserved_files = summarize_lines(
            options.opted_out_files, "docs/legal.md"
        )
        return result.with_facts(
            {**summarize_unmatched(options.unmatched_rows), **groups.summary()}
        )

    def _groups(self, paths: list[Path], root: Path) -> FileGroups:
        from harvest.archives import find_members, split_archives
        from harvest.folder import find_images
        from harvest.importer import ImportOptions

        if self.group_by in (None, FOLDER):
            return FileGroups(self.group_by)
        # Groups by name need the names of all files, so the folders are walked once more before
        # the import, which counts the ignored files.
        options = ImportOptions(exclude=self.exclude)
        ignored = Counter[str]()
        trees, archives = split_archives(paths, root)
        names = []
        for tree in trees:
            names += [file.path.name for file in find_images(tree, options, ignored)]
        for archive in archives:
            members = find_members(archive, options, ignored)
            names += [member.path.name for member in members]
        return FileGroups(self.group_by, names)


class FramesRequest(SamplingTable, frozen=True, kw_only=True):
    """`harvest frames`: frames of videos, which are files, folders or patterns."""

    COMMAND = "harvest frames"

    videos: Annotated[
        tuple[str, ...], Param(metavar="VIDEO|DIR...", argument=True, path=True)
    ]
    label: Label = None
    workers: Workers = None

    def check(self, root: Path) -> None:
        """Raise `UsageError` for contradictory options, `InputUnusable` without videos.

        `root` does not matter.
        """
        self.sampling()
        check_videos(self.videos, self.COMMAND)

    def run(
        self,
        dataset: Dataset,
        progress: Progress = NO_PROGRESS,
        *,
        simulate: bool = False,
    ) -> HarvestOutcome:
        """Sample and import the frames; return the counts of the run."""
        from harvest.frames import FrameHarvest, preview_frames
        from harvest.video.inputs import find_inputs

        sampling = self.sampling()
        inputs = find_inputs(self.videos)
        if simulate:
            return preview_frames(dataset, inputs, sampling)
        workers = self.workers or 0
        return FrameHarvest(dataset, sampling, self.label, workers, progress).run(
            inputs
        )


def check_videos(videos: tuple[str, ...], command: str) -> None:
    """Raise `UsageError` without arguments, `InputUnusable` if no video exists."""
    from harvest.video.inputs import find_inputs

    if not videos:
        raise UsageError(
            "no video is named", f"write for instance: {command} ~/episodes"
        )
    find_inputs(videos)


class RetryRequest(DownloadRequest, frozen=True, kw_only=True):
    """`harvest retry`: retry failed downloads of lists and searches."""

    COMMAND = "harvest retry"

    reason: Annotated[
        str | None,
        Param("Only downloads that failed for this reason, such as 'http 403'."),
    ] = None


class LoginRequest(Request, frozen=True, kw_only=True):
    """`harvest login`: log in to a site."""

    COMMAND = "harvest login"

    site: Annotated[Literal["flickr", "pixiv"], Param(argument=True, required=True)]
    options: SourceOptions = {}
