"""Keywords with a small Bing on loopback: limits, resuming, shared images, being blocked."""

from __future__ import annotations

import json
from pathlib import Path

from small_bing import SmallBing, image_names, load_images
from tools_for_tests import eventually, start_cli

from gleanset import Dataset


def test_first_results_are_added_with_provenance(bing: SmallBing, tmp_path: Path) -> None:
    done = bing.harvest(tmp_path, "cat", "--limit", "50")
    assert (done.code, done.stderr) == (0, "")
    assert done.json == {"added": 50, "duplicate": 0, "known": 0, "rejected": 0}
    assert image_names(tmp_path) == {f"{n}.jpg" for n in range(50)}
    assert len(bing.fetched) == 50
    [origin] = load_images(tmp_path)[0].origins
    assert (origin.source, origin.query, origin.hint) == ("bing", "cat", "cat")
    assert origin.title is not None
    assert origin.title.startswith("A picture of ")
    assert origin.page_url is not None
    assert origin.page_url.startswith(f"{bing.site.url}/post/")


def test_limit_counts_distinct_images(bing: SmallBing, tmp_path: Path) -> None:
    # Every image has two URLs, and every fifth has a third that fails.
    bing.results["cat"] = [
        name for n in range(60) for name in (f"{n}a.jpg", f"{n}b.jpg", *([f"x{n}"] * (n % 5 == 0)))
    ]
    done = bing.harvest(tmp_path, "cat", "--limit", "21")
    assert done.json["added"] == 21
    images = load_images(tmp_path)
    assert len(images) == 21
    assert {f"{n}a.jpg" for n in range(21)} <= image_names(tmp_path)
    assert all(len(image.origins) == 2 for image in images[:-1] if "20a" not in str(image.origins))
    with Dataset.open(tmp_path) as dataset:
        assert {r.reason for r in dataset.rejections.iterate()} == {"http 404"}


def test_second_run_downloads_nothing(bing: SmallBing, tmp_path: Path) -> None:
    bing.results["cat"].insert(3, "x.jpg")
    bing.harvest(tmp_path, "cat", "--limit", "20")
    before = len(bing.fetched)
    done = bing.harvest(tmp_path, "cat", "--limit", "20")
    assert len(bing.fetched) == before
    assert done.json == {"added": 0, "duplicate": 0, "known": 21, "rejected": 0}
    bing.harvest(tmp_path, "cat", "--limit", "25")
    assert len(load_images(tmp_path)) == 25
    assert len(bing.fetched) == before + 5


def test_shared_url_gets_both_weak_labels(bing: SmallBing, tmp_path: Path) -> None:
    bing.results = {"cat": ["1.jpg", "2.jpg"], "kitten": ["2.jpg", "3.jpg"]}
    done = bing.harvest(tmp_path, "cat", "kitten")
    assert sorted(bing.fetched) == ["1.jpg", "2.jpg", "3.jpg"]
    hints = {
        str(image.origins[0].url)[-5]: {(o.query, o.hint) for o in image.origins}
        for image in load_images(tmp_path)
    }
    assert hints["2"] == {("cat", "cat"), ("kitten", "kitten")}
    assert done.json["keywords"]["kitten"]["known"] == 1
    assert (done.json["added"], done.json["known"]) == (3, 1)


def test_no_results_exits_with_code_0(bing: SmallBing, tmp_path: Path) -> None:
    done = bing.harvest(tmp_path, "qwxyz")
    assert done.code == 0
    assert done.json == {
        "added": 0,
        "duplicate": 0,
        "known": 0,
        "rejected": 0,
        "no_results": True,
    }


def test_blocked_search_exits_with_code_4(bing: SmallBing, tmp_path: Path) -> None:
    bing.blocked_from["cat"] = 1
    done = bing.harvest(tmp_path, "cat")
    assert (done.code, done.stdout) == (4, "")
    assert "captcha" in done.stderr
    assert "Traceback" not in done.stderr


def test_blocked_keyword_does_not_stop_others(bing: SmallBing, tmp_path: Path) -> None:
    bing.results["dog"] = ["90.jpg", "91.jpg"]
    bing.blocked_from["cat"] = 36
    done = bing.harvest(tmp_path, "cat", "dog", "--limit", "60")
    assert (done.code, done.json["added"]) == (4, 37)
    assert "search incomplete: bing 'cat'" in done.stderr
    assert "captcha" in done.json["keywords"]["cat"]["status"]
    assert done.json["keywords"]["dog"]["status"] == "ok"
    bing.blocked_from = {"cat": 1, "dog": 1}
    assert bing.harvest(tmp_path / "new", "cat", "dog").code == 4


def test_incomplete_search_exits_with_code_4(bing: SmallBing, tmp_path: Path) -> None:
    answer = bing.site.otherwise
    bing.site.otherwise = lambda h: answer(h) if "first=36" not in h.path else h.answer(200)
    done = bing.harvest(tmp_path, "cat", "--limit", "60")
    assert (done.code, done.json["added"]) == (4, 35)
    assert "an empty page" in done.json["sources"]["bing"]["status"]
    # A run that reaches its limit earlier does not notice where the list ends.
    assert bing.harvest(tmp_path, "cat", "--limit", "35").code == 0
    preview = bing.harvest(tmp_path / "new", "cat", "--limit", "60", "--simulate")
    assert (preview.code, json.loads(preview.stdout.splitlines()[-1])["candidates"]) == (4, 35)


def test_all_results_filtered(bing: SmallBing, tmp_path: Path) -> None:
    done = bing.harvest(tmp_path, "cat", "--filter", "width > 9000")
    assert done.code == 0
    expected = {"added": 0, "duplicate": 0, "known": 0, "rejected": 0, "filtered": 80}
    assert done.json == expected


def test_concurrent_run_on_dataset_raises_error(bing: SmallBing, tmp_path: Path) -> None:
    bing.pause = 0.3
    process = start_cli("harvest.cli", *bing.line(tmp_path, "cat"))
    try:
        assert eventually(lambda: bool(bing.fetched))
        done = bing.harvest(tmp_path, "cat")
        assert done.code == 3
        assert "already running" in done.stderr
    finally:
        process.kill()
        process.wait()
