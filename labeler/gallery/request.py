"""What `labeler gallery` is asked."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from gleanset.config import Param
from gleanset.errors import UsageError
from gleanset.request import Request


class GalleryRequest(Request, frozen=True, kw_only=True):
    """`labeler gallery`: which samples it shows; by default all labelled ones."""

    COMMAND: ClassVar[str] = "labeler gallery"

    names: Annotated[
        tuple[str, ...],
        Param(
            "Only this class; may be repeated.",
            metavar="NAME",
            option="--class",
        ),
    ] = ()
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
        """Raise `UsageError` for a class of stacks."""
        super().__post_init__()
        if self.stacks and self.names:
            raise UsageError("what is in a stack has no class yet", "leave --class out")
