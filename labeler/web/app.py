"""The application of `labeler serve`: its addresses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gleanset.db.opinions import count_decided
from gleanset.errors import Unreadable
from gleanset.files.store import Store
from gleanset.web.json_bodies import json_response, parse_json
from gleanset.web.page_files import YEAR_SECONDS, PageFiles, redirect_with_cookies
from gleanset.web.problems import RefusedRequest, answer_http_error
from gleanset.web.rate_limit import RateLimit
from gleanset.web.settings import AccessSettings
from labeler.sorting.sample_images import (
    THUMBNAIL_SIDES,
    ThumbnailCache,
    whole_image,
)
from labeler.web.access import (
    PERSON,
    TOKEN,
    Invitations,
    PersonGuard,
    check_owner,
    cookie_name,
    no_access_error,
)
from labeler.web.api_models import SentStep
from labeler.web.sharing import SharedSorting
from labeler.web.threads import SortingThreads

PAGE = Path(__file__).parent / "page"
MAX_WAIT_SECONDS = 5.0
"""A waiting request delays the end of the server for this time."""
MAX_IMAGE_SIDE = 1600
MAX_ROOM = 240
RELOAD = "load the page again"


class LabelerApi:
    """The addresses of the server of a dataset."""

    def __init__(self, root: Path, settings: AccessSettings, share: float):
        cache = root / "cache"
        self._settings = settings
        self._people = Invitations(root)
        self._sorting = SortingThreads(root, share)
        self._page_files = PageFiles(PAGE)
        self._thumbnails = ThumbnailCache(
            cache, Store(root / "images", cache), Store(root / "crops", cache)
        )

    def create_app(self) -> Starlette:
        """Return the application."""
        guard = Middleware(
            PersonGuard,
            settings=self._settings,
            rate=RateLimit(self._settings.limits.per_minute),
            people=self._people,
        )
        app = Starlette(
            routes=[
                Route("/", self.get_front_page),
                Route("/api/v1/state", self.get_state),
                Route("/api/v1/page", self.get_page),
                Route("/api/v1/duplicates", partial(self.get_check, of_copies=True)),
                Route("/api/v1/review", partial(self.get_check, of_copies=False)),
                Route("/api/v1/steps", self.post_step, methods=["POST"]),
                Route("/api/v1/faces/{key}", self.get_face),
                Route(
                    "/api/v1/people",
                    self.handle_people,
                    methods=["GET", "POST", "DELETE"],
                ),
            ],
            middleware=[guard, Middleware(GZipMiddleware)],
            exception_handlers={HTTPException: partial(answer_http_error, RELOAD)},
            lifespan=self._run,
        )
        # Not mounted: a mount would match every address, and turn 405 into 404.
        app.router.default = self._page_files
        return app

    @asynccontextmanager
    async def _run(self, app: Starlette) -> AsyncIterator[None]:
        # Starlette passes the application, which is not needed.
        await self._sorting.start()
        watching = asyncio.create_task(self._sorting.watch())
        try:
            yield
        finally:
            watching.cancel()
            await self._sorting.stop()

    async def get_front_page(self, request: Request) -> Response:
        """Return the page; store `?token=` in a cookie first, to remove it from the URL."""
        token = request.query_params.get("token", "")
        if not self._people.identify(self._settings, token):
            return await self._page_files.get_response("index.html", request.scope)
        return redirect_with_cookies(
            request,
            "./",
            {cookie_name(request.scope): token},
        )

    async def get_state(self, request: Request) -> Response:
        """Return the state of the work; with `since`, once it is another version."""
        since = _read_number(request, "since", -1)
        await self._sorting.wait_for_change(since, MAX_WAIT_SECONDS)
        # The invitation may have been revoked meanwhile.
        scope = request.scope
        if not self._people.identify(self._settings, scope[TOKEN]):
            raise no_access_error(scope)
        return json_response(
            await self._sorting.run(SharedSorting.get_state, scope[PERSON])
        )

    async def get_page(self, request: Request) -> Response:
        """Return the page of a person; `room` is the number of tiles that fill the screen."""
        room = max(0, min(_read_number(request, "room", 0), MAX_ROOM))
        return json_response(await self._sorting.get_page(request.scope[PERSON], room))

    async def get_check(self, request: Request, *, of_copies: bool) -> Response:
        """Return duplicates or doubtful labels; `skip` passes over some."""
        skipped = _read_number(request, "skip", 0)
        return json_response(
            await self._sorting.get_check(
                request.scope[PERSON], skipped, of_copies=of_copies
            )
        )

    async def post_step(self, request: Request) -> Response:
        """Carry out a step on a page."""
        hint = 'send {"id": …, "page": …, "act": …, "tiles": […]}'
        sent = parse_json(
            await request.body(),
            SentStep,
            "step",
            hint,
        )
        return json_response(await self._sorting.take(request.scope[PERSON], sent))

    async def handle_people(self, request: Request) -> Response:
        """Tell the owner who decided how much, after inviting or revoking somebody."""
        check_owner(request.scope[PERSON])
        changes = {
            "POST": self._people.invite,
            "DELETE": self._people.revoke,
        }
        token = None
        if change := changes.get(request.method):
            name = request.query_params.get("name", "")
            # `run` passes the `SharedSorting`, which is not needed: its thread makes one change of
            # the file at a time.
            token = await self._sorting.run(lambda _: change(name))
        return json_response(
            {
                "decided": await self._sorting.run(
                    lambda sorting: count_decided(sorting.dataset.db)
                ),
                "invited": self._people.list_names(),
                "links": self._people.list_links(token) if token else [],
            }
        )

    async def get_face(self, request: Request) -> Response:
        """Return a face with `side` as its longer side, or the whole image if `side` is large."""
        key = request.path_params["key"]
        region = await self._sorting.run(SharedSorting.read_region, key)
        min_side = _read_number(request, "side", 0)
        side = next(
            (side for side in THUMBNAIL_SIDES if side >= min_side), MAX_IMAGE_SIDE
        )
        if side == MAX_IMAGE_SIDE:
            region = whole_image(region)
        try:
            data = await asyncio.to_thread(self._thumbnails.jpeg, region, side)
        except Unreadable as error:
            raise RefusedRequest(
                404, error.reason, error.detail, "run gleanset verify"
            ) from error
        # Another region of the face has another address.
        cached = f"private, max-age={YEAR_SECONDS}, immutable"
        return Response(data, 200, {"cache-control": cached}, "image/jpeg")


def _read_number(request: Request, name: str, default: int) -> int:
    return parse_json(request.query_params.get(name, str(default)), int, name, RELOAD)
