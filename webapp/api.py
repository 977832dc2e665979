"""The REST API: predictions, face detection, reports, facts about the model."""

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
    FacesResponse,
    Health,
    Pong,
    PredictionResponse,
    ReportResponse,
    SentReport,
    problems,
)
from webapp.computations import CLAIM, FIND_FACES, JPEGS, PREDICT, ServedFacts, Upload
from webapp.guard import client_of
from webapp.page_files import model_response
from webapp.problems import RefusedRequest
from webapp.service import Service
from webapp.uploads import read_upload, read_uploads

JSON = "application/json"
FORM = problems(403, 408, 413, 415, 422, 503)
router = APIRouter(prefix="/api/v1")


def service_of(request: Request) -> Service:
    """Return the state of the server."""
    service: Service = request.app.state.service
    return service


async def _service(request: Request) -> Service:
    return service_of(request)  # async, because FastAPI runs plain functions in threads


CurrentService = Annotated[Service, Depends(_service)]
Files = Annotated[list[UploadFile], File(description="images")]
BoxesField = Annotated[
    Json[Boxes] | None, Form(description="JSON: for each file boxes [x, y, width, height], or null")
]


@router.post(
    "/predict",
    response_model=PredictionResponse,
    responses=FORM,
    summary="Predict the classes of images",
)
async def predict(request: Request, files: Files, boxes: BoxesField = None) -> Response:
    """Predict for one or more images: a form with `files`, and `boxes` of known faces."""
    limits = service_of(request).settings.limits
    uploads = await read_uploads(files, None if boxes is None else boxes.root, limits)
    return await _compute_json(request, PREDICT, uploads)


@router.post(
    "/faces",
    response_model=FacesResponse,
    responses=FORM | problems(409),
    summary="Detect faces in images",
)
async def faces(request: Request, files: Files) -> Response:
    """Detect faces with the detector of the training images: a form with `files`."""
    uploads = await read_uploads(files, None, service_of(request).settings.limits)
    return await _compute_json(request, FIND_FACES, uploads)


@router.post(
    "/jpeg",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, **FORM},
    summary="Convert an image to JPEG",
)
async def jpeg(request: Request, file: UploadFile) -> Response:
    """Convert an image that browsers cannot show, such as HEIC or TIFF."""
    upload = await read_upload(file)
    return Response(await _compute(request, JPEGS, upload, [upload]), media_type="image/jpeg")


async def _compute_json(request: Request, computation: str, uploads: Sequence[Upload]) -> Response:
    return Response(await _compute(request, computation, uploads, uploads), media_type=JSON)


async def _compute(
    request: Request, computation: str, argument: Any, uploads: Sequence[Upload]
) -> Any:
    size = sum(len(upload.data) for upload in uploads)
    queue = service_of(request).queue
    return await queue.compute(client_of(request.scope), computation, argument, size)


@router.post(
    "/reports",
    response_model=ReportResponse,
    responses=FORM | problems(404, 410),
    summary="Report a wrong answer, or ask for a removal",
)
async def report(
    request: Request,
    service: CurrentService,
    file: UploadFile,
    report: Annotated[Json[SentReport], Form()],
) -> Response:
    """Store a report for the administrator to decide: a form with `file` and `report`."""
    upload = await read_upload(file)
    spool = service.spool_for("no reports here")
    checked = await _compute(request, CLAIM, (upload, report), [upload])
    return _json({"new": await spool.run(functools.partial(spool.add, checked))})


@router.get("/classes", responses=problems(), summary="Classes of the model")
async def classes(service: CurrentService) -> Response:
    """Return the classes shown on the page, and how images are cropped."""
    return _json(service.facts.page)


@router.get("/card", responses=problems(), summary="Model card")
async def card(service: CurrentService) -> Response:
    """Return classes, evaluation, and sources of the training images."""
    return _json(await service.cards.get())


@router.get("/portraits", responses=problems(), summary="Example faces")
async def portraits(service: CurrentService) -> Response:
    """Return a face of each class and an image to try, if the page is configured to."""
    return _json(await service.portraits.get())


@router.get(
    "/model.json",
    responses=problems(403),
    summary="Facts for running the model on a device",
)
async def model_facts(service: CurrentService) -> Response:
    """Return classes, thresholds, cropping and scaling."""
    return _json(_downloadable_facts(service).device)


@router.get(
    "/model.onnx",
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": {}}}, **problems(403)},
    summary="Model file",
)
async def model_file(request: Request, service: CurrentService) -> Response:
    """Return the ONNX file, or 304 if the client has it (`If-None-Match`)."""
    return model_response(_downloadable_facts(service).file, request)


@router.get("/health", response_model=Health, summary="Status of the server")
async def health(service: CurrentService) -> Response:
    """Return the run and the version. Needs no token and is not counted."""
    return _json({"status": "ok", "run": service.facts.run, "version": __version__})


@router.get("/ping", response_model=Pong, summary="Ping")
async def ping() -> Response:
    """Reply at once. Needs no token and is not counted."""
    return _json({"pong": True})


def _downloadable_facts(service: Service) -> ServedFacts:
    if not service.settings.on_device:
        raise RefusedRequest(403, "not on devices", "the model cannot be downloaded")
    return service.facts


def _json(answer: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(answer), media_type=JSON)
