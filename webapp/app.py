"""The ASGI application: the page and the REST API."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from gleanset.web.guard import HEADERS
from gleanset.web.problems import answer_http_error
from gleanset.web.rate_limit import RateLimit
from webapp.api import ROUTES
from webapp.computations import MODEL_CARD, PORTRAITS, ServedFacts
from webapp.compute_queue import ComputeQueue
from webapp.guard import MODEL_VERSION, PageGuard
from webapp.page_files import PAGE_FILES, page_routes
from webapp.report_spool import ReportSpool
from webapp.service import CachedResult, Service
from webapp.settings import ServeSettings

SPOOL_INTERVAL_SECONDS = 1.0


def create_app(settings: ServeSettings, facts: ServedFacts) -> Starlette:
    """Create the application for a model and its settings."""
    rate = RateLimit(settings.limits.per_minute)
    queue = ComputeQueue(settings, facts, rate)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        spool = None
        if settings.dataset:
            spool = ReportSpool(Path(settings.dataset), settings.limits)
        app.state.service = Service(
            settings,
            facts,
            queue,
            spool,
            cards=CachedResult(MODEL_CARD, queue),
            portraits=CachedResult(PORTRAITS, queue),
        )
        try:
            await queue.start()
            if spool is not None:
                queue.run_in_background(_import_reports(spool))
            yield
        finally:
            await queue.stop()

    routes = [*ROUTES, *page_routes()]
    if settings.admin is not None:
        from webapp import admin  # imports much that only this page needs

        routes += admin.ROUTES

    middleware = [
        Middleware(
            PageGuard,
            settings=settings,
            rate=rate,
            headers=(*HEADERS, (MODEL_VERSION, facts.version)),
            queue=queue,
        )
    ]
    if settings.origins:
        # Outside the guard: pages of these sites can read its errors, and preflights are free.
        middleware.insert(
            0,
            Middleware(
                CORSMiddleware,
                allow_origins=settings.origins,
                allow_methods=["GET", "HEAD", "POST"],
                allow_headers=["authorization"],
                expose_headers=["retry-after", MODEL_VERSION],
            ),
        )

    app = Starlette(
        routes=routes,
        middleware=middleware,
        exception_handlers={
            HTTPException: partial(answer_http_error, "see /api.html for the addresses")
        },
        lifespan=lifespan,
    )
    # Not mounted: a mount would match every address, and turn 405 into 404.
    app.router.default = PAGE_FILES
    return app


async def _import_reports(spool: ReportSpool) -> None:
    while True:
        await spool.run(spool.import_all)
        await asyncio.sleep(SPOOL_INTERVAL_SECONDS)
