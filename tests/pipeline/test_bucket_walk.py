"""A dataset whose files lie in a bucket of a real S3 server: the same rows as with a folder."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from s3_server import NEEDS_SWIFT
from tools_for_tests import ROOT, Ran, command, eventually, run_here

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
