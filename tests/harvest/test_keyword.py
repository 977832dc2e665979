"""Keywords with a small Bing on loopback: limits, resuming, shared images, being blocked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from small_bing import SmallBing, found, names
from tools_for_tests import command, eventually, python_path

from gleanset import Dataset


def test_the_first_pictures_are_taken_with_all_that_is_told(
    bing: SmallBing, tmp_path: Path
) -> None:
    done = bing.harvest(tmp_path, "cat", "--limit", "50")
    assert (done.code, done.stderr) == (0, "")
    assert done.json == {"added": 50, "duplicate": 0, "known": 0, "rejected": 0}
    assert names(tmp_path) == {f"{n}.jpg" for n in range(50)}
    assert len(bing.fetched) == 50
    [origin] = found(tmp_path)[0].origins
    assert (origin.source, origin.query, origin.hint) == ("bing", "cat", "cat")
    assert origin.title is not None
    assert origin.title.startswith("A picture of ")
    assert origin.page_url is not None
    assert origin.page_url.startswith(f"{bing.site.url}/post/")


def test_the_limit_counts_distinct_images(bing: SmallBing, tmp_path: Path) -> None:
    # Every image has two URLs, and every fifth has a third that fails.
    bing.results["cat"] = [
        name for n in range(60) for name in (f"{n}a.jpg", f"{n}b.jpg", *([f"x{n}"] * (n % 5 == 0)))
    ]
    done = bing.harvest(tmp_path, "cat", "--limit", "21")
    assert done.json["added"] == 21
    images = found(tmp_path)
    assert len(images) == 21
    assert {f"{n}a.jpg" for n in range(21)} <= names(tmp_path)
    assert all(len(image.origins) == 2 for image in images[:-1] if "20a" not in str(image.origins))
    with Dataset.open(tmp_path) as dataset:
        assert {r.reason for r in dataset.rejections.iterate()} == {"http 404"}


def test_a_second_run_downloads_nothing(bing: SmallBing, tmp_path: Path) -> None:
    bing.results["cat"].insert(3, "x.jpg")
    bing.harvest(tmp_path, "cat", "--limit", "20")
    before = len(bing.fetched)
    done = bing.harvest(tmp_path, "cat", "--limit", "20")
    assert len(bing.fetched) == before
    assert done.json == {"added": 0, "duplicate": 0, "known": 21, "rejected": 0}
    bing.harvest(tmp_path, "cat", "--limit", "25")
    assert len(found(tmp_path)) == 25
    assert len(bing.fetched) == before + 5


def test_two_keywords_that_share_an_address_both_leave_their_hint(
    bing: SmallBing, tmp_path: Path
) -> None:
    bing.results = {"cat": ["1.jpg", "2.jpg"], "kitten": ["2.jpg", "3.jpg"]}
    done = bing.harvest(tmp_path, "cat", "kitten")
    assert sorted(bing.fetched) == ["1.jpg", "2.jpg", "3.jpg"]
    hints = {
        str(image.origins[0].url)[-5]: {(o.query, o.hint) for o in image.origins}
        for image in found(tmp_path)
    }
    assert hints["2"] == {("cat", "cat"), ("kitten", "kitten")}
    assert done.json["keywords"]["kitten"]["known"] == 1
    assert (done.json["added"], done.json["known"]) == (3, 1)


def test_a_true_zero_is_no_failure(bing: SmallBing, tmp_path: Path) -> None:
    done = bing.harvest(tmp_path, "qwxyz")
    assert done.code == 0
    assert done.json == {
        "added": 0,
        "duplicate": 0,
        "known": 0,
        "rejected": 0,
        "no_results": True,
    }


def test_being_blocked_is_4_and_never_a_zero(bing: SmallBing, tmp_path: Path) -> None:
    bing.blocked_from["cat"] = 1
    done = bing.harvest(tmp_path, "cat")
    assert (done.code, done.stdout) == (4, "")
    assert "captcha" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_blocked_keyword_does_not_stop_the_next(bing: SmallBing, tmp_path: Path) -> None:
    bing.results["dog"] = ["90.jpg", "91.jpg"]
    bing.blocked_from["cat"] = 36
    done = bing.harvest(tmp_path, "cat", "dog", "--limit", "60")
    assert (done.code, done.json["added"]) == (4, 37)
    assert "search incomplete: bing 'cat'" in done.stderr
    assert "captcha" in done.json["keywords"]["cat"]["status"]
    assert done.json["keywords"]["dog"]["status"] == "ok"
    bing.blocked_from = {"cat": 1, "dog": 1}
    assert bing.harvest(tmp_path / "new", "cat", "dog").code == 4


def test_a_list_that_breaks_off_is_4_with_the_numbers(bing: SmallBing, tmp_path: Path) -> None:
    answer = bing.site.otherwise
    bing.site.otherwise = lambda h: answer(h) if "first=36" not in h.path else h.answer(200)
    done = bing.harvest(tmp_path, "cat", "--limit", "60")
    assert (done.code, done.json["added"]) == (4, 35)
    assert "an empty page" in done.json["sources"]["bing"]["status"]
    # A run that reaches its limit earlier does not notice where the list ends.
    assert bing.harvest(tmp_path, "cat", "--limit", "35").code == 0
    shown = bing.harvest(tmp_path / "new", "cat", "--limit", "60", "--simulate")
    assert (shown.code, shown.stdout.splitlines()[-1].count('"candidates": 35')) == (4, 1)


def test_results_that_are_all_filtered_are_not_no_results(bing: SmallBing, tmp_path: Path) -> None:
    done = bing.harvest(tmp_path, "cat", "--filter", "width > 9000")
    assert done.code == 0
    expected = {"added": 0, "duplicate": 0, "known": 0, "rejected": 0, "filtered": 80}
    assert done.json == expected


def test_the_same_stage_twice_is_refused(bing: SmallBing, tmp_path: Path) -> None:
    bing.pause = 0.3
    process = subprocess.Popen(
        command("harvest.cli", *bing.line(tmp_path, "cat")),
        env={**os.environ, "PYTHONPATH": python_path(), "GLEANSET_NET_THREADS": "2"},
        stdout=subprocess.DEVNULL,
    )
    try:
        assert eventually(lambda: bool(bing.fetched))
        done = bing.harvest(tmp_path, "cat")
        assert done.code == 3
        assert "already running" in done.stderr
    finally:
        process.kill()
        process.wait()
