"""Taking pictures out of a dataset for good: `gleanset forget`, and requests from the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gleanset import Dataset
from gleanset.db.images import possible_starts
from gleanset.db.maintenance import Maintenance
from gleanset.db.visitors import Reports
from gleanset.errors import UsageError
from gleanset.files.store import Store


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

    A picture that is only in a report from the web can be named by itself, too.

    Raises `UsageError` for a name that nothing answers to: a take-down must not fail
    silently. One that was forgotten before may be named again.
    """
    upkeep = Maintenance(dataset.db)
    chosen: dict[str, None] = {}
    for text in images:
        chosen[_named(dataset, text)] = None
    for text in origins:
        chosen |= dict.fromkeys(_some(upkeep.found_at(text), f"was found at {text!r}"))
    for text in authors:
        chosen |= dict.fromkeys(_some(upkeep.made_by(text), f"is by {text!r}"))
    if not chosen:
        raise UsageError("nothing to forget", "name it: --image, --origin or --author")
    return TakeDown(tuple(chosen), sum(len(upkeep.sample_keys(image)) for image in chosen))


def take_down(dataset: Dataset, plan: TakeDown, reason: str) -> None:
    """Remove the bytes and the rows; a tombstone of each keeps it from coming back.

    The files go first and the rows last, in one transaction, so that a take-down that was
    stopped can be given again, and no harvest brings a file back in between. Exports and runs
    made earlier are not touched.
    """
    upkeep = Maintenance(dataset.db)
    originals = dataset.originals(dataset.cache)
    reports = Store(dataset.root / "web" / "reports", dataset.cache)
    for sha256 in plan.images:
        with dataset.db.write():
            for key in upkeep.sample_keys(sha256):
                dataset.crop_path(key).unlink(missing_ok=True)
            for store in (originals, reports):
                for file in store.named(sha256):
                    file.unlink(missing_ok=True)
            upkeep.forget(sha256, reason)


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


def _some(found: list[str], told: str) -> list[str]:
    if not found:
        raise UsageError(
            f"no image of this dataset {told}", "see: gleanset list images, field origins"
        )
    return found
