"""Carrying out a recipe, stage by stage. Every stage finds for itself what is done already."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from baseline.extras import require_transfer
from baseline.request import TrainRequest
from baseline.settings import check_preset, load_preset
from baseline.train.methods.registry import require_packages
from facecrop.request import FaceSearch
from gleanset import Dataset
from gleanset.db.connection import CATALOGUE
from gleanset.errors import GleansetError, Incomplete, RecipeError, UsageError
from gleanset.settings import Settings, SplitSettings, WorkSettings, add_web
from gleanset.work.progress import Progress
from harvest.frames_request import FramesRequest, check_programs
from harvest.request import FolderRequest, KeywordRequest, UrlsRequest
from harvest.sources import load_source
from labeler.acceptance import apply_hints, plan_hints
from labeler.balance import BalanceSettings, apply_balance, plan_balance
from labeler.duplicates.finder import DuplicateFinder
from labeler.export.job import export
from labeler.splits.plan import apply_split, plan_split
from labeler.splits.split_spec import SplitSpec
from pipeline.episodes.request import EpisodesRequest
from pipeline.recipe import ExportPart, Recipe

RUN_ID = re.compile(r"\d{8}-\d{6}-.+")


@dataclass(frozen=True)
class Stages:
    """The stages of a recipe: its `sources`, and what is done with what they brought.

    `say` gets what a person should know at once.
    """

    sources: Gathering
    say: Callable[[str], None] = lambda line: None

    @property
    def recipe(self) -> Recipe:
        """The recipe that is carried out."""
        return self.sources.recipe

    @property
    def progress(self) -> Progress:
        """Told by every stage how far it is."""
        return self.sources.progress

    def __iter__(self) -> Iterator[Stage]:
        yield from _told_apart(self.sources)
        yield from self._following()

    def _following(self) -> Iterator[Stage]:
        yield "faces", self._faces
        recipe = self.recipe
        if recipe.dedup:
            yield "dedup", self._dedup
        if recipe.accept_hints:
            yield "accept hints", accept_hints
        if recipe.split:
            yield "split", partial(split, recipe.split, progress=self.progress)
        if recipe.balance:
            yield "balance", partial(balance, recipe.balance)
        if recipe.export:
            yield "export", partial(self._export, recipe.export)
        if recipe.train:
            yield "train", partial(self._train, recipe.train)

    def checked(self, root: Path, start: str | None = None) -> list[Stage]:
        """Return all stages, or those from `start` on, when they can be carried out at `root`.

        Sources that are not asked are not looked at: their folders and sites may be gone. Raises
        what is wrong with names and values, all of it at once.
        """
        sources = [] if start else self.sources.checks(root)
        raise_found([*self._checks_of_what_follows(root), *sources])
        if start is None:
            return list(self)
        following = list(self._following())
        names = [name for name, _ in following]
        if start not in names:
            raise UsageError(
                f"after its sources the recipe has no stage {start!r}",
                f"there are: {', '.join(names)}",
            )
        return following[names.index(start) :]

    def _checks_of_what_follows(self, root: Path) -> Iterator[Check]:
        recipe = self.recipe
        if recipe.split:
            yield partial(SplitSpec.from_settings, recipe.split)
        yield partial(_check_split, recipe, root)
        if recipe.export:
            yield partial(recipe.export.target, root)
            yield recipe.export.options
        if recipe.train:
            yield require_transfer
            yield recipe.train.check
            yield partial(_check_packages, recipe.train)
        if recipe.web and recipe.web.run and not RUN_ID.fullmatch(recipe.web.run):
            yield partial(check_preset, recipe.web.run)
        # Built, because only the detector itself knows which thresholds make sense.
        yield lambda: FaceSearch().spec(recipe.crop).build()

    def _faces(self, dataset: Dataset) -> Result:
        # Frames of episodes have been searched.
        search = FaceSearch(new=bool(self.recipe.episodes))
        return search.run(dataset, self.progress, self.recipe.crop)

    def _dedup(self, dataset: Dataset) -> Result:
        finder = DuplicateFinder(dataset, progress=self.progress)
        finder.search()
        plan = finder.plan()
        finder.apply(plan)
        return plan.result()

    def _export(self, part: ExportPart, dataset: Dataset) -> Result:
        target, exports = part.target(dataset.root), dataset.root / "exports"
        if target.is_relative_to(exports):
            target = dataset.root / dataset.settings.store.exports / target.relative_to(exports)
        return export(dataset, target, part.options(), progress=self.progress)

    def _train(self, part: TrainRequest, dataset: Dataset) -> Result:
        from baseline.train.train_run import train_preset

        return train_preset(
            dataset, part.preset, part.texts(), progress=self.progress, say=self.say
        )


def raise_found(checks: Iterable[Check]) -> None:
    """Make all checks, then raise what they found: one error as it is, several as one."""
    errors: list[GleansetError] = []
    for check in checks:
        try:
            check()
        except GleansetError as error:
            if str(error) not in map(str, errors):
                errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        told = [f"  {error.what}; {error.fix}".rstrip("; ") for error in errors]
        raise RecipeError("\n".join(("the recipe cannot be carried out:", *told)), "fix them all")


def _check_split(recipe: Recipe, root: Path) -> None:
    parts = {"balance": recipe.balance, "export": recipe.export, "train": recipe.train}
    needing = [f"[{name}]" for name, part in parts.items() if part]
    if recipe.split or not needing or _has_split(root):
        return
    raise UsageError(
        f"{', '.join(needing)} of the recipe: there is no [split], and the dataset has none yet",
        'write [split] into the recipe, for instance with ratio = "8:1:1"',
    )


def _check_packages(part: TrainRequest) -> None:
    require_packages(load_preset(part.preset, part.texts()))


def _has_split(root: Path) -> bool:
    if not (root / CATALOGUE).is_file():
        return False
    with Dataset.open(root) as dataset:
        return next(dataset.samples.iter_in_splits(), None) is not None


def _told_apart(stages: Iterable[Stage]) -> Iterator[Stage]:
    seen: Counter[str] = Counter()
    for name, stage in stages:
        seen[name] += 1
        yield (name if seen[name] == 1 else f"{name} ({seen[name]})"), stage


def accept_hints(dataset: Dataset) -> Result:
    """Return the stage that labels what nobody could object to."""
    plan = plan_hints(dataset)
    apply_hints(dataset, plan)
    return plan.result()


def split(part: SplitSettings, dataset: Dataset, *, progress: Progress | None = None) -> Result:
    """Return the stage that assigns train, val and test, and keeps copies on one side."""
    copies = DuplicateFinder(dataset, progress=progress).search_labelled()
    plan = plan_split(dataset, part)
    apply_split(dataset, plan)
    return plan.result() | copies


def balance(part: BalanceSettings, dataset: Dataset) -> Result:
    """Return the stage that lets the classes of train count alike."""
    plan = plan_balance(dataset, part)
    apply_balance(dataset, plan)
    return plan.result()


def run_recipe(
    stages: Stages,
    root: Path,
    say: Callable[[str], None],
    *,
    start: str | None = None,
    simulate: bool = False,
    on: str | None = None,
) -> Result:
    """Carry out all stages on the dataset at `root`, which is made when it is not there.

    The result maps each stage to its own. With `start` what comes before that stage is left out,
    and there must be a dataset. After an incomplete search the other stages are carried out all
    the same; then `Incomplete` is raised with the results. With `simulate` the stages are only
    checked and named. Heavy work runs `on` that place, whatever recipe and dataset say.
    """
    todo = stages.checked(root, start)
    if simulate:
        return {"stages": [name for name, _ in todo]}
    recipe = stages.recipe
    settings = Settings(
        name=recipe.title,
        crop=recipe.crop,
        split=recipe.split or SplitSettings(),
        work=recipe.work or WorkSettings(),
    )
    results: Result = {}
    incomplete: list[Incomplete] = []
    with Dataset.open(root) if start else Dataset.create(root, settings) as dataset:
        if place := on or (recipe.work and recipe.work.on):
            dataset.work_on(place)
        if recipe.web and not add_web(root, recipe.web):
            say("[web]: dataset.toml has one of its own, which stays (docs/recipes.md)")
        for number, (name, stage) in enumerate(todo, start=1):
            say(f"[{number}/{len(todo)}] {name}")
            try:
                results[name] = stage(dataset)
            except Incomplete as error:
                incomplete.append(error)
                results[name] = error.result
    if incomplete:
        raise Incomplete(incomplete[0].what, incomplete[0].fix, results)
    return results


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
            yield partial(load_source, option.partition(".")[0])
        recipe = self.recipe
        parts: list[Source] = [*recipe.folder, *recipe.urls, *recipe.keyword, *recipe.frames]
        for part in (*parts, *recipe.episodes):
            yield partial(self._check, part, root)

    def _check(self, part: Source, root: Path) -> None:
        request = self.request(part)
        request.check(root)
        if isinstance(request, KeywordRequest):
            request.check_ready()
        if isinstance(request, FramesRequest | EpisodesRequest):
            check_programs(request.videos)

    def _stage(self, part: Source) -> Callable[[Dataset], Result]:
        return lambda dataset: self.request(part).run(dataset, self.progress)

    def request(self, part: Source) -> Source:
        """Return what a table asks for from here. Raises `InputUnusable` for a wrong path."""
        placed = part.at(self.here)
        if isinstance(placed, FolderRequest):
            return placed
        allowed = msgspec.structs.replace(placed, allow_private=self.allow_private)
        return (
            allowed.with_options(self.options) if isinstance(allowed, KeywordRequest) else allowed
        )


def _short(names: str | tuple[str, ...] | list[str]) -> str:
    names = [names] if isinstance(names, str) else list(names)
    if len(names) <= _NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
