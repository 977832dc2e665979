"""The REST API: who is in a picture, where its faces are, which classes there are."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, File, Form, Request, Response, UploadFile
from fastapi.responses import FileResponse
from pydantic import Json

from gleanset import __version__
from webapp.api_models import (
    Boxes,
    FacesFound,
    Health,
    Kept,
    Pong,
    PredictionAnswer,
    SentReport,
    problems,
)
from webapp.computations import CLAIM, FIND_FACES, JPEGS, PREDICT, ServedFacts, Upload
from webapp.guard import visitor_of
from webapp.page_files import model_response
from webapp.problems import RefusedRequest
from webapp.service import Service
from webapp.uploads import upload_of, uploads_of

JSON = "application/json"
FORM = problems(403, 408, 413, 415, 422, 503)
router = APIRouter(prefix="/api/v1")


def service_of(request: Request) -> Service:
    """Return what answers."""
    service: Service = request.app.state.service
    return service


async def _service(request: Request) -> Service:
    return service_of(request)  # of no thread: a plain function would have one


Here = Annotated[Service, Depends(_service)]
Files = Annotated[list[UploadFile], File(description="pictures")]
BoxesField = Annotated[
    Json[Boxes] | None, Form(description="JSON: for each file boxes [x, y, width, height], or null")
]


@router.post(
    "/predict",
    response_model=PredictionAnswer,
    responses=FORM,
    summary="Say who is in pictures",
)
async def predict(request: Request, files: Files, boxes: BoxesField = None) -> Response:
    """Answer one picture or many: a form with `files`, and `boxes` where faces are known."""
    limits = service_of(request).settings.limits
    uploads = await uploads_of(files, None if boxes is None else boxes.root, limits)
    return await _computed(request, PREDICT, uploads)


@router.post(
    "/faces",
    response_model=FacesFound,
    responses=FORM | problems(409),
    summary="Find the faces in pictures",
)
async def faces(request: Request, files: Files) -> Response:
    """Tell where the detector sees faces whose faces the model learnt from: a form with `files`."""
    uploads = await uploads_of(files, None, service_of(request).settings.limits)
    return await _computed(request, FIND_FACES, uploads)


@router.post(
    "/jpeg",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, **FORM},
    summary="Turn a picture into a JPEG",
)
async def jpeg(request: Request, file: UploadFile) -> Response:
    """Return a picture that browsers do not show, such as HEIC or TIFF, as a JPEG."""
    upload = await upload_of(file)
    return Response(await _result(request, JPEGS, upload, [upload]), media_type="image/jpeg")


async def _computed(request: Request, computation: str, uploads: Sequence[Upload]) -> Response:
    """Return what is computed of the pictures of a form. Raises `RefusedRequest`."""
    return Response(await _result(request, computation, uploads, uploads), media_type=JSON)


async def _result(request: Request, computation: str, asked: Any, uploads: Sequence[Upload]) -> Any:
    size = sum(len(upload.data) for upload in uploads)
    queue = service_of(request).queue
    return await queue.compute(visitor_of(request.scope), computation, asked, size)


@router.post(
    "/reports",
    response_model=Kept,
    responses=FORM | problems(404, 410),
    summary="Say that an answer is wrong, or ask for a removal",
)
async def report(
    request: Request, here: Here, file: UploadFile, report: Annotated[Json[SentReport], Form()]
) -> Response:
    """Keep who it is in truth, or that the picture should leave the dataset, until a person has
    looked at it: a form with `file` and `report`.
    """
    upload = await upload_of(file)
    spool = here.spool_for("no reports here")
    kept = await _result(request, CLAIM, (upload, report), [upload])
    return _json({"new": await spool.run(functools.partial(spool.keep, kept))})


@router.get("/classes", responses=problems(), summary="Whom the model knows")
async def classes(here: Here) -> Response:
    """Tell the classes that are shown, and how pictures are cut before they are judged."""
    return _json(here.facts.page)


@router.get("/card", responses=problems(), summary="What is known of the model")
async def card(here: Here) -> Response:
    """Tell its classes, how it was measured, and where the pictures it learnt from came from."""
    return _json(await here.cards.get())


@router.get("/portraits", responses=problems(), summary="Faces of the classes")
async def portraits(here: Here) -> Response:
    """Show a face of each class and a picture to try, where whoever runs the page allows it."""
    return _json(await here.portraits.get())


@router.get(
    "/model.json",
    responses=problems(403),
    summary="What a device must know of the model",
)
async def model_facts(here: Here) -> Response:
    """Tell its classes and thresholds, and how pictures are cut and scaled for it."""
    return _json(_fetchable(here).device)


@router.get(
    "/model.onnx",
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {}}}, **problems(403)},
    summary="The model itself",
)
async def model_file(request: Request, here: Here) -> Response:
    """Give the ONNX file, for answers on the device; 304 to who has it (`If-None-Match`)."""
    return model_response(_fetchable(here).file, request)


@router.get("/health", response_model=Health, summary="Whether a model answers")
async def health(here: Here) -> Response:
    """Tell which model answers. Not counted, and needs no token."""
    return _json({"status": "ok", "run": here.facts.run, "version": __version__})


@router.get("/ping", response_model=Pong, summary="How long an answer takes")
async def ping() -> Response:
    """Answer at once. Not counted, and needs no token."""
    return _json({"pong": True})


def _fetchable(here: Service) -> ServedFacts:
    if not here.settings.on_device:
        raise RefusedRequest(403, "not on devices", "this server does not give its model away")
    return here.facts


def _json(answer: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(answer), media_type=JSON)
