"""The administrator's page: reports next to labelled faces, to accept, refuse and undo.

Decisions are made by `curation.web_reports`, as for the commands.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from curation import web_reports
from gleanset import Dataset
from gleanset.db.faces import are_whole_images
from gleanset.db.maintenance import Maintenance
from gleanset.db.reports import (
    PENDING,
    Report,
    Reports,
    SimilarImage,
    list_spooled_reports,
)
from gleanset.db.sorting import SampleTiles, SortingQueue
from gleanset.errors import UsageError
from gleanset.html.thumbnails import Thumbnails
from gleanset.images.cropping import encode_jpeg
from webapp.api import json_response
from webapp.guard import ADMIN_API, ADMIN_COOKIE, COOKIE, refuse_token, token_in
from webapp.page_files import PAGE_FILES, redirect_with_cookies
from webapp.problems import RefusedRequest
from webapp.report_spool import open_for_writing
from webapp.service import Service, service_of
from webapp.uploads import parse_json

REPORTS_PER_PAGE, FACE_SIZE, MAX_SHOWN_COPIES, MAX_TYPICAL_FACES = 24, 224, 4, 2
RowNumber = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""A number that fits into an INTEGER of SQLite."""


class AdminDecision(msgspec.Struct, forbid_unknown_fields=True):
    """Reports to accept by number (with a class, or null for the claimed one), or to refuse, or a
    step to undo. Accepting creates only the classes that `create` names.
    """

    accept: dict[RowNumber, str | None] = {}
    create: list[str] = []
    refuse: list[RowNumber] = []
    undo: RowNumber = 0


def admin_only(
    work: Callable[[Service, Request, bytes], Response],
) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint that needs the administrator's token and runs `work` in a thread."""

    async def endpoint(request: Request) -> Response:
        service = service_of(request)
        token = token_in(request.headers, ADMIN_COOKIE)
        if not service.settings.is_admin(token):
            fix = "open the address that `webapp serve --admin` printed"
            detail = "this page is for the administrator"
            raise refuse_token(token, "administrator's token needed", detail, fix)
        return await asyncio.to_thread(work, service, request, await request.body())

    return endpoint


async def admin_page(request: Request) -> Response:
    """Return the page; store `?token=` in a cookie first, to remove it from the URL."""
    settings = service_of(request).settings
    token = request.query_params.get("token", "")
    if not settings.is_admin(token):
        return await PAGE_FILES.get_response("admin.html", request.scope)
    cookies = {COOKIE: settings.token} if settings.token else {}
    return redirect_with_cookies(request, "admin", cookies | {ADMIN_COOKIE: token})


@admin_only
def reports(service: Service, request: Request, _: bytes) -> Response:
    """Return the latest settled reports, or the next pending ones after a kind, class and number.

    Removals come first, older ones before newer ones. Contradictory reports are adjacent. `known`
    has typical faces of each class in the reports, as data URIs, `named` the class of a `name`.
    """
    spool = service.require_spool()
    query = request.query_params
    with open_for_writing(spool.root) as dataset:
        table = Reports(dataset.db)
        settled = query.get("settled") == "true"
        number = parse_json(
            query.get("after", "0"), RowNumber, "number", "reload the page"
        )
        start = query.get("kind", ""), query.get("claimed", ""), number
        pending = [] if settled else table.list_pending(start, REPORTS_PER_PAGE)
        listed = (
            table.list_settled(REPORTS_PER_PAGE)
            if settled
            else _with_rivals(dataset, pending)
        )
        claim = pending[-1].claim if pending else None
        last = claim and {
            "kind": claim.kind,
            "claimed": claim.claimed,
            "after": pending[-1].id,
        }
        copies = web_reports.find_copies(dataset, [report for _, report in listed])
        misfits = web_reports.find_misfits(
            dataset, [report for _, report in listed if not settled]
        )
        claims = (report.claim for _, report in listed)
        names = {
            name for claim in claims for name in (claim.claimed, claim.answer) if name
        }
        names.discard(web_reports.NOT_A_FACE)
        result = {
            "waiting": table.count(),
            "decided": table.count(None) - table.count(),
            "spooled": len(list_spooled_reports(spool.root)),
            "reports": [
                _report_json(dataset, step, report, copies)
                | {"misfit": report.id in misfits}
                for step, report in listed
            ],
            "last": last,
            "known": {name: _typical_faces(dataset, name) for name in names},
            "classes": dataset.classes.list_names(),
            "named": web_reports.find_class(dataset, query["name"])
            if query.get("name")
            else "",
            "has_whole_images": are_whole_images(dataset.db),
            "option": dataset.option,
        }
    return json_response(result)


@admin_only
def report_image(service: Service, request: Request, _: bytes) -> Response:
    """Return the image of a report, or as `part` "face" its face with padding."""
    number = parse_json(
        request.path_params["number"], RowNumber, "number", "reload the page"
    )
    with open_for_writing(service.require_spool().root) as dataset:
        if (report := Reports(dataset.db).get(number)) is None:
            raise RefusedRequest(404, "no such report", str(number), "reload the page")
        if request.path_params["part"] != "face":
            data = web_reports.read_report_image(dataset, report)
            kind = report.claim.format
            return Response(data, media_type=Image.MIME[kind])
        face = web_reports.crop_report_face(dataset, report, FACE_SIZE)
        return Response(encode_jpeg(face), media_type="image/jpeg")


@admin_only
def decide(service: Service, _: Request, body: bytes) -> Response:
    """Accept or refuse reports, or undo a step; return the step, its reports and their classes."""
    decision = parse_json(body, AdminDecision, "decision", "reload the page")
    with open_for_writing(service.require_spool().root) as dataset:
        table = Reports(dataset.db)
        settled = web_reports.SettledReports(decision.undo, 0)
        is_one = (
            bool(decision.accept) + bool(decision.refuse) + bool(decision.undo) == 1
        )
        if not is_one or (decision.undo and not table.list_in_step(decision.undo)):
            raise UsageError(
                "not a decision", "accept or refuse reports, or undo a step of these"
            )
        if decision.accept:
            _check_classes(dataset, decision)
            settled = web_reports.accept_reports(dataset, decision.accept)
        elif decision.refuse:
            settled = web_reports.refuse_reports(dataset, decision.refuse)
        else:
            web_reports.undo_decision(dataset, decision.undo)
        result = {"step": settled.step, "reports": table.list_in_step(settled.step)}
        return json_response(
            result | {"classes": {**settled.classes}, "created": settled.created}
        )


def _check_classes(dataset: Dataset, decision: AdminDecision) -> None:
    """Refuse to create a class unless the page has shown that it is new: it may be deleted."""
    others = *web_reports.NO_CLASS, *decision.create
    for report in Reports(dataset.db).get_pending(decision.accept):
        name = web_reports.get_accepted_class(
            dataset, report, decision.accept[report.id]
        )
        if name not in (*others, *dataset.classes.list_names()):
            raise RefusedRequest(
                409, "no such class", name, "create it, or choose another one"
            )


def _with_rivals(
    dataset: Dataset, pending: Sequence[Report]
) -> list[tuple[int, Report]]:
    numbers = dict[int, None]()
    for report in pending:
        rivals = web_reports.find_rivals(dataset, report)
        others = [
            rival.report for rival in rivals if rival.report and rival.status == PENDING
        ]
        numbers |= dict.fromkeys([report.id, *others])
    return [
        (0, report) for report in filter(None, map(Reports(dataset.db).get, numbers))
    ]


def _report_json(
    dataset: Dataset,
    step: int,
    report: Report,
    copies: Mapping[int, Sequence[SimilarImage]],
) -> dict[str, Any]:
    hashes = [copy.sha256 for copy in copies[report.id]]
    return {
        **report.claim._asdict(),
        "id": report.id,
        "at": report.at,
        "status": report.status,
        "step": step,
        "step_size": len(Reports(dataset.db).list_in_step(step)),
        "class": web_reports.get_claimed_class(dataset, report),
        "in_dataset": bool(dataset.images.get_id(report.claim.sha256)),
        "in_test": web_reports.is_in_test(dataset, report.claim.sha256),
        "copy_in_test": any(
            web_reports.is_in_test(dataset, sha256) for sha256 in hashes
        ),
        "rivals": web_reports.find_rivals(dataset, report),
        "copies": _copies_json(dataset, copies[report.id]),
    }


def _copies_json(
    dataset: Dataset, copies: Sequence[SimilarImage]
) -> list[dict[str, Any]]:
    thumbnails = Thumbnails(dataset, with_reports=True)
    result: list[dict[str, Any]] = []
    for number, copy in enumerate(copies):
        image = dataset.images.get(copy.sha256) if number < MAX_SHOWN_COPIES else None
        preview = thumbnails.of_image(image) if image else None
        keys = Maintenance(dataset.db).list_sample_keys(copy.sha256)
        kept = map(dataset.samples.get, map(dataset.samples.find_kept_copy, keys))
        classes = sorted(
            {s.label for s in kept if s and s.label and s.status == "labelled"}
        )
        facts = {"src": preview.src if preview else None, "classes": classes}
        result.append(copy._asdict() | facts)
    return result


def _typical_faces(dataset: Dataset, name: str) -> list[str]:
    queue = SortingQueue(dataset.db)
    row = dataset.classes.get_id(dataset.classes.resolve(name))
    # Faces of reports are only shown where a class has no others: they may be what is wrong.
    rows = queue.list_typical(row or 0, MAX_TYPICAL_FACES) or queue.get_portraits(
        row or 0
    )
    keys = SampleTiles(dataset.db).get_keys(rows)
    samples = filter(None, map(dataset.samples.get, keys))
    thumbnails = map(Thumbnails(dataset, with_reports=True).of_sample, samples)
    return [thumbnail.src for thumbnail in thumbnails if thumbnail is not None]


ROUTES = [
    Route("/admin", admin_page),
    Route(f"{ADMIN_API}/reports", reports),
    Route(f"{ADMIN_API}/reports/{{number}}/{{part}}", report_image),
    Route(f"{ADMIN_API}/decisions", decide, methods=["POST"]),
]
