"""Carrying out a recipe, stage by stage. Every stage finds for itself what is done already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from baseline.cli import need_torch
from baseline.presets import load_preset
from facecrop.detectors import DetectorSpec
from facecrop.job import find_faces
from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.images.cut import CutSettings
from gleanset.settings import Settings, SplitSettings
from gleanset.work.progress import Progress
from harvest.folder import harvest_folders
from harvest.frames import harvest_frames
from harvest.http import Client, Limits
from harvest.keyword import harvest_keywords, queries
from harvest.sources import Query, source_named
from harvest.urls import harvest_urls
from harvest.video.inputs import find_inputs, is_address
from harvest.video.remote import Address, all_inputs
from labeler.balance import apply_balance, plan_balance
from labeler.duplicates.session import DuplicateSession
from labeler.export import export
from labeler.hints import apply_hints, plan_hints
from labeler.split import apply_split, plan_split
from labeler.splits.wish import Wish
from pipeline.recipe import (
    BalancePart,
    ExportPart,
    FolderSource,
    FramesSource,
    KeywordSource,
    Recipe,
    TrainPart,
    UrlsSource,
)

Result = dict[str, object]
Stage = tuple[str, Callable[[Dataset], Result]]


@dataclass(frozen=True)
class Stages:
    """The stages of a recipe. `here` is where its paths start.

    `options` are those of `-o source.key=value`; they win over the recipe's own.
    """

    recipe: Recipe
    here: Path
    progress: Progress
    allow_private: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Stage]:
        yield from self._gathering()
        yield "faces", self._faces
        recipe = self.recipe
        if recipe.dedup:
            yield "dedup", self._dedup
        if recipe.accept_hints:
            yield "accept hints", accept_hints
        if recipe.split:
            yield "split", partial(split, recipe.split)
        if recipe.balance:
            yield "balance", partial(balance, recipe.balance)
        if recipe.export:
            yield "export", partial(self._export, recipe.export)
        if recipe.train:
            yield "train", partial(self._train, recipe.train)

    def _gathering(self) -> Iterator[Stage]:
        recipe = self.recipe
        for folder in recipe.folder:
            yield f"folder {folder.path}", partial(self._folder, folder)
        for urls in recipe.urls:
            yield f"urls {urls.file}", partial(self._urls, urls)
        for keyword in recipe.keyword:
            yield f"{keyword.source} {', '.join(keyword.keywords)}", partial(self._search, keyword)
        for frames in recipe.frames:
            yield f"frames {', '.join(frames.videos)}", partial(self._frames, frames)

    def check(self) -> None:
        """Find what is wrong with names and values before anything is begun."""
        for option in self.options:
            source_named(option.partition(".")[0])
        for path in self._paths():
            if not path.exists():
                raise InputUnusable(f"there is no {path}, which the recipe names", "mend its path")
        for keyword in self.recipe.keyword:
            self._queries(keyword)
        for frames in self.recipe.frames:
            frames.sampling()
            find_inputs(self._videos(frames), self.here / "none", lambda url: Address(url, Client))
        self._check_what_follows()

    def _check_what_follows(self) -> None:
        if self.recipe.split:
            Wish.of(self.recipe.split)
        if self.recipe.export:
            self.recipe.export.options()
        if self.recipe.train:
            need_torch()
            load_preset(self.recipe.train.preset, self.recipe.train.texts())
        # Built, because only the detector itself knows which thresholds make sense.
        self._detector().build()

    def _paths(self) -> Iterator[Path]:
        recipe = self.recipe
        yield from (self.here / folder.path for folder in recipe.folder)
        yield from (self.here / urls.file for urls in recipe.urls)

    def _videos(self, part: FramesSource) -> list[str | Path]:
        return [one if is_address(one) else self.here / one for one in part.videos]

    def _folder(self, part: FolderSource, dataset: Dataset) -> Result:
        return harvest_folders(
            dataset, [self.here / part.path], hints=part.hints_from_folders, label=part.label,
            progress=self.progress,
        )  # fmt: skip

    def _urls(self, part: UrlsSource, dataset: Dataset) -> Result:
        return harvest_urls(
            dataset, [self.here / part.file], self._client(dataset, part), label=part.label,
            limit=part.limit, progress=self.progress,
        )  # fmt: skip

    def _search(self, part: KeywordSource, dataset: Dataset) -> Result:
        return harvest_keywords(
            dataset, source_named(part.source), self._queries(part), self._client(dataset, part),
            limit=part.limit, progress=self.progress,
        )  # fmt: skip

    def _frames(self, part: FramesSource, dataset: Dataset) -> Result:
        sampling = part.sampling()
        client = self._client(dataset, part)
        inputs = all_inputs(self._videos(part), dataset, dataset.root, sampling.settings, client)
        return harvest_frames(dataset, inputs, sampling, label=part.label, progress=self.progress)

    def _faces(self, dataset: Dataset) -> Result:
        cutting = CutSettings.of(self.recipe.crop)
        return find_faces(dataset, self._detector(), cutting, progress=self.progress)

    def _dedup(self, dataset: Dataset) -> Result:
        session = DuplicateSession(dataset, progress=self.progress)
        session.look()
        plan = session.plan()
        session.apply(plan)
        return plan.result()

    def _export(self, part: ExportPart, dataset: Dataset) -> Result:
        target = dataset.root / part.to
        return export(dataset, target, part.options(), progress=self.progress)

    def _train(self, part: TrainPart, dataset: Dataset) -> Result:
        from baseline.session import train_run

        settings = load_preset(part.preset, part.texts())
        return train_run(dataset, settings, progress=self.progress)

    def _detector(self) -> DetectorSpec:
        crop = self.recipe.crop
        least = {} if crop.threshold is None else {"threshold": crop.threshold}
        return DetectorSpec.of(crop.detector, **least)

    def _queries(self, part: KeywordSource) -> list[Query]:
        start = f"{part.source}."
        mine = {k.removeprefix(start): v for k, v in self.options.items() if k.startswith(start)}
        site = source_named(part.source)
        return queries(part.keywords, part.label, part.options | mine, site)

    def _client(
        self, dataset: Dataset, part: KeywordSource | UrlsSource | FramesSource
    ) -> Callable[[], Client]:
        net = dataset.settings.net
        return lambda: Client(
            Limits.of(net), allow_private=self.allow_private, contact=net.contact,
            ignore_robots=frozenset(getattr(part, "ignore_robots", ())),
        )  # fmt: skip


def accept_hints(dataset: Dataset) -> Result:
    """The stage that labels what nobody could object to."""
    plan = plan_hints(dataset)
    apply_hints(dataset, plan)
    return plan.result()


def split(part: SplitSettings, dataset: Dataset) -> Result:
    """The stage that assigns train, val and test."""
    plan = plan_split(dataset, part)
    apply_split(dataset, plan)
    return plan.result()


def balance(part: BalancePart, dataset: Dataset) -> Result:
    """The stage that lets the classes of train count alike."""
    plan = plan_balance(dataset, part.method, part.target, part.seed)
    apply_balance(dataset, plan)
    return plan.result()


def run_recipe(
    stages: Stages, root: Path, say: Callable[[str], None], *, simulate: bool = False
) -> Result:
    """Carry out all stages on the dataset at `root`, which is made when it is not there.

    The result maps each stage to its own. With `simulate` the stages are only checked and
    named.
    """
    stages.check()
    todo = list(stages)
    if simulate:
        return {"stages": [name for name, _ in todo]}
    recipe = stages.recipe
    settings = Settings(name=recipe.title, crop=recipe.crop, split=recipe.split or SplitSettings())
    found: Result = {}
    with Dataset.create(root, settings) as dataset:
        for number, (name, stage) in enumerate(todo, start=1):
            say(f"[{number}/{len(todo)}] {name}")
            found[name] = stage(dataset)
    return found
