"""Running a recipe stage by stage; each stage skips what is done already."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from baseline.extras import require_packages
from baseline.request import TrainRequest
from baseline.settings import check_preset, load_preset
from facecrop.request import FaceSearch
from gleanset import Dataset
from gleanset.command_result import CommandResult
from gleanset.db.connection import CATALOGUE
from gleanset.errors import (
    GleansetError,
    Incomplete,
    RecipeError,
    UsageError,
)
from gleanset.files.atomic import write_atomic
from gleanset.named_files import shorten_list
from gleanset.settings import (
    CropSettings,
    Settings,
    SplitSettings,
    add_web,
    read_settings,
)
from gleanset.terminal import format_result
from gleanset.video.run_ffmpeg import find_ffmpeg
from gleanset.work.progress import Progress
from harvest.request import (
    FolderRequest,
    FramesRequest,
    KeywordRequest,
    UrlsRequest,
)
from harvest.sources import load_source
from labeler.acceptance import accept_hints
from labeler.duplicates.finder import DuplicateFinder
from labeler.export.job import export
from labeler.splits.job import split_dataset
from labeler.splits.split_spec import SplitSpec
from pipeline.episodes.request import EpisodesRequest
from pipeline.recipe import ExportPart, Recipe, Source
from pipeline.report.page import write_report
from pipeline.status import suggest_page_command

RUN_ID = re.compile(r"\d{8}-\d{6}-.+")

Stage = tuple[str, Callable[[Dataset], CommandResult]]
Check = Callable[[], object]


class RecipePreview(CommandResult):
    """The stages that a recipe would run."""

    stages: list[str]


class RecipeResult(CommandResult):
    """Results of the stages of a recipe by name, its report, and the command for its page."""

    stages: dict[str, CommandResult]
    report: str = ""
    serve: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the results of the stages by name, then the others."""
        return {
            **{name: stage.to_json() for name, stage in self.stages.items()},
            **self._get_outputs(),
        }

    def lines(self) -> list[str]:
        """Return the lines of each stage below its name."""
        lines = []
        for name, stage in self.stages.items():
            lines += [f"{name}:", *format_result(stage.brief(), "  ")]
        return lines + format_result(self._get_outputs())

    def _get_outputs(self) -> dict[str, str]:
        outputs = {"report": self.report, "serve": self.serve}
        return {name: text for name, text in outputs.items() if text}


@dataclass(frozen=True)
class Stages:
    """The stages of a recipe, from its sources to training.

    Paths of its sources are relative to `recipe_folder`. `options` (`-o source.key=value`) win over
    those of the recipe. `say` prints notes for the user. `command` runs the recipe again.
    """

    recipe: Recipe
    recipe_folder: Path
    progress: Progress
    allow_private: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = lambda line: None
    command: str = ""

    def __iter__(self) -> Iterator[Stage]:
        source_stages = [
            (self._name_source(source), partial(self._run_source, source))
            for source in self.recipe.sources
        ]
        yield from _number_equal_names(source_stages)
        yield from self._iter_later_stages()

    def _name_source(self, source: Source) -> str:
        """Return the name of a source's stage, as it is printed."""
        if isinstance(source, FolderRequest):
            return f"folder {_shorten(source.path)}"
        if isinstance(source, UrlsRequest):
            return f"urls {_shorten(source.file)}"
        if isinstance(source, KeywordRequest):
            words = _shorten(
                [search.keyword for search in source.at(self.recipe_folder).searches()]
            )
            return f"{', '.join(source.source)} {words}"
        kind = "frames" if isinstance(source, FramesRequest) else "episodes"
        return f"{kind} {_shorten(source.videos)}"

    def _run_source(self, source: Source, dataset: Dataset) -> CommandResult:
        request = self.request(source)
        if not isinstance(request, KeywordRequest):
            return request.run(dataset, self.progress)

        searches = CompletedSearches(dataset.cache)
        earlier_result = searches.find(request)
        if earlier_result is not None:
            self.say("completed before the run was interrupted: not asked again")
            return earlier_result

        try:
            result = request.run(dataset, self.progress)
        # Not an end of the run: the other stages still run, so there is nothing to suggest.
        except Incomplete:
            raise
        except GleansetError as error:
            if dataset.images.count():
                self._suggest_skipping_sources(error)
            raise
        searches.add(request, result)
        return result

    def _suggest_skipping_sources(self, error: GleansetError) -> None:
        if self.command:
            error.fix += f"; to use the images so far: {self.command} --from faces"

    def request(self, source: Source) -> Source:
        """Return the request of a table. Raises `InputUnusable` for an invalid path."""
        request = source.at(self.recipe_folder)
        if isinstance(request, FolderRequest | FramesRequest | EpisodesRequest):
            return request
        request = msgspec.structs.replace(request, allow_private=self.allow_private)
        if isinstance(request, KeywordRequest):
            request = request.with_options(self.options)
        return request

    def _iter_later_stages(self) -> Iterator[Stage]:
        yield "faces", self._search_faces
        recipe = self.recipe
        if recipe.dedup:
            yield (
                "dedup",
                lambda dataset: DuplicateFinder(
                    dataset, progress=self.progress
                ).search_and_mark(),
            )

        if recipe.accept_hints:
            yield "accept hints", lambda dataset: accept_hints(dataset).result()

        if recipe.split:
            yield (
                "split",
                partial(split_dataset, settings=recipe.split, progress=self.progress),
            )

        if recipe.export:
            yield "export", partial(self._export, recipe.export)

        if recipe.train:
            yield "train", partial(self._train, recipe.train)

    def check(self, root: Path, start: str | None = None) -> list[Stage]:
        """Check the recipe and return its stages, or those from `start` on.

        With `start`, sources are not checked, as their folders and sites may be gone. Raises all
        errors together.
        """
        errors = find_errors(self._iter_later_checks(root))
        if start is None:
            source_errors = find_errors(self._iter_source_checks(root))
            if source_errors and not errors and _has_images(root):
                # A folder or site may be gone since its images were collected.
                self._suggest_skipping_sources(source_errors[-1])
            raise_errors(errors + source_errors)
            return list(self)

        raise_errors(errors)
        stages = list(self._iter_later_stages())
        names = [name for name, _ in stages]
        if start not in names:
            raise UsageError(
                f"unknown stage: {start!r}", f"use one of: {', '.join(names)}"
            )

        return stages[names.index(start) :]

    def _iter_source_checks(self, root: Path) -> Iterator[Check]:
        # The source is `bing` in `-o bing.size=large`.
        for option in self.options:
            yield partial(load_source, option.partition(".")[0])

        for source in self.recipe.sources:
            yield partial(self._check_source, source, root)

    def _check_source(self, source: Source, root: Path) -> None:
        request = self.request(source)
        request.check(root)
        if isinstance(request, KeywordRequest):
            request.check_ready()
        if isinstance(request, FramesRequest | EpisodesRequest):
            find_ffmpeg()

    def _iter_later_checks(self, root: Path) -> Iterator[Check]:
        recipe = self.recipe
        if recipe.split:
            yield partial(SplitSpec.from_settings, recipe.split)
        yield partial(_check_split, recipe, root)

        if recipe.export:
            # Both raise an error if the table is wrong; what they return is not used here.
            yield partial(recipe.export.folder_in, root)
            yield recipe.export.options

        if train := recipe.train:
            yield train.check
            yield lambda: require_packages(load_preset(train.preset, train.texts()))

        # The run of the page is an id, or a preset whose latest run it is.
        run = recipe.web.run if recipe.web else None
        if run and not RUN_ID.fullmatch(run):
            yield partial(check_preset, run)
        # Built, because only the detector can check its settings.
        yield lambda: FaceSearch().spec(recipe.crop or read_settings(root).crop).build()

    def _search_faces(self, dataset: Dataset) -> CommandResult:
        # Frames of episodes were searched while they were sampled.
        return FaceSearch(new=bool(self.recipe.episodes)).run(
            dataset, self.progress, self.recipe.crop
        )

    def _export(self, part: ExportPart, dataset: Dataset) -> CommandResult:
        return export(
            dataset,
            part.folder_in(dataset.root),
            part.options(),
            progress=self.progress,
        )

    def _train(self, part: TrainRequest, dataset: Dataset) -> CommandResult:
        from baseline.train.train_run import train_run

        return train_run(
            dataset,
            load_preset(part.preset, part.texts(), dataset.pin_of),
            progress=self.progress,
            say=self.say,
        )


def _has_images(root: Path) -> bool:
    if not (root / CATALOGUE).is_file():
        return False
    with Dataset.open(root) as dataset:
        return dataset.images.count() > 0


def find_errors(checks: Iterable[Check]) -> list[GleansetError]:
    """Run all checks; return their distinct errors."""
    errors: list[GleansetError] = []
    for check in checks:
        try:
            check()
        except GleansetError as error:
            # Several tables may have the same fault, such as a missing component.
            if str(error) not in map(str, errors):
                errors.append(error)
    return errors


def raise_errors(errors: list[GleansetError]) -> None:
    """Raise a single error as it is, several as one `RecipeError`."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        # An error may have no fix.
        lines = [f"  {error.what}; {error.fix}".rstrip("; ") for error in errors]
        raise RecipeError(
            "\n".join(("errors in the recipe:", *lines)),
            "fix them all",
        )


def _check_split(recipe: Recipe, root: Path) -> None:
    """Raise `UsageError` for tables that need a split, if neither recipe nor dataset has one."""
    parts = {"[export]": recipe.export, "[train]": recipe.train}
    dependent_tables = [name for name, part in parts.items() if part]
    if recipe.split or not dependent_tables:
        return

    if (root / CATALOGUE).is_file():
        with Dataset.open(root) as dataset:
            if next(dataset.samples.iter_in_splits(), None) is not None:
                return

    raise UsageError(
        f"no [split] in the recipe, needed for {', '.join(dependent_tables)}",
        'add [split] to the recipe, for instance with ratio = "8:1:1"',
    )


def _number_equal_names(stages: Iterable[Stage]) -> Iterator[Stage]:
    counts = Counter[str]()
    for name, stage in stages:
        counts[name] += 1
        if counts[name] > 1:
            name = f"{name} ({counts[name]})"
        yield name, stage


def run_recipe(stages: Stages, root: Path, start: str | None = None) -> RecipeResult:
    """Run all stages on the dataset at `root`, creating it if necessary; return all results.

    `start` skips the stages before it and needs an existing dataset. After an incomplete search
    the other stages still run, then `Incomplete` is raised with the results. Otherwise the report
    is written.
    """
    stages_to_run = stages.check(root, start)
    recipe = stages.recipe
    settings = Settings(
        name=recipe.title,
        crop=recipe.crop or CropSettings(),
        split=recipe.split or SplitSettings(),
    )

    with Dataset.open(root) if start else Dataset.create(root, settings) as dataset:
        if recipe.web and not add_web(root, recipe.web):
            stages.say(
                "[web] of the recipe is ignored: dataset.toml already has [web] (docs/recipes.md)"
            )
        if recipe.crop not in (None, dataset.settings.crop):
            stages.say(
                "[crop] of the recipe is used, but later commands use that of dataset.toml"
            )
        result = _run_stages(stages_to_run, dataset, stages.say)
        CompletedSearches(dataset.cache).clear()
        result.report = str(write_report(dataset, title=recipe.title))
        result.serve = suggest_page_command(dataset)

    return result


def _run_stages(
    stages: list[Stage], dataset: Dataset, say: Callable[[str], None]
) -> RecipeResult:
    """Run stages; an error has the results of those before it."""
    result = RecipeResult(stages={})
    incomplete: Incomplete | None = None

    for number, (name, stage) in enumerate(stages, start=1):
        say(f"[{number}/{len(stages)}] {name}")

        try:
            result.stages[name] = stage(dataset)
        except GleansetError as error:
            # The error has the result of a stage that was done in part.
            if error.result is not None:
                result.stages[name] = error.result
            if not isinstance(error, Incomplete):
                error.result = result if result.stages else None
                raise
            incomplete = incomplete or error

    if incomplete is not None:
        raise Incomplete(incomplete.what, incomplete.fix, result)
    return result


def _shorten(names: str | Sequence[str]) -> str:
    return names if isinstance(names, str) else ", ".join(shorten_list(names))


SEARCHES_FILE = "recipe-searches.json"
"""Completed searches of an interrupted run, in the dataset's cache.

They are stored until a run reaches its end, so that a run after that asks the sites again.
"""


class StoredResult(CommandResult):
    """Result of a completed search: its JSON values, and what it prints."""

    values: dict[str, Any]
    printed: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the values."""
        return self.values

    def brief(self) -> dict[str, Any]:
        """Return what is printed."""
        return self.printed


class CompletedSearches:
    """Results of the searches that the interrupted run has completed, by their request."""

    def __init__(self, cache: Path):
        self._file = cache / SEARCHES_FILE
        self._results: dict[str, StoredResult] = {}
        # Without the file, or if it is damaged, the sites are asked again.
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            self._results = msgspec.json.decode(
                self._file.read_bytes(), type=dict[str, StoredResult]
            )

    def find(self, request: KeywordRequest) -> StoredResult | None:
        """Return the result of a request, if it was completed."""
        return self._results.get(_hash_request(request))

    def add(self, request: KeywordRequest, result: CommandResult) -> None:
        """Store the result of a completed request."""
        self._results[_hash_request(request)] = StoredResult(
            values=result.to_json(),
            printed=dict(result.brief()),
        )
        write_atomic(self._file, msgspec.json.encode(self._results))

    def clear(self) -> None:
        """Forget all results, at the end of a run."""
        self._file.unlink(missing_ok=True)


def _hash_request(request: KeywordRequest) -> str:
    return hashlib.sha256(msgspec.json.encode(request)).hexdigest()
