"""`--simulate` and `--get-urls`: what would be fetched, without fetching any of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from queue import SimpleQueue

from gleanset import Dataset
from gleanset.errors import GleansetError
from gleanset.records import Candidate, Origin
from harvest.archives import identified, members
from harvest.fair_share import FairShare, ImagesFound
from harvest.folder import printable, walk
from harvest.http import Client
from harvest.keyword import Search
from harvest.prefetch import Prefetch, SourceResults, candidates_as_they_come, closing_searches
from harvest.selection import Selection
from harvest.sources import Query, Source
from harvest.urls import checked_list, read_list

Show = Callable[[str], None]
Result = dict[str, object]


class Look:
    """One source asked for one keyword; `common` are the addresses of the keyword so far."""

    def __init__(
        self,
        asked: tuple[Source, Query],
        client: Client,
        selection: Selection,
        common: set[str],
        ring: Callable[[], None],
    ) -> None:
        source, query = asked
        self.name = source.name
        self.share = 0
        self.found = ImagesFound(common)
        self.results = SourceResults(source, query, client)
        search = self.results.search()
        self._asked = Prefetch(search, selection.among(search), ring)

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""
        return self._asked.ended

    @property
    def busy(self) -> bool:
        """Whether the site is being asked for more."""
        return self._asked.busy

    def take(self) -> Candidate | None:
        """The next candidate that its share wants."""
        missing = self.share - len(self.found)
        return self._asked.poll(missing) if missing > 0 else None

    def close(self) -> None:
        """End the search."""
        self._asked.close()


class Preview:
    """Shows what is new, and counts what is not; without a dataset everything is new."""

    def __init__(self, dataset: Dataset | None, show: Show) -> None:
        self._dataset = dataset
        self._show = show
        self.new = 0
        self.known = 0
        self.errors: dict[str, GleansetError] = {}

    def take(self, line: str, origin: Origin, stamp: str = "") -> bool:
        """Show what would be taken; whether an image of that place counts."""
        fetches = self._dataset.fetches if self._dataset else None
        state = fetches.state(origin.source, origin.key, stamp) if fetches else None
        if state in ("done", "rejected"):
            self.known += 1
        else:
            self.new += 1
            self._show(line)
        return state != "rejected"

    def result(self) -> Result:
        """The numbers."""
        return {"candidates": self.new, **({"known": self.known} if self.known else {})}


def preview_searches(
    preview: Preview, asked: Sequence[Search], client: Client, limit: int, selection: Selection
) -> Result:
    """Show the addresses that would be downloaded, should all of them be images.

    Raises the first refusal when every source refused and nothing at all was found.
    """
    errors = preview.errors
    for search in asked:
        _look(preview, search, client, limit, selection)
    names = dict.fromkeys(source.name for search in asked for source, _ in search.asked)
    if errors and not preview.new + preview.known and errors.keys() == names.keys():
        raise next(iter(errors.values()))
    told = {name: {"status": str(errors.get(name, "ok"))} for name in names}
    return preview.result() | ({"sources": told} if errors else {})


def _look(
    preview: Preview, search: Search, client: Client, limit: int, selection: Selection
) -> None:
    common: set[str] = set()
    wakes: SimpleQueue[None] = SimpleQueue()
    made = [Look(pair, client, selection, common, lambda: wakes.put(None)) for pair in search.asked]
    looks = {look.name: look for look in made}
    with closing_searches(made, client):
        share = FairShare(limit, made, common)
        for candidate in candidates_as_they_come(share.take, lambda: share.asking, wakes):
            if candidate.url in common or preview.take(candidate.url, candidate.origin):
                looks[candidate.origin.source].found.add(candidate.url)
    preview.errors |= {name: error for name, look in looks.items() if (error := look.results.error)}


def preview_urls(
    preview: Preview, files: Iterable[Path], label: str | None, limit: int | None
) -> Result:
    """Show the addresses of some lists that were not visited yet, should all be images."""
    lists = [checked_list(file) for file in files]
    candidates = (candidate for file in lists for candidate in read_list(file, label))
    counting = 0
    for candidate in candidates:
        counting += preview.take(candidate.url, candidate.origin)
        if counting == limit:
            break
    return preview.result()


def preview_folders(
    preview: Preview,
    own: Path,
    trees: Iterable[Path],
    archives: Iterable[Path],
    *,
    hints: bool,
    label: str | None,
) -> Result:
    """Show the files that would be tried, and every member of the archives."""
    for tree in trees:
        for found in walk(tree, hints=hints, label=label, leave_out=own):
            preview.take(printable(found.path), found.origin, found.stamp)
    for archive in archives:
        for entry, origin, stamp in members(identified(archive), hints, label):
            preview.take(f"{printable(archive)}:{entry.name}", origin, stamp)
    return preview.result()
