"""Reports of wrong answers and removal requests: stored, accepted, refused, undone."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from catalogue_rows import locked
from color_model import write_model
from PIL import Image
from report_rows import store_report
from server_helpers import RESERVED_NAMES, Serve, solid_image
from starlette.testclient import TestClient
from tools_for_tests import encode, eventually, picture, run_here

from gleanset import Box, Dataset, Origin
from gleanset.db.faces import CropMethod
from gleanset.db.journal import PAGE_USER, Choice, get_unseen_labels
from gleanset.db.reports import ACCEPTED, PENDING, REFUSED, REMOVAL, Report, Reports
from gleanset.db.sorting import SampleTiles
from gleanset.errors import Unreadable, UsageError
from gleanset.images.staging import StageBytes
from labeler.cropping import put_box
from pipeline.maintenance.check_files import collect_garbage
from webapp.report_decisions import (
    NOT_A_FACE,
    accept_reports,
    find_class,
    list_disputed_reports,
    read_report_image,
    refuse_reports,
)

RED = solid_image("red")


def send_report(client: TestClient, data: bytes = RED, **fields: object) -> Any:
    form = {"report": json.dumps(fields)}
    return client.post("/api/v1/reports", files={"files": ("a.png", data)}, data=form)


def test_report_stores_prediction(client: TestClient, dataset: Dataset) -> None:
    answer = send_report(client, claimed=" mei ", box=[5, 5, 20, 20], note="it is Mei!")
    assert answer.json() == {"new": True, "class": None}
    (report,) = Reports(dataset.db).iterate()
    assert report.status == PENDING
    assert (report.claim.claimed, tuple(report.claim.box)) == ("mei", (5, 5, 20, 20))
    assert (report.claim.answer, report.claim.run) == ("red", "colours")
    assert report.claim.confidence == pytest.approx(1, abs=1e-3)
    assert report.claim.note == "it is Mei!"
    # The image is not in the dataset before it is accepted.
    assert dataset.images.count() == 0


def test_duplicate_report_is_ignored(client: TestClient, dataset: Dataset) -> None:
    assert send_report(client, claimed="mei").json() == {"new": True, "class": None}
    again = send_report(client, claimed="mei", note="again").json()
    assert again == {"new": False, "class": None}
    assert send_report(client, claimed="Red", box=[5, 5, 20, 20], new_box=True).json()[
        "new"
    ]
    send_report(client, claimed="Blue")  # a class of the model in another case
    run_here(
        "labeler.cli", "classes", "add", "green", "--alias", "レイ", "-d", dataset.root
    )
    for is_new in (True, False):
        answer = send_report(client, claimed="レイ").json()
        assert answer == {"new": is_new, "class": "green"}, (
            "the same class, also if repeated"
        )
    run_here(
        "labeler.cli", "classes", "add", "red", "--alias", "Ruby", "-d", dataset.root
    )
    assert send_report(client, claimed="RUBY").json()["reason"] == "already the answer"
    claimed = [report.claim.claimed for report in Reports(dataset.db).iterate()]
    assert claimed == ["mei", "red", "blue", "green"]
    run_here("labeler.cli", "classes", "rename", "red", "Scarlet", "-d", dataset.root)
    assert (
        send_report(client, claimed="scarlet").json()["reason"] == "already the answer"
    )


def test_model_of_faces_needs_boxes(
    serve: Serve, dataset: Dataset, tmp_path: Path
) -> None:
    crops = (CropMethod("drawnface", "", "margin=0.3", 10),)
    faces = serve(model=str(write_model(tmp_path / "faces.onnx", crops=crops)))
    answer = send_report(faces, claimed="mei")
    assert (answer.status_code, answer.json()["reason"]) == (422, "no box")
    answer = send_report(serve(), claimed=NOT_A_FACE, box=[5, 5, 20, 20])
    assert answer.json()["detail"] == "'<not a face>' is only for models of faces"
    assert request_removal(faces, solid_image("blue")).status_code == 200
    send_report(faces, claimed="mei", box=[5, 5, 20, 20])
    # As if it were stored before.
    send_report(serve(), solid_image("lime"), claimed="mei")
    accept = ("webapp.cli", "reports", "accept", "-d", dataset.root, "--json")
    ran = run_here(*accept, "2")
    assert ran.json == {"accepted": 1, "disputed": 0, "new_classes": ["mei"]}
    assert "new classes: mei (labeler undo takes them back)" in ran.stderr
    assert "of whole images in a dataset of faces" not in ran.stderr
    skipped = run_here(*accept, "all")
    assert (
        skipped.json["accepted"],
        "pending, of whole images in" in skipped.stderr,
    ) == (0, True)
    assert (
        "accepted, of whole images in a dataset of faces"
        in run_here(*accept, "3").stderr
    )
    again = run_here(*accept, "3").stderr
    assert "Decided" in again
    assert again.rstrip().endswith(f"labeler undo -d {dataset.root}"), (
        "how to take it back"
    )


def test_accepted_report_becomes_labelled_sample(
    client: TestClient, dataset: Dataset
) -> None:
    send_report(client, claimed="mei", box=[5, 5, 20, 20])
    send_report(client, claimed="rin", data=solid_image("blue"))
    first, second = Reports(dataset.db).iterate()
    result = accept_reports(dataset, {first.id: None, second.id: "toyama rin"})
    assert len(result.classes) == 2
    assert Reports(dataset.db).count(ACCEPTED) == 2
    faces = {tuple(result.face.box) for result in dataset.faces.iterate()}
    assert faces == {(5, 5, 20, 20), (0, 0, 40, 30)}
    assert {sample.label for sample in dataset.samples.iterate()} == {
        "mei",
        "toyama rin",
    }
    assert {decision.provenance for decision in dataset.journal.iterate()} == {
        "web report"
    }
    assert not list((dataset.root / "web" / "reports").rglob("*.png"))
    with pytest.raises(UsageError, match="already accepted"):
        accept_reports(dataset, {first.id: None})


# Of another hand; around the image; around the eyes; shifted, with the center of the other one.
@pytest.mark.parametrize(
    "box", [(6, 5, 20, 20), (0, 0, 40, 30), (9, 9, 9, 8), (15, 10, 25, 20)]
)
def test_conflicting_reports_stay_pending(
    client: TestClient, dataset: Dataset, box: Any
) -> None:
    send_report(client, claimed="mei", box=[5, 5, 20, 20])
    send_report(client, claimed="rin", box=box)
    send_report(client, claimed="rin", data=solid_image("blue"))
    mei, rin, _ = (report.id for report in Reports(dataset.db).iterate())
    for numbers in ([mei], [mei, rin]):
        with pytest.raises(UsageError, match=r"disagree.*'mei'.*'rin'"):
            accept_reports(dataset, dict.fromkeys(numbers))
    words = ("webapp.cli", "reports", "accept", "all", "-d", dataset.root, "--json")
    assert run_here(*words).json == {"accepted": 0, "disputed": 2}, (
        "there is no class 'rin'"
    )
    run_here("labeler.cli", "classes", "add", "rin", "-d", dataset.root)
    result = run_here(*words).json
    assert (result["accepted"], result["disputed"]) == (1, 2)
    unseen = [*get_unseen_labels(dataset.db).values()]
    assert unseen == [PAGE_USER], "nobody looked at what --all took"
    request_removal(client, RED)
    listed = run_here(
        "pipeline.cli", "list", "reports", "--where", f"id={mei}", "-d", dataset.root
    )
    assert listed.json["disputed_by"] == [4, rin]
    accept_reports(dataset, {mei: "mei"})
    with pytest.raises(UsageError, match="report 4 asks for the image"):
        accept_reports(dataset, {rin: None})
    assert [report.id for report in Reports(dataset.db).iterate()] == [rin, 4]


def test_pending_reports_are_listed_for_people(
    client: TestClient, dataset: Dataset
) -> None:
    reports = ("webapp.cli", "reports")
    option = ("-d", dataset.root)
    for words, count in ((["list"], "pending"), (["accept", "all"], "accepted")):
        assert run_here(*reports, *words, *option).stdout == f"{count}: 0\n"
    send_report(client, claimed="mei", note="it is\nMei \x1b[2J")
    send_report(client, claimed=None, data=solid_image("blue"))
    request_removal(client, LARGE)
    mei, unlisted, removal = (
        run_here(*reports, "list", *option, "-j").checked().json["reports"]
    )
    assert mei.startswith("1  mei? (predicted: red, 100%); of new classes; 20")
    assert mei.endswith("; it is Mei  [2J")
    assert unlisted.startswith(
        "2  none of the classes? (predicted: blue, 100%); of none of "
    )
    assert removal.startswith("3  removal; 20")
    skipped = run_here(*reports, "accept", "all", *option).stderr
    for reason in (
        "of new classes: 1",
        "of none of the classes: 1",
        "removals: 1 (gleanset",
    ):
        assert f"pending {reason}" in skipped.replace("pending, ", "pending "), (
            "each once"
        )
    with locked(dataset.root):
        send_report(client, claimed="rin")
        assert "finished writing: 1" in run_here(*reports, "list", *option).stderr


def test_renamed_class_does_not_contradict_itself(
    client: TestClient, dataset: Dataset
) -> None:
    run_here("labeler.cli", "classes", "add", "mei", "-d", dataset.root)
    send_report(client, claimed="mei", box=[5, 5, 20, 20])
    run_here("labeler.cli", "classes", "rename", "mei", "Mei M", "-d", dataset.root)
    send_report(client, claimed="Mei M", box=[9, 9, 9, 5])  # around the eyes
    assert list_disputed_reports(dataset) == {}
    accept_reports(
        dataset, {report.id: None for report in Reports(dataset.db).iterate()}
    )
    assert [sample.label for sample in dataset.samples.iterate()] == ["Mei M"]
    for words in (
        ("add", "Sanlang"),
        ("delete", "Sanlang"),
        ("add", "Hua", "--alias", "SANLANG"),
    ):
        run_here("labeler.cli", "classes", *words, "-d", dataset.root)
    assert find_class(dataset, "Sanlang") == "Hua", "not the class that was deleted"
    run_here("labeler.cli", "classes", "delete", "Mei M", "-d", dataset.root).checked()
    send_report(client, claimed="Hua", box=[5, 5, 20, 20])
    assert list_disputed_reports(dataset) == {}, (
        "the label of the accepted reports is gone"
    )
    (report,) = Reports(dataset.db).iterate()
    words = (
        "accept",
        str(report.id),
        "--class",
        "SANLANG",
        "--json",
        "-d",
        dataset.root,
    )
    accepted = run_here("webapp.cli", "reports", *words).checked().json
    assert (accepted["class"], accepted["alias"]) == (
        "Hua",
        "SANLANG is an alias of Hua",
    )


def test_report_about_known_face_labels_its_sample(
    client: TestClient, dataset: Dataset
) -> None:
    data = solid_image("red", (400, 300), "WEBP")  # stored otherwise if it were new
    image = add_image(dataset, data, "1")
    key = put_box(dataset, image, Box(100, 80, 90, 100)).key
    dataset.journal.apply("Label", [Choice(key, "label", "hana")])
    send_report(client, data, claimed="rei", box=[60, 40, 170, 170])  # around the hair
    words = ("webapp.cli", "reports", "accept", "all", "-d", dataset.root, "--json")
    assert run_here(*words).json == {"accepted": 0, "disputed": 1}
    with pytest.raises(UsageError, match=r"in the dataset it is labelled 'hana'"):
        accept_reports(dataset, {1: None})
    accept = ("webapp.cli", "reports", "accept", "1", "-d", dataset.root)
    run_here(*accept, "--class", "hanna").refused(
        2, "no class is called 'hanna'", "'hana'"
    )
    send_report(client, data, claimed=None, box=[100, 80, 90, 100])
    other, nobody = Reports(dataset.db).iterate()
    assert other.claim.sha256 == nobody.claim.sha256 == image
    listed = run_here(
        "pipeline.cli", "list", "reports", "-d", dataset.root
    ).stdout.splitlines()
    assert [json.loads(line)["sample_is"] for line in listed] == ["hana", "hana"]
    accept_reports(dataset, {other.id: "rei"})
    run_here(*accept[:3], "2", *accept[4:]).refused(
        2, "'none of the classes'", '--class "" -d'
    )
    assert run_here(*accept[:3], "2", *accept[4:], "--class", "").code == 0
    (sample,) = dataset.samples.iterate()
    assert (sample.key, sample.status, sample.label) == (key, "rejected", None)
    assert [*SampleTiles(dataset.db).get_marks([key]).values()] == ["other"], (
        "unlisted person"
    )
    dataset.journal.undo()
    assert [one.label for one in dataset.samples.iterate()] == ["rei"]
    copy = picture(2)
    put_box(dataset, add_image(dataset, copy, "2"), Box(5, 5, 20, 20))
    with dataset.db.transaction():
        dataset.db.execute("UPDATE sample SET duplicate_set='x', kept=(key=?)", (key,))
    send_report(client, copy, claimed="hana", box=[5, 5, 20, 20])
    assert [r.name for r in list_disputed_reports(dataset)[3]] == ["rei"], (
        "of the kept copy"
    )
    refuse_reports(dataset, [3])
    send_report(client, data, claimed="rei", box=[102, 88, 90, 90])
    refuse_reports(dataset, [nobody.id])
    assert run_here(*words).json == {"accepted": 1, "disputed": 0}
    assert get_unseen_labels(dataset.db) == {}, "what a person decided stays so"
    store_report(dataset, data, Box(101, 80, 90, 100), NOT_A_FACE)
    *_, no_face = Reports(dataset.db).iterate()
    skipped = run_here(*words)
    assert skipped.json == {"accepted": 0, "disputed": 1}
    assert "pending, of none of the classes: 1" in skipped.stderr
    accept_reports(dataset, {no_face.id: NOT_A_FACE})
    assert dataset.samples.count_by("status")["rejected",] == 1
    assert [*SampleTiles(dataset.db).get_marks([key]).values()] == [None]
    assert [origin.source for origin in dataset.images.get(image).origins] == ["site"]  # type: ignore[union-attr]
    assert not list((dataset.root / "web" / "reports").rglob("*.*"))


def test_image_of_withdrawn_report_is_not_searched(
    client: TestClient, dataset: Dataset
) -> None:
    send_report(client, claimed="mei")
    (report,) = Reports(dataset.db).iterate()
    accept_reports(dataset, {report.id: None})
    assert len([*dataset.images.iter_unscanned()]) == 1
    dataset.journal.undo()
    refuse_reports(dataset, [report.id])
    assert not [*dataset.images.iter_unscanned(), *dataset.images.iter_unprocessed()]
    assert (
        run_here("facecrop.cli", "run", "--new", "-d", dataset.root, "--json").json[
            "faces"
        ]
        == 0
    )
    path = dataset.image_path(report.claim.sha256, report.claim.format)
    assert str(path) in collect_garbage(dataset, 0.0, simulate=True).paths
    assert path.exists()
    collect_garbage(dataset, 0.0, simulate=False)
    assert not path.exists()
    assert not dataset.images.count()
    assert [one.status for one in Reports(dataset.db).iterate(REFUSED)] == [REFUSED]


def test_gc_keeps_incoming_report(client: TestClient, dataset: Dataset) -> None:
    with ThreadPoolExecutor(1) as threads:
        with locked(dataset.root):
            assert send_report(client, claimed="mei").json()["new"]
            removed = threads.submit(collect_old_files, dataset.root)
        removed.result()
    assert eventually(lambda: Reports(dataset.db).count() == 1)
    (report,) = Reports(dataset.db).iterate()
    assert read_report_image(dataset, report) == RED


def collect_old_files(root: Path) -> None:
    with Dataset.open(root) as dataset:
        collect_garbage(dataset, 0.0, simulate=False)


def test_undone_report_can_be_settled_again(
    client: TestClient, dataset: Dataset
) -> None:
    send_report(client, claimed="mei")
    (report,) = Reports(dataset.db).iterate()
    refuse_reports(dataset, [report.id])
    assert (Reports(dataset.db).count(REFUSED), dataset.images.count()) == (1, 0)
    dataset.journal.undo()
    assert Reports(dataset.db).count() == 1
    accept_reports(dataset, {report.id: None})
    dataset.journal.undo()
    assert Reports(dataset.db).count() == 1
    assert [sample.label for sample in dataset.samples.iterate()] == [None]
    accept_reports(dataset, {report.id: "rin"})
    assert [sample.label for sample in dataset.samples.iterate()] == ["rin"]


INVALID_REPORTS: list[tuple[dict[str, object], str]] = [
    *(
        ({"claimed": name}, "no name of a class")
        for name in ("", "x" * 10_000, *RESERVED_NAMES)
    ),
    ({"claimed": "mei", "note": "x" * 2000}, "wrong report"),
    (
        {"claimed": "mei", "box": [900, 900, 50, 50]},
        "box too small or outside the image",
    ),
    ({"claimed": "mei", "box": [10, 10, 40, 7]}, "box too small or outside the image"),
    ({"claimed": "mei", "box": [1, 2]}, "wrong report"),
    ({"claimed": "mei", "path": "/etc/passwd"}, "wrong report"),
    ({}, "no name of a class"),
    ({"claimed": "mei", "kind": "else"}, "wrong report"),
    ({"kind": REMOVAL}, "no reason"),
    ({"kind": REMOVAL, "note": "  \n"}, "no reason"),
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


LARGE = picture(1, size=(400, 300))


def request_removal(
    client: TestClient, data: bytes, note: str = "it is mine", **fields: object
) -> Any:
    """Send a removal report."""
    return send_report(client, data, kind=REMOVAL, note=note, **fields)


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
        return encode(image.resize((image.width // 2, image.height // 2)))


def removal_reports(dataset: Dataset) -> list[Report]:
    return [
        report
        for report in Reports(dataset.db).iterate()
        if report.claim.kind == REMOVAL
    ]


def test_duplicate_removal_request_is_ignored(
    client: TestClient, dataset: Dataset
) -> None:
    assert request_removal(client, LARGE).json() == {"new": True, "class": None}
    assert not request_removal(client, LARGE, box=[5, 5, 20, 20]).json()["new"]
    other = request_removal(client, LARGE, "me@example.org")
    assert other.json()["new"], "a way to answer"
    first, second = removal_reports(dataset)
    assert (first.claim.note, second.claim.note) == ("it is mine", "me@example.org")
    assert tuple(first.claim.box) == (0, 0, 400, 300), "the whole image"
    assert dataset.images.count() == 0, "it is not an image of the dataset"
    status = run_here("pipeline.cli", "status", "-d", dataset.root, "--json").json
    assert status["reports"]["of_them_removals"] == 2
    assert status["next"].startswith("webapp reports list"), "before all else"


def test_copies_are_listed_for_admin(serve: Serve, dataset: Dataset) -> None:
    own_image = add_image(dataset, LARGE, "1")
    add_image(dataset, picture(2, size=(400, 300)), "2")
    admin = serve(admin="own")
    request_removal(admin, LARGE)
    request_removal(admin, half_size(LARGE))
    lines = run_here(
        "pipeline.cli", "list", "reports", "-d", dataset.root
    ).stdout.splitlines()
    copies = [[copy["sha256"] for copy in json.loads(line)["copies"]] for line in lines]
    assert copies == [[own_image]] * 2
    headers = {"authorization": "Bearer own"}
    shown = admin.get("/api/v1/admin/reports", headers=headers).json()["reports"]
    removals = [(removal["kind"], removal["copies"][0]["sha256"]) for removal in shown]
    assert removals == [(REMOVAL, own_image)] * 2
    assert shown[0]["copies"][0]["src"].startswith("data:image/")
    key = put_box(dataset, own_image, Box(0, 0, 90, 90)).key
    dataset.journal.apply("Label", [Choice(key, "label", "mei")])
    dataset.samples.set_splits({key: (key, "test")})
    # A correction labels the face of the image itself; a copy in another file would be added.
    send_report(admin, LARGE, claimed="mei")
    send_report(admin, half_size(LARGE), claimed="mei")
    others = admin.get("/api/v1/admin/reports", headers=headers).json()["reports"]
    in_test = [
        (one["in_test"], one["copy_in_test"])
        for one in others
        if one["kind"] != REMOVAL
    ]
    assert in_test == [(True, False), (False, True)]
    copies = [one["copies"] for one in others if one["kind"] != REMOVAL]
    assert [[copy["sha256"] for copy in images] for images in copies] == [
        [],
        [own_image],
    ]
    assert [one["in_dataset"] for one in others] == [True, False, True, False], (
        "added or not"
    )
    picture_of_it = admin.get(
        f"/api/v1/admin/reports/{shown[0]['id']}/face", headers=headers
    )
    assert picture_of_it.headers["content-type"] == "image/jpeg"


def test_forget_settles_removal_request(client: TestClient, dataset: Dataset) -> None:
    own_image = add_image(dataset, LARGE, "1")
    other = add_image(dataset, picture(2), "2")
    request_removal(client, LARGE)
    request_removal(client, half_size(LARGE))
    first, second = removal_reports(dataset)
    forget = (
        "pipeline.cli",
        "forget",
        "-d",
        dataset.root,
        "--json",
        "--report",
        str(first.id),
    )
    simulated = run_here(*forget, "--simulate").json
    assert (simulated["would_forget"]["images"], len(simulated["list"])) == (1, 1)
    assert dataset.image_path(own_image, "JPEG").is_file()
    assert run_here(*forget, "-y").json["forgotten"] == {
        "images": 1,
        "samples": 0,
        "reports": 1,
    }
    assert [image.sha256 for image in dataset.images.iterate()] == [other]
    assert removal_reports(dataset) == [second]
    with pytest.raises(Unreadable, match="asked to"):
        add_image(dataset, LARGE, "1")
    assert request_removal(client, LARGE, "again").json()["reason"] == "taken down"
    # The other one is only similar: its own image is removed.
    assert run_here(*forget[:-1], str(second.id), "-y").code == 0
    assert not list((dataset.root / "web" / "reports").rglob("*.jpg"))
    assert "no report has" in run_here(*forget, "-y").stderr


def test_forget_removes_all_reports_of_image(
    client: TestClient, dataset: Dataset
) -> None:
    send_report(client, claimed="mei")
    accept_reports(dataset, {1: None})
    send_report(client, claimed="rin")
    request_removal(client, RED)
    forget = ("pipeline.cli", "forget", "-d", dataset.root, "--report", "3")
    refused = run_here(*forget)
    assert (
        "1 image, 1 sample and 3 reports (2 pending, 1 accepted) for good?"
        in refused.stderr
    )
    assert run_here(*forget, "-y", "--json").json["forgotten"]["reports"] == 3
    assert [
        report for s in (PENDING, ACCEPTED) for report in Reports(dataset.db).iterate(s)
    ] == []
    with pytest.raises(UsageError, match="nothing to undo"):
        dataset.journal.undo()


def test_removal_request_is_refused_or_forgotten(
    client: TestClient, dataset: Dataset
) -> None:
    request_removal(client, LARGE)
    (removal,) = removal_reports(dataset)
    reports = ("webapp.cli", "reports")
    refused = run_here(*reports, "accept", str(removal.id), "-d", dataset.root)
    assert (
        refused.code,
        f"--report {removal.id} -d {dataset.root}" in refused.stderr,
    ) == (2, True)
    run_here(*reports, "refuse", "all", "-d", dataset.root)
    assert removal_reports(dataset) == [removal], "`all` leaves it"
    refused = run_here(
        *reports, "refuse", str(removal.id), "-d", dataset.root, "--json"
    )
    assert (refused.json, Reports(dataset.db).count(REFUSED)) == ({"refused": 1}, 1)
    dataset.journal.undo()
    assert removal_reports(dataset) == [removal]
    send_report(client, LARGE, claimed="mei")
    result = run_here(
        "pipeline.cli", "forget", "--report", "2", "-y", "-d", dataset.root
    )
    assert "does not ask for a removal" in result.stderr
    assert Reports(dataset.db).count() == 2
