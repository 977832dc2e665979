"""What `labeler gallery` is asked, and which samples that means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec

from gleanset.config import Param
from gleanset.errors import InputUnusable, UsageError
from gleanset.request import Request

if TYPE_CHECKING:
    from gleanset import Dataset
    from gleanset.records import Sample

Status = Literal["queue", "labelled", "rejected", "retired"]


def _checked_scores(text: str) -> str:
    try:
        low, high = map(float, text.split(":"))
    except ValueError:
        raise UsageError(f"{text!r} is no range of scores", "write for instance 0:0.5") from None
    return f"{low:g}:{high:g}"


class GalleryRequest(Request, frozen=True, kw_only=True):
    """`labeler gallery`: which samples it shows, those in which everything holds that is asked for.

    Nothing asked for, or classes (`names`) alone, means labelled ones; else all that are found
    still.
    """

    COMMAND: ClassVar[str] = "labeler gallery"

    names: Annotated[
        tuple[str, ...],
        Param(
            "Only this class; may be repeated.",
            metavar="NAME",
            option="--class",
        ),
    ] = ()
    hint: Annotated[str | None, Param("Samples that came with this hint.")] = None
    status: Annotated[
        Status | None,
        Param("Samples of this status. Default: labelled; with other conditions all but retired."),
    ] = None
    detector: Annotated[
        str | None,
        Param("Samples that this detector found.", metavar="NAME"),
    ] = None
    score: Annotated[
        str | None,
        Param(
            "Samples of which the detector was so sure, such as 0:0.5.",
            metavar="LOW:HIGH",
            parse=_checked_scores,
        ),
    ] = None
    stacks: Annotated[
        bool, Param("Show what waits, in the stacks of look-alikes of a presort.")
    ] = False
    with_reports: Annotated[
        bool, Param("Also show images that users of the page sent with a report.")
    ] = False
    limit: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=20_000)],
        Param(
            "Samples that are shown, of each class a like share; what is marked comes first.",
            show_default=True,
        ),
    ] = 2000

    def __post_init__(self) -> None:
        """Raise `UsageError` for conditions on stacks."""
        super().__post_init__()
        if self.stacks and (self.names or not self.by_label):
            raise UsageError("what is in a stack has no class yet", "leave the conditions out")

    @property
    def by_label(self) -> bool:
        """Whether labelled samples are meant, and nothing else is asked of them."""
        return (self.hint, self.status, self.detector, self.score) == (None,) * 4

    def private_images(self, dataset: Dataset) -> frozenset[str]:
        """Return the hashes of images that are not shown because users of the page sent them."""
        return frozenset() if self.with_reports else dataset.images.only_reported()

    def sections(self, dataset: Dataset) -> dict[str, list[Sample]]:
        """Return the samples by what stands above them: their class, else their hint.

        Raises `InputUnusable` where nothing fits, `UsageError` for a class that is not there.
        """
        status = "labelled" if self.by_label else self.status
        sections: dict[str, list[Sample]] = {}
        private = self.private_images(dataset)
        for sample in dataset.samples.each(status=status, hint=self.hint):
            if sample.kept and self._fits(sample) and sample.image not in private:
                sections.setdefault(_heading(sample), []).append(sample)
        if not sections and private and self.by_label:
            raise InputUnusable(
                "nothing to show: users of the page sent all labelled images with a report",
                "show them too: --with-reports",
            )
        if not sections and self.by_label:
            raise InputUnusable(
                "nothing has a label yet, so there are no classes",
                f"see what comes next: gleanset status {dataset.option}",
            )
        if unknown := [name for name in self.names if name not in sections]:
            raise UsageError(
                f"there is no class {unknown[0]!r} with such samples",
                f"there are: {', '.join(sections)}",
            )
        if not sections:
            raise InputUnusable(
                "no sample fits",
                f"ask for less, or see what there is: gleanset status {dataset.option}",
            )
        return {name: sections[name] for name in (dict.fromkeys(self.names) or sorted(sections))}

    def _fits(self, sample: Sample) -> bool:
        if sample.status == "retired" and self.status != "retired":
            return False
        if self.detector is not None and sample.detector != self.detector:
            return False
        if self.score is None:
            return True
        low, high = map(float, self.score.split(":"))
        return sample.score is not None and low <= sample.score <= high


def _heading(sample: Sample) -> str:
    return sample.label or (f"{sample.hint} (a hint)" if sample.hint else "without a class")
