"""Exporting to shards: content, reproducibility, and interruptions."""

import csv
import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from labelled_images import kill_export, picture, put, run_export, run_labeler
from PIL import Image
from tools_for_tests import encode, read_files

from gleanset import Box, Dataset, Origin
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.shards import ShardSize
from labeler.export.options import ExportOptions
from labeler.export.plan import plan_export

SPLITS = ("train", "val", "test")
FORMATS = ("webdataset", "parquet")

SMALL: dict[str, Any] = {"shard_size": "5"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """24 images of two classes in three splits, a third with two faces."""
    with Dataset.create(tmp_path_factory.mktemp("shards") / "dataset") as made:
        fill(made)
        yield made


def fill(made: Dataset, size: int = 24) -> None:
    for number in range(size):
        put(
            made,
            encode(picture(number)),
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


def records(shard: Path) -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Return the image and facts of each sample by name."""
    if shard.suffix == ".parquet":
        rows = pq.read_table(shard).to_pylist()
        return {row["image"]["path"]: (row["image"]["bytes"], row) for row in rows}
    with tarfile.open(shard) as tar:
        inside = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
    names = [name for name in inside if name.endswith(".jpg")]
    return {
        n: (inside[n], json.loads(inside[n.replace(".jpg", ".json")])) for n in names
    }


class WrittenShards(NamedTuple):
    format: str
    folder: Path
    result: dict[str, object]


@pytest.fixture(scope="module", params=FORMATS)
def written(
    request: pytest.FixtureRequest,
    dataset: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> WrittenShards:
    """Shards written by two workers."""
    out = tmp_path_factory.mktemp("written") / "out"
    return WrittenShards(
        request.param, out, run_export(dataset, out, 2, format=request.param, **SMALL)
    )


def test_shards_and_manifests_match_dataset(
    dataset: Dataset, written: WrittenShards
) -> None:
    _, out, result = written
    samples = {sample.key: sample for sample in dataset.samples.iter_in_splits()}
    assert (result["exported"], result["shards"]) == (len(samples), 7)
    total = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert total["images"] == len(samples)
    shards = {entry["shard"]: entry for entry in total["shards"]}
    assert sorted(shards) == sorted(
        p.name for p in out.iterdir() if p.suffix in (".tar", ".parquet")
    )
    counts: Counter[str] = Counter()
    text = (out / "LICENSES.csv").read_text(encoding="utf-8")
    licences = list(csv.DictReader(io.StringIO(text)))
    rows = {(row["shard"], row["file"]): row for row in licences}
    for name, entry in shards.items():
        assert entry["sha256"] == hashlib.sha256((out / name).read_bytes()).hexdigest()
        assert entry["bytes"] == (out / name).stat().st_size
        images = records(out / name)
        assert len(images) == entry["images"] <= 5
        manifest = json.loads(
            (out / name).with_suffix(".json").read_text(encoding="utf-8")
        )
        assert {row["file"] for row in manifest["images"]} == set(images)
        for file, (data, facts) in images.items():
            sample = samples[facts["sample"]]
            counts[sample.key] += 1
            assert (facts["split"], entry["split"]) == (sample.split, sample.split)
            assert facts["sha256"] == hashlib.sha256(data).hexdigest()
            row = rows[name, file]
            assert (row["sha256"], row["licence"]) == (
                facts["sha256"],
                facts["licence"],
            )
            assert (row["author"], facts["author"]) == ("'=cmd()", "=cmd()")
            assert facts["title"].startswith("№ ")
            with Image.open(io.BytesIO(data)) as image:
                assert image.size == (sample.box.width, sample.box.height)
    assert (counts, len(licences)) == (Counter(dict.fromkeys(samples, 1)), len(samples))


def test_shard_size_in_bytes(dataset: Dataset, tmp_path: Path) -> None:
    run_export(
        dataset,
        tmp_path / "out",
        format="webdataset",
        shard_size="40kB",
        size="100x100",
    )
    sizes = [path.stat().st_size for path in (tmp_path / "out").glob("train-*.tar")]
    assert len(sizes) > 2
    assert all(size < 50_000 for size in sizes)
    assert sorted(sizes)[1] > 15_000, "only the last shard may be small"


def test_kill_keeps_complete_shards(empty: Dataset, tmp_path: Path) -> None:
    for number in range(24):
        put(empty, encode(picture(number, (900, 700))), f"{number}.jpg")
    out = tmp_path / "out"
    partial = tmp_path / ".out.gleanset-partial"
    options = ("--format", "webdataset", "--shard-size", "2")
    kill_export(
        empty, out, *options, when=lambda: len(list(partial.glob("*.json"))) >= 3
    )
    written_at = {path.name: path.stat().st_mtime_ns for path in partial.glob("*.tar")}
    complete = {f"{path.stem}.tar" for path in partial.glob("*.json")}
    assert 3 <= len(complete) < 12
    assert not out.exists()
    torn = sorted(complete)[0]
    (partial / torn).write_bytes((partial / torn).read_bytes()[:-600])
    (partial / "train-000099.tar").write_bytes(b"of another plan")
    (partial / "train").mkdir()
    run_export(empty, out, format="webdataset", shard_size="2")
    for name in complete - {torn}:
        assert (out / name).stat().st_mtime_ns == written_at[name], (
            "it was written again"
        )
    run_export(empty, tmp_path / "calm", format="webdataset", shard_size="2")
    assert read_files(out) == read_files(tmp_path / "calm")
    assert not partial.exists()


def test_unchanged_shards_are_linked(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_export(dataset, out, format="webdataset", **SMALL)
    before = {
        path.name: (path.stat().st_ino, path.read_bytes()) for path in out.glob("*.tar")
    }
    (out / "train-000001.tar").write_bytes(b"edited")
    run_export(dataset, out, format="webdataset", **SMALL)
    same = {
        path.name
        for path in out.glob("*.tar")
        if path.stat().st_ino == before[path.name][0]
    }
    assert same == before.keys() - {"train-000001.tar"}
    assert all((out / name).read_bytes() == data for name, (_, data) in before.items())
    run_export(dataset, out, format="imagefolder")
    assert not list(out.glob("*.tar"))
    (out / "mine.txt").write_text("mine")
    with pytest.raises(InputUnusable, match=r"mine\.txt"):
        run_export(dataset, out, format="parquet")


@pytest.mark.damages("an image is removed")
def test_missing_image_is_exported_once_restored(
    empty: Dataset, tmp_path: Path
) -> None:
    fill(empty, 3)
    item = next(
        i for i in plan_export(empty, ExportOptions()) if i.method == "original"
    )
    item.original.rename(tmp_path / "lost")
    out = tmp_path / "out"
    result = run_export(empty, out, format="webdataset", **SMALL)
    (name,) = result["failed"]
    assert item.sample.key in name
    assert [r.item for r in empty.rejections.iterate() if r.stage == "export"] == [name]
    (tmp_path / "lost").rename(item.original)
    assert "failed" not in run_export(empty, out, format="webdataset", **SMALL)
    inside = {k for path in out.glob("*.tar") for k in records(path)}
    assert f"{item.sample.key}.jpg" in inside


def test_shard_size_units() -> None:
    assert [
        ShardSize.parse(text) for text in ("1GB", "500 mb", "2MiB", "1.5k", "3")
    ] == [
        ShardSize(bytes=10**9),
        ShardSize(bytes=500 * 10**6),
        ShardSize(bytes=2 * 2**20),
        ShardSize(bytes=1500),
        ShardSize(images=3),
    ]
    for wrong in ("", "GB", "-1GB", "1XB", "0", "1e9", "99999TB"):
        with pytest.raises(UsageError, match="not a shard size"):
            ShardSize.parse(wrong)


def test_simulation_without_samples_prints_none(empty: Dataset) -> None:
    words = ("--format", "webdataset", "--simulate", "-d", empty.root)
    ran = run_labeler("export", "shards", *words).checked()
    assert "would export: 0" in ran.stdout


def test_url_is_refused_with_a_hint(dataset: Dataset) -> None:
    for words in (("--simulate",), ()):
        refused = run_labeler("export", "s3://bucket/set", "-d", dataset.root, *words)
        assert refused.code == 2
        assert "not a folder: s3://bucket/set" in refused.stderr
        assert "aws s3 sync" in refused.stderr
