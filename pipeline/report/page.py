"""The report of a dataset and its model: gathers its content and renders the template."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from urllib.parse import urlsplit

from baseline.evaluation.metrics import RunMetrics, read_metrics
from baseline.evaluation.report.page import MainSection, build_main_section
from gleanset import Dataset
from gleanset.db.faces import WHOLE
from gleanset.db.runs import EvaluationCounts, SplitEvaluations
from gleanset.db.statistics import FailureCount, SourceYield, Statistics
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.fill import encode_page, get_templates
from gleanset.html.thumbnails import Thumbnail, Thumbnails
from gleanset.html.words import count, duration, figure, number, percent, shortened
from gleanset.records import SPLITS, Sample
from labeler.acceptance import AcceptancePlan, plan_hints

_MEANINGS = {
    "damaged": "starts like an image, but cannot be decoded",
    "truncated": "the end of the file is missing",
    "too large": "more pixels, frames or bytes than is safe to decode",
    "unsupported format": "convert it to another format first",
    "not an image": "another kind of file, such as a web page",
    "empty": "an empty file",
    "not a file": "a device, a pipe or a broken link",
    "cannot be read": "a file system or network error",
    "file is gone": "the original was removed from the dataset folder",
    "forgotten": "removed with gleanset forget, so not imported again",
    "not a video": "not supported by ffmpeg",
    "damaged video": "used up to the damage",
    "private address": "in a private network; allow it with --allow-private",
    "bad url": "not a valid URL",
    "bad redirect": "a redirect loop or an invalid target",
    "timed out": "the site did not answer in time",
    "not recorded": "failed without a known reason; try again with harvest retry",
    "too slow": "took longer than the limit",
    "cut off": "the connection ended too early",
    "connection failed": "the site could not be reached",
    "detector failed": "error of a plugin; see gleanset list rejections",
    "crashed": "crashed a worker process twice",
    "internal error": "a bug in Gleanset; please report it",
    "no face found": "no detection; list them with gleanset list missed",
    "face too small": "below the minimum size",
    "duplicate": "a better copy is kept; see labeler groups",
    "rejected": "rejected by a person",
    "no part in the split": "labelled, but not in train, val or test",
}
_HTTP = {
    "401": "login required",
    "403": "refused by the site",
    "404": "not found",
    "410": "permanently removed",
    "429": "too many requests",
}
QUEUE_MEANINGS = {
    "no hint": "no query or folder suggests a class",
    "disputed": "its folder or table contradicts another file or an earlier decision",
    "disputed hint": "it or its copies have different weak labels",
    "a copy was decided otherwise": "a copy has another label",
    "several faces": "one weak label, but several faces in the image",
    "hint is not a class name": "the weak label is not a valid class name",
    "clear hint": "ready to accept: labeler accept hints",
}


def explain_reason(reason: str) -> str:
    """Explain the reason of a rejection; empty for an unknown one."""
    if match := re.fullmatch(r"http (\d{3})", reason):
        code = match[1]
        return _HTTP.get(code, "server error" if code[0] == "5" else "refused by the site")
    return _MEANINGS.get(reason, "")


def shorten_location(text: str) -> str:
    """Return a URL as host and end of its path, a path as its last two parts."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return shortened(text)
    if parts.scheme in ("http", "https") and parts.netloc:
        # Only the host, because credentials may precede it.
        host, tail = parts.netloc.rpartition("@")[2], parts.path.rstrip("/").rpartition("/")[2]
        return shortened(f"{host}/…/{tail}" if parts.path.count("/") > 1 else f"{host}/{tail}")
    return shortened("/".join(re.split(r"[/\\]", text)[-2:]))


MAX_ROWS = 60

REQUEST_KINDS = {"search": "search for", "video": "frames of"}


@dataclass(frozen=True, slots=True)
class OriginsSection:
    """The section about sources."""

    sources: int
    rows: dict[str, list[SourceYield]]
    max_images: int
    more_rows: int
    several: int
    disputed: int


def gather_origins(dataset: Dataset) -> OriginsSection:
    """Gather the section."""
    statistics = Statistics(dataset.db)
    yields = statistics.list_yields()
    rows: dict[str, list[SourceYield]] = defaultdict(list)
    for row in yields[:MAX_ROWS]:
        rows[row.source].append(row)
    return OriginsSection(
        len({row.source for row in yields}),
        rows,
        max((row.images for row in yields), default=1),
        max(0, len(yields) - MAX_ROWS),
        *statistics.count_duplicate_finds(),
    )


def gather_rejections(dataset: Dataset) -> list[FailureCount]:
    """Gather unreadable items, then those that later stages left out."""
    statistics = Statistics(dataset.db)
    return [*statistics.list_failures(), *statistics.list_unused()]


MAX_EXAMPLES = 8
MAX_GROUPS = 12
MAX_GROUP_IMAGES = 6
MIN_TRAIN_IMAGES = 20
MIN_TEST_IMAGES = 3
"""With fewer, the metrics of a class are unreliable."""


@dataclass(frozen=True, slots=True)
class SamplePreview:
    """The image of a sample with its label and split."""

    thumbnail: Thumbnail | None
    label: str
    split: str | None


@dataclass(frozen=True, slots=True)
class ReportClassRow:
    """A class: samples by split, warnings, and examples."""

    name: str
    splits: dict[str, int]
    total: int
    warnings: list[str]
    strip: list[SamplePreview]


@dataclass(frozen=True, slots=True)
class SharedGroup:
    """A group of several images, and its splits."""

    previews: list[SamplePreview]
    unlisted_count: int
    splits: list[str]


@dataclass(frozen=True, slots=True)
class QueueReason:
    """Number of unlabelled samples for a reason."""

    count: int
    reason: str
    meaning: str


@dataclass(frozen=True, slots=True)
class ClassesSection:
    """The section about classes, and the groups of the section about sources."""

    rows: list[ReportClassRow]
    totals: dict[str, int]
    labelled: int
    groups: int
    torn: int
    together: list[SharedGroup]
    shared_groups: int
    queue_reasons: list[QueueReason]
    split_settings: str

    @property
    def shaky(self) -> int:
        """Number of classes with a warning."""
        return sum(bool(row.warnings) for row in self.rows)


@dataclass(slots=True)
class _Tally:
    splits: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    first: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    groups: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))

    def add(self, sample: Sample) -> None:
        label = sample.label or ""
        split = sample.split
        self.splits[label][split or "none"] += 1
        # Keys are hashes: the first ones are a random sample, and always the same.
        if len(self.first[label]) < MAX_EXAMPLES:
            self.first[label].append(sample)
        if sample.split_group is not None and split:
            self.groups[sample.split_group].append(sample)

    def shared(self) -> list[list[Sample]]:
        """Return groups of several images, the largest first."""
        shared = [m for m in self.groups.values() if len({s.image for s in m}) > 1]
        return sorted(shared, key=lambda group: (-len(group), group[0].key))


def gather_classes(dataset: Dataset, thumbnails: Thumbnails) -> ClassesSection:
    """Gather the section."""
    tally = _Tally()
    for sample in dataset.samples.iter_by_key():
        if sample.status == "labelled" and sample.kept:
            tally.add(sample)
    shared = tally.shared()
    totals = sum(tally.splits.values(), Counter[str]())
    return ClassesSection(
        rows=list(_rows(tally, thumbnails)),
        totals={split: totals[split] for split in SPLITS},
        labelled=totals.total(),
        groups=len(tally.groups),
        torn=sum(len(_splits(group)) > 1 for group in tally.groups.values()),
        together=[_shared_group(group, thumbnails) for group in shared[:MAX_GROUPS]],
        shared_groups=len(shared),
        queue_reasons=queue_reasons(plan_hints(dataset)),
        split_settings=dataset.samples.get_split_settings(),
    )


def queue_reasons(plan: AcceptancePlan) -> list[QueueReason]:
    """Return the reasons why samples are unlabelled, the most frequent first."""
    left = [(number, reason) for reason, number in plan.left_out.items()]
    if plan.choices:
        left.append((len(plan.choices), "clear hint"))
    return [
        QueueReason(n, reason, QUEUE_MEANINGS.get(reason, ""))
        for n, reason in sorted(left, reverse=True)
    ]


def _rows(tally: _Tally, thumbnails: Thumbnails) -> Iterator[ReportClassRow]:
    is_split = any(counts[split] for counts in tally.splits.values() for split in SPLITS)
    for name, counts in sorted(tally.splits.items()):
        splits = {split: counts[split] for split in SPLITS}
        strip = [preview(sample, thumbnails) for sample in tally.first[name]]
        warnings = list(class_warnings(splits)) if is_split else []
        yield ReportClassRow(name, splits, counts.total(), warnings, strip)


def class_warnings(splits: dict[str, int]) -> Iterator[str]:
    """Yield reasons why the metrics of a class are unreliable."""
    if splits["train"] < MIN_TRAIN_IMAGES:
        yield f"only {count(splits['train'], 'training image')}"
    for split in ("val", "test"):
        if not splits[split]:
            yield f"no {split} images"
    if 0 < splits["test"] < MIN_TEST_IMAGES:
        yield f"only {count(splits['test'], 'test image')}"


def preview(sample: Sample, thumbnails: Thumbnails) -> SamplePreview:
    """Return the preview of a sample."""
    return SamplePreview(thumbnails.of_sample(sample), sample.label or "not labelled", sample.split)


def _shared_group(group: list[Sample], thumbnails: Thumbnails) -> SharedGroup:
    one_per_image = list({sample.image: sample for sample in group}.values())
    previews = [preview(sample, thumbnails) for sample in one_per_image[:MAX_GROUP_IMAGES]]
    return SharedGroup(previews, len(one_per_image) - len(previews), _splits(group))


def _splits(group: list[Sample]) -> list[str]:
    return sorted({sample.split for sample in group if sample.split})


STAGE = "baseline"


def read_run(dataset: Dataset, run_id: str | None) -> tuple[str, RunMetrics] | None:
    """Return the id and metrics of a run; None if there is no run.

    Raises `InputUnusable` for an unknown run or unreadable metrics.
    """
    newest = None if run_id else dataset.runs.get_latest(STAGE)
    name = run_id or (newest.id if newest else None)
    if name is None:
        return None
    if Path(name).name != name:
        raise InputUnusable(f"not a run: {name!r}", "list the runs: gleanset list runs")
    return name, read_metrics(dataset.runs_folder / name)


MAX_BAND_IMAGES = 14


@dataclass(frozen=True, slots=True)
class FigureTile:
    """A number and what it counts."""

    value: str
    words: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """Content of the page."""

    title: str
    description: str
    contact: str
    summary: str
    tiles: list[FigureTile]
    band: list[SamplePreview]
    images: int
    unit: str
    origins: OriginsSection
    rejected: list[FailureCount]
    unsearched: int
    classes: ClassesSection
    training: TrainingSection | None


@dataclass(frozen=True, slots=True)
class _Totals:
    images: int
    samples: int
    unit: str


def gather_report(dataset: Dataset, title: str, run_id: str | None) -> DatasetReport:
    """Gather the content of the report. Raises what `read_run` raises."""
    run = read_run(dataset, run_id)
    thumbnails = Thumbnails(dataset)
    sources, classes = gather_origins(dataset), gather_classes(dataset, thumbnails)
    training = gather_training(dataset, *run, thumbnails) if run else None
    rejected, totals = gather_rejections(dataset), _totals(dataset)
    return DatasetReport(
        title=title,
        description=dataset.settings.description or "",
        contact=dataset.settings.contact or "",
        summary=_summary(totals, sources, classes, training),
        tiles=list(_tiles(totals, classes, training, rejected)),
        band=_band(classes),
        images=totals.images,
        unit=totals.unit,
        origins=sources,
        rejected=rejected,
        unsearched=Statistics(dataset.db).count_unsearched(),
        classes=classes,
        training=training,
    )


def _totals(dataset: Dataset) -> _Totals:
    samples = dataset.samples.count_by("status", "detector")
    used = {key: n for key, n in samples.items() if key[0] in ("queue", "labelled")}
    unit = "sample" if any(detector == WHOLE for _, detector in used) else "face"
    return _Totals(dataset.images.count(), sum(used.values()), unit)


def _summary(
    totals: _Totals, sources: OriginsSection, classes: ClassesSection, run: TrainingSection | None
) -> str:
    if not totals.images:
        return "The dataset is empty."
    origin = f"in {count(totals.images, 'image')} from {count(sources.sources, 'source')}"
    if not classes.labelled:
        return f"{count(totals.samples, totals.unit)} {origin}; none is labelled yet."
    names = count(len(classes.rows), "class", "classes")
    summary = f"{count(classes.labelled, f'labelled {totals.unit}')} of {names} {origin}."
    if not (run and run.test):
        return summary
    metrics, interval = run.test.figures, run.test.figures.answer_interval
    return (
        f"{summary} A model trained on them is right on {percent(metrics.answer_accuracy)} of "
        f"{count(metrics.count, 'test image')} "
        f"(95% CI {percent(interval.low)} to {percent(interval.high)})."
    )


def _tiles(
    totals: _Totals,
    classes: ClassesSection,
    run: TrainingSection | None,
    rejected: list[FailureCount],
) -> Iterator[FigureTile]:
    left_out = sum(left.items for left in rejected)
    pending = sum(reason.count for reason in classes.queue_reasons)
    yield _tile(totals.images, "image", f"{number(left_out)} left out" if left_out else "")
    note = f"{number(pending)} unlabelled" if pending else "all decided"
    yield _tile(totals.samples, totals.unit, note if totals.samples else "")
    class_count = count(len(classes.rows), "class", "classes")
    yield FigureTile(number(classes.labelled), "labelled", f"in {class_count}")
    if run and run.test:
        metrics = run.test.figures
        fraction = f"{number(metrics.right_answers)}/{count(metrics.count, 'image')}"
        yield FigureTile(percent(metrics.answer_accuracy), "test accuracy", fraction)


def _tile(value: int, noun: str, note: str) -> FigureTile:
    return FigureTile(number(value), noun if value == 1 else f"{noun}s", note)


def _band(classes: ClassesSection) -> list[SamplePreview]:
    """Return images for the top of the page, alternating between classes."""
    rounds = zip_longest(*(row.strip for row in classes.rows))
    previews = [preview for turn in rounds for preview in turn if preview and preview.thumbnail]
    return previews[:MAX_BAND_IMAGES]


TEMPLATE = "report.html.jinja"
REPORT = "report.html"


def write_report(
    dataset: Dataset,
    target: Path | None = None,
    *,
    title: str | None = None,
    run_id: str | None = None,
) -> Path:
    """Write the report of a dataset and a run (default: the latest); return its absolute path.

    `target` defaults to `report.html` in the dataset, `title` to the dataset's name. Raises
    `InputUnusable` for a run that cannot be read, `NotWritable` or `DiskFull`.
    """
    target = (target or dataset.root / REPORT).absolute()
    title = title or dataset.name
    report = gather_report(dataset, title, run_id)
    environment = get_templates("pipeline.report")
    environment.globals.update(splits=SPLITS, few=MIN_TRAIN_IMAGES, request_kinds=REQUEST_KINDS)
    environment.filters.update(explained=explain_reason, short_location=shorten_location)
    page = environment.get_template(TEMPLATE).render(report=report)
    write_atomic(target, encode_page(page))
    return target


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """Training of a run, and `test` if it was evaluated."""

    run: str
    preset: str
    facts: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    changed: str
    course: str
    test: MainSection | None
    earlier: EvaluationCounts | None


def gather_training(
    dataset: Dataset, run: str, metrics: RunMetrics, thumbnails: Thumbnails
) -> TrainingSection:
    """Gather the section."""
    test = metrics.test
    return TrainingSection(
        run=run,
        preset=str(metrics.settings.get("preset", "unknown")),
        facts=list(_facts(metrics)),
        settings=[(key.replace("_", " "), _value(v)) for key, v in metrics.settings.items()],
        changed=_changed(dataset, metrics),
        course=metrics.course,
        test=build_main_section(dataset, thumbnails, "test", test) if test else None,
        earlier=SplitEvaluations(dataset.db).get_for_run(run, "test"),
    )


def _facts(metrics: RunMetrics) -> Iterator[tuple[str, str]]:
    for split in SPLITS:
        if isinstance(size := metrics.data.get(split), int):
            yield f"{split} images", number(size)
    yield "classes", number(len(metrics.classes))
    yield "time", duration(metrics.seconds)
    if speeds := [e.images_per_second for e in metrics.epochs if e.images_per_second > 0]:
        yield "speed", f"{sum(speeds) / len(speeds):,.0f} images/s"
    if metrics.device:
        yield "computed on", f"{metrics.device}, {metrics.precision or 'fp32'}"
    if metrics.val:
        yield "validation accuracy", percent(metrics.val.answer_accuracy)
        yield "validation log loss", figure(metrics.val.log_loss)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _changed(dataset: Dataset, metrics: RunMetrics) -> str:
    is_same = metrics.data.get("splits") == dataset.samples.hash_splits()
    return "" if is_same else "Labels or splits have changed since this run."
