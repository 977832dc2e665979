"""Arguments of `labeler import` and `labeler serve`."""

from typing import Annotated, ClassVar

import msgspec

from gleanset.config import Param
from gleanset.errors import UsageError
from gleanset.file_groups import GroupByOption
from gleanset.files.names import LEVEL_HELP
from gleanset.request import Count, Encoding, Request, WorkerCount
from gleanset.web.listening import ListenRequest

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


class LabelerServeRequest(ListenRequest, frozen=True, kw_only=True):
    """Arguments of `labeler serve`."""

    COMMAND: ClassVar[str] = "labeler serve"

    invite: Annotated[
        str | None,
        Param("Print a link for this person, and end; a running server lets it in."),
    ] = None
    double: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=1)],
        Param(
            "Share of faces, 0 to 1, that a second person decides, too.",
            metavar="SHARE",
        ),
    ] = 0.0
    revoke: Annotated[str | None, Param("Let this person in no longer, and end.")] = (
        None
    )
