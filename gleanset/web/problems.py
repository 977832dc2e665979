"""Error responses: `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from gleanset.errors import Unreadable

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


class RefusedRequest(Exception):
    """A refused request: `reason` is for programs, `detail` and `fix` are for people.

    `facts` are further members of the answer, for programs.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str,
        fix: str,
        headers: Mapping[str, str] | None = None,
        facts: Mapping[str, object] | None = None,
    ):
        # All arguments, because the error is pickled between processes.
        super().__init__(status, reason, detail, fix, headers, facts)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.fix = fix
        self.headers = dict(headers or {})
        self.facts = dict(facts or {})

    def response(self) -> Response:
        """Return the HTTP response."""
        from starlette.responses import Response  # not needed in compute processes

        body = msgspec.json.encode(
            {
                "type": "about:blank",
                "title": HTTPStatus(self.status).phrase,
                "status": self.status,
                "detail": self.detail,
                "reason": self.reason,
                "hint": self.fix,
            }
            | self.facts
        )
        return Response(
            body, self.status, self.headers, media_type="application/problem+json"
        )


def unreadable_error(image: Unreadable) -> RefusedRequest:
    """Return the error for an image that cannot be used."""
    return RefusedRequest(
        422,
        image.reason,
        image.detail,
        "send an image that opens in other programs, such as a JPEG or PNG",
    )


def busy_error(detail: str) -> RefusedRequest:
    """Return the error for a request that may be repeated soon."""
    return RefusedRequest(503, "busy", detail, "try again", {"retry-after": "1"})


async def answer_http_error(hint: str, request: Request, error: Exception) -> Response:
    """Return the response for an unknown address, with a hint, or for a wrong method.

    Starlette calls it with request and error, and awaits it; an app binds the hint by `partial`.
    """
    from starlette.exceptions import HTTPException
    from starlette.responses import Response

    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return RefusedRequest(404, "no such address", request.url.path, hint).response()

    headers = error.headers or {}
    if request.method == "OPTIONS":
        return Response(None, 204, headers)
    allowed = f"use {headers.get('Allow', '')}"
    return RefusedRequest(
        405, "wrong method", request.method, allowed, headers
    ).response()
