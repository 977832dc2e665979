"""Removal requests: stored, matched with copies, settled or refused."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image
from server_helpers import Serve
from starlette.testclient import TestClient
from tools_for_tests import picture, run_here

from gleanset import Dataset, Origin
from gleanset.db.reports import REFUSED, REMOVAL, Report, Reports
from gleanset.errors import Unreadable
from gleanset.images.staging import StageBytes

LARGE = picture(1, size=(400, 300))


def request_removal(
    client: TestClient, data: bytes, note: str = "it is mine", **fields: object
) -> Any:
    """Send a removal report."""
    form = {"report": json.dumps({"kind": REMOVAL, "note": note, **fields})}
    return client.post("/api/v1/reports", data=form, files={"file": ("mine.jpg", data)})


def add_image(dataset: Dataset, data: bytes, key: str) -> str:
    """Import an image; return its hash."""
    with dataset.stage("in") as scratch:
        store = dataset.originals(scratch)
        measured = StageBytes(store)(data)
        dataset.take_original(store, measured, Origin("site", key))
    return measured.sha256


def half_size(data: bytes) -> bytes:
    """Return the image at half the size, compressed again."""
    with Image.open(io.BytesIO(data)) as image:
        image.resize((image.width // 2, image.height // 2)).save(out := io.BytesIO(), "JPEG")
    return out.getvalue()


def removal_reports(dataset: Dataset) -> list[Report]:
    return [report for report in Reports(dataset.db).iterate() if report.claim.kind == REMOVAL]


def test_duplicate_removal_request_is_ignored(client: TestClient, dataset: Dataset) -> None:
    assert request_removal(client, LARGE).json() == {"new": True}
    assert request_removal(client, LARGE, box=[5, 5, 20, 20]).json() == {"new": False}
    assert request_removal(client, LARGE, "me@example.org").json() == {"new": True}, (
        "a way to answer"
    )
    first, second = removal_reports(dataset)
    assert (first.claim.note, second.claim.note) == ("it is mine", "me@example.org")
    assert tuple(first.claim.box) == (0, 0, 400, 300), "the whole image"
    assert dataset.images.count() == 0, "it is not an image of the dataset"
    status = run_here("pipeline.cli", "status", "-d", dataset.root, "--json").json
    assert status["reports"]["of_them_removals"] == 2
    assert status["next"].startswith("gleanset list reports"), "before all else"


@pytest.mark.parametrize("note", ["", "  \n"])
def test_removal_request_needs_reason(client: TestClient, dataset: Dataset, note: str) -> None:
    answer = request_removal(client, LARGE, note)
    assert (answer.status_code, answer.json()["reason"]) == (422, "no reason")
    assert not removal_reports(dataset)


def test_copies_are_listed_for_admin(serve: Serve, dataset: Dataset) -> None:
    own_image, _ = (
        add_image(dataset, LARGE, "1"),
        add_image(dataset, picture(2, size=(400, 300)), "2"),
    )
    admin = serve(admin="own")
    request_removal(admin, LARGE)
    request_removal(admin, half_size(LARGE))
    lines = run_here("pipeline.cli", "list", "reports", "-d", dataset.root).stdout.splitlines()
    assert [[copy["sha256"] for copy in json.loads(line)["copies"]] for line in lines] == [
        [own_image]
    ] * 2
    headers = {"authorization": "Bearer own"}
    shown = admin.get("/api/v1/admin/reports", headers=headers).json()["reports"]
    assert [(removal["kind"], removal["copies"][0]["sha256"]) for removal in shown] == [
        (REMOVAL, own_image)
    ] * 2
    assert shown[0]["copies"][0]["src"].startswith("data:image/")
    picture_of_it = admin.get(f"/api/v1/admin/reports/{shown[0]['id']}/face", headers=headers)
    assert picture_of_it.headers["content-type"] == "image/jpeg"


def test_forget_settles_removal_request(client: TestClient, dataset: Dataset) -> None:
    own_image, other = add_image(dataset, LARGE, "1"), add_image(dataset, picture(2), "2")
    request_removal(client, LARGE)
    request_removal(client, half_size(LARGE))
    first, second = removal_reports(dataset)
    forget = ("pipeline.cli", "forget", "-d", dataset.root, "--json", "--report", str(first.id))
    assert run_here(*forget, "--simulate").json["would_forget"]["images"] == 1
    assert dataset.image_path(own_image, "JPEG").is_file()
    assert run_here(*forget, "-y").json["forgotten"] == {"images": 1, "samples": 0, "reports": 1}
    assert [image.sha256 for image in dataset.images.iterate()] == [other]
    assert removal_reports(dataset) == [second]
    with pytest.raises(Unreadable, match="asked to"):
        add_image(dataset, LARGE, "1")
    assert request_removal(client, LARGE, "again").json()["reason"] == "taken down"
    # The other one is only similar: its own image is removed.
    assert run_here(*forget[:-1], str(second.id), "-y").code == 0
    assert not list((dataset.root / "web" / "reports").rglob("*.jpg"))
    assert "does not wait" in run_here(*forget, "-y").stderr


def test_removal_request_can_only_be_refused(client: TestClient, dataset: Dataset) -> None:
    request_removal(client, LARGE)
    (removal,) = removal_reports(dataset)
    reports = ("webapp.cli", "reports")
    refused = run_here(*reports, "accept", str(removal.id), "-d", dataset.root)
    assert (refused.code, f"gleanset forget --report {removal.id}" in refused.stderr) == (2, True)
    result = run_here(*reports, "accept", "all", "-d", dataset.root)
    assert "1 removal requests stay pending" in result.stderr
    run_here(*reports, "refuse", "all", "-d", dataset.root)
    assert removal_reports(dataset) == [removal], "`all` leaves it"
    assert run_here(*reports, "refuse", str(removal.id), "-d", dataset.root, "--json").json == {
        "refused": 1
    }
    assert Reports(dataset.db).count(REFUSED) == 1
    dataset.journal.undo()
    assert removal_reports(dataset) == [removal]


def test_forget_refuses_wrong_answer_report(client: TestClient, dataset: Dataset) -> None:
    form = {"report": json.dumps({"claimed": "mei"})}
    client.post("/api/v1/reports", data=form, files={"file": ("a.jpg", LARGE)})
    result = run_here("pipeline.cli", "forget", "--report", "1", "-y", "-d", dataset.root)
    assert "does not ask for a removal" in result.stderr
    assert Reports(dataset.db).count() == 1
