"""Static files of a page, and the cookie that replaces the token of a printed address."""

import mimetypes
from collections.abc import Mapping
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

# The system's table may lack these, or have older ones.
mimetypes.add_type("text/javascript", ".js")
mimetypes.add_type("text/javascript", ".mjs")
mimetypes.add_type("application/wasm", ".wasm")
YEAR_SECONDS = 31_536_000
SHARED_PAGE = Path(__file__).parent / "page"
"""Files that all pages load, at the same addresses as their own."""


class PageFiles(StaticFiles):
    """Static files of the page and the shared ones, revalidated on each use."""

    def __init__(self, folder: Path):
        super().__init__(directory=folder, html=True)
        self.all_directories.append(SHARED_PAGE)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, gzipped if possible."""
        is_accepted = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        # `tools/npm_parts.py` compresses the large files once.
        gzip_path = f"{path}.gz"
        # `lookup_path` also returns the status of the file; None for a missing one.
        is_gzipped = is_accepted and self.lookup_path(gzip_path)[1] is not None
        response = await super().get_response(
            gzip_path if is_gzipped else path,
            scope,
        )
        response.headers.update(
            {"cache-control": "no-cache", "vary": "accept-encoding"}
        )
        if is_gzipped:
            response.headers["content-encoding"] = "gzip"
        return response


def redirect_with_cookies(
    request: Request, page: str, cookies: Mapping[str, str]
) -> Response:
    """Redirect to a page and set cookies for this server only."""
    response = RedirectResponse(page, 303)
    # Strict: no request from another site carries the token.
    for name, value in cookies.items():
        response.set_cookie(
            name,
            value,
            max_age=YEAR_SECONDS,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
    return response
