"""Suggested classes by principal components of the features, block by block.

The weights of the feature blocks are those expected from the texture (`features/texture.py`).
"""

import math
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
import numpy as np

from baseline.evaluation.metrics import describe_coverage
from baseline.features.backbone import Backbone, FeaturePart
from baseline.features.features import FeatureSpec, compute_features
from baseline.features.scaling import Scaling
from baseline.features.texture import get_prior_weights, parse_part_weights
from baseline.prelabel import MIN_ACCEPT_CONFIDENCE
from baseline.prelabel.propose import choose_label_next, propose
from baseline.settings import Settings, Transfer
from curation.labelling_command import suggest_labelling_command
from curation.similarity.class_learning import list_training_keys
from curation.similarity.spaces import find_dissimilar_proposals
from curation.similarity.vectors import (
    VECTORS_FACT,
    VECTORS_FOLDER,
    VectorStore,
    make_sample_vector_name,
)
from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.arrays import (
    Float32Array,
    limit_threads,
    normalize_rows,
    split_columns,
    thin_out,
)
from gleanset.command_result import CommandResult
from gleanset.db.journal import get_unseen_labels
from gleanset.db.proposals import PrelabelSamples, Proposals, iter_proposed_samples
from gleanset.errors import InputUnusable
from gleanset.html.words import count
from gleanset.records import Region, Sample
from gleanset.work.progress import NO_PROGRESS, Progress

NETWORK_COMPONENTS = 128
"""Components of a network's features."""
MAX_FITTED_SAMPLES = 5000
"""Samples that the principal axes are fitted on."""
PAGE_SIZE = 25_000


def weight_components(
    components: Float32Array, parts: Sequence[FeaturePart], weights: Sequence[float]
) -> Float32Array:
    """Multiply components (N x D) by their block weights and scale rows to length 1."""
    factors = np.repeat(weights, [part.width for part in parts]).astype(np.float32)
    return normalize_rows(components * factors)


class PrincipalAxes(NamedTuple):
    """Principal axes (D x width) of standardized features."""

    scaling: Scaling
    axes: Float32Array

    def project(self, features: Float32Array) -> Float32Array:
        """Return the components (N x width) of features (N x D)."""
        return (self.scaling.transform(features) @ self.axes).astype(np.float32)


def fit_principal_axes(features: Float32Array, backbone: Backbone) -> PrincipalAxes:
    """Fit the principal axes of features (N x D) of a backbone, scaled to a total variance of 1."""
    scaling = Scaling.fit(features, backbone)
    standard = scaling.transform(features).astype(np.float64)

    # Features of networks are standardized, those of colors are not; half the components are
    # enough for colors.
    width = sum(
        NETWORK_COMPONENTS if part.is_standardized else NETWORK_COMPONENTS // 2
        for part in backbone.parts
    )
    # D x D, or N x N if that is smaller: both give the same directions.
    with limit_threads():
        is_wide = len(standard) < standard.shape[1]
        gram = standard @ standard.T if is_wide else standard.T @ standard
        values, vectors = np.linalg.eigh(gram)
        largest = np.argsort(-values)[:width]
        # Smaller eigenvalues are rounding errors.
        largest = largest[values[largest] > values.max() * 1e-9]
        axes = vectors[:, largest]
        if is_wide:
            axes = standard.T @ axes / np.sqrt(values[largest])

    variance = float(np.square(standard @ axes).sum()) / len(standard)
    axes /= np.sqrt(max(variance, 1e-12))
    return PrincipalAxes(scaling, axes.astype(np.float32))


class SampleComponents(NamedTuple):
    """Components (N x D) of the readable samples `keys`, in feature blocks `parts`."""

    keys: list[str]
    components: Float32Array
    parts: tuple[FeaturePart, ...]


def compute_components(
    dataset: Dataset, samples: Sequence[Sample], spec: FeatureSpec, progress: Progress
) -> SampleComponents:
    """Return the components of the readable samples.

    Raises what features raise, if none of the samples that the axes are fitted on is readable.
    """
    # Axes for each backbone, fitted on some of the samples.
    backbone = spec.load()
    axis_samples = thin_out(samples, MAX_FITTED_SAMPLES)
    features = compute_features(
        dataset,
        axis_samples,
        spec,
        progress,
        backbone,
    )
    widths = [member.width for member in backbone.members]
    blocks = split_columns(features.plain, widths)
    bases = [
        fit_principal_axes(block, member)
        for block, member in zip(blocks, backbone.members, strict=True)
    ]
    parts = tuple(
        part._replace(layers=(basis.axes.shape[1],))
        for part, basis in zip(backbone.parts, bases, strict=True)
    )

    keys: list[str] = []
    pages: list[Float32Array] = []
    # In pages, because components are much smaller than features.
    for start in range(0, len(samples), PAGE_SIZE):
        page = samples[start : start + PAGE_SIZE]
        with suppress(InputUnusable):  # nothing of this page is readable
            features = compute_features(
                dataset,
                page,
                spec,
                progress,
                backbone,
            )
            blocks = split_columns(features.plain, widths)
            projections = [
                basis.project(block) for basis, block in zip(bases, blocks, strict=True)
            ]
            pages.append(np.concatenate(projections, axis=1))
            keys += features.keys

    return SampleComponents(keys, np.concatenate(pages), parts)


KEY_LETTERS = 8
"""Letters of a sample's id that are printed."""
LOW_CONFIDENCE = 0.5


class PrelabelFacts(msgspec.Struct, kw_only=True):
    """The facts of a prelabeling that are printed; without `classes` there are clusters only."""

    samples: int
    labelled: int
    unreadable: int = 0
    classes: int | None = None
    clusters: int = 0
    held_out: int = 0
    held_out_classes: int | None = None
    accuracy: float | None = None
    given_together: int = 0
    rejected: int = 0
    of_other_classes: int = 0
    of_no_class_at_most: float | None = None


class PrelabelReport(CommandResult, kw_only=True):
    """A prelabeling with all its `facts`, and what the catalogue says of its suggestions.

    `confidences` are those of all suggestions; of those that `labeler accept predictions` may
    accept, `acceptable` has the confidences, and `dissimilar` counts the ones it leaves out.
    """

    prelabel: int
    facts: dict[str, Any]
    label_next: list[str]
    seconds: dict[str, float]
    pending: int = 0
    confidences: list[float] = []
    acceptable: list[float] = []
    dissimilar: int = 0
    next: list[str] = []

    def to_json(self) -> dict[str, Any]:
        """Return the facts, and which samples to label next."""
        names = {"prelabel": self.prelabel, **self.facts}
        return names | {"label_next": self.label_next, "seconds": self.seconds}

    def summary(self) -> dict[str, Any]:
        """Return how good the suggestions are, or how many clusters there are."""
        facts = msgspec.convert(self.facts, PrelabelFacts)
        lines: dict[str, Any] = {}
        if facts.classes is None:
            lines["suggestions"] = "none: label samples of at least two classes"
            lines["clusters"] = f"{facts.clusters:,}, to label together"
        else:
            lines |= self._describe_agreement(facts)
            lines |= self._describe_suggestions(facts, facts.classes)

        counts = f"{facts.labelled:,} labelled, {self.pending:,} unlabelled"
        if facts.unreadable:
            counts += f", {facts.unreadable:,} unreadable"
        lines["samples"] = f"{facts.samples:,} ({counts})"

        if self.label_next:
            lines["label next"] = " ".join(key[:KEY_LETTERS] for key in self.label_next)
        return lines | {"next": self.next}

    def _describe_agreement(self, facts: PrelabelFacts) -> dict[str, str]:
        if facts.classes is None or facts.accuracy is None:
            return {}

        samples = count(facts.labelled, "labelled sample")
        notes = ""
        if facts.held_out < facts.labelled:
            samples = f"{facts.held_out:,} of {samples}"
            notes = (
                "; others are copies, not reviewed, or their class is in one group only"
            )

        held_out_classes = facts.held_out_classes
        if held_out_classes is not None and held_out_classes < facts.classes:
            samples += f", {describe_coverage(held_out_classes, facts.classes)}"

        name = "out-of-fold accuracy"
        if together := facts.given_together:
            # Such labels may be wrong together, so the figure is not an accuracy.
            name = "out-of-fold agreement"
            notes += f"; {together:,} labelled by cluster, page or weak label, not one by one"

        return {name: f"{facts.accuracy:.1%} ({samples}{notes})"}

    def _describe_suggestions(
        self, facts: PrelabelFacts, classes: int
    ) -> dict[str, str]:
        if not self.pending:
            return {"suggestions": "none: no unlabelled samples"}

        errors = count(
            round(_sum_expected_errors(self.confidences)),
            "error",
        )
        text = f"{len(self.confidences):,}/{self.pending:,} samples, about {errors}"
        # Otherwise other classes are included in the errors.
        if not facts.of_other_classes:
            text += f" among {count(classes, 'known class', 'known classes')}"
            if facts.rejected:
                text += " and rejected images"
        lines = {"suggestions": text}

        if self.acceptable or self.dissimilar:
            text = f"{len(self.acceptable):,} at {MIN_ACCEPT_CONFIDENCE:.0%} or more"
            if self.acceptable:
                text += f", about {_sum_expected_errors(self.acceptable):.1f} errors"
            if self.dissimilar:
                text += f"; left out: {self.dissimilar:,} unlike the labelled images of the class"
            lines["confident"] = text

        uncertain = sum(confidence < LOW_CONFIDENCE for confidence in self.confidences)
        if uncertain:
            lines["uncertain"] = f"{uncertain:,} below {LOW_CONFIDENCE:.0%}"
        return lines | {"other classes": self._describe_other_classes(facts)}

    def _describe_other_classes(self, facts: PrelabelFacts) -> str:
        # The expected number, which the promised errors count. If it is 0 they do not count such
        # samples, and `of_no_class_at_most` bounds their share, from what a person rejected.
        if facts.of_other_classes:
            # A sample without a suggestion is not an error.
            return (
                f"about {count(facts.of_other_classes, 'sample')} of classes without labels; those "
                "with a suggestion are included in these errors"
            )

        if facts.of_no_class_at_most is None:
            return "images of other classes are additional errors; reject some"
        errors = count(
            max_wrong_count(facts.of_no_class_at_most, self.confidences), "error"
        )
        return (
            f"at most {errors} with images of other classes, if they are as frequent as among "
            "decided samples"
        )


def describe_suggestions(dataset: Dataset, report: PrelabelReport) -> None:
    """Add to a report what the catalogue says of its suggestions, and the next commands."""
    counts = dataset.samples.count_by("status", "kept")
    report.pending = counts.get(("queue", "kept"), 0)
    suggestions = {
        sample.sample: sample.proposals[0]
        for sample in iter_proposed_samples(dataset.db)
        if sample.waits
    }
    report.confidences = [suggestion.confidence for suggestion in suggestions.values()]

    confident = {
        key: suggestion
        for key, suggestion in suggestions.items()
        if suggestion.confidence >= MIN_ACCEPT_CONFIDENCE
    }
    # What `labeler accept predictions` leaves in the queue, too.
    labels = {key: suggestion.label for key, suggestion in confident.items()}
    dissimilar = find_dissimilar_proposals(dataset, labels)
    report.dissimilar = len(dissimilar)
    report.acceptable = [
        suggestion.confidence
        for key, suggestion in confident.items()
        if key not in dissimilar
    ]
    report.next = _suggest_next_commands(dataset, report)


STAGE = "prelabel"


def prelabel(
    dataset: Dataset, settings: Settings, progress: Progress = NO_PROGRESS
) -> PrelabelReport:
    """Suggest classes for all samples of a dataset, store them and return the metrics.

    `settings` are those of a transfer preset: its backbone, weights, size and seed are used.
    Raises `InputUnusable` if there are no samples, and what features raise.
    """
    assert isinstance(settings, Transfer)
    dataset.db.check_writable()
    with dataset.stage(STAGE):
        return _run_prelabel(dataset, settings, progress)


def _run_prelabel(
    dataset: Dataset, settings: Transfer, progress: Progress
) -> PrelabelReport:
    start = time.monotonic()
    samples = list(PrelabelSamples(dataset.db).iterate())
    keys = {sample.key for sample in samples}
    crops = [crop for crop in dataset.samples.iter_by_key() if crop.key in keys]
    if not crops:
        raise InputUnusable("no samples to sort", dataset.status_advice)
    spec = FeatureSpec.from_settings(settings, views=0)
    sample_components = compute_components(dataset, crops, spec, progress)

    sorting_start = time.monotonic()
    parts = sample_components.parts
    weights = parse_part_weights(settings.part_weights, parts)
    if weights is None:
        weights = get_prior_weights(parts, dataset, crops, progress)

    regions = {sample.key: Region(sample.box, sample.angle) for sample in crops}
    row_by_key = {key: row for row, key in enumerate(sample_components.keys)}
    # A sample that was cropped again meanwhile is left out, like an unreadable one.
    current = [
        sample
        for sample in samples
        if sample.key in row_by_key and regions[sample.key] == sample.region
    ]
    rows = np.array([row_by_key[sample.key] for sample in current], np.int64)
    components = sample_components.components[rows]
    vectors = weight_components(components, parts, weights.weights)
    names = [make_sample_vector_name(sample.key, sample.region) for sample in current]
    vectors_folder = save_vectors(dataset, names, vectors)

    groups = assign_split_groups(dataset.db, list_training_keys(current))
    # The accuracy is not measured on labels that no person has confirmed yet.
    result = propose(current, vectors, groups, get_unseen_labels(dataset.db))
    facts = result.facts | {
        "unreadable": len(samples) - len(current),
        "backbone": settings.backbone,
        VECTORS_FACT: vectors_folder,
        **weights.to_json(parts),
    }

    # The catalogue also stores which classes could be suggested.
    labels: set[str] = set()
    if result.has_classes:
        labels.update(sample.label for sample in current if sample.label)
    catalogue_facts = facts | {"known": sorted(labels)}
    number = Proposals(dataset.db).replace(result.prelabelled, catalogue_facts)

    # After the catalogue names the new vectors, those of earlier prelabelings can go.
    for folder in (dataset.cache / VECTORS_FOLDER).glob("*"):
        if folder.name != vectors_folder:
            shutil.rmtree(folder, ignore_errors=True)

    pending = {sample.key for sample in current if sample.status == "queue"}
    report = PrelabelReport(
        prelabel=number,
        facts=facts,
        label_next=choose_label_next(result.prelabelled, pending),
        seconds={
            "features": round(sorting_start - start, 2),
            "sorting": round(time.monotonic() - sorting_start, 2),
        },
    )
    describe_suggestions(dataset, report)
    return report


def _sum_expected_errors(confidences: Sequence[float]) -> float:
    return sum(1 - confidence for confidence in confidences)


def max_wrong_count(share: float, confidences: Sequence[float]) -> int:
    """Return the largest number of wrong suggestions if this share is of no class."""
    errors = _sum_expected_errors(confidences)
    return math.ceil(errors + share * (len(confidences) - errors))


def _suggest_next_commands(dataset: Dataset, report: PrelabelReport) -> list[str]:
    commands = []
    labelling = suggest_labelling_command(dataset)
    if report.pending and labelling is not None:
        commands.append(labelling)
    if report.acceptable:
        commands.append(
            f"labeler accept predictions --above {MIN_ACCEPT_CONFIDENCE:g} {dataset.option}"
        )
    return commands or [f"gleanset status {dataset.option}"]


def save_vectors(dataset: Dataset, names: Sequence[bytes], rows: Float32Array) -> str:
    """Write unit vectors (N x D) to a new folder; return its name."""
    name = secrets.token_hex(8)
    store = VectorStore(dataset.cache / VECTORS_FOLDER / name)
    for sample, row in zip(names, rows, strict=True):
        store.add(sample, row)
    store.flush()
    return name
