"""What becomes of requests to take a picture down: what they mean, accepted or refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urldefrag

from curation.take_down import TakeDown, take_down
from gleanset import Dataset
from gleanset.db.maintenance import Maintenance
from gleanset.db.visitors import (
    ACCEPTED,
    PENDING,
    REFUSED,
    AlikeImage,
    Reports,
    TakeDownRequest,
    TakeDownRequests,
    TakeDownWish,
)
from gleanset.errors import UsageError
from gleanset.operations import FINAL, operation


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
    (asked,) = _waiting(requests, [number])
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
    refused = tuple(one.id for one in _waiting(requests, numbers))
    with dataset.db.write():
        step = dataset.journal.step(operation("refuse-take-downs", count=len(refused)), [])
        requests.settle(step, refused, REFUSED)
    return SettledTakeDown(step, refused)


def waiting_request(dataset: Dataset, number: int) -> TakeDownRequest:
    """Return a request that waits. Raises `UsageError` for any other."""
    return _waiting(TakeDownRequests(dataset.db), [number])[0]


def _waiting(requests: TakeDownRequests, numbers: Sequence[int]) -> list[TakeDownRequest]:
    found = []
    for number in dict.fromkeys(numbers):
        one = requests.get(number)
        if one is None or one.status != PENDING:
            raise UsageError(f"request {number} does not wait", "see: gleanset list takedowns")
        found.append(one)
    return found


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
