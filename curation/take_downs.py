"""Taking pictures out of a dataset for good: `gleanset forget`, and what visitors ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urldefrag

from gleanset import Dataset
from gleanset.db.images import possible_starts
from gleanset.db.maintenance import Maintenance
from gleanset.db.snapshots import Snapshots
from gleanset.db.visitors import (
    ACCEPTED,
    REFUSED,
    AlikeImage,
    Reports,
    TakeDownRequest,
    TakeDownRequests,
    TakeDownWish,
)
from gleanset.errors import UsageError
from gleanset.files.store import Store
from gleanset.operations import FINAL, operation


@dataclass(frozen=True, slots=True)
class TakeDown:
    """What is to go: hashes of images, and how many samples and decisions hang on them."""

    images: tuple[str, ...]
    samples: int

    def result(self) -> dict[str, object]:
        """As a command returns it."""
        return {"images": len(self.images), "samples": self.samples}


def plan_take_down(
    dataset: Dataset, images: Sequence[str], origins: Sequence[str], authors: Sequence[str]
) -> TakeDown:
    """Return every image that is named, by itself, by a place it was found at, or by its author.

    One that only a snapshot has is named by its whole hash, or by place or author.

    A picture that is only in a report from the web can be named by itself, too.

    Raises `UsageError` for a name that nothing answers to: a take-down must not fail
    silently. One that was forgotten before may be named again.
    """
    upkeep = Maintenance(dataset.db)
    chosen: dict[str, None] = {}
    with Snapshots(dataset.root).all_opened() as opened:
        catalogues = [upkeep, *map(Maintenance, opened)]
        for text in images:
            is_known = any(catalogue.has_hash(text.lower()) for catalogue in catalogues)
            chosen[text.lower() if is_known else _named(dataset, text)] = None
        for text in origins:
            hashes = [sha256 for catalogue in catalogues for sha256 in catalogue.found_at(text)]
            chosen |= dict.fromkeys(_some(hashes, f"was found at {text!r}"))
        for text in authors:
            hashes = [sha256 for catalogue in catalogues for sha256 in catalogue.made_by(text)]
            chosen |= dict.fromkeys(_some(hashes, f"is by {text!r}"))
    if not chosen:
        raise UsageError("nothing to forget", "name it: --image, --origin or --author")
    return TakeDown(tuple(chosen), sum(len(upkeep.sample_keys(image)) for image in chosen))


def take_down(dataset: Dataset, plan: TakeDown, reason: str) -> None:
    """Remove the bytes and the rows, those of snapshots too; a tombstone keeps each away.

    The files go first and the rows last, in one transaction, so that a take-down that was
    stopped can be given again, and no harvest brings a file back in between. Exports and runs
    made earlier are not touched.
    """
    reports = Store(dataset.root / "web" / "reports", dataset.cache)
    for sha256 in plan.images:
        with dataset.db.write():
            for file in reports.named(sha256):
                file.unlink(missing_ok=True)
            dataset.remove_image(sha256, reason)
    for key in Snapshots(dataset.root).erase_forgotten(dataset.db):
        dataset.crop_path(key).unlink(missing_ok=True)


def _named(dataset: Dataset, text: str) -> str:
    """Return the picture that is meant: an image, or one that only a report is about."""
    if dataset.images.buried(text.lower()) is not None:
        return text.lower()
    meant, starts = dataset.images.meant(text), possible_starts(text)
    reported = {sha256 for start in starts for sha256 in Reports(dataset.db).pictures(start)}
    reported.difference_update(meant)
    if not reported:
        return dataset.images.resolve(text).sha256
    if len(reported) == 1 and not meant:
        return reported.pop()
    raise UsageError(
        f"several pictures are meant by {text!r}", f"say more, for instance {reported.pop()}"
    )


def _some(images: list[str], by_what: str) -> list[str]:
    if not images:
        raise UsageError(
            f"no image of this dataset {by_what}", "see: gleanset list images, field origins"
        )
    return images


class MeantPictures(NamedTuple):
    """Hashes of pictures that a request means for certain, and those that look like its picture."""

    same: tuple[str, ...]
    alike: tuple[AlikeImage, ...]


class SettledTakeDown(NamedTuple):
    """The step of the journal, and the requests that it settled."""

    step: int
    requests: tuple[int, ...]


def meant_by(dataset: Dataset, wish: TakeDownWish) -> MeantPictures:
    """Return the pictures of the dataset that a request means. What a visitor typed is only
    compared with what origins say.
    """
    upkeep, same = Maintenance(dataset.db), dict[str, None]()
    for spelling in _spellings(wish.page) if wish.page else ():
        same |= dict.fromkeys(upkeep.found_at(spelling))
    if wish.sha256 and _is_here(dataset, wish.sha256):
        same[wish.sha256] = None
    alike = TakeDownRequests(dataset.db).alike(wish.phash) if wish.phash is not None else []
    return MeantPictures(tuple(same), tuple(one for one in alike if one.sha256 not in same))


def accept_take_down(dataset: Dataset, number: int, plan: TakeDown) -> SettledTakeDown:
    """Take pictures down as a request asks. Nothing takes that back.

    Other requests that mean no other pictures are settled as well. Raises `UsageError` for a
    request that does not wait.
    """
    requests = TakeDownRequests(dataset.db)
    (asked,) = requests.waiting_ones([number])
    taken = {*plan.images}
    with dataset.db.write():
        others = [one for one in requests.each() if _means_only(dataset, one, taken)]
        numbers = tuple(dict.fromkeys((asked.id, *(one.id for one in others))))
        step = dataset.journal.step(operation(FINAL, count=len(taken)), [])
        requests.settle(step, numbers, ACCEPTED)
        take_down(dataset, plan, f"take-down request {number}")
    return SettledTakeDown(step, numbers)


def refuse_take_downs(dataset: Dataset, numbers: Sequence[int]) -> SettledTakeDown:
    """Refuse requests, in one step that can be undone. Raises `UsageError`."""
    requests = TakeDownRequests(dataset.db)
    refused = tuple(one.id for one in requests.waiting_ones(numbers))
    with dataset.db.write():
        step = dataset.journal.step(operation("refuse-take-downs", count=len(refused)), [])
        requests.settle(step, refused, REFUSED)
    return SettledTakeDown(step, refused)


def waiting_request(dataset: Dataset, number: int) -> TakeDownRequest:
    """Return a request that waits. Raises `UsageError` for any other."""
    return TakeDownRequests(dataset.db).waiting_ones([number])[0]


def _means_only(dataset: Dataset, request: TakeDownRequest, taken: set[str]) -> bool:
    same = meant_by(dataset, request.wish._replace(phash=None)).same
    return bool(same) and taken.issuperset(same)


def _is_here(dataset: Dataset, sha256: str) -> bool:
    return bool(dataset.images.row_id(sha256) or Reports(dataset.db).pictures(sha256))


def _spellings(page: str) -> Iterator[str]:
    """Yield an address, and as others may have spelled it: http or https, with or without a slash
    at its end and what follows a `#`.
    """
    rest = page.partition("://")[2]
    plain = urldefrag(rest).url.rstrip("/")
    for scheme in ("https", "http"):
        yield from (f"{scheme}://{one}" for one in dict.fromkeys((rest, plain, f"{plain}/")))
