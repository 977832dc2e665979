"""Lists of URLs: each line becomes a candidate, which is downloaded and recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.records import Candidate, Origin
from gleanset.work.progress import Progress
from harvest.downloads import CandidateQueue, Downloader, IterableFeed
from harvest.http import Client

STAGE = "harvest-urls"


def harvest_urls(
    dataset: Dataset,
    files: Iterable[Path],
    open_client: Callable[[], Client],
    *,
    label: str | None = None,
    limit: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Download every URL of some lists; return the counts of what happened.

    `limit` is the number of distinct images to stop at, `threads` that of requests at a time.
    Raises `InputUnusable` for a list that is not there.
    """
    lists = [checked_list(file) for file in files]
    images: set[str] = set()
    with dataset.stage(STAGE) as scratch, open_client() as client:
        downloader = Downloader(dataset, client, scratch, threads, progress)
        # Without a limit the images are not asked for, and a list may be long.
        importer = downloader.importer(STAGE, None if limit is None else images)
        candidates = (c for file in lists for c in read_list(file, label))
        feed = IterableFeed(importer.looked_up(candidates, "urls"))
        queue = CandidateQueue(feed, importer, images, limit)
        downloader.run(queue, importer.take_download, "images", limit)
        importer.finish()
    return importer.result()


def checked_list(file: Path) -> Path:
    """Return the file itself. Raises `InputUnusable` where there is none."""
    if not file.is_file():
        raise InputUnusable(f"there is no file {file}", "check its name")
    return file


def read_list(file: Path, label: str | None) -> Iterator[Candidate]:
    """Yield the candidates of a list, read lazily: one URL a line, then perhaps a tab and a hint.

    `#` begins a comment. Raises `InputUnusable` for a file that may not be read.
    """
    for url, hint in read_lines(file, label):
        yield Candidate(url, Origin("urls", url, url=url, hint=hint))


def read_lines(file: Path, label: str | None) -> Iterator[tuple[str, str | None]]:
    """Yield what stands on each line, with the label after its tab or else `label`."""
    try:
        # Some Windows programs begin a file with a mark; `utf-8-sig` reads over it.
        opened = file.open(encoding="utf-8-sig", errors="backslashreplace")
    except OSError as error:
        raise InputUnusable(f"cannot read {file}: {error.strerror}", "chmod u+r it") from error
    with opened as lines:
        for line in lines:
            text, _, hint = line.strip().partition("\t")
            if text and not text.startswith("#"):
                yield text.strip(), hint.strip() or label
