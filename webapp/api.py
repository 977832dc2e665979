"""The REST API: predictions, face detection, reports, facts about the model.

`page/openapi.json` describes it, except the fields of a report, which are in `api_models.py`.
`tests/webapp/test_guard.py` compares both.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gleanset import __version__
from gleanset.web.guard import get_client
from gleanset.web.json_bodies import JSON, json_response, parse_json
from gleanset.web.problems import RefusedRequest, busy_error
from webapp.api_models import SentReport
from webapp.computations import (
    CHECK_REPORT,
    CONVERT_TO_JPEG,
    FIND_FACES,
    PREDICT,
    ServedFacts,
    Upload,
)
from webapp.page_files import PAGE, make_model_response
from webapp.service import get_service
from webapp.uploads import read_file, read_images


async def predict(request: Request) -> Response:
    """Predict for one or more images, in the boxes of the request or for the detected faces."""
    return await _compute_json(request, PREDICT)


async def faces(request: Request) -> Response:
    """Detect faces with the detector of the training images; boxes are ignored."""
    return await _compute_json(request, FIND_FACES)


async def jpeg(request: Request) -> Response:
    """Convert an image that browsers cannot show, such as HEIC or TIFF."""
    upload, _ = await read_file(
        request,
        get_service(request).settings.limits,
    )
    return Response(
        await _compute(request, CONVERT_TO_JPEG, upload, [upload]),
        media_type="image/jpeg",
    )


async def _compute_json(request: Request, computation: str) -> Response:
    uploads = await read_images(
        request,
        get_service(request).settings.limits,
    )
    return Response(
        await _compute(request, computation, uploads, uploads), media_type=JSON
    )


async def _compute(
    request: Request, computation: str, argument: Any, uploads: Sequence[Upload]
) -> Any:
    # In bytes. The queue computes small requests together, in a batch.
    size = sum(len(upload.data) for upload in uploads)
    return await get_service(request).queue.compute(
        get_client(request.scope), computation, argument, size
    )


async def report(request: Request) -> Response:
    """Store a report for the administrator to decide: a form with `file` and `report`."""
    service = get_service(request)
    upload, texts = await read_file(request, service.settings.limits)
    claim = parse_json(
        texts.get("report", "null"),
        SentReport,
        "report",
        'send a field report such as {"claimed": "a class", "box": null}',
    )

    spool = service.require_spool()
    spool_entry = await _compute(
        request, CHECK_REPORT, (upload, claim), uploads=[upload]
    )
    is_new, label = await spool.run(lambda: spool.add(spool_entry))

    # The dataset may have classes that are not for users of the page.
    is_visible = label in service.facts.page["classes"]
    return json_response({"new": is_new, "class": label if is_visible else None})


async def classes(request: Request) -> Response:
    """Return the classes shown on the page, and how images are cropped."""
    return json_response(get_service(request).facts.page)


async def card(request: Request) -> Response:
    """Return classes, evaluation, and sources of the training images."""
    return json_response(await get_service(request).cards.get())


async def portraits(request: Request) -> Response:
    """Return a face of each class and an image to try, if the page is configured to."""
    return json_response(await get_service(request).portraits.get())


async def model_facts(request: Request) -> Response:
    """Return classes, thresholds, cropping and scaling, for running the model on a device."""
    return json_response(_downloadable_facts(request).device)


async def model_file(request: Request) -> Response:
    """Return the ONNX file, or 304 if the client has it (`If-None-Match`)."""
    return make_model_response(_downloadable_facts(request).file, request)


async def health(request: Request) -> Response:
    """Return the run and the versions: the server runs. Needs no token and is not counted."""
    facts = get_service(request).facts
    return json_response(
        {
            "status": "ok",
            "run": facts.run,
            "model_version": facts.version,
            "version": __version__,
        }
    )


async def ready(request: Request) -> Response:
    """Return the same as `health` if the model is loaded and requests are accepted."""
    queue = get_service(request).queue
    if not queue.is_ready:
        raise busy_error("the model is not loaded")
    # "" is the server itself, as for cached results, because no client sends images here.
    queue.refuse_if_busy("")
    return await health(request)


async def document(_: Request) -> Response:
    """Return the OpenAPI description."""
    description = msgspec.json.decode((PAGE / "openapi.json").read_bytes())
    description["info"]["version"] = __version__
    # The first item only refers to the schemas.
    schemas = msgspec.json.schema_components([SentReport])[1]
    description["components"]["schemas"] |= schemas
    return json_response(description)


def _downloadable_facts(request: Request) -> ServedFacts:
    service = get_service(request)
    if not service.settings.on_device:
        raise RefusedRequest(
            403,
            "not on devices",
            "the model cannot be downloaded",
            "send images to /api/v1/predict",
        )
    return service.facts


GET_ENDPOINTS = {
    "card": card,
    "classes": classes,
    "health": health,
    "model.json": model_facts,
    "model.onnx": model_file,
    "openapi.json": document,
    "portraits": portraits,
    "ready": ready,
}
POST_ENDPOINTS = {"faces": faces, "jpeg": jpeg, "predict": predict, "reports": report}
ROUTES = [
    *(Route(f"/api/v1/{name}", endpoint) for name, endpoint in GET_ENDPOINTS.items()),
    *(
        Route(f"/api/v1/{name}", endpoint, methods=["POST"])
        for name, endpoint in POST_ENDPOINTS.items()
    ),
]
