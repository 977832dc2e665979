"""Arguments of `labeler import` and `labeler gallery`."""

from typing import Annotated, ClassVar, Literal

import msgspec

from gleanset.config import Param
from gleanset.errors import UsageError
from gleanset.file_groups import GroupByOption
from gleanset.files.names import LEVEL_HELP
from gleanset.request import Count, Encoding, Request, WorkerCount

SOURCE = "import"
"""The source of imported images, and the provenance of their labels."""


def normalize_collection_name(text: str) -> str:
    """Return a name on one line. Raises `UsageError` for an empty one."""
    name = " ".join(text.split())
    if not name:
        raise UsageError("the name of a set of images is empty", "leave out --name")
    return name


class ImportRequest(Request, frozen=True, kw_only=True):
    """Arguments of `labeler import`."""

    COMMAND: ClassVar[str] = "labeler import"

    path: Annotated[str, Param(argument=True, required=True, path=True)]
    class_level: Annotated[Count | None, Param(LEVEL_HELP, metavar="N")] = None
    group_by: GroupByOption = None
    name: Annotated[
        str | None,
        Param(
            "Name of this set of images in lists and cards. Default: that of its folder.",
            metavar="NAME",
            parse=normalize_collection_name,
        ),
    ] = None
    encoding: Encoding = None
    workers: Annotated[WorkerCount | None, Param("Worker processes.")] = None


class GalleryRequest(Request, frozen=True, kw_only=True):
    """Samples that `labeler gallery` shows; by default all labelled ones."""

    COMMAND: ClassVar[str] = "labeler gallery"

    names: Annotated[
        tuple[str, ...],
        Param("Only this class; repeatable.", metavar="NAME", option="--class"),
    ] = ()
    clusters: Annotated[
        bool,
        Param("Show unlabelled samples in the clusters of the latest prelabeling."),
    ] = False
    tracks: Annotated[
        bool,
        Param("Show unlabelled samples by track, the faces that an episode follows."),
    ] = False
    limit: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=20_000)],
        Param(
            "Maximum number of samples, divided equally among classes; label issues first.",
            show_default=True,
        ),
    ] = 2000

    def __post_init__(self) -> None:
        """Raise `UsageError` for a class of clusters or tracks, and for both."""
        super().__post_init__()
        if self.clusters and self.tracks:
            raise UsageError(
                "--clusters and --tracks are two pages",
                "leave one of them out",
            )
        if self.sections != "class" and self.names:
            raise UsageError(
                f"--{self.sections}s shows samples without a class", "leave out --class"
            )

    @property
    def sections(self) -> Literal["class", "cluster", "track"]:
        """What a section of the page shows."""
        if self.tracks:
            return "track"
        return "cluster" if self.clusters else "class"
