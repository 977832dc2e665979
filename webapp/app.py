"""The application: the page and the REST API of a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Security
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gleanset import __version__
from webapp.api import router
from webapp.api_models import Problem
from webapp.computations import CARD, PORTRAITS, ServedFacts
from webapp.compute_queue import ComputeQueue
from webapp.guard import Guard
from webapp.page_files import PAGE_FILES, page_routes
from webapp.problems import RefusedRequest
from webapp.rate_limit import RateLimit
from webapp.report_spool import ReportSpool
from webapp.service import OfModel, Service
from webapp.settings import ServeSettings
from webapp.uploads import no_form, wrong_field

LOOK_SECONDS = 1.0
MOST_FIELDS = 10


def create_app(settings: ServeSettings, facts: ServedFacts) -> FastAPI:
    """Return the page and the API of these settings and their model."""
    rate = RateLimit(settings.limits.per_minute)
    queue = ComputeQueue(settings, facts, rate)

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        spool = ReportSpool(Path(settings.dataset), settings.limits) if settings.dataset else None
        of_model = OfModel(CARD, queue), OfModel(PORTRAITS, queue)
        app.state.service = Service(settings, facts, queue, spool, *of_model)
        try:
            await queue.start()
            if spool is not None:
                queue.keep(_take_reports(spool))
            yield
        finally:
            await queue.stop()

    app = FastAPI(
        title="Gleanset",
        version=__version__,
        summary="Who is in a picture, and reports of wrong answers.",
        lifespan=running,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        form_limits={"max_files": settings.limits.pictures, "max_fields": MOST_FIELDS},
    )
    description = app.openapi

    def described() -> dict[str, Any]:
        answer = description()
        answer["components"]["schemas"].setdefault("Problem", Problem.model_json_schema())
        return answer

    # The way that FastAPI has for adding to it.
    app.openapi = described  # type: ignore[method-assign]
    # The guard asks for it, before a body is read; here it is only described.
    token = [Security(HTTPBearer(auto_error=False))] if settings.token else []
    app.include_router(router, dependencies=token)
    if settings.owner is not None:
        from webapp import owner  # which loads what draws faces

        app.include_router(owner.router)
        app.add_route("/owner", owner.owner_page)
    app.router.routes += page_routes()
    # No mount: that would take every address, and hide that a method is the wrong one.
    app.router.default = PAGE_FILES
    app.add_exception_handler(RefusedRequest, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_middleware(Guard, settings=settings, rate=rate, queue=queue)
    if settings.origins:
        # Around the guard: pages of these sites can read its refusals, and preflights are free.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["authorization"],
            expose_headers=["retry-after", *RateLimit.HEADERS],
        )
    return app


async def _take_reports(spool: ReportSpool) -> None:
    while True:
        await spool.run(spool.take)
        await asyncio.sleep(LOOK_SECONDS)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedRequest)
    return error.response()


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, RefusedRequest):  # while the body was read
        return error.__cause__.response()
    words = {404: "no such address", 405: "wrong method"}
    if error.status_code not in words:
        return no_form(error).response()
    reason = words[error.status_code]
    return RefusedRequest(error.status_code, reason, headers=error.headers).response()


async def _not_valid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return wrong_field(request, error).response()
