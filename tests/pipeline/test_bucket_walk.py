"""A dataset whose files lie in a bucket of a real S3 server: the same rows as with a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from s3_server import NEEDS_SWIFT
from tools_for_tests import Ran

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


def test_a_walk_over_a_bucket_gives_the_rows_and_bytes_of_one_over_a_folder(
    bucket: Bucket, run_cli: Callable[..., Ran], tmp_path: Path
) -> None:
    pictures = pictures_in(tmp_path / "pictures", 10)
    here, there = tmp_path / "here", tmp_path / "there"
    made = run_cli("pipeline.cli", "init", "--store", bucket.address, "-d", there)
    assert made.code == 0, made.stderr
    for root in (here, there):
        walk(run_cli, root, pictures)
    assert listed(run_cli, here) == listed(run_cli, there)
    assert not (there / "images").exists()
    assert not (there / "crops").exists()
    for kind in ("images", "crops"):
        own = {path.name: path.read_bytes() for path in (here / kind).rglob("*.*")}
        stored = {one.key: bucket.get(one.key)[0] for one in bucket.each(f"{kind}/")}
        assert {key.rpartition("/")[2]: data for key, data in stored.items()} == own
    for root in (here, there):
        ran = run_cli("labeler.cli", "export", tmp_path / f"tree-{root.name}", "-d", root, "-q")
        assert ran.code == 0, ran.stderr
    assert digest(tmp_path / "tree-here") == digest(tmp_path / "tree-there")
    seen = run_cli("pipeline.cli", "verify", "-d", there, "--json").json
    assert (seen["sound"], seen["gone"], seen["strays"], seen["gone_crops"]) == (10, 0, 0, 0)


def digest(tree: Path) -> dict[str, str]:
    return {
        path.relative_to(tree).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tree.rglob("*.jpg")
    }
