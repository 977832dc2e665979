"""The administrator's page: access and decisions, also in a real browser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_helpers import OpenPage, accessibility_violations
from catalogue_rows import locked
from color_model import write_model
from drawn_dataset import put_whole
from report_rows import WebReport, add_reports, draw_face, store_report
from server_helpers import Serve, make_settings, running_server
from starlette.testclient import TestClient
from tools_for_tests import pixels, run_here, wait_for

from gleanset import Dataset
from gleanset.db.faces import CropMethod
from gleanset.db.journal import Choice
from gleanset.db.reports import ACCEPTED, PENDING, REFUSED, REMOVAL, Reports
from gleanset.images.decode import decode
from gleanset.images.measure import measure
from webapp.report_decisions import NOT_A_FACE, accept_reports

ADMIN = {"authorization": "Bearer own"}
REPORTS = "/api/v1/admin/reports"
DECISIONS = "/api/v1/admin/decisions"
CARDS = "[...document.querySelectorAll('.report')]"
CONFLICTING = [
    WebReport(name, picture=n) for name, n in (("mei", 0), ("rin", 0), ("aki", 1))
]


@pytest.fixture
def admin(serve: Serve) -> TestClient:
    """Return a client of a server with tokens for users and the administrator."""
    return serve(admin="own", token="visitor")


def decide(admin: TestClient, **decision: object) -> Any:
    return admin.post(DECISIONS, json=decision, headers=ADMIN)


def report_statuses(root: Path) -> dict[str, str]:
    with Dataset.open(root) as dataset:
        every = (PENDING, ACCEPTED, REFUSED)
        reports = [
            report for status in every for report in Reports(dataset.db).iterate(status)
        ]
        return {report.claim.claimed: report.status for report in reports}


def test_reports_require_admin_token(
    serve: Serve, admin: TestClient, dataset: Dataset
) -> None:
    add_reports(dataset.root, CONFLICTING)
    for path in (REPORTS, f"{REPORTS}/1/face", f"{REPORTS}/1/image"):
        assert serve().get(path, headers=ADMIN).status_code == 404, (
            "nobody has asked for the page"
        )
        for stranger, reason in (
            ("Bearer visitor", "wrong"),
            ("Bearer", "wrong"),
            ("", "admin"),
        ):
            answer = admin.get(path, headers={"authorization": stranger})
            assert answer.status_code == 401
            assert answer.json()["reason"].startswith(reason)
        assert admin.get(path, headers=ADMIN).headers["cache-control"] == "no-store"
    assert admin.post(DECISIONS, json={"refuse": [1]}).status_code == 401
    foreign = ADMIN | {"origin": "https://elsewhere.example"}
    assert (
        admin.post(DECISIONS, json={"refuse": [1]}, headers=foreign).status_code == 403
    )
    assert set(report_statuses(dataset.root).values()) == {PENDING}
    admin.get("/admin?token=wrong")
    assert admin.get(REPORTS).status_code == 401
    open_page = admin.get("/admin?token=own", follow_redirects=False)
    assert "token" not in open_page.headers["location"]
    assert (
        admin.get(REPORTS).status_code
        == admin.get("/api/v1/classes").status_code
        == 200
    )


def test_rate_limit_exempts_admin(serve: Serve) -> None:
    admin = serve(admin="own", limits={"per_minute": 12})
    assert {admin.get(REPORTS, headers=ADMIN).status_code for _ in range(30)} == {200}
    guesses = [admin.get(f"/admin?token={word}").status_code for word in range(4)]
    assert guesses == [200, 200, 200, 429]
    assert admin.get(REPORTS, headers={"authorization": "Bearer 5"}).status_code == 429
    assert admin.get(REPORTS, headers=ADMIN).status_code == 200


def test_decisions_can_be_undone(admin: TestClient, dataset: Dataset) -> None:
    add_reports(dataset.root, CONFLICTING)
    result = admin.get(REPORTS, headers=ADMIN).json()
    names = [one["claimed"] for one in result["reports"]]
    assert names in (["aki", "mei", "rin"], ["aki", "rin", "mei"]), (
        "what disagrees is together"
    )
    assert [rival[1:] for rival in result["reports"][1]["rivals"]] == [
        [names[2], PENDING]
    ]
    for kind in ("face", "image"):
        assert (
            decode(admin.get(f"{REPORTS}/1/{kind}", headers=ADMIN).content).width > 100
        )
    both = {"accept": {1: "mei", 3: None}, "create": ["aki", "mei"]}
    refused = decide(admin, accept={1: None, 3: None}, create=["aki", "mei"])
    assert (refused.status_code, refused.json()["reason"]) == (409, "cannot be done")
    assert decide(admin, accept={3: None}, refuse=[2]).status_code == 409, (
        "one at a time"
    )
    refused = decide(admin, **both | {"create": ["aki"]}).json()
    assert (refused["reason"], refused["detail"]) == ("no such class", "mei"), (
        "not seen as new"
    )
    done = decide(admin, **both).json()
    step = done["step"]
    assert (done["classes"], done["created"]) == (
        {"1": "mei", "3": "aki"},
        ["aki", "mei"],
    )
    assert decide(admin, refuse=[2]).json()["reports"] == [2]
    assert report_statuses(dataset.root) == {
        "mei": ACCEPTED,
        "aki": ACCEPTED,
        "rin": REFUSED,
    }
    assert {step.provenance for step in dataset.journal.iterate()} == {"web report"}
    (sample,) = (s for s in dataset.samples.iterate() if s.label == "aki")
    dataset.samples.set_splits({sample.key: ("a", "test")})
    settled = admin.get(REPORTS, params={"settled": True}, headers=ADMIN).json()[
        "reports"
    ]
    assert [one["claimed"] for one in settled if not one["in_test"]] == ["rin", "mei"]
    assert [one["step_size"] for one in settled] == [1, 2, 2], "what Undo takes back"
    assert [one["claimed"] for one in settled if one["in_test"]] == ["aki"]
    assert decide(admin, undo=step).json()["reports"] == [1, 3]
    assert report_statuses(dataset.root) == {
        "mei": PENDING,
        "aki": PENDING,
        "rin": REFUSED,
    }
    other = dataset.journal.apply("something else", [])
    assert decide(admin, undo=other).status_code == 409, (
        "what others did is not the page's"
    )
    step = decide(admin, **both).json()["step"]
    (sample,) = (s for s in dataset.samples.iterate() if s.label == "mei")
    later = dataset.journal.apply(
        "Label by hand", [Choice(sample.key, "label", "hana")]
    )
    refused = decide(admin, undo=step)
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "a label changed since",
    )
    assert "Label by hand" in refused.json()["hint"]
    dataset.journal.undo(later)
    assert decide(admin, undo=step).json()["reports"] == [1, 3]
    assert all(s.label != "mei" for s in dataset.samples.iterate())
    with locked(dataset.root):
        assert decide(admin, refuse=[1]).headers["retry-after"]


def test_removals_are_listed_first(
    admin: TestClient, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    removals = [WebReport("", note, kind=REMOVAL) for note in ("old", "new")]
    claims = [WebReport(name, name) for name in ("aki", "", NOT_A_FACE)]
    add_reports(dataset.root, [*claims, *removals])
    monkeypatch.setattr("webapp.admin.REPORTS_PER_PAGE", 1)
    notes = []
    last = {}
    while last is not None:
        page = admin.get(REPORTS, params=last, headers=ADMIN).json()
        notes += [report["note"] for report in page["reports"]]
        last = page["last"]
    assert notes == ["old", "new", "", NOT_A_FACE, "aki"]


@pytest.fixture
def admin_address(tmp_path: Path, dataset: Dataset) -> Iterator[str]:
    """Yield the address of a page with 30 reports; five contradict others."""
    add_reports(
        dataset.root, [WebReport("mei", picture=0), WebReport("rin", picture=1)]
    )
    accept_reports(dataset, {1: None, 2: None})
    run_here(
        "labeler.cli", "classes", "add", "mei", "--alias", "May", "-d", dataset.root
    )
    for names in (("mei", "mai"), ("mai", "mei")):
        run_here("labeler.cli", "classes", "rename", *names, "-d", dataset.root)
    claims = [
        WebReport(("mei", "rin")[n % 2], "<b>note</b>", "rin", picture=10 + n)
        for n in range(25)
    ]
    add_reports(
        dataset.root,
        [*claims, *(WebReport("aki", picture=10 + n) for n in range(5))],
        100,
    )
    with dataset.db.transaction():  # one of the whole image
        dataset.db.execute("UPDATE report SET x=0, y=0, w=240, h=180 WHERE id=9")
    method = CropMethod("drawnface", "", "margin=0.3", 10)
    model = write_model(tmp_path / "m.onnx", crops=(method,))
    settings = make_settings(model, dataset.root, admin="own")
    with running_server(settings) as port:
        yield f"http://127.0.0.1:{port}/"


@pytest.mark.slow
def test_cards_warn_of_parts_conflicts_and_deleted_classes(
    open_page: OpenPage, two_class_dataset: Dataset, tmp_path: Path
) -> None:
    root = two_class_dataset.root
    claims = [
        WebReport("red", picture=1),
        WebReport("red", picture=2),
        WebReport("aki", picture=3),
    ]
    add_reports(root, claims)
    data, box = draw_face(4)
    store_report(two_class_dataset, data, box, "red", phash=measure(data).phash)
    add_reports(root, [WebReport("", picture=5)])
    copy = decode(data).pixels.resize((96, 72))
    key = put_whole(two_class_dataset, copy, "copy")
    two_class_dataset.journal.apply("Label", [Choice(key, "label", "blue")])
    run_here("labeler.cli", "classes", "add", "aki", "-d", root)
    with two_class_dataset.db.transaction():  # one of the whole image
        two_class_dataset.db.execute(
            "UPDATE report SET x=0, y=0, w=240, h=180 WHERE id=1"
        )
    settings = make_settings(write_model(tmp_path / "m.onnx"), root, admin="own")
    with running_server(settings) as port:
        page = open_page(at=f"http://127.0.0.1:{port}/")
        page.goto(f"{page.url}admin?token=own")
        wait_for(
            page, "document.querySelectorAll('.misfit:not([hidden])').length === 4"
        )
        assert "dataset of whole images" in page.inner_text("[data-report='2'] .misfit")
        page.locator("#accept-all", has_text="Accept all you have seen: 1").wait_for()
        for card in page.locator(".report").all():
            card.scroll_into_view_if_needed()
        left_out = "one by one: 4 (none of the classes: 1, parts of images: 3)"
        wait_for(
            page,
            f"document.querySelector('#left-out').innerText.endsWith('{left_out}')",
        )
        assert page.locator("[data-report='5']", has_text="Report 5 · ").count() == 1
        assert page.inner_text("[data-report='4'] .removal figcaption").startswith(
            "blue "
        )
        run_here("labeler.cli", "classes", "delete", "aki", "-d", root)
        page.click("[data-report='3'] >> text='Accept'")
        page.locator("#message", has_text="This class was deleted meanwhile").wait_for()
        page.locator(
            "[data-report='3'] button", has_text="Create class “aki”"
        ).wait_for()
        assert set(report_statuses(root).values()) == {PENDING}
        page.click("[data-report='3'] >> text='Create class “aki”'")
        page.locator(
            "[data-report='3'] .became", has_text="Accepted as aki, a new"
        ).wait_for()
        run_here("labeler.cli", "classes", "delete", "aki", "-d", root)
        page.click("[data-report='3'] .undo")
        page.locator("#message", has_text="Delete class aki").wait_for()
        outcome = page.inner_text("[data-report='3'] .became")
        assert outcome == "Accepted, but no longer labelled"
        # Enter right after a name accepts a class; a new one is shown first.
        cases = (("new", "Create class “new”"), ("blue", "Accepted as blue"))
        for is_late, typed, result in [
            (True, *cases[0]),
            *((False, *case) for case in cases),
        ]:
            page.click("[data-report='2'] >> text='Another class…'")
            page.keyboard.type(typed)
            if is_late:  # the answer came before Enter
                page.locator(f"#else-accept:has-text('{typed}')").wait_for()
            page.keyboard.press("Enter")
            page.locator(f":is(#else-accept, .became):has-text('{result}')").wait_for()
            if typed == "new":
                assert page.locator("#else").is_visible(), "nothing was created"
            page.keyboard.press("Escape")
        page.click("[data-report='2'] .undo")
        page.locator("[data-report='2'] >> text='Refuse'").wait_for()
        page.context.close()
    accepted = run_here(
        "webapp.cli", "reports", "accept", "1", "2", "-d", root, "--json"
    )
    assert accepted.json["accepted"] == 2
    assert "or of parts in one of whole images: 1 (labeler undo" in accepted.stderr


ACCEPTED_AS = {"en": "Accepted as toyama", "ja": "toyama として採用しました"}
DESKTOP = ((1280, 900), "light", "en", "Accept", "This token is not right.")
PHONE = ((390, 844), "dark", "ja", "採用する", "トークンが正しくありません。")


def test_report_accepted_as_another_class(admin: TestClient, dataset: Dataset) -> None:
    add_reports(dataset.root, CONFLICTING)  # of one face: mei, rin
    reports = {
        report.claim.claimed: report.id for report in Reports(dataset.db).iterate()
    }
    decide(admin, accept={reports["mei"]: "rin"}, create=["rin"])
    settled = admin.get(REPORTS, params={"settled": True}, headers=ADMIN).json()[
        "reports"
    ]
    assert [(one["claimed"], one["class"]) for one in settled] == [("mei", "rin")]
    waiting = admin.get(REPORTS, headers=ADMIN).json()["reports"]
    assert {one["claimed"]: one["rivals"] for one in waiting}["rin"] == [], (
        "nobody disagrees"
    )
    listed = run_here("pipeline.cli", "list", "reports", "-d", dataset.root).stdout
    assert [json.loads(line)["disputed_by"] for line in listed.splitlines()] == [
        [],
        [],
        [],
    ]
    assert decide(admin, accept={reports["rin"]: None}).status_code == 200
    assert {sample.label for sample in dataset.samples.iterate()} == {"rin"}
    # Faces to compare with are not those that reports labelled, if there are others.
    add_reports(dataset.root, [WebReport("rin", picture=7)])
    of_reports = admin.get(REPORTS, headers=ADMIN).json()["known"]["rin"]
    key = put_whole(dataset, pixels(1), "own")
    dataset.journal.apply("Label", [Choice(key, "label", "rin")])
    accept_reports(dataset, {4: None})
    add_reports(dataset.root, [WebReport("rin", picture=8)])
    (own,) = admin.get(REPORTS, headers=ADMIN).json()["known"]["rin"]
    assert own not in of_reports


def test_reports_of_class_with_slash_are_listed(
    admin: TestClient, dataset: Dataset
) -> None:
    """A model of other people may have such classes."""
    add_reports(dataset.root, [WebReport("mei", answer="AC/DC")])
    answer = admin.get(REPORTS, headers=ADMIN)
    assert (answer.status_code, answer.json()["known"]["AC/DC"]) == (200, [])


def test_accepted_report_of_deleted_class_names_its_deletion(
    admin: TestClient, dataset: Dataset
) -> None:
    add_reports(dataset.root, CONFLICTING)
    step = decide(admin, accept={1: "mei"}, create=["mei"]).json()["step"]
    run_here("labeler.cli", "classes", "delete", "mei", "-d", dataset.root).checked()
    decide(admin, accept={3: "mei"}, create=["mei"])  # makes the class again
    settled = admin.get(REPORTS, params={"settled": True}, headers=ADMIN).json()[
        "reports"
    ]
    assert {one["id"]: one["class"] for one in settled} == {3: "mei", 1: None}
    assert all(one["rivals"] == [] for one in settled)
    assert (
        "undo this first: Delete class mei" in decide(admin, undo=step).json()["hint"]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "screen", [pytest.param(DESKTOP, marks=pytest.mark.long), PHONE]
)
def test_reports_are_decided_in_browser(
    open_page: OpenPage, axe: Any, admin_address: str, dataset: Dataset, screen: Any
) -> None:
    (width, height), scheme, language, accept, wrong = screen
    page = open_page(
        width, height, at=admin_address, color_scheme=scheme, locale=language
    )
    page.goto(f"{admin_address}admin")
    wait_for(page, "document.querySelector('#token-form')")
    assert page.locator("#none, #tabs").locator("visible=true").count() == 0
    page.fill("[name=token]", "wrong")
    page.click("#token-form button")
    page.locator("#token-form .message", has_text=wrong).wait_for()
    assert page.url == f"{admin_address}admin"
    page.fill("[name=token]", " own ")
    page.click("#token-form button")
    wait_for(page, f"{CARDS}.length >= 24")
    assert page.url == f"{admin_address}admin"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wait_for(page, "document.querySelectorAll('.report .faces img').length > 20")
    assert page.locator(".disputed .dispute").count() >= 2
    for card in page.locator(".report").all():
        card.scroll_into_view_if_needed()
    wait_for(page, "document.querySelectorAll('.misfit:not([hidden])').length === 1")
    assert accessibility_violations(axe, page) == []
    # By keyboard: accept the first undisputed report, and undo it.
    plain = page.locator(".report:not(.disputed)").first
    number = int(plain.get_attribute("data-report"))
    plain.get_by_role("button", name=accept, exact=True).press("Enter")
    wait_for(page, "document.activeElement.className === 'undo'")
    assert Reports(dataset.db).get(number).status == ACCEPTED  # type: ignore[union-attr]
    assert accessibility_violations(axe, page) == []
    page.keyboard.press("Enter")
    wait_for(page, "document.activeElement.matches('.report:not(.settled) button')")
    assert Reports(dataset.db).count() == 30
    # Accept all seen reports; disputed ones and whole images stay. All are undone together.
    page.click("#accept-all")
    wait_for(page, f"{CARDS}.filter((card) => card.matches('.settled')).length > 10")
    wrong = (
        ".report:is(.settled, :has(.primary)) .misfit:not([hidden]), #left-out[hidden]"
    )
    assert page.locator(f"{wrong}, .disputed.settled, .report b").count() == 0, (
        "a note stays text"
    )
    assert (accepted := Reports(dataset.db).count(ACCEPTED)) > 12
    assert str(accepted - 2) in page.locator(".undo").first.inner_text(), (
        "of both tabs: all"
    )
    page.select_option("#language", page.input_value("#language"))
    assert page.locator(".settled .undo").count() > 10, (
        "another language shows the same state"
    )
    # Accept as another class, view the whole image, and list the decisions.
    page.locator(".disputed .buttons button").nth(1).click()
    page.fill("#else-name", "Meii")
    page.locator("#else-create", has_text="Meii").wait_for()
    assert re.fullmatch("It is mei|mei です", page.inner_text("#else-accept")), (
        "Enter does this"
    )
    for name in (" May", "mai", "M\u00c9I"):  # an alias, a former name and an accent
        page.fill("#else-name", name)
        page.locator("#else-accept", has_text="mei").wait_for()
    page.fill("#else-name", "toyama")
    page.locator("#else-accept", has_text="toyama").wait_for()
    page.keyboard.press("Enter")  # a new class: it goes to the button
    assert page.evaluate("document.activeElement.id") == "else-accept"
    page.keyboard.press("Enter")
    wait_for(page, f"{CARDS}.some((card) => card.matches('.disputed.settled'))")
    assert "toyama" in {sample.label for sample in dataset.samples.iterate()}
    creates = page.locator("button", has_text=re.compile("Create class|を作成"))
    assert creates.locator("visible=true").count() > 1
    creates.first.click()
    wait_for(
        page, f"!{CARDS}.some((card) => /Create class|を作成/.test(card.innerText))"
    )
    page.locator(".look").first.click()
    wait_for(page, "document.querySelector('#whole-box').clientWidth > 10")
    assert accessibility_violations(axe, page) == []
    page.keyboard.press("Escape")
    page.click("#settled")
    wait_for(
        page, f"{CARDS}.length && {CARDS}.every((card) => card.matches('.settled'))"
    )
    # A decision shows the accepted class, not only that reports disagreed.
    accepted = page.locator(".report", has=page.locator(".became", has_text="toyama"))
    assert accepted.count() == 1
    assert accepted.locator(".became").inner_text() == ACCEPTED_AS[language]
    assert "toyama" not in accepted.locator("h2").inner_text(), (
        "what the user had claimed"
    )
    (sample,) = (s for s in dataset.samples.iterate() if s.label == "toyama")
    later = dataset.journal.apply("By hand", [Choice(sample.key, "label", "mei")])
    accepted.locator(".undo").click()
    wait_for(page, "document.querySelector('#message').innerText.includes('By hand')")
    assert accepted.count() == 0, "the card says the present class"
    dataset.journal.undo(later)
    assert accessibility_violations(axe, page) == []
    page.click(".undo >> nth=0")
    creates.first.wait_for()  # again, as on the other tab
    listed = page.request.get(f"{admin_address[:-1]}{REPORTS}?settled=true").json()[
        "reports"
    ]
    dataset.journal.undo(listed[0]["step"])
    page.click(".undo >> nth=0")
    wait_for(page, "!document.querySelector('#message').hidden")
    page.context.clear_cookies()
    page.click(".undo >> nth=0")
    wait_for(page, "document.querySelector('#token-form')")
    assert page.locator(".report button, #all-bar").locator("visible=true").count() == 0
