"""What `labeler import` is asked."""

from __future__ import annotations

from typing import Annotated, ClassVar

from gleanset.config import Param
from gleanset.file_groups import GROUP_BY_HELP, GroupBy
from gleanset.files.names import LEVEL_HELP
from gleanset.request import Count, Request, WorkerCount

SOURCE = "import"
"""The source of imported images, and the provenance of their labels."""


def _checked_groups(text: str) -> str:
    return str(GroupBy.parse(text))


class ImportRequest(Request, frozen=True, kw_only=True):
    """Arguments of `labeler import`."""

    COMMAND: ClassVar[str] = "labeler import"

    path: Annotated[str, Param(argument=True, required=True, path=True)]
    class_level: Annotated[Count | None, Param(LEVEL_HELP, metavar="N")] = None
    group_by: Annotated[
        str | None,
        Param(GROUP_BY_HELP, metavar="folder|REGEX", parse=_checked_groups),
    ] = None
    workers: Annotated[WorkerCount | None, Param("Worker processes.")] = None
