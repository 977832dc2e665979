"""JSON of requests and responses."""

from typing import Any, TypeVar

import msgspec
from starlette.responses import Response

from gleanset.web.problems import RefusedRequest

JSON = "application/json"
T = TypeVar("T")


def parse_json(text: str | bytes, kind: type[T], field: str, hint: str) -> T:
    """Parse JSON of a type. Raises `RefusedRequest`, which names the field."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise RefusedRequest(
            422,
            f"wrong {field}",
            str(error),
            hint,
        ) from None


def json_response(answer: Any) -> Response:
    """Return a response with JSON."""
    return Response(msgspec.json.encode(answer), media_type=JSON)
