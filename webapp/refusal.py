"""What a request is answered that cannot be served: always the same JSON, and never a traceback."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse


class RefusedRequest(Exception):
    """A request that is refused. `reason` is one of few, `detail` and `mend` are for a person."""

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str = "",
        mend: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, reason, detail)
        self.status, self.reason, self.detail, self.mend = status, reason, detail, mend
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """Return the answer."""
        told = {"reason": self.reason, "detail": self.detail, "mend": self.mend}
        return JSONResponse({"error": told}, self.status, self.headers)
