"""`--simulate`: what would be fetched, without fetching it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from types import MappingProxyType

from gleanset import Dataset
from gleanset.errors import GleansetError, Unreadable
from gleanset.files.names import format_path
from gleanset.files.store import hash_file
from gleanset.records import Origin
from gleanset.source_table import summarize_unmatched
from gleanset.terminal import format_result
from gleanset.tree import summarize_ignored
from harvest.archives import find_members
from harvest.candidates import CandidateQueue, SharedQueue, SourceQueue
from harvest.folder import ImportOptions, find_images
from harvest.http import Client
from harvest.importer import VisitState, visit_state
from harvest.keyword import Search, check_sources, raise_if_incomplete, run_searches
from harvest.lists import DEFAULT_COLUMNS, Columns
from harvest.result_filter import ResultFilter
from harvest.sources import Query, Source
from harvest.urls import read_list
from harvest.video.inputs import VideoFile, VideoInput
from harvest.video.sampling import Sampling

Print = Callable[[str], None]
Result = dict[str, object]


class Preview:
    """Shows what is new and counts what is known; without a dataset everything is new.

    `show` prints a line of the result, `say` a message beside it.
    """

    def __init__(
        self, dataset: Dataset | None, show: Print, say: Print = lambda line: None
    ) -> None:
        self._dataset = dataset
        self.show, self.say = show, say
        self.new_count = 0
        self.known_count = 0
        self.errors: dict[str, GleansetError] = {}

    def fetch_state(self, origin: Origin, stamp: str = "") -> str | None:
        """Return the state of an item in the fetch table."""
        fetches = self._dataset.fetches if self._dataset else None
        return fetches.get_state(origin.source, origin.key, stamp) if fetches else None

    def show_new(self, line: str) -> None:
        """Show and count a new item."""
        self.new_count += 1
        self.show(line)

    def show_file(self, line: str, origin: Origin, stamp: str) -> None:
        """Show a file, or count a known one."""
        if visit_state(self.fetch_state(origin, stamp)) is VisitState.KNOWN:
            self.known_count += 1
        else:
            self.show_new(line)

    def result(self, extra: Mapping[str, object] = MappingProxyType({})) -> Result:
        """Return the counts, and print them beside the lines."""
        known_counts = {"known": self.known_count} if self.known_count else {}
        result = {"candidates": self.new_count, **known_counts, **extra}
        for line in format_result(result):
            self.say(line)
        return result


class PreviewVisits:
    """Stand-in for an `Importer`: counts what would be downloaded, as if all were images.

    `images` receives their addresses, as an importer adds their hashes.
    """

    def __init__(self, preview: Preview, images: set[str]) -> None:
        self._preview = preview
        self._images = images
        self.tally: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()

    def look_up(self, origin: Origin) -> VisitState:
        """Return what is known of an item, and count a known one."""
        # What was shown would be in the dataset by now.
        is_shown = origin.url in self._images
        fetch_state = "done" if is_shown else self._preview.fetch_state(origin)
        if (state := visit_state(fetch_state)) is VisitState.KNOWN:
            self._preview.known_count += 1
            if fetch_state == "done":
                self._images.add(origin.url or origin.key)
        return state

    def count_repeat(self, origin: Origin) -> None:
        """Count an item that was shown before."""
        self._preview.known_count += 1


def preview_searches(
    preview: Preview,
    searches: Sequence[Search],
    client: Client,
    limit: int,
    condition: ResultFilter | None = None,
) -> Result:
    """Show the addresses that would be downloaded, if all of them are images.

    Raises the first error if every source failed and nothing was found.
    """
    wakes: SimpleQueue[None] = SimpleQueue()
    images_by_source: dict[str, set[str]] = {}

    def show(queue: SharedQueue, _: str) -> None:
        while (
            (candidate := queue.pop_candidate()) is not None
            or queue.is_searching
            or not wakes.empty()
        ):
            if candidate is None:
                wakes.get()
            else:
                images_by_source[candidate.origin.source].add(candidate.url)
                preview.show_new(candidate.url)
                queue.mark_settled(candidate)

    def open_queue(pair: tuple[Source, Query], images: set[str]) -> SourceQueue:
        images_by_source[pair[0].name] = images
        visits = PreviewVisits(preview, images)
        return SourceQueue(pair, client, condition, visits, images, lambda: wakes.put(None))

    results = list(run_searches(searches, limit, client, open_queue, show))
    has_results = bool(preview.new_count + preview.known_count)
    preview.errors |= check_sources(results, has_results=has_results)
    skipped: Counter[str] = Counter()
    for result in results:
        skipped.update(result.visits.tally)
    names = dict.fromkeys(result.source for result in results)
    states = {name: {"status": str(preview.errors.get(name, "ok"))} for name in names}
    summary = preview.result(skipped) | ({"sources": states} if preview.errors else {})
    raise_if_incomplete(results, summary)
    return summary


def preview_urls(
    preview: Preview,
    files: Iterable[Path],
    label: str | None,
    limit: int | None,
    columns: Columns = DEFAULT_COLUMNS,
) -> Result:
    """Show the new addresses of some lists, as if all were images."""
    images: set[str] = set()
    candidates = (c for file in files for c in read_list(file, label, columns))
    queue = CandidateQueue(candidates, PreviewVisits(preview, images), images, limit)
    while (candidate := queue.pop_candidate()) is not None:
        images.add(candidate.url)
        preview.show_new(candidate.url)
        queue.mark_settled(candidate)
    return preview.result()


def preview_folders(
    preview: Preview,
    paths: tuple[Iterable[Path], Iterable[Path]],
    options: ImportOptions,
    summarize_groups: Callable[[], Mapping[str, object]],
) -> Result:
    """Show the files that would be read: those of folders, then the members of archives."""
    trees, archives = paths
    hints: Counter[str] = Counter()
    ignored: Counter[str] = Counter()

    def show(line: str, origin: Origin, stamp: str) -> None:
        preview.show_file(line, origin, stamp)
        if options.groups is not None:
            options.groups.note(origin)
        if options.hints:
            hints[origin.hint or "none"] += 1

    for tree in trees:
        for image in find_images(tree, options, ignored):
            show(format_path(image.path), image.origin, image.stamp)
    for archive in archives:
        for image, _ in find_members(archive, options, ignored):
            name = image.origin.key.partition(":")[2]
            show(f"{format_path(archive)}:{name}", image.origin, image.stamp)
    extra = summarize_ignored(ignored) | summarize_unmatched(options.unmatched_rows)
    extra |= dict(summarize_groups())
    return preview.result(extra | ({"hints": dict(hints)} if hints else {}))


def preview_frames(
    preview: Preview,
    dataset: Dataset | None,
    sampling: Sampling,
    inputs: Iterable[VideoInput],
) -> Result:
    """Show the videos that would be sampled; report what is wrong with others."""
    counts = Counter(videos=0)
    hashes: set[str] = set()
    for source in inputs:
        if not isinstance(source, VideoFile):
            state = "videos"
        elif problem := _video_problem(source):
            preview.say(f"{source.display_name}: {problem}")
            state = "rejected"
        else:
            sha256 = hash_file(source.path)
            is_done = (
                dataset and dataset.videos.get_frame_count(sha256, sampling.settings) is not None
            )
            state = "known" if is_done or sha256 in hashes else "videos"
            hashes.add(sha256)
        counts[state] += 1
        if state == "videos":
            preview.show(source.display_name)
    preview.say(f"videos: {counts['videos']}")
    return dict(counts)


def _video_problem(video: VideoFile) -> str:
    # Imported here: it takes as long to load as everything else.
    from harvest.video.sampler import read_facts

    try:
        read_facts(video.path)
    except Unreadable as error:
        return f"{error.reason}: {error.detail}"
    return ""
