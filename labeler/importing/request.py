"""What `labeler import` is asked."""

from __future__ import annotations

from typing import Annotated, ClassVar

from gleanset.config import Param
from gleanset.file_groups import GroupByOption
from gleanset.files.names import LEVEL_HELP
from gleanset.request import Count, Request, WorkerCount

SOURCE = "import"
"""The source of imported images, and the provenance of their labels."""


class ImportRequest(Request, frozen=True, kw_only=True):
    """Arguments of `labeler import`."""

    COMMAND: ClassVar[str] = "labeler import"

    path: Annotated[str, Param(argument=True, required=True, path=True)]
    class_level: Annotated[Count | None, Param(LEVEL_HELP, metavar="N")] = None
    group_by: GroupByOption = None
    workers: Annotated[WorkerCount | None, Param("Worker processes.")] = None
