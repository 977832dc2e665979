"""Tests of listing, labelling and showing clusters by command."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from labelled_images import encoded, picture, put
from tools_for_tests import Ran, run_here

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.proposals import PrelabelledSample, Proposals


@pytest.fixture
def keys(empty: Dataset) -> list[str]:
    """Add six pending samples in two clusters: the first four, the last two."""
    keys = [put(empty, encoded(picture(n)), str(n), label="x", split="train")[0] for n in range(6)]
    empty.journal.apply("Clear", [Choice(key, "clear") for key in keys])
    set_clusters(empty, keys[:4], keys[4:])
    return keys


def set_clusters(dataset: Dataset, *clusters: list[str]) -> None:
    samples = [
        PrelabelledSample(key, place, (), number, 0.1 * place)
        for number, cluster in enumerate(clusters)
        for place, key in enumerate(cluster)
    ]
    Proposals(dataset.db).replace(samples, {})


def run(dataset: Dataset, *words: object) -> Ran:
    return run_here("labeler.cli", *words, "-d", dataset.root, "--json")


def listed(dataset: Dataset, *words: str) -> list[dict[str, Any]]:
    done = run_here("pipeline.cli", "list", "clusters", *words, "-d", dataset.root)
    assert done.code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_label_cluster(empty: Dataset, keys: list[str], tmp_path: Path) -> None:
    large, small = listed(empty)
    result = {"cluster": large["cluster"], "size": 4, "decided": 0, "samples": keys[:4]}
    assert large.items() >= result.items()
    assert [Path(str(file)).is_file() for file in large["files"]] == [True] * 4
    assert listed(empty, "--where", "size=2") == [small]
    refused = run_here("pipeline.cli", "list", "clusters", "--where", "size<3", "-d", empty.root)
    assert f"gleanset list clusters -d {empty.root} | jq" in refused.stderr
    shown = run(empty, "gallery", tmp_path / "clusters.html", "--clusters")
    assert (shown.json["clusters"], shown.json["shown"]) == (2, 6), shown.stderr
    page = (tmp_path / "clusters.html").read_text()
    assert str(large["cluster"]) in page
    assert all(key in page for key in keys)
    assert run(empty, "label", "hana", "--cluster", large["cluster"]).json["decided"] == 4
    assert [sample.label for sample in empty.samples.iter_by_key() if sample.key in keys[:4]] == [
        "hana"
    ] * 4
    assert listed(empty) == [small]
    again = run(empty, "label", "rei", "--cluster", large["cluster"])
    assert again.code == 2
    assert "all 4 are decided" in again.stderr


def test_reject_cluster(empty: Dataset, keys: list[str]) -> None:
    done = run(empty, "label", "--reject", "--cluster", listed(empty)[0]["cluster"])
    assert (done.code, done.json["decided"]) == (0, 4), done.stderr
    rejected = [sample.key for sample in empty.samples.iter_by_key() if sample.status == "rejected"]
    assert sorted(rejected) == sorted(keys[:4])
    assert run(empty, "label", "--reject").code == 2
    assert run(empty, "label").code == 2


def test_cluster_id_is_stable_after_decisions(empty: Dataset, keys: list[str]) -> None:
    (large, _), decided = listed(empty), keys[0]
    assert run(empty, "label", "rei", decided).code == 0
    remaining = {"cluster": large["cluster"], "size": 3, "decided": 1, "samples": keys[1:4]}
    assert listed(empty)[0].items() >= remaining.items()
    assert run(empty, "label", "hana", "--cluster", large["cluster"]).json["decided"] == 3
    assert {sample.label for sample in empty.samples.iter_by_key() if sample.key == decided} == {
        "rei"
    }


def test_stale_cluster_id_raises_error(empty: Dataset, keys: list[str]) -> None:
    large, small = listed(empty)
    set_clusters(empty, keys[4:], keys[:3], [keys[3]])
    assert listed(empty)[1]["cluster"] == small["cluster"]
    done = run(empty, "label", "hana", "--cluster", small["cluster"], "--cluster", large["cluster"])
    assert done.code == 2
    assert "gleanset list clusters" in done.stderr
    assert all(sample.status == "queue" for sample in empty.samples.iter_by_key())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.skipif(find_spec("playwright") is None, reason="needs playwright")
def test_clusters_page_shows_label_command(empty: Dataset, keys: list[str], tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    large, _ = listed(empty)
    assert run(empty, "gallery", tmp_path / "clusters.html", "--clusters").code == 0
    errors: list[str] = []
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(locale="en")
        page.set_default_timeout(120_000)  # a busy machine
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"file://{tmp_path}/clusters.html")
        page.locator("#classes .face").nth(5).wait_for()
        assert page.inner_text("#summary") == "All 6 pending samples in 2 clusters"
        first = page.locator("#classes section").first
        assert (
            first.locator("code").inner_text() == f"labeler label NAME --cluster {large['cluster']}"
        )
        assert first.locator(".face").count() == 4
        first.locator(".face").first.click()
        assert keys[0] in page.inner_text("#look-facts")
        browser.close()
    assert errors == []
