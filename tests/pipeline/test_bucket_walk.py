"""A dataset whose files lie in a bucket of a real S3 server: the same rows as with a folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from s3_server import NEEDS_SWIFT, FaultyServer
from tools_for_tests import ROOT, Ran, command, eventually, run_here

from gleanset.files import s3
from gleanset.files.s3 import Bucket

pytestmark = NEEDS_SWIFT

SAMPLE = Path(__file__).resolve().parents[2] / "datasets" / "sample" / "pictures"
WALK = (
    ("harvest.cli", "folder", "{pictures}", "--hints-from-folders"),
    ("facecrop.cli", "run", "--detector", "animeface"),
    ("labeler.cli", "accept-hints"),
    ("labeler.cli", "split"),
)


def pictures_in(folder: Path, number: int) -> Path:
    for place, picture in enumerate(sorted(SAMPLE.glob("*.jpg"))[:number]):
        target = folder / ("sora", "yuki")[place % 2] / picture.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(picture.read_bytes())
    return folder


def walk(run: Callable[..., Ran], root: Path, pictures: Path) -> None:
    for module, *words in WALK:
        ran = run(module, *(word.format(pictures=pictures) for word in words), "-d", root, "-q")
        assert ran.code == 0, ran.stderr


def listed(run: Callable[..., Ran], root: Path) -> list[object]:
    ran = [run("pipeline.cli", "list", kind, "-d", root) for kind in ("images", "samples", "faces")]
    return [json.loads(line) for one in ran for line in one.stdout.splitlines()]


@pytest.mark.long
def test_a_walk_over_a_bucket_gives_the_rows_and_bytes_of_one_over_a_folder(
    bucket: Bucket, tmp_path: Path
) -> None:
    pictures = pictures_in(tmp_path / "pictures", 6)
    here, there = tmp_path / "here", tmp_path / "there"
    made = run_here("pipeline.cli", "init", "--store", bucket.address, "-d", there)
    assert made.code == 0, made.stderr
    for root in (here, there):
        walk(run_here, root, pictures)
    assert listed(run_here, here) == listed(run_here, there)
    assert not (there / "images").exists()
    assert not (there / "crops").exists()
    for kind in ("images", "crops"):
        own = {path.name: path.read_bytes() for path in (here / kind).rglob("*.*")}
        stored = {one.key: bucket.get(one.key)[0] for one in bucket.each(f"{kind}/")}
        assert {key.rpartition("/")[2]: data for key, data in stored.items()} == own
    for root in (here, there):
        ran = run_here("labeler.cli", "export", tmp_path / f"tree-{root.name}", "-d", root, "-q")
        assert ran.code == 0, ran.stderr
    assert digest(tmp_path / "tree-here") == digest(tmp_path / "tree-there")
    seen = run_here("pipeline.cli", "verify", "-d", there, "--json").json
    assert (seen["sound"], seen["gone"], seen["strays"], seen["gone_crops"]) == (6, 0, 0, 0)


def test_verify_removes_nothing_from_a_bucket_whose_reads_are_wrong(
    bucket: Bucket, faulty: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_PAUSES", (0.01,))
    pictures, there = pictures_in(tmp_path / "pictures", 4), tmp_path / "there"
    for words in (
        ("pipeline.cli", "init", "--store", bucket.address),
        ("harvest.cli", "folder", pictures, "-q"),
        ("facecrop.cli", "run", "--detector", "whole", "-q"),
    ):
        assert run_here(*words, "-d", there).code == 0
    (pictures / "sora").rename(tmp_path / "moved")
    objects = {facts.key: facts.etag for facts in bucket.each() if "catalog" not in facts.key}
    faulty.fault = lambda method, path: "halve" if "/images/" in path or "/crops/" in path else ""
    shutil.rmtree(os.environ["XDG_CACHE_HOME"])
    for words in (("verify",), ("verify", "--repair")):
        seen = run_here("pipeline.cli", *words, "-d", there, "--json")
        assert seen.code == 3
        assert (seen.json["unreadable"], seen.json["damaged"], seen.json["gone"]) == (4, 0, 0)
    faulty.fault = lambda method, path: ""
    assert {f.key: f.etag for f in bucket.each() if "catalog" not in f.key} == objects
    seen = run_here("pipeline.cli", "verify", "-d", there, "--json")
    assert (seen.code, seen.json["sound"]) == (0, 4)


FAULTS = ("halve", "cut", "late", "reset", "500", "damage")


@pytest.mark.long
def test_faults_in_turn_over_every_command_lose_nothing(
    bucket: Bucket, faulty: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_PAUSES", (0.01,))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    pictures = pictures_in(tmp_path / "pictures", 12)
    here, there = tmp_path / "here", tmp_path / "there"
    walk(run_here, here, pictures)
    commands = (
        *WALK,
        ("pipeline.cli", "verify", "--repair"),
        ("labeler.cli", "dedup"),
        ("labeler.cli", "quality"),
        ("labeler.cli", "gallery", str(tmp_path / "page.html")),
        ("labeler.cli", "export", str(tmp_path / "tree")),
        ("labeler.cli", "export", f"{bucket.address}/out"),
        ("labeler.cli", "export", f"{bucket.address}/shards", "--format", "webdataset"),
        ("pipeline.cli", "publish"),
        ("pipeline.cli", "report", "--out", str(tmp_path / "report.html")),
        ("pipeline.cli", "gc", "--older", "0h"),
        ("pipeline.cli", "verify"),
    )
    number = count()

    def in_turn(method: str, path: str) -> str:
        asked = next(number)
        # Every third request; now and then three in a row, which is more than is tried.
        return FAULTS[asked // 3 % 6] if asked % 3 == 0 or asked % 40 in (20, 21, 22) else ""

    init = ("pipeline.cli", "init", "--store", bucket.address)
    for words in (init, *commands):
        faulty.fault = in_turn
        filled = [str(word).format(pictures=pictures) for word in words]
        for _ in range(12):
            ran = run_here(*filled, "-d", there, "--json")
            assert ran.code in (0, 3, 4), (words, ran.stderr)
            assert "Traceback" not in ran.stderr
            # What arrived damaged at every attempt is told in numbers, and taken next time.
            if done := ran.code == 0 and not ran.json.get("rejected"):
                break
        assert done, (words, ran.stderr)
        faulty.fault = lambda method, path: ""
        if words is not init:
            own = originals(bucket)
            assert all(hashlib.sha256(data).hexdigest() == key[:64] for key, data in own.items())
    assert own == {path.name: path.read_bytes() for path in (here / "images").rglob("*.*")}
    assert digest(tmp_path / "tree").values()
    assert run_here("pipeline.cli", "verify", "-d", there).code == 0
    run_here("labeler.cli", "export", tmp_path / "plain", "-d", here, "-q")
    assert digest(tmp_path / "tree") == digest(tmp_path / "plain")


def digest(tree: Path) -> dict[str, str]:
    return {
        path.relative_to(tree).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tree.rglob("*.jpg")
    }


@pytest.mark.long
def test_a_harvest_that_is_killed_twice_takes_each_picture_once(
    bucket: Bucket, tmp_path: Path
) -> None:
    pictures = pictures_in(tmp_path / "pictures", 40)
    here, there = tmp_path / "here", tmp_path / "there"
    assert run_here("harvest.cli", "folder", pictures, "-d", here, "-q").code == 0
    made = run_here("pipeline.cli", "init", "--store", bucket.address, "-d", there)
    assert made.code == 0, made.stderr
    for number in (5, 15):
        words = command("harvest.cli", "folder", pictures, "--workers", "1", "-d", there, "-q")
        with subprocess.Popen(words, cwd=ROOT, start_new_session=True) as running:
            assert eventually(lambda: len(originals(bucket)) >= number)  # noqa: B023
            os.killpg(running.pid, signal.SIGKILL)
    assert len(originals(bucket)) < 40
    ended = run_here("harvest.cli", "folder", pictures, "-d", there, "-q")
    assert ended.code == 0, ended.stderr
    assert listed(run_here, here) == listed(run_here, there)
    own = {path.name: path.read_bytes() for path in (here / "images").rglob("*.*")}
    assert originals(bucket) == own
    seen = run_here("pipeline.cli", "verify", "-d", there, "--json").json
    assert (seen["sound"], seen["gone"], seen["strays"]) == (40, 0, 0)


def originals(bucket: Bucket) -> dict[str, bytes]:
    return {one.key.rpartition("/")[2]: bucket.get(one.key)[0] for one in bucket.each("images/")}
