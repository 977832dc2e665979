"""Shards: every picture exactly once, the same bytes each time, gone on with after a kill."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from labelled_pictures import encoded, picture, put
from PIL import Image
from tools_for_tests import command, python_path

from gleanset import Box, Dataset, Origin
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.shards import ShardSize
from labeler.export.job import export
from labeler.export.options import ExportOptions

SPLITS = ("train", "val", "test")
FORMATS = ("webdataset", "parquet")
NUMBER = 24
SMALL: dict[str, Any] = {"shard_size": "5"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """24 pictures, a third of them two faces, of two classes in three splits."""
    with Dataset.create(tmp_path_factory.mktemp("shards") / "dataset") as made:
        fill(made)
        yield made


def fill(made: Dataset) -> None:
    for number in range(NUMBER):
        put(
            made,
            encoded(picture(number)),
            "",
            [Box(10, 10, 30, 30), Box(70, 20, 30, 30)] if number % 3 == 0 else [],
            label=("花", "rei")[number % 2],
            split=SPLITS[max(0, number % 6 - 3)],
            origin=Origin(
                "urls",
                f"http://h/{number}.jpg",
                url=f"http://h/{number}.jpg",
                title=f"№ {number}",
                author="=cmd()",
                licence=("CC-BY-4.0", None)[number % 2],
            ),
        )


def run(dataset: Dataset, out: Path, workers: int = 1, **options: Any) -> dict[str, object]:
    return export(dataset, out, ExportOptions(**options), workers=workers)


def files(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def records(shard: Path) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Picture and what is told of it, by name, as any reader finds them."""
    if shard.suffix == ".parquet":
        rows = pq.read_table(shard).to_pylist()
        return {row["image"]["path"]: (row["image"]["bytes"], row) for row in rows}
    with tarfile.open(shard) as tar:
        inside = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    names = [name for name in inside if name.endswith(".jpg")]
    return {n: (inside[n], json.loads(inside[n.replace(".jpg", ".json")])) for n in names}


class WrittenShards(NamedTuple):
    format: str
    folder: Path
    result: dict[str, object]


@pytest.fixture(scope="module", params=FORMATS)
def written(
    request: pytest.FixtureRequest, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> WrittenShards:
    """Shards that two workers wrote."""
    out = tmp_path_factory.mktemp("written") / "out"
    return WrittenShards(request.param, out, run(dataset, out, 2, format=request.param, **SMALL))


def test_every_picture_is_in_one_shard_with_its_licence_and_hash(
    dataset: Dataset, written: WrittenShards
) -> None:
    _, out, result = written
    wanted = {sample.key: sample for sample in dataset.samples.iter_in_splits()}
    assert (result["exported"], result["shards"]) == (len(wanted), 7)
    total = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert total["pictures"] == len(wanted)
    shards = {one["shard"]: one for one in total["shards"]}
    assert sorted(shards) == sorted(
        p.name for p in out.iterdir() if p.suffix in (".tar", ".parquet")
    )
    results: Counter[str] = Counter()
    text = (out / "LICENSES.csv").read_text(encoding="utf-8")
    licences = list(csv.DictReader(io.StringIO(text)))
    rows = {(row["shard"], row["file"]): row for row in licences}
    for name, one in shards.items():
        assert one["sha256"] == hashlib.sha256((out / name).read_bytes()).hexdigest()
        assert one["bytes"] == (out / name).stat().st_size
        inside = records(out / name)
        assert len(inside) == one["pictures"] <= 5
        own = json.loads((out / name).with_suffix(".json").read_text(encoding="utf-8"))
        assert {row["file"] for row in own["pictures"]} == set(inside)
        for file, (data, output) in inside.items():
            sample = wanted[output["sample"]]
            results[sample.key] += 1
            assert (output["split"], one["split"]) == (sample.split, sample.split)
            assert output["sha256"] == hashlib.sha256(data).hexdigest()
            row = rows[name, file]
            assert (row["sha256"], row["licence"]) == (output["sha256"], output["licence"])
            assert (row["author"], output["author"]) == ("'=cmd()", "=cmd()")
            assert output["title"].startswith("№ ")
            with Image.open(io.BytesIO(data)) as image:
                assert image.size == (sample.box.width, sample.box.height)
    assert results == Counter(dict.fromkeys(wanted, 1))
    assert len(licences) == len(wanted)


def test_equal_data_gives_equal_shards_whoever_writes_them(
    dataset: Dataset, written: WrittenShards, tmp_path: Path
) -> None:
    there = tmp_path / "copy" / dataset.root.name  # a card is called like the folder
    shutil.copytree(dataset.root, there)
    shutil.rmtree(there / "crops")
    with Dataset.open(there) as copy:
        run(copy, tmp_path / "two", format=written.format, **SMALL)
    assert files(written.folder) == files(tmp_path / "two")


def test_a_shard_is_about_as_large_as_asked(dataset: Dataset, tmp_path: Path) -> None:
    run(dataset, tmp_path / "out", format="webdataset", shard_size="25kB", size="100x100")
    sizes = [path.stat().st_size for path in (tmp_path / "out").glob("train-*.tar")]
    assert len(sizes) > 2
    assert all(size < 32_000 for size in sizes)
    assert sorted(sizes)[1] > 15_000, "only the last one may be small"


def test_killed_in_the_middle_whole_shards_are_kept_and_the_end_is_the_same(
    empty: Dataset, tmp_path: Path
) -> None:
    for number in range(30):
        put(empty, encoded(picture(number, (900, 700))), f"{number}.jpg")
    words = ["--format", "webdataset", "--shard-size", "3", "--workers", "1"]
    out, partial = tmp_path / "out", tmp_path / ".out.gleanset-partial"
    process = subprocess.Popen(
        command("labeler.cli", "export", out, *words, "-d", empty.root),
        env={**os.environ, "PYTHONPATH": python_path()},
        stdout=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while len(list(partial.glob("*.json"))) < 3:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.002)
    process.kill()
    process.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in partial.glob("*.tar")}
    whole = {f"{path.stem}.tar" for path in partial.glob("*.json")}
    assert 3 <= len(whole) < 10
    assert not out.exists()
    torn = sorted(whole)[0]
    (partial / torn).write_bytes((partial / torn).read_bytes()[:-600])
    (partial / "train-000099.tar").write_bytes(b"of another plan")
    (partial / "train").mkdir()
    run(empty, out, format="webdataset", shard_size="3")
    for name in whole - {torn}:
        assert (out / name).stat().st_mtime_ns == kept[name], "it was written again"
    run(empty, tmp_path / "calm", format="webdataset", shard_size="3")
    assert files(out) == files(tmp_path / "calm")
    assert not partial.exists()


def test_shards_that_have_not_changed_are_linked_and_edited_ones_are_not(
    empty: Dataset, tmp_path: Path
) -> None:
    fill(empty)
    out = tmp_path / "out"
    run(empty, out, format="webdataset", **SMALL)
    before = {path.name: (path.stat().st_ino, path.read_bytes()) for path in out.glob("*.tar")}
    (out / "train-000001.tar").write_bytes(b"edited")
    run(empty, out, format="webdataset", **SMALL)
    same = {path.name for path in out.glob("*.tar") if path.stat().st_ino == before[path.name][0]}
    assert same == before.keys() - {"train-000001.tar"}
    assert all((out / name).read_bytes() == data for name, (_, data) in before.items())
    run(empty, out, format="imagefolder")
    assert not list(out.glob("*.tar"))
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputUnusable, match=r"mine\.txt"):
        run(empty, out, format="parquet")


@pytest.mark.damages("a picture is removed")
def test_a_lost_picture_is_named_and_comes_when_it_is_back(empty: Dataset, tmp_path: Path) -> None:
    fill(empty)
    whole = next(s for s in empty.samples.iter_in_splits() if s.detector == "whole")
    image = empty.images.get(whole.image)
    assert image is not None
    lost = empty.image_path(image.sha256, image.format)
    lost.rename(tmp_path / "lost")
    out = tmp_path / "out"
    result = run(empty, out, format="parquet", **SMALL)
    assert isinstance(result["failed"], dict)
    (name,) = result["failed"]
    assert whole.key in name
    assert [r.what for r in empty.rejections.iterate() if r.stage == "export"] == [name]
    (tmp_path / "lost").rename(lost)
    assert "failed" not in run(empty, out, format="parquet", **SMALL)
    inside = {k for path in out.glob("*.parquet") for k in records(path)}
    assert f"{whole.key}.jpg" in inside


def test_sizes_are_read_with_their_units() -> None:
    assert [ShardSize.parse(text) for text in ("1GB", "500 mb", "2MiB", "1.5k", "3")] == [
        ShardSize(bytes=10**9),
        ShardSize(bytes=500 * 10**6),
        ShardSize(bytes=2 * 2**20),
        ShardSize(bytes=1500),
        ShardSize(images=3),
    ]
    for wrong in ("", "GB", "-1GB", "1XB", "0", "1e9", "99999TB"):
        with pytest.raises(UsageError, match="not a shard size"):
            ShardSize.parse(wrong)
