"""Removing images from a dataset for good: `gleanset forget`."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from gleanset import Dataset
from gleanset.command_result import CommandResult
from gleanset.db.images import Images, list_hash_prefixes
from gleanset.db.maintenance import Maintenance
from gleanset.db.reports import REMOVAL, STATUSES, Report
from gleanset.errors import UsageError
from gleanset.html.words import count
from gleanset.named_files import shorten_list


class RemovalCounts(CommandResult):
    """Numbers of images and samples that a removal concerns."""

    images: int
    samples: int
    in_test: int = 0
    reports: int = 0


class RemovalPreview(CommandResult):
    """What a removal would remove: `list` has the name of each image by its hash."""

    ONLY_PRINTED = ("description",)

    would_forget: RemovalCounts
    list: dict[str, str]
    description: str

    def summary(self) -> dict[str, Any]:
        """Return what would be removed in words, and the first images."""
        return {
            "would forget": self.description,
            "images": shorten_list([*self.list.values()]),
        }


class RemovalResult(CommandResult):
    """What a removal has removed."""

    ONLY_PRINTED = ("description",)

    forgotten: RemovalCounts
    description: str

    def summary(self) -> dict[str, Any]:
        """Return what was removed in words."""
        return {"forgotten": self.description}


class RemovalPlan(NamedTuple):
    """Hashes of images to remove, numbers of their samples, and all reports about them."""

    images: tuple[str, ...]
    samples: int
    in_test: int
    reports: tuple[Report, ...]

    def describe(self) -> str:
        """Return what is removed, in words."""
        images = count(len(self.images), "image")
        samples = count(self.samples, "sample")
        samples += f" ({self.in_test:,} in test)" if self.in_test else ""
        if not self.reports:
            return f"{images} and {samples}"
        statuses = Counter(report.status for report in self.reports)
        numbers = ", ".join(f"{number} {status}" for status, number in statuses.items())
        return (
            f"{images}, {samples} and {count(len(self.reports), 'report')} ({numbers})"
        )

    def counts(self) -> RemovalCounts:
        """Return the counts as the command's result has them."""
        return RemovalCounts(
            images=len(self.images),
            samples=self.samples,
            in_test=self.in_test,
            reports=len(self.reports),
        )


def plan_removal(
    dataset: Dataset,
    images: Sequence[str],
    origins: Sequence[str],
    authors: Sequence[str],
    reports: Sequence[int] = (),
) -> RemovalPlan:
    """Collect the images with a given name, origin, author or removal report.

    `images` are hashes, beginnings of hashes or paths, also of images that are only in a web
    report. An image that is only in a snapshot must be given by its full hash, origin or author.
    `reports` are numbers of removal reports and mean their image.

    Raises `UsageError` for a name without an image, because a removal must not fail silently. An
    image that was already removed is accepted.
    """
    hashes: dict[str, None] = {}  # a set in the order of the arguments
    with dataset.snapshots.open_all() as snapshots:
        databases = [dataset.db, *snapshots]
        catalogues = list(map(Maintenance, databases))
        for text in images:
            sha256 = text.lower()
            # An image that is only in a snapshot is found by its full hash alone.
            if not any(Images(db).get_id(sha256) for db in databases):
                sha256 = _resolve_image(dataset, text)
            hashes[sha256] = None

        hashes |= dict.fromkeys(
            _find_images(
                catalogues, origins, Maintenance.find_by_origin, "was found at"
            )
        )
        hashes |= dict.fromkeys(
            _find_images(catalogues, authors, Maintenance.find_by_author, "is by")
        )

    for report in dataset.reports.get_pending(reports):
        if report.claim.kind != REMOVAL:
            raise UsageError(
                f"report {report.id} does not ask for a removal",
                f"webapp reports refuse {report.id} {dataset.option}",
            )
        if report.claim.sha256:
            hashes[report.claim.sha256] = None

    if not hashes:
        raise UsageError("nothing to forget", "name it: --image, --origin or --author")
    maintenance = Maintenance(dataset.db)
    keys: list[str] = []
    for sha256 in hashes:
        keys += maintenance.list_sample_keys(sha256)
    samples = filter(None, map(dataset.samples.get, keys))
    all_reports = chain.from_iterable(map(dataset.reports.iterate, STATUSES))
    return RemovalPlan(
        tuple(hashes),
        samples=len(keys),
        in_test=sum(sample.split == "test" for sample in samples),
        reports=tuple(
            report
            for report in all_reports
            if report.claim.sha256 in hashes or report.id in reports
        ),
    )


def remove_images(dataset: Dataset, plan: RemovalPlan, reason: str) -> None:
    """Remove files and rows, also from snapshots; repeatable after interruptions."""
    reports = dataset.report_images()
    for sha256 in plan.images:
        with dataset.db.transaction():
            reports.remove_files(sha256)
            dataset.remove_image(sha256, reason)

    with dataset.db.transaction():
        dataset.reports.remove(report.id for report in plan.reports)

    # Samples that only a snapshot has left still have their crops.
    for key in dataset.snapshots.erase_forgotten(dataset.db):
        dataset.remove_crop(key)


def _resolve_image(dataset: Dataset, text: str) -> str:
    # An image that was removed before is accepted.
    if dataset.images.get_tombstone(text.lower()) is not None:
        return text.lower()
    matches = dataset.images.find_matches(text)
    report_images = set[str]()
    for start in list_hash_prefixes(text):
        report_images.update(dataset.reports.find_images(start))
    report_images.difference_update(matches)
    if not report_images:
        return dataset.images.resolve(text).sha256
    if len(report_images) == 1 and not matches:
        return report_images.pop()

    raise UsageError(
        f"several images match {text!r}",
        f"give more of it, for instance {report_images.pop()}",
    )


def _find_images(
    catalogues: list[Maintenance],
    texts: Sequence[str],
    find: Callable[[Maintenance, str], list[str]],
    words: str,
) -> Iterator[str]:
    """Yield the hashes that `find` returns for each text in the catalogues. Raises `UsageError`."""
    for text in texts:
        hashes: list[str] = []
        for catalogue in catalogues:
            hashes += find(catalogue, text)
        if not hashes:
            raise UsageError(
                f"no image of this dataset {words} {text!r}",
                "list images with their authors and pages: gleanset list images",
            )
        yield from hashes
