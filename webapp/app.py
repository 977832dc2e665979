"""The application: `create_app` for one worker, and what uvicorn starts in each of them."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gleanset import __version__
from webapp.api import router
from webapp.guard import Guard, RefusedRequest
from webapp.model_card import OfModel, model_card
from webapp.page_files import PAGE_FILES, page_routes
from webapp.portraits import portraits_of
from webapp.report_spool import ReportSpool
from webapp.served import ModelInForce, Worker
from webapp.settings import ServeSettings

SETTINGS = "GLEANSET_WEBAPP"
"""The environment variable that hands the settings to the workers."""
LOOK_SECONDS = 1.0
log = logging.getLogger(__name__)


def from_environment() -> FastAPI:
    """Return the application of a worker process."""
    return create_app(ServeSettings.from_text(os.environ[SETTINGS]))


def create_app(settings: ServeSettings) -> FastAPI:
    """Return the page and the API of these settings.

    Raises what `ModelInForce` raises, as soon as it is started.
    """

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        models = await asyncio.to_thread(_in_force, settings)
        with Worker(settings, models) as app.state.worker:
            watching = asyncio.create_task(_watch(models, app.state.spool))
            yield
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    app = FastAPI(
        title="Gleanset",
        version=__version__,
        summary="Who is in a picture, and reports of wrong answers.",
        lifespan=running,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.cards = OfModel(model_card, settings)
    app.state.portraits = OfModel(portraits_of, settings)
    root = settings.dataset
    app.state.spool = ReportSpool(Path(root), settings.limits) if root else None
    app.include_router(router)
    app.router.routes += page_routes()
    app.mount("/", PAGE_FILES)
    app.add_exception_handler(RefusedRequest, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)
    app.add_middleware(Guard, settings=settings)
    return app


def _in_force(settings: ServeSettings) -> ModelInForce:
    return ModelInForce(Path(settings.served), settings.web, settings.detector)


async def _watch(models: ModelInForce, spool: ReportSpool | None) -> None:
    while True:
        if spool is not None:
            await spool.run(spool.take)
        await asyncio.sleep(LOOK_SECONDS)
        if await asyncio.to_thread(models.look):
            log.warning("run %s answers now", models.now.run)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedRequest)
    return error.response()


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "no such address", 405: "wrong method"}
    told = RefusedRequest(error.status_code, words.get(error.status_code, str(error.detail)))
    return told.response()


async def _bug(_: Request, __: Exception) -> Response:
    return RefusedRequest(500, "our fault", "this is a bug in Gleanset").response()
