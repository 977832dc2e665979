"""`--simulate` and `--get-urls`: what would be fetched, without fetching any of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import GleansetError, InputUnusable
from gleanset.records import Candidate, Origin
from harvest.folder import printable, walk
from harvest.http import Client
from harvest.keyword import Found, Search
from harvest.selection import Selection
from harvest.sharing import share_out
from harvest.sources import Query, Source
from harvest.unpack import open_archive
from harvest.urls import checked_list, read_list

Show = Callable[[str], None]
Result = dict[str, object]


class Look:
    """One source asked for one keyword; `met` are the addresses of the keyword so far."""

    def __init__(
        self, asked: tuple[Source, Query], client: Client, selection: Selection, met: set[str],
        take: Callable[[Candidate], bool],
    ) -> None:  # fmt: skip
        source, query = asked
        self.name = source.name
        self.ended = False
        self.found = Found(source, query, client)
        self._results = self.found.results()
        self._chosen = selection.among(self._results)
        self._met = met
        self._take = take

    def advance(self, share: int) -> None:
        """Pass on until `share` more addresses are there."""
        enough = len(self._met) + share
        while len(self._met) < enough and not self.ended:
            candidate = next(self._chosen, None)
            if candidate is None:
                self.ended = True
            elif candidate.url not in self._met and self._take(candidate):
                self._met.add(candidate.url)

    def close(self) -> None:
        """End the search."""
        self._results.close()


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
    met: set[str] = set()

    def take(candidate: Candidate) -> bool:
        return preview.take(candidate.url, candidate.origin)

    with ExitStack() as open_looks:
        looks = [
            open_looks.enter_context(closing(Look(pair, client, selection, met, take)))
            for pair in search.asked
        ]
        share_out(limit, looks, lambda: len(met))
    preview.errors |= {look.name: look.found.error for look in looks if look.found.error}


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
    preview: Preview, own: Path, trees: Iterable[Path], archives: Iterable[Path], *,
    hints: bool, label: str | None,
) -> Result:  # fmt: skip
    """Show the files that would be tried, and every member of the archives."""
    for tree in trees:
        if not tree.is_dir():
            raise InputUnusable(f"there is no folder {tree}", "check its name")
        for found in walk(tree.absolute(), hints=hints, label=label, leave_out=own):
            preview.take(printable(found.path), found.origin, found.stamp)
    for archive in archives:
        for entry in open_archive(archive):
            line = f"{printable(archive)}:{entry.name}"
            preview.take(line, Origin("archive", line))
    return preview.result()


def preview_frames(
    dataset: Dataset | None, show: Show, videos: Iterable[Path], every: float
) -> Result:
    """Show the videos that were not sampled like this yet."""
    todo = known = 0
    for video in videos:
        if not video.is_file():
            raise InputUnusable(f"there is no file {video}", "check its name")
        if dataset and dataset.videos.frames(_hash(video), f"every={every:g}"):
            known += 1
        else:
            todo += 1
            show(printable(video.absolute()))
    return {"videos": todo, **({"known": known} if known else {})}


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputUnusable(f"cannot read {path}: {error.strerror}", "chmod u+r it") from error
