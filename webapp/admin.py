"""The administrator's page: reports next to labelled faces, to accept, refuse and undo.

Decisions are made by `webapp.report_decisions`, as for the commands.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Annotated

import msgspec
from PIL import Image
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gleanset import Dataset
from gleanset.command_result import JsonDict
from gleanset.db.faces import are_whole_images
from gleanset.db.reports import (
    PENDING,
    Report,
    SimilarImage,
    list_spooled_reports,
)
from gleanset.db.sorting import SampleTiles, SortingQueue
from gleanset.errors import UsageError
from gleanset.html.thumbnails import Thumbnails
from gleanset.images.cropping import encode_jpeg
from gleanset.web.guard import get_token, token_error
from gleanset.web.json_bodies import json_response, parse_json
from gleanset.web.page_files import redirect_with_cookies
from gleanset.web.problems import RefusedRequest
from webapp import report_decisions
from webapp.guard import ADMIN_API, ADMIN_COOKIE, COOKIE
from webapp.page_files import PAGE_FILES
from webapp.report_spool import open_for_writing
from webapp.service import Service, get_service

REPORTS_PER_PAGE = 24
FACE_SIZE = 224
"""Pixels of the longer side of a reported face."""
MAX_SHOWN_COPIES = 4
MAX_TYPICAL_FACES = 2
RowNumber = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""A number that fits into an INTEGER of SQLite."""


class AdminDecision(msgspec.Struct, forbid_unknown_fields=True):
    """Reports to accept or refuse, by number, or a step to undo.

    `accept` has a class for each report, or null for the claimed one. Accepting creates only the
    classes that `create` names.
    """

    accept: dict[RowNumber, str | None] = {}
    create: list[str] = []
    refuse: list[RowNumber] = []
    undo: RowNumber = 0


def admin_only(
    work: Callable[[Service, Request, bytes], Response],
) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint that needs the administrator's token and runs `work` in a thread.

    `work` gets the service, the request and its body; `_` stands for what it does not use.
    """

    async def endpoint(request: Request) -> Response:
        service = get_service(request)
        token = get_token(request.headers, ADMIN_COOKIE)
        if not service.settings.is_admin(token):
            raise token_error(
                token,
                "administrator's token needed",
                "this page is for the administrator",
                "open the address that `webapp serve --admin` printed",
            )
        return await asyncio.to_thread(
            work,
            service,
            request,
            await request.body(),
        )

    return endpoint


async def admin_page(request: Request) -> Response:
    """Return the page; store `?token=` in a cookie first, to remove it from the URL."""
    settings = get_service(request).settings
    token = request.query_params.get("token", "")
    if not settings.is_admin(token):
        return await PAGE_FILES.get_response("admin.html", request.scope)
    cookies = {COOKIE: settings.token} if settings.token else {}
    return redirect_with_cookies(request, "admin", cookies | {ADMIN_COOKIE: token})


@admin_only
def reports(service: Service, request: Request, _: bytes) -> Response:
    """Return the latest settled reports, or the next pending ones after a kind, class and number.

    Removals come first, older ones before newer ones. Contradictory reports are adjacent. `known`
    has typical faces of each class in the reports, as data URIs; `named` is the class that the
    `name` in the query means.
    """
    spool = service.require_spool()
    query = request.query_params
    with open_for_writing(spool.root) as dataset:
        table = dataset.reports
        misfits = set[int]()
        next_page = None
        if query.get("settled") == "true":
            reports_with_step = table.list_settled(REPORTS_PER_PAGE)
            reports = [report for _, report in reports_with_step]
        else:
            pending = table.list_pending(_parse_page_start(query), REPORTS_PER_PAGE)
            # Reports that contradict each other are decided together.
            reports = _add_rivals(dataset, pending)
            # 0: no step has settled them yet.
            reports_with_step = [(0, report) for report in reports]
            misfits = report_decisions.find_misfits(dataset, reports)
            if pending:
                claim = pending[-1].claim
                next_page = {
                    "kind": claim.kind,
                    "claimed": claim.claimed,
                    "after": pending[-1].id,
                }

        copies = report_decisions.find_copies(dataset, reports)
        rows = []
        for step, report in reports_with_step:
            rows.append(
                {
                    **_report_to_json(dataset, step, report, copies[report.id]),
                    "misfit": report.id in misfits,
                }
            )

        names = {report.claim.claimed for report in reports}
        names |= {report.claim.answer or "" for report in reports}
        names -= set(report_decisions.NO_CLASS)
        name = query.get("name")
        return json_response(
            {
                "waiting": table.count(),
                # All reports without those that wait.
                "decided": table.count(None) - table.count(),
                "spooled": len(list_spooled_reports(spool.root)),
                "reports": rows,
                "last": next_page,
                "known": {
                    claimed: _make_typical_faces(dataset, claimed) for claimed in names
                },
                "classes": dataset.classes.list_names(),
                "named": report_decisions.find_class(dataset, name) if name else "",
                "has_whole_images": are_whole_images(dataset.db),
                "option": dataset.option,
            }
        )


def _parse_page_start(query: QueryParams) -> tuple[str, str, int]:
    """Return kind, class and number of the report before a page."""
    number = parse_json(
        query.get("after", "0"),
        RowNumber,
        "number",
        "reload the page",
    )
    return query.get("kind", ""), query.get("claimed", ""), number


@admin_only
def report_image(service: Service, request: Request, _: bytes) -> Response:
    """Return the image of a report, or as `part` "face" its face with padding."""
    number = parse_json(
        request.path_params["number"],
        RowNumber,
        "number",
        "reload the page",
    )
    with open_for_writing(service.require_spool().root) as dataset:
        report = dataset.reports.get(number)
        if report is None:
            raise RefusedRequest(404, "no such report", str(number), "reload the page")
        if request.path_params["part"] == "face":
            face = report_decisions.crop_report_face(dataset, report, FACE_SIZE)
            return Response(encode_jpeg(face), media_type="image/jpeg")
        return Response(
            report_decisions.read_report_image(dataset, report),
            media_type=Image.MIME.get(report.claim.format),
        )


@admin_only
def decide(service: Service, _: Request, body: bytes) -> Response:
    """Accept or refuse reports, or undo a step; return the step, its reports and their classes."""
    decision = parse_json(body, AdminDecision, "decision", "reload the page")
    with open_for_writing(service.require_spool().root) as dataset:
        actions = list(filter(None, (decision.accept, decision.refuse, decision.undo)))
        is_valid_step = not decision.undo or dataset.reports.list_in_step(decision.undo)
        if len(actions) != 1 or not is_valid_step:
            raise UsageError(
                "not a decision",
                "accept or refuse reports, or undo a step of these",
            )

        if decision.accept:
            _check_classes(dataset, decision)
            result = report_decisions.accept_reports(dataset, decision.accept)
        elif decision.refuse:
            result = report_decisions.refuse_reports(dataset, decision.refuse)
        else:
            report_decisions.undo_decision(dataset, decision.undo)
            result = report_decisions.SettledReports(decision.undo)
        return json_response(
            {
                "step": result.step,
                "reports": dataset.reports.list_in_step(result.step),
                "classes": dict(result.classes),
                "created": result.new_classes,
            }
        )


def _check_classes(dataset: Dataset, decision: AdminDecision) -> None:
    """Refuse to create a class unless the page has shown that it is new: it may be deleted."""
    allowed_names = {
        *report_decisions.NO_CLASS,
        *decision.create,
        *dataset.classes.list_names(),
    }
    for report in dataset.reports.get_pending(decision.accept):
        name = report_decisions.get_accepted_class(
            dataset,
            report,
            decision.accept[report.id],
        )
        if name not in allowed_names:
            raise RefusedRequest(
                409,
                "no such class",
                name,
                "create it, or choose another one",
            )


def _add_rivals(dataset: Dataset, pending: Sequence[Report]) -> list[Report]:
    """Return pending reports, each followed by the pending ones that contradict it."""
    # A set that keeps its order.
    numbers: dict[int, None] = {}
    for report in pending:
        numbers[report.id] = None
        for rival in report_decisions.find_rivals(dataset, report):
            if rival.report is not None and rival.status == PENDING:
                numbers[rival.report] = None
    return [
        report for report in map(dataset.reports.get, numbers) if report is not None
    ]


def _report_to_json(
    dataset: Dataset,
    step: int,
    report: Report,
    copies: Sequence[SimilarImage],
) -> JsonDict:
    claim = report.claim
    return {
        **asdict(claim),
        "id": report.id,
        "at": report.at,
        "status": report.status,
        "step": step,
        "step_size": len(dataset.reports.list_in_step(step)),
        "class": report_decisions.get_claimed_class(dataset, report),
        "in_dataset": bool(dataset.images.get_id(claim.sha256)),
        "in_test": dataset.reports.is_in_test(claim.sha256),
        "copy_in_test": any(dataset.reports.is_in_test(copy.sha256) for copy in copies),
        "rivals": report_decisions.find_rivals(dataset, report),
        "copies": _copies_to_json(dataset, copies),
    }


def _copies_to_json(dataset: Dataset, copies: Sequence[SimilarImage]) -> list[JsonDict]:
    thumbnails = Thumbnails(dataset, with_reports=True)
    result = []
    for number, copy in enumerate(copies):
        thumbnail = None
        if number < MAX_SHOWN_COPIES:
            image = dataset.images.get(copy.sha256)
            thumbnail = thumbnails.of_image(image) if image else None

        result.append(
            {
                **copy._asdict(),
                "src": thumbnail.src if thumbnail else None,
                "classes": dataset.reports.list_classes(copy.sha256),
            }
        )
    return result


def _make_typical_faces(dataset: Dataset, name: str) -> list[str]:
    """Return typical faces of a class, as data URIs."""
    queue = SortingQueue(dataset.db)
    class_id = dataset.classes.get_id(dataset.classes.resolve_alias(name)) or 0
    # Faces of reports are only shown where a class has no others: they may be what is wrong.
    rows = queue.list_typical(class_id, MAX_TYPICAL_FACES)
    rows = rows or queue.get_portraits(class_id)
    keys = SampleTiles(dataset.db).get_keys(rows)
    samples = filter(None, map(dataset.samples.get, keys))
    thumbnails = Thumbnails(dataset, with_reports=True)
    faces = map(thumbnails.of_sample, samples)
    return [face.src for face in faces if face]


ROUTES = [
    Route("/admin", admin_page),
    Route(f"{ADMIN_API}/reports", reports),
    Route(f"{ADMIN_API}/reports/{{number}}/{{part}}", report_image),
    Route(f"{ADMIN_API}/decisions", decide, methods=["POST"]),
]
