"""`--simulate`: what would be fetched, without fetching any of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
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
from harvest.downloads import CandidateQueue, IterableFeed
from harvest.folder import PictureOptions, walk
from harvest.http import Client
from harvest.importer import Seen, seen_by
from harvest.keyword import FINAL_REFUSALS, Search, raise_incomplete
from harvest.lists import PLAIN, Columns
from harvest.prefetch import candidates_as_they_come, closing_searches
from harvest.selection import Selection
from harvest.source_worker import SharedQueue, SourceWorker
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
        if seen_by(self.state(origin, stamp)) is Seen.KNOWN:
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
    errors = preview.errors
    skipped: Counter[str] = Counter()
    ended_early: list[tuple[str, str, GleansetError]] = []
    for search in asked:
        workers, is_short = _preview_search(preview, search, client, limit, selection)
        for worker in workers:
            skipped.update(worker.results.skipped)
            if (error := worker.results.error) and is_short:
                ended_early.append((search.keyword, worker.source.name, error))
    names = dict.fromkeys(source.name for search in asked for source, _ in search.asked)
    if errors and not preview.new + preview.known and errors.keys() == names.keys():
        raise next(iter(errors.values()))
    told = {name: {"status": str(errors.get(name, "ok"))} for name in names}
    result = preview.result(skipped) | ({"sources": told} if errors else {})
    raise_incomplete(ended_early, result)
    return result


class PreviewedPlaces:
    """Stands in for an `Importer`: shows what would be downloaded, should all be images.

    `images` takes up their addresses, as an importer notes their hashes.
    """

    def __init__(self, view: Preview, images: set[str]) -> None:
        self._view = view
        self._images = images
        self.tally: Counter[str] = Counter()

    def seen(self, origin: Origin) -> Seen:
        """Return what is known of a place, and count it where it needs no download."""
        # What was shown would be there by now.
        state = "done" if origin.url in self._images else self._view.state(origin)
        if (seen := seen_by(state)) is Seen.KNOWN:
            self._view.known += 1
            if state == "done":
                self._images.add(origin.url or origin.key)
        return seen

    def met_again(self, origin: Origin) -> None:
        """Count a place that was shown before."""
        self._view.known += 1

    def take(self, candidate: Candidate) -> None:
        """Show a candidate, where no source has brought its address before."""
        self._images.add(candidate.url)
        self._view.take(candidate.url)


def _preview_search(
    preview: Preview, search: Search, client: Client, limit: int, selection: Selection
) -> tuple[list[SourceWorker[PreviewedPlaces]], bool]:
    """Return the workers, and whether they found less than the limit."""
    common: set[str] = set()
    wakes: SimpleQueue[None] = SimpleQueue()
    # As in a run: who refused for good is not asked for the next keyword.
    asked = [
        pair
        for pair in search.asked
        if not isinstance(preview.errors.get(pair[0].name), FINAL_REFUSALS)
    ]
    workers = [
        SourceWorker(
            pair,
            client,
            selection,
            common,
            partial(PreviewedPlaces, preview),
            lambda: wakes.put(None),
        )
        for pair in asked
    ]
    queue = SharedQueue(limit, workers, common)
    with closing_searches(workers, client):
        for candidate in candidates_as_they_come(queue.take, lambda: queue.asking, wakes):
            queue.places(candidate).take(candidate)
            queue.settled(candidate)
    preview.errors |= {w.source.name: error for w in workers if (error := w.results.error)}
    return workers, len(common) < limit


def preview_urls(
    preview: Preview,
    files: Iterable[Path],
    label: str | None,
    limit: int | None,
    columns: Columns = PLAIN,
) -> Result:
    """Show the addresses of some lists that were not visited yet, should all be images."""
    images: set[str] = set()
    places = PreviewedPlaces(preview, images)
    feed = IterableFeed(c for file in files for c in read_list(file, label, columns))
    queue = CandidateQueue(feed, places, images, limit)
    while (candidate := queue.take()) is not None:
        places.take(candidate)
        queue.settled(candidate)
    return preview.result()


def preview_folders(
    preview: Preview,
    places: tuple[Iterable[Path], Iterable[Path]],
    options: PictureOptions,
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
        for origin, stamp, _ in members(archive, options, ignored):
            take(f"{printable(archive)}:{origin.key.partition(':')[2]}", origin, stamp)
    more = ignored_summary(ignored) | unmatched_summary(options.unmatched) | dict(summary())
    return preview.result(more | ({"hints": dict(hinted)} if hinted else {}))


def preview_frames(
    preview: Preview,
    dataset: Dataset | None,
    sampling: Sampling,
    inputs: Iterable[VideoInput],
) -> Result:
    """Show the videos that would be sampled; the numbers."""
    return _FramesPreview(preview, dataset, sampling).over(inputs)


@dataclass
class _FramesPreview:
    """Shows the videos still to be sampled, one a line; says on the side what is wrong."""

    view: Preview
    dataset: Dataset | None
    sampling: Sampling
    numbers: dict[str, int] = field(default_factory=lambda: {"videos": 0})
    _met: set[str] = field(default_factory=set)

    def over(self, inputs: Iterable[VideoInput]) -> dict[str, object]:
        """Return the numbers."""
        for one in inputs:
            if isinstance(one, VideoFile):
                self._file(one)
            else:
                self._todo(one.shown)
        self.view.say(f"videos: {self.numbers['videos']}")
        return dict(self.numbers)

    def _file(self, video: VideoFile) -> None:
        # Only here: what samples videos takes as long to load as all the rest.
        from harvest.video.sampler import read_facts

        try:
            if self._is_known(sha256_of_file(video.path)):
                self._count("known")
                return
            read_facts(video.path)
        except OSError as error:
            self._wrong(video.shown, f"cannot be read: {error.strerror}")
        except Unreadable as error:
            self._wrong(video.shown, f"{error.reason}: {error.detail}")
        else:
            self._todo(video.shown)

    def _is_known(self, sha256: str) -> bool:
        """Return whether a video was sampled before, or is here a second time."""
        if sha256 in self._met:
            return True
        self._met.add(sha256)
        if self.dataset is None:
            return False
        return self.dataset.videos.done(sha256, self.sampling.settings) is not None

    def _todo(self, shown: str) -> None:
        self._count("videos")
        self.view.show(shown)

    def _wrong(self, shown: str, why: str) -> None:
        self._count("rejected")
        self.view.say(f"{shown}: {why}")

    def _count(self, what: str, number: int = 1) -> None:
        self.numbers[what] = self.numbers.get(what, 0) + number
