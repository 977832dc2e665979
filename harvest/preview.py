"""`--simulate`: what would be fetched, without fetching any of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from types import MappingProxyType

from gleanset import Dataset
from gleanset.errors import GleansetError, Unreadable
from gleanset.files.names import printable
from gleanset.files.store import sha256_of_file
from gleanset.records import Candidate, Origin
from gleanset.source_table import unmatched_summary
from gleanset.terminal import readable
from gleanset.tree import ignored_summary
from harvest.archives import members
from harvest.candidates import CandidateQueue, SharedQueue, SourceQueue
from harvest.folder import ImportOptions, walk
from harvest.http import Client
from harvest.importer import VisitState, visit_state
from harvest.keyword import (
    Search,
    first_errors_by_source,
    raise_if_all_refused,
    raise_if_incomplete,
    run_searches,
)
from harvest.lists import PLAIN, Columns
from harvest.selection import Selection
from harvest.sources import Query, Source
from harvest.urls import read_list
from harvest.video.inputs import VideoFile, VideoInput
from harvest.video.sampling import Sampling

Show = Callable[[str], None]
Result = dict[str, object]


class Preview:
    """Shows what is new, and counts what is not; without a dataset everything is new.

    `show` takes the lines of the result, `say` what goes on beside it.
    """

    def __init__(self, dataset: Dataset | None, show: Show, say: Show = lambda line: None) -> None:
        self._dataset = dataset
        self.show, self.say = show, say
        self.new = 0
        self.known = 0
        self.errors: dict[str, GleansetError] = {}

    def state(self, origin: Origin, stamp: str = "") -> str | None:
        """Return what the dataset knows of a place."""
        fetches = self._dataset.fetches if self._dataset else None
        return fetches.state(origin.source, origin.key, stamp) if fetches else None

    def take(self, line: str) -> None:
        """Show what would be taken."""
        self.new += 1
        self.show(line)

    def take_file(self, line: str, origin: Origin, stamp: str) -> None:
        """Show a file, or count one that is known."""
        if visit_state(self.state(origin, stamp)) is VisitState.KNOWN:
            self.known += 1
        else:
            self.take(line)

    def result(self, more: Mapping[str, object] = MappingProxyType({})) -> Result:
        """Return the numbers, which are said beside the lines as well."""
        known = {"known": self.known} if self.known else {}
        result = {"candidates": self.new, **known, **more}
        for line in readable(result):
            self.say(line)
        return result


def preview_searches(
    preview: Preview, asked: Sequence[Search], client: Client, limit: int, selection: Selection
) -> Result:
    """Show the addresses that would be downloaded, should all of them be images.

    Raises the first refusal when every source refused and nothing at all was found.
    """
    wakes: SimpleQueue[None] = SimpleQueue()

    def show(queue: SharedQueue[PreviewVisits], _: str) -> None:
        while (candidate := queue.take()) is not None or queue.asking or not wakes.empty():
            if candidate is None:
                wakes.get()
            else:
                queue.places(candidate).take(candidate)
                queue.settled(candidate)

    def open_queue(pair: tuple[Source, Query], images: set[str]) -> SourceQueue[PreviewVisits]:
        places = PreviewVisits(preview, images)
        return SourceQueue(pair, client, selection, places, images, lambda: wakes.put(None))

    ends = list(run_searches(asked, limit, client, open_queue, show))
    preview.errors |= first_errors_by_source(ends)
    raise_if_all_refused(preview.errors, ends, had=bool(preview.new + preview.known))
    skipped: Counter[str] = Counter()
    for end in ends:
        skipped.update(end.places.tally)
    names = dict.fromkeys(end.source for end in ends)
    states = {name: {"status": str(preview.errors.get(name, "ok"))} for name in names}
    result = preview.result(skipped) | ({"sources": states} if preview.errors else {})
    raise_if_incomplete(ends, result)
    return result


class PreviewVisits:
    """Stands in for an `Importer`: shows what would be downloaded, should all be images.

    `images` takes up their addresses, as an importer notes their hashes.
    """

    def __init__(self, view: Preview, images: set[str]) -> None:
        self._view = view
        self._images = images
        self.tally: Counter[str] = Counter()

    def seen(self, origin: Origin) -> VisitState:
        """Return what is known of a place, and count it where it needs no download."""
        # What was shown would be there by now.
        state = "done" if origin.url in self._images else self._view.state(origin)
        if (seen := visit_state(state)) is VisitState.KNOWN:
            self._view.known += 1
            if state == "done":
                self._images.add(origin.url or origin.key)
        return seen

    def count_repeat(self, origin: Origin) -> None:
        """Count a place that was shown before."""
        self._view.known += 1

    def take(self, candidate: Candidate) -> None:
        """Show a candidate, where no source has brought its address before."""
        self._images.add(candidate.url)
        self._view.take(candidate.url)


def preview_urls(
    preview: Preview,
    files: Iterable[Path],
    label: str | None,
    limit: int | None,
    columns: Columns = PLAIN,
) -> Result:
    """Show the addresses of some lists that were not visited yet, should all be images."""
    images: set[str] = set()
    places = PreviewVisits(preview, images)
    candidates = (c for file in files for c in read_list(file, label, columns))
    queue = CandidateQueue(candidates, places, images, limit)
    while (candidate := queue.take()) is not None:
        places.take(candidate)
        queue.settled(candidate)
    return preview.result()


def preview_folders(
    preview: Preview,
    places: tuple[Iterable[Path], Iterable[Path]],
    options: ImportOptions,
    summary: Callable[[], Mapping[str, object]],
) -> Result:
    """Show the files that would be tried in some folders, and the members of some archives.

    `summary` is what is said of their groups in the end.
    """
    trees, archives = places
    hinted: Counter[str] = Counter()
    ignored: Counter[str] = Counter()

    def take(line: str, origin: Origin, stamp: str) -> None:
        preview.take_file(line, origin, stamp)
        if options.groups is not None:
            options.groups.note(origin)
        if options.hints:
            hinted[origin.hint or "none"] += 1

    for tree in trees:
        for picture in walk(tree, options, ignored):
            take(printable(picture.path), picture.origin, picture.stamp)
    for archive in archives:
        for picture, _ in members(archive, options, ignored):
            name = picture.origin.key.partition(":")[2]
            take(f"{printable(archive)}:{name}", picture.origin, picture.stamp)
    more = ignored_summary(ignored) | unmatched_summary(options.unmatched) | dict(summary())
    return preview.result(more | ({"hints": dict(hinted)} if hinted else {}))


def preview_frames(
    preview: Preview,
    dataset: Dataset | None,
    sampling: Sampling,
    inputs: Iterable[VideoInput],
) -> Result:
    """Show the videos that would be sampled, one a line; say what is wrong with others."""
    counts = Counter(videos=0)
    seen: set[str] = set()
    for source in inputs:
        if not isinstance(source, VideoFile):
            state = "videos"
        elif trouble := _video_trouble(source):
            preview.say(f"{source.shown}: {trouble}")
            state = "rejected"
        else:
            sha256 = sha256_of_file(source.path)
            is_done = dataset and dataset.videos.done(sha256, sampling.settings) is not None
            state = "known" if is_done or sha256 in seen else "videos"
            seen.add(sha256)
        counts[state] += 1
        if state == "videos":
            preview.show(source.shown)
    preview.say(f"videos: {counts['videos']}")
    return dict(counts)


def _video_trouble(video: VideoFile) -> str:
    # Only here: what samples videos takes as long to load as all the rest.
    from harvest.video.sampler import read_facts

    try:
        read_facts(video.path)
    except Unreadable as error:
        return f"{error.reason}: {error.detail}"
    return ""
