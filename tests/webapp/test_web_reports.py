"""Reports of wrong answers: stored, accepted, refused, undone."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from catalogue_rows import locked
from server_helpers import Serve, solid_image
from starlette.testclient import TestClient
from tools_for_tests import eventually, run_here

from curation.web_reports import accept_reports, read_report_image, refuse_reports
from gleanset import Dataset
from gleanset.db.journal import PAGE_USER, get_unseen_labels
from gleanset.db.reports import ACCEPTED, PENDING, REFUSED, Reports
from gleanset.errors import UsageError
from pipeline.maintenance.gc import collect_garbage

RED = solid_image("red")


def send_report(client: TestClient, data: bytes = RED, **fields: object) -> Any:
    form = {"report": json.dumps(fields)}
    return client.post("/api/v1/reports", files={"file": ("a.png", data)}, data=form)


def test_report_stores_prediction(client: TestClient, dataset: Dataset) -> None:
    answer = send_report(client, claimed=" mei ", box=[5, 5, 20, 20], note="it is Mei!")
    assert answer.json() == {"new": True}
    (report,) = Reports(dataset.db).iterate()
    assert report.status == PENDING
    assert (report.claim.claimed, tuple(report.claim.box)) == ("mei", (5, 5, 20, 20))
    assert (report.claim.answer, report.claim.run) == ("red", "colours")
    assert report.claim.confidence == pytest.approx(1, abs=1e-3)
    assert report.claim.note == "it is Mei!"
    # The image is not in the dataset before it is accepted.
    assert dataset.images.count() == 0


def test_duplicate_report_is_ignored(client: TestClient, dataset: Dataset) -> None:
    assert send_report(client, claimed="mei").json() == {"new": True}
    assert send_report(client, claimed="mei", note="again").json() == {"new": False}
    assert send_report(client, claimed="rin").json() == {"new": True}
    assert Reports(dataset.db).count() == 2


def test_accepted_report_becomes_labelled_sample(client: TestClient, dataset: Dataset) -> None:
    send_report(client, claimed="mei", box=[5, 5, 20, 20])
    send_report(client, claimed="rin", data=solid_image("blue"))
    first, second = Reports(dataset.db).iterate()
    assert accept_reports(dataset, {first.id: None, second.id: "toyama rin"}).reports == 2
    assert Reports(dataset.db).count(ACCEPTED) == 2
    faces = {tuple(result.face.box) for result in dataset.faces.iterate()}
    assert faces == {(5, 5, 20, 20), (0, 0, 40, 30)}
    assert sorted(str(sample.label) for sample in dataset.samples.iterate()) == [
        "mei",
        "toyama rin",
    ]
    assert {decision.provenance for decision in dataset.journal.iterate()} == {"web report"}
    assert not list((dataset.root / "web" / "reports").rglob("*.png"))
    with pytest.raises(UsageError, match="does not wait"):
        accept_reports(dataset, {first.id: None})


def test_conflicting_reports_are_not_accepted(client: TestClient, dataset: Dataset) -> None:
    send_report(client, claimed="mei", box=[5, 5, 20, 20])
    send_report(client, claimed="rin", box=[6, 5, 20, 20])  # another finger, the same face
    send_report(client, claimed="rin", data=solid_image("blue"))
    mei, rin, plain = (report.id for report in Reports(dataset.db).iterate())
    for numbers in ([mei], [mei, rin]):
        with pytest.raises(UsageError, match=r"disagree.*'mei'.*'rin'"):
            accept_reports(dataset, dict.fromkeys(numbers))
    words = ("webapp.cli", "reports", "accept", "all", "-d", dataset.root, "--json")
    result = run_here(*words).json
    assert (result["accepted"], result["disputed"]) == (1, 2)
    assert [*get_unseen_labels(dataset.db).values()] == [PAGE_USER], (
        "nobody looked at what --all took"
    )
    listed = run_here("pipeline.cli", "list", "reports", "--where", f"id={mei}", "-d", dataset.root)
    assert listed.json["disputed_by"] == [rin]
    accept_reports(dataset, {mei: "mei"})
    with pytest.raises(UsageError, match="accepted"):
        accept_reports(dataset, {rin: None})
    assert [report.id for report in Reports(dataset.db).iterate()] == [rin]
    assert plain not in [report.id for report in Reports(dataset.db).iterate()]


def test_gc_keeps_incoming_report(client: TestClient, dataset: Dataset) -> None:
    with ThreadPoolExecutor(1) as threads:
        with locked(dataset.root):
            assert send_report(client, claimed="mei").json() == {"new": True}
            removed = threads.submit(collect_old_files, dataset.root)
        removed.result()
    assert eventually(lambda: Reports(dataset.db).count() == 1)
    (report,) = Reports(dataset.db).iterate()
    assert read_report_image(dataset, report) == RED


def collect_old_files(root: Path) -> None:
    with Dataset.open(root) as dataset:
        collect_garbage(dataset, 0.0, simulate=False)


def test_undone_report_can_be_accepted_again(client: TestClient, dataset: Dataset) -> None:
    send_report(client, claimed="mei")
    (report,) = Reports(dataset.db).iterate()
    accept_reports(dataset, {report.id: None})
    dataset.journal.undo()
    assert Reports(dataset.db).count() == 1
    assert [sample.label for sample in dataset.samples.iterate()] == [None]
    accept_reports(dataset, {report.id: "rin"})
    assert [sample.label for sample in dataset.samples.iterate()] == ["rin"]


def test_report_is_refused(client: TestClient, dataset: Dataset) -> None:
    send_report(client, claimed="mei")
    (report,) = Reports(dataset.db).iterate()
    refuse_reports(dataset, [report.id])
    assert Reports(dataset.db).count(REFUSED) == 1
    assert dataset.images.count() == 0
    dataset.journal.undo()
    assert Reports(dataset.db).count() == 1


INVALID_REPORTS: list[tuple[dict[str, object], str]] = [
    ({"claimed": ""}, "no name of a class"),
    ({"claimed": "../../etc"}, "no name of a class"),
    ({"claimed": "x" * 10_000}, "no name of a class"),
    ({"claimed": "Con"}, "no name of a class"),
    ({"claimed": "nul.txt"}, "no name of a class"),
    ({"claimed": " Unknown "}, "no name of a class"),
    ({"claimed": "不明"}, "no name of a class"),
    ({"claimed": "mei", "note": "x" * 2000}, "note too long"),
    ({"claimed": "mei", "box": [900, 900, 5, 5]}, "box outside the image"),
    ({"claimed": "mei", "box": [1, 2]}, "wrong report"),
    ({"claimed": "mei", "path": "/etc/passwd"}, "wrong report"),
    ({}, "no name of a class"),
    ({"claimed": "mei", "kind": "else"}, "wrong report"),
]


def test_invalid_report_is_rejected(client: TestClient, dataset: Dataset) -> None:
    for result, reason in INVALID_REPORTS:
        answer = send_report(client, **result)
        assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    assert Reports(dataset.db).count() == 0
    assert not list((dataset.root / "web").rglob("*.png"))


def test_number_of_reports_is_limited(serve: Serve, dataset: Dataset) -> None:
    client = serve(limits={"reports": 1})
    assert send_report(client, claimed="mei").status_code == 200
    answer = send_report(client, data=solid_image("blue"), claimed="mei")
    assert (answer.status_code, answer.json()["reason"]) == (503, "full")
    assert Reports(dataset.db).count() == 1
