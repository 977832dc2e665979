"""Presorts a dataset again and again: what does not change from one time to the next is kept."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack

import numpy as np

from baseline.features.features import FeatureSpec
from baseline.features.texture import PartWeights, expected_weights
from baseline.presort.following import STAGE, PresortRequests, is_followed
from baseline.presort.likeness import ComponentStore, FeatureRows, weighed
from baseline.presort.propose import LikenessOrder, PresortResult, label_next, propose
from baseline.settings import Settings, Transfer
from baseline.train.methods.part_weights import weights_by_setting
from curation.likeness.recommend import Indices, teaching
from curation.likeness.space import FACT, forget_spaces, sample_name, write_space
from curation.moments import moments_of
from gleanset import Dataset
from gleanset.db.journal import unseen_labels
from gleanset.db.proposals import PresortedSample, PresortSample, PresortSamples, Proposals
from gleanset.db.watch import CatalogueWatch, SampleMarks
from gleanset.errors import DatasetBusy, InputUnusable, UsageError
from gleanset.records import Region, Sample
from gleanset.work.progress import Progress


class Presorter:
    """Holds the vectors of a dataset; `solve` learns from what is decided by now.

    `settings` are those of a transfer preset: its backbone, weights, size and seed are used. Made
    and used by whoever holds the stage. Raises `UsageError` for other settings.
    """

    def __init__(self, dataset: Dataset, settings: Settings) -> None:
        if not isinstance(settings, Transfer):
            raise UsageError(
                f"a presort learns on cached features, as transfer does, not as {settings.preset}",
                "leave --preset away, or choose a backbone: -o backbone=resnet50 -o weights=hub",
            )
        self.dataset, self.settings = dataset, settings
        self.store = ComponentStore(dataset, FeatureSpec.of(settings, views=0))
        self._space = _VectorsInForce(dataset)
        self._samples = SamplesInUse(dataset)
        self._weights: PartWeights | None = None
        self._weighed_at = 0
        self._order: LikenessOrder | None = None
        self._presorted: dict[str, PresortedSample] = {}
        self.presort = 0
        """The number of the presort that it has put in force last; 0 for none."""
        self.solved_with = 0
        """How many samples were taken in when it solved last."""
        self.lacking = False
        """Whether it met samples then that were not taken in as they are cut now."""

    @property
    def taken(self) -> int:
        """How many samples were taken in."""
        return self.store.taken

    def new_samples(self) -> list[Sample]:
        """Return the samples in use that were not taken in as they are cut now."""
        used = {one.key for one in PresortSamples(self.dataset.db).each()}
        found = [one for one in self.dataset.samples.by_key() if one.key in used]
        rows = self.store.rows_of((one.key, Region(one.box, one.angle)) for one in found)
        return [one for one, row in zip(found, rows, strict=True) if row < -1]

    def take_in(self, samples: Sequence[Sample], progress: Progress) -> None:
        """Make the vectors of samples, or read them from the cache. Raises what features raise."""
        self.store.take_in(samples, progress)
        if self.store.outgrown:
            self.store.forget()
            self.store.take_in(self.store.cached(self.new_samples()), Progress())

    def solve(self, progress: Progress) -> dict[str, object]:
        """Propose anew for all samples that were taken in, and keep what changed; the figures.

        Raises `InputUnusable` where there is no sample, or none that can be read.
        """
        samples = self._samples.now()
        rows = self.store.rows_of((sample.key, sample.region) for sample in samples)
        chosen = [sample for sample, row in zip(samples, rows, strict=True) if row >= 0]
        self.solved_with, self.lacking = self.taken, bool((rows < -1).any())
        if not chosen:
            raise InputUnusable(
                "there is no sample to sort",
                f"see what comes next: gleanset status {self.dataset.option}",
            )
        moments = moments_of(self.dataset.db, teaching(chosen))
        weights = self._weigh(progress)
        if self._space.renew(self.store, weights):
            self._order = None
        vectors = self._space.of(chosen, rows[rows >= 0])
        unseen = unseen_labels(self.dataset.db)
        made = propose(chosen, vectors, moments, self._order, unseen)
        facts = made.facts | {
            "unreadable": int((rows == -1).sum()),
            "backbone": self.settings.backbone,
            FACT: self._space.name,
            **weights.to_json(self.store.parts),
        }
        known = (
            sorted({sample.label for sample in chosen if sample.label})
            if "classes" in facts
            else []
        )
        number = self._keep(made, facts | {"known": known})
        waiting = {one.key for one in chosen if one.status == "queue"}
        return {"presort": number, **facts, "label_next": label_next(made.presorted, waiting)}

    def _weigh(self, progress: Progress) -> PartWeights:
        """Return what each part of the features counts: as the settings say, or as texture lets
        expect. It is found out anew when the vectors are others.
        """
        parts, generation = self.store.parts, self.store.generation
        if self._weights is None or self._weighed_at != generation:
            pictures = list(self.dataset.samples.by_key())
            self._weights = weights_by_setting(self.settings.part_weights, parts)
            if self._weights is None:
                self._weights = expected_weights(parts, self.dataset, pictures, progress)
            self._weighed_at = generation
        return self._weights

    def _keep(self, made: PresortResult, facts: Mapping[str, object]) -> int:
        """Write what is said otherwise than before: all of it, where others have written since."""
        proposals = Proposals(self.dataset.db)
        newest, before = proposals.newest(), self._presorted
        if newest is not None and newest.id == self.presort:
            gone = before.keys() - {sample.sample for sample in made.presorted}
            changed = [each for each in made.presorted if before.get(each.sample) != each]
            number = proposals.revise(changed, sorted(gone), facts)
        else:
            number = proposals.replace(made.presorted, facts)
        forget_spaces(self.dataset, but=self._space.name)
        self._presorted = {sample.sample: sample for sample in made.presorted}
        self._order, self.presort = made.order, number
        return number


class SamplesInUse:
    """The samples as a presort knows them; what was not touched since is not read again."""

    def __init__(self, dataset: Dataset) -> None:
        self._all, self._watch = PresortSamples(dataset.db), CatalogueWatch(dataset.db)
        self._read: SampleMarks | None = None
        self._samples: dict[str, PresortSample] = {}

    def now(self) -> list[PresortSample]:
        """Return all of them, by key."""
        marks = self._watch.marks()
        touched = None if self._read is None else self._watch.touched(self._read)
        found = None if touched is None else self._all.of(touched)
        if found is None or None in found.values() or not self._known(found.values()):
            # One that came or went: the order is another one.
            self._samples = {one.key: one for one in self._all.each()}
        else:
            self._samples |= {one.key: one for one in found.values() if one is not None}
        self._read = marks
        return list(self._samples.values())

    def _known(self, samples: Iterable[PresortSample | None]) -> bool:
        return all(one is not None and one.key in self._samples for one in samples)


class _VectorsInForce:
    """The weighed vectors of all rows of a store, and which of them every room can read."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._made_of: tuple[int, tuple[float, ...]] | None = None
        self._vectors: FeatureRows = np.zeros((0, 0), np.float32)
        self._written: set[int] = set()
        self.name = ""

    def renew(self, store: ComponentStore, weights: PartWeights) -> bool:
        """Weigh what was taken in since; return whether all vectors are others than before."""
        made_of = store.generation, tuple(weights.weights)
        anew = made_of != self._made_of
        if anew:
            self._made_of, self._written, self.name = made_of, set(), ""
            self._vectors = weighed(store.components, store.parts, weights.weights)
        else:
            added = store.components[len(self._vectors) :]
            more = weighed(added, store.parts, weights.weights)
            self._vectors = np.concatenate([self._vectors, more]) if len(more) else self._vectors
        return anew

    def of(self, samples: Sequence[PresortSample], rows: Indices) -> FeatureRows:
        """Return the vectors of samples in these rows, which every room can read from here on."""
        new = [n for n, row in enumerate(rows.tolist()) if row not in self._written]
        names = [sample_name(samples[n].key, samples[n].region) for n in new]
        if new or not self.name:
            added = self._vectors[rows[new]]
            self.name = write_space(self._dataset, names, added, self.name or None)
            self._written.update(rows[new].tolist())
        if len(rows) == len(self._vectors) and (np.diff(rows) == 1).all():
            return self._vectors
        return self._vectors[rows]


def presort(
    dataset: Dataset, settings: Settings, progress: Progress | None = None
) -> dict[str, object]:
    """Propose classes for all samples of a dataset and keep them; return the figures.

    `settings` are those of a transfer preset: its backbone, weights, size and seed are used. Where
    a window learns on the dataset, what learns for it does the work.
    Raises `InputUnusable` where there is no sample, and what features raise.
    """
    progress = progress or Progress()
    presorter = Presorter(dataset, settings)
    dataset.db.refuse_if_read_only()
    while True:
        if is_followed(dataset.cache):
            progress.say("this dataset is learnt on already: that is asked")
            if (figures := PresortRequests(dataset.cache).ask(settings)) is not None:
                return figures
        with ExitStack() as held:
            try:
                held.enter_context(dataset.stage(STAGE))
            except DatasetBusy:
                if not is_followed(dataset.cache):
                    raise
            else:
                return _presorted(presorter, progress)


def _presorted(presorter: Presorter, progress: Progress) -> dict[str, object]:
    started = time.monotonic()
    if new := presorter.new_samples():
        presorter.take_in(new, progress)
    seen = time.monotonic()
    figures = presorter.solve(progress)
    times = {"features": round(seen - started, 2), "sorting": round(time.monotonic() - seen, 2)}
    return {**figures, "seconds": times}
