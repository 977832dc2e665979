"""The contract that every registered source keeps, over its recorded `normal` answer."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
from faulty_server import FaultyServer

from gleanset.errors import UsageError
from harvest.http import Client
from harvest.sources import SOURCES, Query, Source, source_named
from harvest.sources.base import Endpoint

ANSWERS = Path(__file__).parent / "answers"


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_example_yields_candidates_of_this_source(source: Source, site: FaultyServer) -> None:
    [answer] = (ANSWERS / source.name).glob("normal.*")
    site.otherwise = lambda h: h.answer(body=answer.read_bytes())
    query = Query(source.example, hint="thing", options={"endpoint": f"{site.url}/deep/path"})
    with Client(allow_private=True) as client:
        found = list(islice(source.candidates(query, client), 3))
    assert len(found) == 3
    assert len({c.origin.key for c in found}) == 3
    for candidate in found:
        assert candidate.url.startswith(("http://", "https://"))
        told = candidate.origin
        assert (told.source, told.query, told.hint) == (source.name, source.example, "thing")
        assert told.url == candidate.url
    assert all(path.startswith("/deep/path/") for path in site.asked)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_options_are_documented_and_their_defaults_are_words(source: Source) -> None:
    assert source.example
    assert source.name.isidentifier()
    for option in source.options:
        assert option.help
        assert not option.words or option.default in {"", *option.words}
    assert source.settings(Query("x")) == {o.name: o.default for o in source.options}


def test_names_are_unique_and_found() -> None:
    assert len({source.name for source in SOURCES}) == len(SOURCES)
    assert all(source_named(source.name) is source for source in SOURCES)


def test_a_misspelt_source_is_guessed() -> None:
    with pytest.raises(UsageError, match="Did you mean bing"):
        source_named("bnig")
    with pytest.raises(UsageError, match=r"Known: .*bing"):
        source_named("altavista")


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://127.0.0.1:8900", "http://127.0.0.1:8900/images/async"),
        ("http://127.0.0.1:8900/", "http://127.0.0.1:8900/images/async"),
        ("https://proxy.example/bing/v1", "https://proxy.example/bing/v1/images/async"),
    ],
)
def test_paths_are_appended_to_an_endpoint(base: str, url: str) -> None:
    assert Endpoint(base).url("/images/async") == url
