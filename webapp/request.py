"""Arguments of `webapp serve` and `webapp export`."""

from typing import Annotated

import msgspec

from facecrop.request import ModelDetector
from gleanset.config import Param
from gleanset.credit import validate_page_url
from gleanset.request import Request, WorkerCount
from gleanset.web.listening import ListenRequest
from webapp.settings import RequestLimits


def parse_origin(text: str) -> str:
    """Return the site of a page as browsers send it, without a path. Raises `UsageError`."""
    return "/".join(validate_page_url(text.lower()).split("/")[:3])


class ServeRequest(ListenRequest, frozen=True, kw_only=True):
    """Arguments of `webapp serve`."""

    COMMAND = "webapp serve"

    run: Annotated[str | None, Param(argument=True)] = None
    workers: Annotated[
        WorkerCount | None, Param("Compute processes. Default: 1 per core.")
    ] = None
    allow_origin: Annotated[
        tuple[str, ...],
        Param(
            "Allow pages of this site (CORS), such as https://example.org.",
            metavar="ORIGIN",
            parse=parse_origin,
        ),
    ] = ()
    public: Annotated[bool, Param("Do not ask for a token.")] = False
    admin: Annotated[
        bool,
        Param(
            "Also serve the administrator's page, to accept and refuse reports. It needs the "
            "token in $GLEANSET_ADMIN_TOKEN; without it, one is created and printed."
        ),
    ] = False
    on_device: Annotated[
        bool | None,
        Param(
            "Let users download the model and run it in the browser. Default: yes.",
            opposite="--not-on-device",
        ),
    ] = None
    per_minute: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1_000_000)],
        Param("Requests per minute and address.", show_default=True),
    ] = RequestLimits().per_minute
    detector: ModelDetector = None


class StaticPageRequest(Request, frozen=True, kw_only=True):
    """Arguments of `webapp export`."""

    COMMAND = "webapp export"

    folder: Annotated[str, Param(argument=True, required=True, path=True)]
    run: Annotated[str | None, Param(argument=True)] = None
    detector: ModelDetector = None
