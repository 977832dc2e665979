"""Requests to take a picture down: kept, found again, accepted for good, refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient
from tools_for_tests import Ran, picture, run_here
from web_requests import Serve

from curation.take_downs import meant_by
from gleanset import Dataset, Origin
from gleanset.db.visitors import ACCEPTED, PENDING, REFUSED, Reports, TakeDownRequests
from gleanset.errors import Unreadable, UsageError
from gleanset.images.staging import StageBytes
from gleanset.settings import WebSettings
from pipeline.listing import listing

PAGE = "https://example.org/photos/7"


def ask(client: TestClient, data: bytes | None = None, **told: object) -> Any:
    """Send a request."""
    form = {"takedown": json.dumps({"reason": "it is mine", **told})}
    files = {"file": ("mine.jpg", data)} if data else {"other": ("", b"")}
    return client.post("/api/v1/takedowns", data=form, files=files)


def add(dataset: Dataset, data: bytes, number: int, page: str | None = None) -> str:
    """Take an image in; its hash."""
    with dataset.stage("in") as scratch:
        store = dataset.originals(scratch)
        measured = StageBytes(store)(data)
        dataset.take_original(store, measured, Origin("site", f"{number}", page_url=page))
    return measured.sha256


def smaller(data: bytes) -> bytes:
    """The same picture as others save it: half as large, and compressed anew."""
    with Image.open(io.BytesIO(data)) as image:
        image.resize((image.width // 2, image.height // 2)).save(out := io.BytesIO(), "JPEG")
    return out.getvalue()


def settle(dataset: Dataset, *words: str | Path) -> Ran:
    return run_here("webapp.cli", "takedowns", *words, "-d", dataset.root, "--json")


def test_a_request_waits_and_the_same_twice_is_one(client: TestClient, dataset: Dataset) -> None:
    assert ask(client, page=PAGE, contact="me@example.org").json() == {"new": True}
    assert ask(client, page=PAGE, contact="me@example.org").json() == {"new": False}
    # With a way to answer, or another reason, it is another request.
    assert ask(client, page=PAGE).json() == {"new": True}
    first, _ = TakeDownRequests(dataset.db).each()
    assert (first.status, first.wish.page, first.wish.reason) == (PENDING, PAGE, "it is mine")
    assert first.wish.contact == "me@example.org"


def test_of_a_picture_that_is_sent_only_hashes_are_kept(
    client: TestClient, dataset: Dataset
) -> None:
    before = sorted(dataset.root.rglob("*.jpg"))
    assert ask(client, picture(1)).status_code == 200
    assert sorted(dataset.root.rglob("*.jpg")) == before
    (request,) = TakeDownRequests(dataset.db).each()
    assert len(request.wish.sha256) == 64


@pytest.mark.parametrize(
    "spelled",
    [PAGE, f"{PAGE}/", PAGE.replace("https", "http"), f"  {PAGE}#comments ", f"{PAGE}/#top"],
)
def test_an_address_means_what_was_found_there(
    client: TestClient, dataset: Dataset, spelled: str
) -> None:
    there, _ = (add(dataset, picture(n), n, page) for n, page in ((1, PAGE), (2, f"{PAGE}2")))
    ask(client, page=spelled)
    (request,) = TakeDownRequests(dataset.db).each()
    assert meant_by(dataset, request.wish) == ((there,), ())


def test_a_picture_means_itself_and_what_looks_like_it_is_told_apart(
    client: TestClient, dataset: Dataset
) -> None:
    mine = add(dataset, picture(1, size=(400, 300)), 1)
    add(dataset, picture(2, size=(400, 300)), 2)
    ask(client, picture(1, size=(400, 300)))
    ask(client, smaller(picture(1, size=(400, 300))))
    same, copy = (meant_by(dataset, one.wish) for one in TakeDownRequests(dataset.db).each())
    assert same == ((mine,), ())
    assert copy.same == ()
    assert [one.sha256 for one in copy.alike] == [mine]


def test_what_is_accepted_goes_for_good_and_stays_away(
    client: TestClient, dataset: Dataset
) -> None:
    mine, other = (add(dataset, picture(n), n, page) for n, page in ((1, PAGE), (2, None)))
    path = dataset.image_path(mine, "JPEG")
    ask(client, page=PAGE)
    ask(client, picture(1))
    assert [line["means"] for line in listing(dataset, "takedowns", ())] == [[mine], [mine]]
    assert settle(dataset, "accept", "1", "--simulate").json == {
        "would_forget": {"images": 1, "samples": 0}
    }
    assert "nothing was removed" in run_here_unanswered(dataset)
    assert path.is_file()
    # The second request means nothing else, and is settled by the first.
    assert settle(dataset, "accept", "1", "-y").json == {
        "forgotten": {"images": 1, "samples": 0},
        "requests": 2,
    }
    assert not path.exists()
    assert [image.sha256 for image in dataset.images.each()] == [other]
    assert TakeDownRequests(dataset.db).count(ACCEPTED) == 2
    with pytest.raises(Unreadable, match="take-down request 1"):
        add(dataset, picture(1), 1, PAGE)
    # It is in the journal, and nothing takes it back.
    with pytest.raises(UsageError, match="nothing to undo"):
        dataset.journal.undo()
    assert "does not wait" in settle(dataset, "accept", "1", "-y").stderr


def run_here_unanswered(dataset: Dataset) -> str:
    """What is said where nobody answers the question."""
    from tools_for_tests import run_cli

    return run_cli("webapp.cli", "takedowns", "accept", "1", "-d", dataset.root).stderr


def test_what_only_looks_alike_goes_when_a_person_says_so(
    client: TestClient, dataset: Dataset
) -> None:
    mine = add(dataset, picture(1, size=(400, 300)), 1)
    ask(client, smaller(picture(1, size=(400, 300))))
    refused = settle(dataset, "accept", "1", "-y")
    assert refused.code == 2
    assert "--alike" in refused.stderr
    assert dataset.images.row_id(mine)
    assert settle(dataset, "accept", "1", "--alike", "-y").json["forgotten"]["images"] == 1
    assert not dataset.images.row_id(mine)


def test_a_request_in_words_is_carried_out_by_naming_the_picture(
    client: TestClient, dataset: Dataset
) -> None:
    mine = add(dataset, picture(1), 1)
    ask(client, words="the one with the red hat")
    assert "refuse 1" in settle(dataset, "accept", "1", "-y").stderr
    assert settle(dataset, "accept", "1", mine[:9], "-y").json["requests"] == 1
    assert TakeDownRequests(dataset.db).count(ACCEPTED) == 1


def test_the_picture_of_a_report_that_waits_goes_as_well(
    client: TestClient, dataset: Dataset
) -> None:
    form = {"report": json.dumps({"claimed": "mei"})}
    client.post("/api/v1/reports", files={"file": ("a.jpg", picture(3))}, data=form)
    assert len(list((dataset.root / "web" / "reports").rglob("*.jpg"))) == 1
    ask(client, picture(3))
    assert settle(dataset, "accept", "1", "-y").code == 0
    assert not list((dataset.root / "web" / "reports").rglob("*.jpg"))
    assert Reports(dataset.db).count() == 0


def test_a_refused_request_is_settled_until_it_is_undone(
    client: TestClient, dataset: Dataset
) -> None:
    ask(client, words="one")
    ask(client, words="two")
    assert settle(dataset, "refuse", "1", "2").json == {"refused": 2}
    assert TakeDownRequests(dataset.db).count(REFUSED) == 2
    assert "does not wait" in settle(dataset, "refuse", "1").stderr
    dataset.journal.undo()
    assert TakeDownRequests(dataset.db).count() == 2


NO_REQUESTS: list[tuple[dict[str, object], str]] = [
    ({"page": PAGE, "reason": " "}, "no reason"),
    ({}, "which picture?"),
    ({"page": "file:///etc/passwd"}, "no address"),
    ({"page": "https://x/\u202egnp"}, "no address"),
    ({"page": "https://[x"}, "no address"),
    ({"page": f"https://x/{'y' * 2000}"}, "page too long"),
    ({"page": PAGE, "contact": "x" * 201}, "contact too long"),
    ({"page": PAGE, "image": "/etc/passwd"}, "wrong takedown"),
    ({"page": 7}, "wrong takedown"),
]


def test_what_is_no_request_is_refused(client: TestClient, dataset: Dataset) -> None:
    for told, reason in NO_REQUESTS:
        answer = ask(client, **told)
        assert (answer.status_code, answer.json()["reason"]) == (422, reason)
    assert TakeDownRequests(dataset.db).count() == 0


def test_what_a_visitor_types_is_text_and_no_path(
    client: TestClient, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = add(dataset, picture(1), 1)
    (tmp_path / "there.jpg").write_bytes(picture(1))
    monkeypatch.chdir(tmp_path)
    for words in ("there.jpg", mine, "../../etc", "\x1b[2J\0<b>"):
        ask(client, words=words)
    for one in TakeDownRequests(dataset.db).each():
        assert meant_by(dataset, one.wish) == ((), ())
    listed = run_here("pipeline.cli", "list", "takedowns", "-d", dataset.root).stdout
    assert "\x1b" not in listed


def test_too_many_wait(serve: Serve, dataset: Dataset) -> None:
    client = serve(limits={"take_downs": 1})
    assert ask(client, words="one").status_code == 200
    answer = ask(client, words="two")
    assert (answer.status_code, answer.json()["reason"]) == (503, "too many wait")


def test_without_a_dataset_who_to_ask_is_told(serve: Serve) -> None:
    answer = ask(serve(dataset=None, web=WebSettings(contact="me@example.org")), words="one")
    assert answer.status_code == 404
    assert answer.json()["mend"] == "me@example.org"
