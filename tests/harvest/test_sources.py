"""The contract of every registered source: recorded answers give the expected results."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from recorded_site import ANSWERS, RecordedSite
from tools_for_tests import running

from gleanset.errors import GleansetError
from gleanset.records import Candidate
from harvest.http import Client
from harvest.secrets import VARIABLES
from harvest.source_names import SOURCES as NAMES
from harvest.sources import Query, Source, load_source
from harvest.sources.flickr import Flickr
from harvest.sources.google.source import Google
from harvest.sources.pixiv.source import Pixiv

STATES = ("normal", "empty", "blocked", "changed", "renamed", "rate_limited", "bad_key")
HTML = {"Content-Type": "text/html"}
# Answers that any site may give; recorded answers of a site take precedence.
USUAL: dict[str, dict[str, Any]] = {
    "blocked": {
        "responses": [{"status": 403, "headers": HTML, "body": "<p>Access denied</p>"}],
        "expected": {"error": "Blocked"},
    },
    "changed": {
        "responses": [
            {"status": 200, "headers": HTML, "body": "<p>Welcome to our new site</p>"}
        ],
        "expected": {"error": "Changed"},
    },
    "renamed": {
        "responses": [{"status": 200, "body": {"answer": {"things": []}}}],
        "expected": {"error": "Changed"},
    },
    "rate_limited": {
        "responses": [{"status": 429, "headers": {"Retry-After": "60"}, "body": ""}],
        "expected": {"error": "RateLimited"},
    },
}
# Without the delays that a site wants, which would be wasted on a recording.
QUICK: dict[str, Source] = {
    "flickr": Flickr(pace=0),
    "google": Google(first_quiet=1, more_quiet=1),
    "pixiv": Pixiv(pace=0),
}
PROGRAMS = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
GOOGLE = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(PROGRAMS), reason=f"not installed: {', '.join(PROGRAMS)}"),
]
MARKS: dict[str, list[pytest.MarkDecorator]] = {"google": GOOGLE}
SOURCES = list(map(load_source, NAMES))

each_source = pytest.mark.parametrize(
    "source", [pytest.param(s, id=s.name, marks=MARKS.get(s.name, [])) for s in SOURCES]
)


def states(source: Source) -> list[str]:
    """Return the states all sources have, then those recorded for this one."""
    recorded = {file.stem for file in (ANSWERS / source.name).glob("*.json")}
    return [*STATES, *sorted(recorded - set(STATES))]


each_answer = pytest.mark.parametrize(
    ("source", "state"),
    [
        pytest.param(
            source, state, id=f"{source.name}-{state}", marks=MARKS.get(source.name, [])
        )
        for source in SOURCES
        for state in states(source)
    ],
)


def recorded(source: Source, state: str) -> dict[str, Any]:
    """Return the recorded answer of a state, or the usual one."""
    file = ANSWERS / source.name / f"{state}.json"
    if file.is_file():
        return json.loads(file.read_text(encoding="utf-8"))
    if state in USUAL:
        return USUAL[state]
    if state == "bad_key" and not any(
        key.startswith(f"{source.name}.") for key in VARIABLES
    ):
        pytest.skip(f"{source.name} takes no key")
    pytest.fail(
        f"The source {source.name!r} has no recorded answer for {state!r}: add "
        f"tests/harvest/answers/{source.name}/{state}.json. Its shape is in "
        "tests/harvest/answers/README.md."
    )


def search(source: Source, site: RecordedSite, client: Client) -> Iterator[Candidate]:
    """Return candidates for the source's example, with recorded endpoints."""
    places = {
        o.name: site.endpoint for o in source.options if o.name.endswith("endpoint")
    }
    query = Query(source.example, hint="thing", options=places)
    return QUICK.get(source.name, source).candidates(query, client)


def expected_fields(
    candidate: Candidate, names: dict[str, object]
) -> dict[str, object]:
    """Return the candidate's fields that the recording names."""
    plain = {**asdict(candidate.origin), **asdict(candidate)}
    plain["tags"] = list(candidate.origin.tags)
    return {name: plain[name] for name in names}


@pytest.mark.usefixtures("site_logins")
@each_answer
def test_recorded_responses(
    source: Source, state: str, client: Client, request: pytest.FixtureRequest
) -> None:
    result = recorded(source, state)
    if source.name == "google":
        request.getfixturevalue("shared_browser")
    expected = result["expected"]
    site = RecordedSite(ANSWERS / source.name, result["responses"])
    with running(site):
        if "error" in expected:
            assert refusal(source, site, client) == expected["error"]
        else:
            assert_candidates(
                list(search(source, site, client)), expected["candidates"], source
            )
    assert site.requests[0].startswith("/deep/path/")


def refusal(source: Source, site: RecordedSite, client: Client) -> str:
    """Return the error class that ends the search; it has a hint."""
    with pytest.raises(GleansetError) as caught:
        list(search(source, site, client))
    assert caught.value.fix
    return type(caught.value).__name__


def assert_candidates(
    candidates: list[Candidate], expected: list[dict[str, object]], source: Source
) -> None:
    titles = [
        expected_fields(candidate, result)
        for candidate, result in zip(candidates, expected, strict=False)
    ]
    assert titles == expected[: len(titles)]
    assert len(candidates) == len(expected)
    assert len({candidate.origin.key for candidate in candidates}) == len(candidates)
    for candidate in candidates:
        assert candidate.url.startswith(("http://", "https://"))
        result = candidate.origin
        assert (result.source, result.query, result.hint) == (
            source.name,
            source.example,
            "thing",
        )
        assert result.url == candidate.url


@each_source
def test_normal_response_has_several_candidates(source: Source) -> None:
    assert len(recorded(source, "normal")["expected"]["candidates"]) >= 3


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_options_are_documented_with_valid_defaults(source: Source) -> None:
    assert source.example
    assert source.name.isidentifier()
    for option in source.options:
        assert option.help
        assert not option.choices or option.default in {"", *option.choices}
    assert source.settings(Query("x")) == {o.name: o.default for o in source.options}
