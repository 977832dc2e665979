"""The report of a dataset and its model: gathers its content and renders the template."""

import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from baseline.data.runs import METRICS, TRAINING_KIND
from baseline.evaluation.metrics import RunMetrics, read_metrics
from baseline.evaluation.report.page import build_main_section
from curation.split_groups import find_straddling_groups
from gleanset import Dataset
from gleanset.db.faces import WHOLE
from gleanset.db.runs import SplitEvaluations
from gleanset.db.statistics import SourceYield, Statistics
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.fill import encode_page, get_templates
from gleanset.html.thumbnails import Thumbnails
from gleanset.html.words import count, shorten
from gleanset.images.data_uri import Thumbnail
from gleanset.records import SPLITS, Sample
from harvest.frames import DAMAGED
from labeler.acceptance import plan_hints

_MEANINGS: dict[str, str] = tomllib.loads(
    Path(__file__).with_name("meanings.toml").read_text("utf-8")
)


def explain_reason(reason: str) -> str:
    """Explain why an item was rejected or is not labelled; empty for an unknown reason."""
    status = reason.removeprefix("http ")
    meaning = ""
    if status != reason:
        meaning = "server error" if status.startswith("5") else "refused by the site"
    return _MEANINGS.get(reason, meaning)


def shorten_location(text: str) -> str:
    """Return a URL as host and end of its path, a path as its last two parts."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return shorten(text)

    if parts.scheme in ("http", "https") and parts.netloc:
        # Only the host, because credentials may precede it.
        host = parts.netloc.rpartition("@")[2]
        tail = parts.path.rstrip("/").rpartition("/")[2]
        between = "/…/" if parts.path.count("/") > 1 else "/"
        return shorten(f"{host}{between}{tail}")

    return shorten("/".join(re.split(r"[/\\]", text)[-2:]))


MAX_ROWS = 60


def gather_origins(dataset: Dataset) -> dict[str, object]:
    """Gather the section about sources."""
    yields = Statistics(dataset.db).list_yields()
    rows = defaultdict[str, list[SourceYield]](list)
    for row in yields[:MAX_ROWS]:
        rows[row.source].append(row)

    return {
        "sources": len({row.source for row in yields}),
        "rows": rows,
        "max_images": max((row.images for row in yields), default=1),
        "more_rows": max(0, len(yields) - MAX_ROWS),
    }


MAX_EXAMPLES = 8
MAX_BAND_IMAGES = 14
MIN_TRAIN_IMAGES = 20
MIN_TEST_IMAGES = 3
"""With fewer, the metrics of a class are unreliable."""


class ReportClassRow(NamedTuple):
    """A class: samples by split, warnings, and examples."""

    name: str
    splits: dict[str, int]
    total: int
    warnings: list[str]
    strip: list[Thumbnail | None]


def gather_classes(dataset: Dataset, thumbnails: Thumbnails) -> dict[str, object]:
    """Gather the section about classes."""
    counts_by_class = defaultdict[str, Counter[str]](Counter)
    examples = defaultdict[str, list[Sample]](list)
    groups = set[str]()
    for sample in dataset.samples.iter_by_key():
        if sample.status != "labelled" or not sample.kept:
            continue
        label = sample.label or ""
        counts_by_class[label][sample.split or "none"] += 1
        # Keys are hashes: the first ones are a random sample, and always the same.
        if len(examples[label]) < MAX_EXAMPLES:
            examples[label].append(sample)
        if sample.split_group is not None and sample.split:
            groups.add(sample.split_group)

    hints = plan_hints(dataset)
    reasons = [(number, reason) for reason, number in hints.left_out.items()]
    if hints.choices:
        reasons.append((len(hints.choices), "clear hint"))

    totals = sum(counts_by_class.values(), Counter[str]())
    split_totals = {split: totals[split] for split in SPLITS}
    rows = []
    for name, counts in sorted(counts_by_class.items()):
        splits = {split: counts[split] for split in SPLITS}
        warnings = list_class_warnings(splits) if any(split_totals.values()) else ()
        strip = list(map(thumbnails.of_sample, examples[name]))
        rows.append(ReportClassRow(name, splits, counts.total(), list(warnings), strip))

    settings = dataset.samples.get_split_settings()
    # The first image of each class, then the second of each; None where a class has no more.
    rounds = zip_longest(*(row.strip for row in rows))
    band = islice(
        filter(None, chain.from_iterable(rounds)),
        MAX_BAND_IMAGES,
    )
    return {
        "rows": rows,
        "band": list(band),
        "totals": split_totals,
        "labelled": totals.total(),
        "groups": len(groups),
        "straddling_groups": len(find_straddling_groups(dataset.db)),
        "queue_reasons": sorted(reasons, reverse=True),
        "split_settings": settings.describe() if settings else "",
    }


def list_class_warnings(splits: dict[str, int]) -> Iterator[str]:
    """Yield reasons why the metrics of a class are unreliable."""
    if splits["train"] < MIN_TRAIN_IMAGES:
        yield f"only {count(splits['train'], 'training image')}"
    for split in ("val", "test"):
        if not splits[split]:
            yield f"no {split} images"
    if 0 < splits["test"] < MIN_TEST_IMAGES:
        yield f"only {count(splits['test'], 'test image')}"


def read_run(dataset: Dataset, run_id: str | None) -> tuple[str, RunMetrics] | None:
    """Return the id and metrics of a run; None if there is no run.

    Raises `InputUnusable` for an unknown run or unreadable metrics.
    """
    if run_id is None:
        for run in dataset.runs.iterate():
            if (
                run.room == TRAINING_KIND
                and run.status == "done"
                and (dataset.runs_folder / run.id / METRICS).is_file()
            ):
                # The last one is the latest.
                run_id = run.id
    if run_id is None:
        return None
    # The id comes from the user: a path would name a folder outside of `runs`.
    if Path(run_id).name != run_id:
        raise InputUnusable(
            f"not a run: {run_id!r}", "list the runs: gleanset list runs"
        )
    return run_id, read_metrics(dataset.runs_folder / run_id, dataset)


def gather_report(
    dataset: Dataset, title: str, run_id: str | None
) -> dict[str, object]:
    """Gather the content of the report. Raises what `read_run` raises."""
    run = read_run(dataset, run_id)
    thumbnails = Thumbnails(dataset)
    statistics = Statistics(dataset.db)
    counts = Counter[str | None]()
    for (duplicate_status, status, detector), number in dataset.samples.count_by(
        "kept", "status", "detector"
    ).items():
        if duplicate_status == "kept" and status in ("queue", "labelled"):
            counts[detector] += number

    failures = statistics.list_failures()
    unused_rows = statistics.list_unused()
    # Count files of sources, whose stages have names such as harvest-keyword. A damaged video is
    # not counted: it was used up to the damage.
    unusable_count = sum(
        row.items
        for row in failures
        if row.stage.partition("-")[0] in ("harvest", "import")
        and row.reason != DAMAGED
    )
    left_out_count = sum(
        row.items for row in unused_rows if row.reason in ("duplicate", "rejected")
    )
    return {
        "title": title,
        "description": dataset.settings.description or "",
        "contact": dataset.settings.contact or "",
        "images": dataset.images.count(),
        "samples": counts.total(),
        "unit": "sample" if WHOLE in counts else "face",
        "origins": gather_origins(dataset),
        # Unreadable items, then those that later stages left out.
        "rejected": [*failures, *unused_rows],
        "unusable": unusable_count,
        "left_out": left_out_count,
        "unsearched": statistics.count_unsearched(),
        "classes": gather_classes(dataset, thumbnails),
        "training": gather_training(dataset, *run, thumbnails) if run else None,
    }


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
    report = gather_report(dataset, title or dataset.name, run_id)
    environment = get_templates("pipeline.report")
    environment.globals.update(
        splits=SPLITS,
        few=MIN_TRAIN_IMAGES,
    )
    environment.filters.update(
        explained=explain_reason,
        short_location=shorten_location,
        setting=format_setting,
    )
    page = environment.get_template(TEMPLATE).render(report=report)
    write_atomic(target, encode_page(page))
    return target


def gather_training(
    dataset: Dataset, run: str, metrics: RunMetrics, thumbnails: Thumbnails
) -> dict[str, object]:
    """Gather the section about a run: `test` if it was evaluated, and changes since."""
    test = metrics.test
    return {
        "run": run,
        "metrics": metrics,
        "is_changed": metrics.data.get("splits") != dataset.samples.hash_splits(),
        "test": build_main_section(thumbnails, "test", test) if test else None,
        "earlier": SplitEvaluations(dataset.db).get_for_run(run, "test"),
    }


def format_setting(value: object) -> str:
    """Format the value of a setting."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
