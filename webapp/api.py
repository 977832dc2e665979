"""The REST API: who is in a picture, where its faces are, which classes there are."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from gleanset import __version__
from webapp.guard import RefusedRequest
from webapp.model_card import OfModel
from webapp.page_files import page_facts
from webapp.portraits import Portraits
from webapp.recognizer import Upload, answers_to, faces_in
from webapp.report_spool import ReportSpool
from webapp.schema import (
    BOXES,
    CARD,
    CLASSES,
    ERROR,
    FACES,
    FILE,
    FILES,
    HEALTH,
    PING,
    PORTRAITS,
    PREDICTION,
    REPORT,
    REPORTED,
    TAKE_DOWN,
    form_body,
)
from webapp.served import LoadedModel, Worker, facts_for_device
from webapp.settings import RequestLimits
from webapp.uploads import field_of, form_of, upload_of, uploads_of
from webapp.visitors import Told, ToldTakeDown, claims_of, keep_take_down, wish_of

JSON = "application/json"
router = APIRouter(prefix="/api/v1")


@router.post(
    "/predict",
    summary="Say who is in pictures",
    responses={200: PREDICTION, "4XX": ERROR},
    openapi_extra=form_body({"files": FILES, "boxes": BOXES}, "boxes"),
)
async def predict(request: Request) -> Response:
    """Answer one picture or many: a form with `files`, and `boxes` where faces are known."""
    return await _of_pictures(request, answers_to)


@router.post(
    "/faces",
    summary="Find the faces in pictures",
    responses={200: FACES, "4XX": ERROR},
    openapi_extra=form_body({"files": FILES}),
)
async def faces(request: Request) -> Response:
    """Tell where the detector sees faces whose faces the model learnt from: a form with `files`."""
    return await _of_pictures(request, faces_in)


async def _of_pictures(
    request: Request,
    answer: Callable[[LoadedModel, Sequence[Upload], RequestLimits], dict[str, Any]],
) -> Response:
    """Return what is `answer` of the pictures of a form. Raises `RefusedRequest`."""
    worker = _worker(request)
    worker.refuse_if_busy()
    limits = worker.settings.limits
    form = await form_of(request, limits)
    try:
        uploads = await uploads_of(form, limits)
    finally:
        await form.close()
    return _json(await worker.run(functools.partial(answer, worker.models.now, uploads, limits)))


@router.post(
    "/reports",
    summary="Say that an answer is wrong",
    responses={200: REPORTED, "4XX": ERROR},
    openapi_extra=form_body({"file": FILE, "report": REPORT}),
)
async def report(request: Request) -> Response:
    """Keep who it is in truth, until a person has looked at it: a form with `file` and `report`."""
    worker, spool = _worker(request), _spool(request, "no reports here")
    worker.refuse_if_busy()
    form = await form_of(request, worker.settings.limits)
    try:
        upload, told = await upload_of(form), field_of(form.get("report"), Told, "report")
    finally:
        await form.close()
    sent, limits = [(upload, told)], worker.settings.limits
    (kept,) = await worker.run(functools.partial(claims_of, worker.models.now, sent, limits))
    return _json({"new": await spool.run(functools.partial(spool.keep, kept))})


@router.post(
    "/takedowns",
    summary="Ask for a picture to be removed",
    responses={200: REPORTED, "4XX": ERROR},
    openapi_extra=form_body({"file": FILE, "takedown": TAKE_DOWN}, "file"),
)
async def take_down(request: Request) -> Response:
    """Keep a request until a person has looked at it: a form with `takedown`, and perhaps the
    picture as `file`, of which only hashes are kept.
    """
    worker, spool = _worker(request), _spool(request, "no pictures here")
    worker.refuse_if_busy()
    form = await form_of(request, worker.settings.limits)
    try:
        upload = await upload_of(form) if "file" in form else None
        told = field_of(form.get("takedown"), ToldTakeDown, "takedown")
    finally:
        await form.close()
    limits = worker.settings.limits
    wish = await worker.run(functools.partial(wish_of, upload, told, limits))
    keep = functools.partial(keep_take_down, spool.root, wish, limits.take_downs)
    return _json({"new": await spool.run(keep)})


@router.get("/classes", summary="Whom the model knows", responses={200: CLASSES, "4XX": ERROR})
async def classes(request: Request) -> Response:
    """Tell the classes that are shown, and how pictures are cut before they are judged."""
    return _json(page_facts(_worker(request).settings, _worker(request).models.now))


@router.get("/card", summary="What is known of the model", responses={200: CARD, "4XX": ERROR})
async def card(request: Request) -> Response:
    """Tell its classes, how it was measured, and where the pictures it learnt from came from."""
    cards: OfModel[dict[str, Any]] = request.app.state.cards
    return _json(await asyncio.to_thread(cards.of, _worker(request).models.now))


@router.get("/portraits", summary="Faces of the classes", responses={200: PORTRAITS, "4XX": ERROR})
async def portraits(request: Request) -> Response:
    """Show a face of each class and a picture to try, where whoever runs the page allows it."""
    made: OfModel[Portraits] = request.app.state.portraits
    shown = await asyncio.to_thread(made.of, _worker(request).models.now)
    return _json(shown._asdict())


@router.get("/model.json", summary="What a device must know of the model", responses={"4XX": ERROR})
async def model_facts(request: Request) -> Response:
    """Tell its classes and thresholds, and how pictures are cut and scaled for it."""
    return _json(facts_for_device(_fetchable(request)))


@router.get("/model.onnx", summary="The model itself", responses={"4XX": ERROR})
async def model_file(request: Request) -> Response:
    """Give the ONNX file, for answers on the device."""
    return FileResponse(
        _fetchable(request).file,
        media_type="application/octet-stream",
        headers={"cache-control": "no-cache"},
    )


@router.get("/health", summary="Whether a model answers", responses={200: HEALTH})
async def health(request: Request) -> Response:
    """Tell which model is in force. Not counted, and needs no token."""
    return _json({"status": "ok", "run": _worker(request).models.now.run, "version": __version__})


@router.get("/ping", summary="How long an answer takes", responses={200: PING})
async def ping() -> Response:
    """Answer at once. Not counted, and needs no token."""
    return _json({"pong": True})


def _fetchable(request: Request) -> LoadedModel:
    worker = _worker(request)
    if not worker.settings.on_device:
        raise RefusedRequest(403, "not on devices", "this server does not give its model away")
    return worker.models.now


def _worker(request: Request) -> Worker:
    found: Worker = request.app.state.worker
    return found


def _spool(request: Request, lacking: str) -> ReportSpool:
    """Return what keeps things in the dataset. Raises `RefusedRequest` where there is none."""
    spool: ReportSpool | None = request.app.state.spool
    if spool is None:
        contact = _worker(request).settings.web.contact or ""
        raise RefusedRequest(404, lacking, "this server has no dataset", contact)
    return spool


def _json(answer: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(answer), media_type=JSON)
