"""The ASGI application: the page and the REST API."""

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
from webapp.service import CachedResult, Service
from webapp.settings import ServeSettings
from webapp.uploads import invalid_field, invalid_form

SPOOL_INTERVAL_SECONDS = 1.0
MAX_FORM_FIELDS = 10


def create_app(settings: ServeSettings, facts: ServedFacts) -> FastAPI:
    """Create the application for a model and its settings."""
    rate = RateLimit(settings.limits.per_minute)
    queue = ComputeQueue(settings, facts, rate)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        spool = ReportSpool(Path(settings.dataset), settings.limits) if settings.dataset else None
        cached = CachedResult(CARD, queue), CachedResult(PORTRAITS, queue)
        app.state.service = Service(settings, facts, queue, spool, *cached)
        try:
            await queue.start()
            if spool is not None:
                queue.run_in_background(_import_reports(spool))
            yield
        finally:
            await queue.stop()

    app = FastAPI(
        title="Gleanset",
        version=__version__,
        summary="Predictions for images, and reports of wrong ones.",
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        form_limits={"max_files": settings.limits.images, "max_fields": MAX_FORM_FIELDS},
    )
    make_openapi = app.openapi

    def openapi_with_problems() -> dict[str, Any]:
        document = make_openapi()
        document["components"]["schemas"].setdefault("Problem", Problem.model_json_schema())
        return document

    # FastAPI's documented way to extend the document.
    app.openapi = openapi_with_problems  # type: ignore[method-assign]
    # Only for the document: the guard checks the token before a body is read.
    token = [Security(HTTPBearer(auto_error=False))] if settings.token else []
    app.include_router(router, dependencies=token)
    if settings.admin is not None:
        from webapp import admin  # imports much that only this page needs

        app.include_router(admin.router)
        app.add_route("/admin", admin.admin_page)
    app.router.routes += page_routes()
    # Not mounted: a mount would match every address, and turn 405 into 404.
    app.router.default = PAGE_FILES
    app.add_exception_handler(RefusedRequest, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_middleware(Guard, settings=settings, rate=rate, queue=queue)
    if settings.origins:
        # Outside the guard: pages of these sites can read its errors, and preflights are free.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["authorization"],
            expose_headers=["retry-after", *RateLimit.HEADERS],
        )
    return app


async def _import_reports(spool: ReportSpool) -> None:
    while True:
        await spool.run(spool.import_all)
        await asyncio.sleep(SPOOL_INTERVAL_SECONDS)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedRequest)
    return error.response()


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, RefusedRequest):  # raised while reading the body
        return error.__cause__.response()
    reasons = {404: "no such address", 405: "wrong method"}
    if error.status_code not in reasons:
        return invalid_form(error).response()
    reason = reasons[error.status_code]
    return RefusedRequest(error.status_code, reason, headers=error.headers).response()


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return invalid_field(request, error).response()
