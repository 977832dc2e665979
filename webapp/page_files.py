"""The page itself: our modules, the parts that npm fetched, and the network that finds faces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from webapp.guard import COOKIE
from webapp.service import Service
from webapp.settings import ServeSettings

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
        packed = self._packed(path, scope)
        answer = await super().get_response(packed or path, scope)
        answer.headers.update({"cache-control": "no-cache", "vary": "accept-encoding"})
        if kind := KINDS.get(Path(path).suffix):
            answer.headers["content-type"] = kind
        if packed:
            answer.headers["content-encoding"] = "gzip"
        return answer

    def _packed(self, path: str, scope: Scope) -> str | None:
        takes = "gzip" in Headers(scope=scope).get("accept-encoding", "")
        return f"{path}.gz" if takes and self.lookup_path(f"{path}.gz")[1] else None


PAGE_FILES = PageFiles()


def model_response(file: str, request: Request) -> Response:
    """Return a model file, or 304 where the browser has it as it is."""
    answer = PAGE_FILES.file_response(file, Path(file).stat(), request.scope)
    answer.headers["cache-control"] = "no-cache"
    if answer.status_code != 304:
        answer.headers["content-type"] = "application/octet-stream"
    return answer


async def _finder(request: Request) -> Response:
    service: Service = request.app.state.service
    return model_response(service.facts.finder, request)


async def _front(request: Request) -> Response:
    """Return the page; with `?token=`, first have the browser keep that and drop it from sight."""
    token = request.query_params.get("token")
    if token is None:
        return await PAGE_FILES.get_response("index.html", request.scope)
    service: Service = request.app.state.service
    # A good one that the browser has stays.
    good = {COOKIE: token} if service.settings.lets_in(token) else {}
    return with_cookies(request, "./", good)


def with_cookies(request: Request, page: str, cookies: Mapping[str, str]) -> Response:
    """Return the way to a page, with cookies that only this server gets."""
    answer = RedirectResponse(page, 303)
    secure = request.url.scheme == "https"
    for name, value in cookies.items():
        answer.set_cookie(name, value, YEAR, secure=secure, httponly=True, samesite="strict")
    return answer


def manifest_for(settings: ServeSettings, *, of_faces: bool) -> bytes:
    """Return what a phone must know to install the page: under its own title, if it has one."""
    manifest = msgspec.json.decode((PAGE / MANIFEST).read_bytes(), type=dict[str, object])
    title = settings.web.title or ("Who is this?" if of_faces else "What is this?")
    return msgspec.json.encode(manifest | {"name": title, "short_name": title})


async def _manifest(request: Request) -> Response:
    service: Service = request.app.state.service
    data = manifest_for(service.settings, of_faces=service.facts.of_faces)
    return Response(data, 200, {"cache-control": "no-cache"}, KINDS[".webmanifest"])


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
