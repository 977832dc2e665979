"""The page itself: our modules, the parts that npm fetched, and the network that finds faces."""

from __future__ import annotations

from pathlib import Path

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from facecrop.detectors.drawnface import MODEL
from webapp.guard import COOKIE

PAGE = Path(__file__).parent / "page"
MANIFEST = "manifest.webmanifest"
FINDER = "/vendor/drawnface.onnx"
KINDS = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm"}
KINDS[".webmanifest"] = "application/manifest+json"
YEAR = 31_536_000


class PageFiles(StaticFiles):
    """Files of the page. A browser asks each time whether they have changed."""

    def __init__(self) -> None:
        super().__init__(directory=PAGE, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, as its packed copy where there is one and the browser takes it."""
        kind = KINDS.get(Path(path).suffix)
        packed = self._packed(path, scope)
        answer = await super().get_response(packed or path, scope)
        if kind:
            answer.headers["content-type"] = kind
        if packed:
            answer.headers["content-encoding"] = "gzip"
        answer.headers["cache-control"] = "no-cache"
        answer.headers["vary"] = "accept-encoding"
        return answer

    def _packed(self, path: str, scope: Scope) -> str | None:
        """Return the smaller copy of a file, if there is one and the browser can unpack it."""
        takes = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        return f"{path}.gz" if takes and self.lookup_path(f"{path}.gz")[1] else None


PAGE_FILES = PageFiles()


async def _finder(_: Request) -> Response:
    return FileResponse(
        MODEL, media_type="application/octet-stream", headers={"cache-control": "no-cache"}
    )


async def _front(request: Request) -> Response:
    """Return the page; with `?token=`, first have the browser keep that and drop it from sight."""
    token = request.query_params.get("token")
    if token is None:
        return await PAGE_FILES.get_response("index.html", request.scope)
    answer = RedirectResponse(str(request.url.replace(query="")), 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, token, YEAR, secure=secure, httponly=True, samesite="strict")
    return answer


async def _manifest(request: Request) -> Response:
    """Return what a phone must know to install the page: under its own title, if it has one."""
    manifest = msgspec.json.decode((PAGE / MANIFEST).read_bytes(), type=dict[str, object])
    worker = request.app.state.worker
    of_faces = worker.models.now.model.cropping.read.detector is not None
    title = worker.settings.web.title or ("Who is this?" if of_faces else "What is this?")
    manifest |= {"name": title, "short_name": title}
    return Response(
        msgspec.json.encode(manifest),
        media_type=KINDS[".webmanifest"],
        headers={"cache-control": "no-cache"},
    )


async def _shared(_: Request) -> Response:
    """Answer a share that no service worker has taken: the page is opened without it."""
    return RedirectResponse("./", 303)


def page_routes() -> list[Route]:
    """Return what is answered besides files."""
    return [
        Route("/", _front),
        Route(FINDER, _finder),
        Route(f"/{MANIFEST}", _manifest),
        Route("/share", _shared, methods=["POST"]),
    ]
