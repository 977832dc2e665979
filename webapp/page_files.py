"""Routes of the page: its files, npm packages, and the face detector for browsers."""

from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gleanset.web.page_files import PageFiles, redirect_with_cookies
from webapp.guard import COOKIE
from webapp.service import get_service
from webapp.settings import ServeSettings

PAGE = Path(__file__).parent / "page"
MANIFEST = "manifest.webmanifest"
FINDER = "/vendor/drawnface.onnx"
PAGE_FILES = PageFiles(PAGE)


def make_model_response(file: str, request: Request) -> Response:
    """Return a model file, or 304 if the browser has it."""
    response = PAGE_FILES.file_response(
        file,
        Path(file).stat(),
        request.scope,
    )
    response.headers["cache-control"] = "no-cache"
    if response.status_code != 304:
        response.headers["content-type"] = "application/octet-stream"
    return response


async def _get_finder(request: Request) -> Response:
    return make_model_response(get_service(request).facts.finder, request)


async def _get_front_page(request: Request) -> Response:
    """Return the page; store `?token=` in a cookie first, to remove it from the URL."""
    token = request.query_params.get("token")
    if token is None or not get_service(request).settings.lets_in(token):
        return await PAGE_FILES.get_response("index.html", request.scope)
    return redirect_with_cookies(request, "./", {COOKIE: token})


def make_manifest(settings: ServeSettings, *, of_faces: bool) -> bytes:
    """Return the web app manifest, with the title of the page."""
    manifest = msgspec.json.decode(
        (PAGE / MANIFEST).read_bytes(),
        type=dict[str, object],
    )
    title = settings.web.title or ("Who is this?" if of_faces else "What is this?")
    return msgspec.json.encode(manifest | {"name": title, "short_name": title})


async def _get_manifest(request: Request) -> Response:
    service = get_service(request)
    return Response(
        make_manifest(service.settings, of_faces=service.facts.of_faces),
        200,
        {"cache-control": "no-cache"},
        "application/manifest+json",
    )


async def _open_after_share(_: Request) -> Response:
    """Open the page after a share that no service worker received."""
    return RedirectResponse("./", 303)


def page_routes() -> list[Route]:
    """Return the routes that are not static files."""
    return [
        Route("/", _get_front_page),
        Route(FINDER, _get_finder),
        Route(f"/{MANIFEST}", _get_manifest),
        Route("/share", _open_after_share, methods=["POST"]),
    ]
