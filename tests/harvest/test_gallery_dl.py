"""gallery-dl's own library against a local Danbooru: records, queues, refusals, manners."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
from faulty_server import Behaviour, FaultyServer, Handler

from gleanset.errors import (
    Blocked,
    Changed,
    GleansetError,
    InputUnusable,
    MissingComponent,
    NeedsLogin,
    RateLimited,
    UsageError,
)
from gleanset.records import Candidate
from harvest.http import Client
from harvest.sources import Query
from harvest.sources.gallery_dl import GalleryDl

gallery_dl = pytest.importorskip("gallery_dl", reason="needs the gallery-dl extra")
# Or the import of its extractors would change the warnings of the whole process.
gallery_dl.config.set((), "warnings", "")
Extractor: Any = import_module("gallery_dl.extractor.common").Extractor

ANSWERS = Path(__file__).parent / "answers" / "gallery_dl"
TAGS = "https://danbooru.donmai.us/posts?tags=owl"
# gallery-dl asks this one without the pauses that Danbooru wants.
QUICK = "https://yande.re/post?tags=owl"
# The pauses between its requests would be wasted on this machine.
HASTY = GalleryDl({"sleep-request": 0, "sleep-retries": 0.05})


def found(site: FaultyServer, text: str = TAGS, **options: str) -> list[Candidate]:
    query = Query(text, "owl", {"endpoint": site.url, **options})
    with Client(allow_private=True) as client:
        return list(HASTY.candidates(query, client))


def post(number: int, **more: object) -> dict[str, object]:
    """A post as Danbooru tells of it, with an address on its own server."""
    tags = {f"tag_string_{kind}": "" for kind in ("artist", "character", "copyright", "meta")}
    return {
        "id": number,
        "created_at": "2026-05-01T10:00:00.000-04:00",
        "rating": "s",
        "tag_string": "owl forest",
        "tag_string_general": "owl forest",
        **tags,
        "image_width": 64,
        "image_height": 48,
        "file_url": f"/data/{number}.jpg",
        **more,
    }


def posts(*many: dict[str, object]) -> Behaviour:
    body = json.dumps(many).encode()
    return lambda h: h.answer(body=body, Content_Type="application/json")


def test_posts_become_candidates_with_all_that_is_told(site: FaultyServer) -> None:
    told = json.loads((ANSWERS / "normal.json").read_text(encoding="utf-8"))
    site.behaviours["/posts.json"] = posts(*told["responses"][0]["body"])
    first, *others = found(site)
    name = f"{1:032x}"
    url = f"https://cdn.donmai.us/original/00/00/{name}.jpg"
    assert (first.url, first.width, first.height) == (url, 1201, 900)
    assert first.referer == f"{site.url}/"
    told = first.origin
    assert (told.source, told.key) == ("gallery_dl", f"danbooru:7000001:{name}")
    assert (told.url, told.page_url, told.query, told.hint) == (url, TAGS, TAGS, "owl")
    assert (told.post, told.author, told.rating) == ("danbooru:7000001", "artist_1", "g")
    assert told.tags == ("1girl", "owl", "forest", "owl_ears", "night_1")
    assert len({candidate.origin.key for candidate in others}) == 4


def test_pages_are_turned_as_they_are_needed(site: FaultyServer) -> None:
    numbers = count(1)
    site.behaviours["/posts.json"] = lambda h: posts(*[post(next(numbers)) for _ in range(200)])(h)
    query = Query(TAGS, options={"endpoint": site.url})
    with Client(allow_private=True) as client:
        endless = GalleryDl().candidates(query, client)
        keys = {next(endless).origin.key for _ in range(200)}
        assert (len(keys), site.hits["/posts.json"]) == (200, 1)
        next(endless)
        assert site.hits["/posts.json"] == 2
    assert site.times[1] - site.times[0] >= 0.5, "the site wants pauses between its pages"
    assert "page=b200" in site.asked[1]


def test_an_empty_answer_is_an_empty_list(site: FaultyServer) -> None:
    site.behaviours["/posts.json"] = posts()
    assert found(site) == []


def status(number: int, **headers: str) -> Behaviour:
    return lambda h: h.answer(number, b"<html>no</html>", **headers)


def challenge(h: Handler) -> None:
    h.send_response_only(403)
    for name, value in {"Server": "cloudflare", "cf-mitigated": "challenge"}.items():
        h.send_header(name, value)
    h.send_header("Content-Length", "0")
    h.end_headers()


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (status(401), NeedsLogin),
        (status(403), Blocked),
        (challenge, Blocked),
        (status(404), InputUnusable),
        (status(410), InputUnusable),
        (status(418), Changed),
        (status(429, Retry_After="120"), RateLimited),
        (status(200), Changed),
        (lambda h: h.answer(body=b'{"posts": []}'), Changed),
        (lambda h: h.answer(body=b""), Changed),
    ],
)
def test_a_refusal_is_never_an_empty_list(
    site: FaultyServer, behaviour: Behaviour, error: type[GleansetError]
) -> None:
    site.behaviours["/post.json"] = behaviour
    with pytest.raises(error) as raised:
        assert found(site, QUICK)
    assert raised.value.mend
    assert len(site.asked) == 1
    if isinstance(raised.value, RateLimited):
        assert raised.value.retry_after == 120
        assert "120 seconds" in raised.value.mend


def test_trouble_on_the_second_page_keeps_the_first(site: FaultyServer) -> None:
    first = posts(*[post(number) for number in range(200)])
    site.behaviours["/posts.json"] = lambda h: (first if h.count() == 1 else status(403))(h)
    query = Query(TAGS, options={"endpoint": site.url})
    with Client(allow_private=True) as client:
        candidates = HASTY.candidates(query, client)
        assert len(list(islice(candidates, 200))) == 200
        with pytest.raises(Blocked):
            next(candidates)


def test_keys_in_addresses_are_not_told(site: FaultyServer) -> None:
    site.behaviours["/post.json"] = status(403)
    with pytest.raises(Blocked) as raised:
        found(site, QUICK)
    assert "/post.json?…" in str(raised.value)
    assert "limit=" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "cats",
        "",
        "https://example.com/",
        "oauth:pixiv",
        "noop",
        "r:file:///etc/passwd",
        "recursive:https://example.com/",
        "ytdl:https://example.com/",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_address_of_a_site_is_said(text: str, site: FaultyServer) -> None:
    with pytest.raises(UsageError, match="list-extractors"):
        found(site, text)
    assert site.asked == []


class _Local(Extractor):  # type: ignore[misc]
    """A site of the tests, made the way gallery-dl's own are; `play` is what happens there."""

    category = "local"
    subcategory = "stage"
    pattern = r"https://local\.test/(\w*)"
    plays: dict[str, Callable[[Any], Iterator[Any]]]

    def items(self) -> Iterator[Any]:
        return self.plays[self.groups[0]](self)


@pytest.fixture
def play(site: FaultyServer) -> Callable[[Callable[[Any], Iterator[Any]]], list[Candidate]]:
    gallery_dl.extractor.find("")
    if _Local not in gallery_dl.extractor._cache:
        gallery_dl.extractor.add(_Local)

    def run(*acts: Callable[[Any], Iterator[Any]]) -> list[Candidate]:
        _Local.plays = {act.__name__: act for act in acts}
        query = Query(f"https://local.test/{acts[0].__name__}")
        with Client(allow_private=True) as client:
            return list(GalleryDl().candidates(query, client))

    return run


FILE, QUEUE = 3, 6


def test_loops_end_and_what_is_gone_costs_only_itself(play: Any) -> None:
    def start(_: Any) -> Iterator[Any]:
        for name in ("gone", "start", "start", "album"):
            yield QUEUE, f"https://local.test/{name}", {}
        yield QUEUE, "https://nobody-knows.test/", {}
        yield QUEUE, "recursive:file:///etc/passwd", {}

    def gone(extractor: Any) -> Iterator[Any]:
        raise extractor.exc.NotFoundError("album")
        yield

    def album(_: Any) -> Iterator[Any]:
        yield FILE, "https://x.test/1.jpg", {"id": 1, "num": 1, "filename": "image"}
        yield FILE, "https://x.test/2.jpg", {"id": 1, "num": 2, "filename": "image"}
        yield FILE, "text:a story", {"extension": "txt"}

    assert {c.origin.key for c in play(start, gone, album)} == {
        "local:1:1:image",
        "local:1:2:image",
    }


def test_what_sites_tell_has_many_shapes(play: Any) -> None:
    told = {
        "user": {"id": 7, "name": "Athena"},
        "tags": [{"name": "owl"}, {"name": "red ear"}],
        "license": {"name": "CC BY 4.0"},
        "width": "640",
        "height": 0,
        "title": " An owl, asleep ",
        "post_url": "https://x.test/p/1",
        "_http_headers": {"Referer": "https://x.test/"},
    }

    def act(_: Any) -> Iterator[Any]:
        yield FILE, "https://x.test/1.jpg?sig=5", told
        yield FILE, "https://x.test/2.jpg", {"tags": {"species": ["owl"], "general": ["a", "b"]}}
        yield FILE, "https://x.test/3.jpg", {"tags": "red owl, night", "artist": ["x", "y"]}

    one, two, three = play(act)
    first = one.origin
    assert (first.author, first.licence, first.title) == ("Athena", "CC BY 4.0", "An owl, asleep")
    assert (first.tags, first.page_url) == (("owl", "red ear"), "https://x.test/p/1")
    assert (one.width, one.height, one.referer) == (640, None, "https://x.test/")
    assert first.key == "https://x.test/1.jpg?sig=5"
    assert two.origin.tags == ("owl", "a", "b")
    assert (three.origin.tags, three.origin.author) == (("red owl", "night"), "x, y")


def test_nothing_is_written_or_printed_and_own_settings_are_used_only_when_asked_for(
    site: FaultyServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    site.behaviours["/posts.json"] = posts(post(1))
    settings = tmp_path / ".config" / "gallery-dl" / "config.json"
    settings.parent.mkdir(parents=True)
    login = {"username": "me", "password": "key", "write-pages": True}
    settings.write_text(json.dumps({"extractor": {"danbooru": login}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    for config in ("no", "yes"):
        assert [c.url for c in found(site, config=config)] == [f"{site.url}/data/1.jpg"]
    assert capfd.readouterr() == ("", "")
    assert ["authorization" in headers for headers in site.headers] == [False, True]
    assert [path.name for path in tmp_path.iterdir()] == [".config"]


def test_without_the_package_the_mend_is_named(
    site: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gallery_dl", None)
    with pytest.raises(MissingComponent, match=r"pip install 'gleanset\[gallery-dl\]'"):
        found(site)


def test_keys_in_addresses_are_not_logged(
    site: FaultyServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG")
    site.otherwise = lambda h: h.answer(body=b"[]")

    def told(extractor: Any) -> Iterator[Any]:
        extractor.log.warning("'403 Forbidden' for '%s'", "https://x.example/a?api_key=SECRET")
        extractor.log.traceback(ValueError("https://x.example/b?login=me&key=SECRET"))
        return iter(())

    monkeypatch.setattr(Extractor, "items", told)
    monkeypatch.setattr(type(import_module("gallery_dl.extractor").find(TAGS)), "items", told)
    found(site)
    assert "https://x.example/a?…" in caplog.text
    assert "https://x.example/b?…" in caplog.text
    assert "SECRET" not in caplog.text
