"""Galleries: label issues and the best samples of each class, as one HTML file.

The page loads no other files. Its content security policy allows only its own script and style, by
their hashes, so that names of classes and titles cannot inject code.
"""

import base64
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.command_result import CommandResult, JsonDict
from gleanset.credit import clean_page_url
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import classify_provenance, get_label_provenances
from gleanset.db.proposals import list_clusters
from gleanset.db.regions import Quality, QualityMeasures, flags_of
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.db.sorting import SortingQueue
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import write_atomic
from gleanset.html.fill import encode_page, get_templates
from gleanset.html.words import clock
from gleanset.images.data_uri import shrink
from gleanset.records import Sample
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from labeler.quality.assessment import assess_quality
from labeler.requests import GalleryRequest
from labeler.sample_pixels import SampleFile, list_sample_files, read_pixels

LABEL_ISSUE = "issue"
DUPLICATE = "duplicate"
MARKS = (LABEL_ISSUE, DUPLICATE)
"""Flags with a visible mark in a gallery."""


class GalleryResult(CommandResult, kw_only=True):
    """A gallery, with its number of sections and of samples, and of samples with each mark."""

    gallery: str
    shown: int
    of: int
    clusters: int | None = None
    tracks: int | None = None
    classes: int | None = None
    unreadable: int
    megabytes: float
    marked: dict[str, int]
    images_from_reports_left_out: int = 0
    next: str = ""

    def summary(self) -> JsonDict:
        """Return the counts; the number of all samples only if some are not shown."""
        facts = self.to_json()
        if self.shown == self.of:
            del facts["of"]
        return facts


Sections = Mapping[str, Sequence[Sample]]
"""Samples by class, or by the id of their cluster or track."""


class GalleryEntry(NamedTuple):
    """A sample shown under `label`, with its quality flags and `MARKS`.

    `provenance`: person, model, hint, import or page user; None for queued samples.
    """

    sample: Sample
    label: str
    flags: tuple[str, ...]
    provenance: str | None
    issue: LabelIssue | None = None


class ClassCounts(NamedTuple):
    """Number of samples in a class that are not duplicates, and how many have each mark."""

    total: int
    marked: dict[str, int]


class GallerySelection(NamedTuple):
    """Entries to show, section by section, and the counts of each section."""

    entries: list[GalleryEntry]
    counts: dict[str, ClassCounts]


def group_samples(dataset: Dataset, request: GalleryRequest) -> dict[str, list[Sample]]:
    """Return the samples of each class, of each cluster of the latest prelabeling, or each track.

    Raises `InputUnusable` if there are none, `UsageError` for an unknown class.
    """
    # A gallery may be sent to other people; what users reported must not.
    private = dataset.images.list_report_only()
    if request.clusters:
        return _group_by_cluster(dataset, private)
    if request.tracks:
        return _group_by_track(dataset, private)
    return _group_by_class(dataset, request.names, private)


def _group_by_class(
    dataset: Dataset, names: Sequence[str], private: frozenset[str]
) -> dict[str, list[Sample]]:
    """Return the labelled samples of some classes, or of all."""
    sections: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples.iterate():
        is_labelled = sample.status == "labelled" and sample.kept
        if is_labelled and sample.image not in private:
            sections[str(sample.label)].append(sample)

    if not sections and private:
        raise InputUnusable(
            "nothing to show: all labelled images were sent with web reports",
            "see them in the window: labeler",
        )
    if not sections:
        raise InputUnusable(
            "nothing to show: no sample is labelled yet",
            dataset.status_advice,
        )

    for name in names:
        if name not in sections:
            raise UsageError(
                f"there are no samples of a class {name!r}",
                f"use one of: {', '.join(sections)}",
            )
    return {name: sections[name] for name in names or sorted(sections)}


def _group_by_cluster(
    dataset: Dataset, private: frozenset[str]
) -> dict[str, list[Sample]]:
    """Return the pending samples of each cluster of the latest prelabeling."""
    clusters = list_clusters(dataset.db)
    if not clusters:
        if SortingQueue(dataset.db).list_waiting(1):
            raise InputUnusable(
                "there are no clusters: no unlabelled sample was prelabelled",
                f"make them: baseline prelabel {dataset.option}",
            )
        raise InputUnusable("there are no unlabelled samples", dataset.status_advice)

    pending = {cluster.id: cluster.pending for cluster in clusters}
    return _load_public_samples(dataset, pending, private)


def _load_public_samples(
    dataset: Dataset, pending: Mapping[str, Iterable[str]], private: frozenset[str]
) -> dict[str, list[Sample]]:
    """Return the samples (keys) of each section that did not come with reports, if it has any."""
    sections: dict[str, list[Sample]] = defaultdict(list)
    for name, keys in pending.items():
        for sample in map(dataset.samples.get, keys):
            if sample and sample.image not in private:
                sections[name].append(sample)
    return sections


def _group_by_track(
    dataset: Dataset, private: frozenset[str]
) -> dict[str, list[Sample]]:
    """Return the pending samples of each track, by video and time."""
    tracks = dataset.tracks
    pending = {track.track.name: track.pending for track in tracks.iterate()}
    sections = _load_public_samples(dataset, pending, private)
    if not sections and tracks.count():
        raise InputUnusable(
            "nothing to show: the samples of all tracks are decided or not sure",
            dataset.status_advice,
        )
    if not sections:
        raise InputUnusable(
            "there are no tracks",
            f"follow the faces of a video: gleanset episodes VIDEO {dataset.option}",
        )
    return sections


def _describe_tracks(dataset: Dataset, names: Iterable[str]) -> dict[str, str]:
    """Return the video and the time of tracks, by name."""
    tracks = dataset.tracks
    videos = tracks.get_videos()
    texts = {}
    for row in tracks.iterate([*names]):
        track = row.track
        title, _ = videos.get(row.video, ("", None))
        times = f"{clock(track.started)} – {clock(track.ended)}"
        texts[track.name] = f"{title} {times}".strip()
    return texts


def select_samples(
    dataset: Dataset, sections: Sections, request: GalleryRequest
) -> GallerySelection:
    """Select entries from sections with equal shares of the limit, label issues first."""
    selection = GallerySelection([], {})
    # For the order by quality: samples of one group look alike.
    groups = assign_split_groups(dataset.db)
    sizes = {name: len(samples) for name, samples in sections.items()}
    for name, share in divide_limit(sizes, request.limit).items():
        samples = sections[name]
        if request.sections == "class":
            samples = order_by_quality(dataset, samples, groups)

        entries = list(_iter_entries(dataset, name, samples))
        selection.counts[name] = ClassCounts(
            len(entries),
            {mark: sum(mark in entry.flags for entry in entries) for mark in MARKS},
        )
        # The clearest label issues first, then the others in their order by quality.
        entries.sort(key=lambda entry: -entry.issue.margin if entry.issue else math.inf)
        selection.entries.extend(entries[:share])
    return selection


def order_by_quality(
    dataset: Dataset, samples: Sequence[Sample], groups: Mapping[str, str]
) -> list[Sample]:
    """Return samples without flags and sharp ones first, one of each group before the second."""

    def rank(row: tuple[Sample, Quality | None]) -> tuple[bool, float, str]:
        """Rank samples that are not measured among flagged ones."""
        sample, quality = row
        if quality is None:
            return True, -sample.sharpness, sample.key
        return bool(flags_of(quality)), quality.blur, sample.key

    # By position in its group: all first ones, then all second ones ...
    turns: dict[int, list[Sample]] = defaultdict(list)
    sizes = Counter[str]()
    rows = QualityMeasures(dataset.db).join(samples)
    for sample, _ in sorted(rows, key=rank):
        group = groups.get(sample.key, sample.key)
        turns[sizes[group]].append(sample)
        sizes[group] += 1
    return list(chain.from_iterable(turns.values()))


def divide_limit(sizes: Mapping[str, int], limit: int) -> dict[str, int]:
    """Divide `limit` equally; what a small section does not need goes to the others."""
    shares = dict.fromkeys(sizes, 0)
    remaining = limit
    # The smallest first, so that what they leave is known.
    for position, name in enumerate(sorted(sizes, key=lambda name: sizes[name])):
        sections_left = len(sizes) - position
        shares[name] = min(sizes[name], remaining // sections_left)
        remaining -= shares[name]
    return shares


def _iter_entries(
    dataset: Dataset, label: str, samples: Sequence[Sample]
) -> Iterator[GalleryEntry]:
    """Yield samples with their marks, flags and provenance, in their order."""
    keys = [sample.key for sample in samples]
    issues = LabelIssues(dataset.db).get_many(keys)
    provenances = get_label_provenances(dataset.db, Pairs(dataset.db).get_ids(keys))
    for sample, quality in QualityMeasures(dataset.db).join(samples):
        issue = issues.get(sample.key)
        # Marks first, then flags of quality.
        flags = []
        if issue is not None:
            flags.append(LABEL_ISSUE)
        if sample.group is not None:
            flags.append(DUPLICATE)
        if quality is not None:
            flags += flags_of(quality)

        provenance = None
        if sample.label:
            provenance = classify_provenance(provenances.get(sample.key, ""))
        yield GalleryEntry(sample, label, tuple(flags), provenance, issue)


SCRIPT_PARTS = ("words", "dom", "facts", "faces", "look", "main")
"""Parts of the script in `js/`, in order; they are concatenated inside one function."""
HTML_SUFFIXES = (".html", ".htm")
GENERATOR_TAG = b'<meta name="generator" content="Gleanset gallery">'
HEAD_BYTES = 4096
THUMBNAIL_SIDE = 96
"""Pixels of the longer side of a thumbnail."""


def write_gallery(
    dataset: Dataset, out: Path, request: GalleryRequest, progress: Progress
) -> GalleryResult:
    """Write a gallery to `out` atomically; return the counts.

    New samples are measured first. Raises as `group_samples`, `UsageError` if the name does not end
    in .html, `InputUnusable` if `out` is a file other than a gallery, and `NotWritable` or
    `DiskFull`.
    """
    # Before anything is measured: a wrong name is reported at once.
    _check_target(out)
    sections = group_samples(dataset, request)
    assess_quality(dataset, progress=progress)
    selection = select_samples(dataset, sections, request)
    thumbnails = _make_thumbnails(dataset, selection.entries, progress)
    content = _make_page_data(dataset, selection, thumbnails)
    content["sections"] = request.sections
    if request.tracks:
        content["notes"] = _describe_tracks(dataset, selection.counts)
    page = encode_page(_render(dataset.name, content))
    _check_target(out)  # again, because a file may have appeared meanwhile
    write_atomic(out.absolute(), page)

    flags = Counter(flag for entry in selection.entries for flag in entry.flags)
    sections_name = "classes" if request.sections == "class" else f"{request.sections}s"
    result = GalleryResult(
        gallery=str(out.absolute()),
        megabytes=round(len(page) / 1e6, 2),
        shown=len(selection.entries),
        of=content["total"],
        unreadable=len(selection.entries) - len(thumbnails),
        marked=dict(sorted(flags.items())),
        images_from_reports_left_out=len(dataset.images.list_report_only()),
    )
    if request.sections != "class":
        result.next = f"labeler label NAME --{request.sections} ID {dataset.option}"
    return result.with_facts({sections_name: len(selection.counts)})


def _check_target(out: Path) -> None:
    """Raise `UsageError` for another ending than .html, `InputUnusable` for a file of others."""
    if out.suffix.lower() not in HTML_SUFFIXES:
        raise UsageError(f"a gallery is an HTML file: {out}", f"name it {out}.html")
    if not out.exists():
        return
    # Galleries begin with this tag.
    if not out.is_file() or GENERATOR_TAG not in out.read_bytes()[:HEAD_BYTES]:
        raise InputUnusable(
            f"{out} exists and is not a gallery",
            "choose another name, or move it away",
        )


def _make_page_data(
    dataset: Dataset, selection: GallerySelection, thumbnails: Mapping[int, str]
) -> JsonDict:
    """Return the data for the page's script, see `js/facts.js`."""
    numbers = {name: number for number, name in enumerate(selection.counts)}
    samples = []
    for number, entry in enumerate(selection.entries):
        facts = {"class": numbers[entry.label], "image": thumbnails.get(number)}
        facts |= _make_sample_data(dataset, entry)
        samples.append({name: fact for name, fact in facts.items() if fact is not None})

    shown_counts = Counter(entry.label for entry in selection.entries)
    return {
        "classes": [
            tally._asdict() | {"name": name, "shown": shown_counts[name]}
            for name, tally in selection.counts.items()
        ],
        "samples": samples,
        "total": sum(tally.total for tally in selection.counts.values()),
        "side": THUMBNAIL_SIDE,
    }


def _make_sample_data(dataset: Dataset, entry: GalleryEntry) -> JsonDict:
    """Return the data of a sample, without local paths."""
    sample = entry.sample
    facts: JsonDict = {
        "id": sample.key,
        "split": sample.split,
        "hint": sample.hint,
        "detector": sample.detector,
        "score": sample.score if sample.score is None else round(sample.score, 2),
        "decided": "weak label" if entry.provenance == "hint" else entry.provenance,
        "flags": list(entry.flags) or None,
    }
    if entry.issue is not None:
        facts["issue"] = [entry.issue.suggested, round(entry.issue.confidence, 2)]

    image = dataset.images.get(sample.image)
    if image and image.origins:
        origin = image.origins[0]
        facts |= {
            "source": origin.source,
            "title": origin.title,
            "author": origin.author,
            "licence": origin.licence,
            "page": clean_page_url(origin.page_url),
            "time": origin.time,
        }
    return facts


def _render(title: str, content: JsonDict) -> str:
    """Return the HTML; text from outside is escaped in elements, attributes and script data."""
    page = get_templates("labeler.gallery")
    style = page.get_template("page.css.jinja").render()
    folder = files("labeler.gallery").joinpath("js")
    parts = [
        folder.joinpath(f"{name}.js").read_text(encoding="utf-8")
        for name in SCRIPT_PARTS
    ]
    # The hash covers the exact text between the script tags.
    script = '(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n"
    return page.get_template("page.html.jinja").render(
        title=title,
        content=content,
        style=Markup(style),  # noqa: S704 - our own
        script=Markup(script),  # noqa: S704
        style_hash=_compute_csp_hash(style),
        script_hash=_compute_csp_hash(script),
        shown=len(content["samples"]),
        total=content["total"],
    )


def _compute_csp_hash(text: str) -> str:
    """Return the source expression of a text for a content security policy."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _make_thumbnails(
    dataset: Dataset, entries: Sequence[GalleryEntry], progress: Progress
) -> dict[int, str]:
    """Return the thumbnails of entries (by number) as data URIs, without unreadable ones."""
    rows = Pairs(dataset.db).get_ids([entry.sample.key for entry in entries])
    files = list_sample_files(dataset, rows)
    outcomes = run_over(make_thumbnail, enumerate(files), Processes())
    thumbnails = {}
    for outcome in progress.over(
        outcomes,
        "thumbnails",
        total=len(files),
        unit=" images",
    ):
        if outcome.result is not None:
            number, _ = outcome.item
            thumbnails[number] = outcome.result
    return thumbnails


def make_thumbnail(item: tuple[int, SampleFile]) -> str:
    """Return the thumbnail of a sample, given a number and a file. Raises `Unreadable`."""
    _, file = item
    return shrink(read_pixels(file, THUMBNAIL_SIDE, "RGB"), THUMBNAIL_SIDE).src
