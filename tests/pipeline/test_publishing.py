"""`gleanset publish` with a real S3 server, and opening what was published elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from s3_server import NEEDS_SWIFT, FaultyServer, error
from tools_for_tests import Ran, picture, run_here

from gleanset import Dataset
from gleanset.errors import Unreachable
from gleanset.files.s3 import Bucket
from gleanset.images.staging import StageBytes
from gleanset.published import AnotherDriver, copy_of, publish
from gleanset.records import Origin

pytestmark = NEEDS_SWIFT


def gleanset(*words: str | Path) -> Ran:
    return run_here("pipeline.cli", *words)


def harvest(pictures: Path, root: Path | str) -> Ran:
    return run_here("harvest.cli", "folder", pictures, "-d", root, "-q")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "2.jpg").write_bytes(picture(2))
    return folder


def take(root: Path, *numbers: int) -> None:
    """As a harvest does it, without its processes."""
    with Dataset.open(root) as dataset, dataset.stage("test") as scratch:
        store = dataset.originals(scratch)
        for number in numbers:
            measured = StageBytes(store)(picture(number))
            dataset.take_original(store, measured, Origin("test", str(number)))


class Driven(NamedTuple):
    root: Path
    bucket: Bucket


@pytest.fixture
def driven(bucket: Bucket, tmp_path: Path, pictures: Path) -> Driven:
    """A dataset of two pictures whose files lie in a bucket."""
    root = tmp_path / "driven"
    made = gleanset("init", "--store", bucket.address, "-d", root)
    assert made.code == 0, made.stderr
    take(root, 0, 1)
    publish(root)
    return Driven(root, bucket)


def test_a_bucket_that_is_not_there_leaves_nothing_behind(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    missing = f"s3://{bucket.name}-and-not-that/some/where"
    for root in (tmp_path / "new" / "deep", tmp_path / "empty"):
        made = gleanset("init", "--store", missing, "-d", root)
        assert (made.code, "there is no bucket" in made.stderr) == (3, True), made.stderr
    assert not (tmp_path / "new").exists()
    assert not list((tmp_path / "empty").iterdir())
    # The same again, once it is there.
    assert gleanset("init", "--store", bucket.address, "-d", tmp_path / "empty").code == 0


def test_each_command_that_writes_publishes_once(driven: Driven, pictures: Path) -> None:
    first = driven.bucket.facts("catalog.sqlite")
    assert gleanset("status", "-d", driven.root).code == 0
    assert gleanset("publish", "-d", driven.root, "--json").json["changed"] is False
    assert driven.bucket.facts("catalog.sqlite") == first
    assert harvest(pictures, driven.root).code == 0
    second = driven.bucket.facts("catalog.sqlite")
    assert first is not None
    assert second is not None
    assert first.sha256 != second.sha256
    assert {one.key for one in driven.bucket.each()} >= {"catalog.sqlite", "dataset.toml"}


def test_the_copy_is_read_by_address_and_never_written(driven: Driven, pictures: Path) -> None:
    address = driven.bucket.address
    own = gleanset("list", "images", "-d", driven.root).stdout
    assert gleanset("list", "images", "-d", address).stdout == own
    told = gleanset("status", "-d", address, "--json").json
    assert (told["images"], told["copy_of"]) == (2, address)
    refused = harvest(pictures, address)
    assert refused.code == 3
    assert f"this is a copy of {address}" in refused.stderr
    assert str(driven.root) in refused.stderr
    with Dataset.open(copy_of(address)) as copy:
        images = list(copy.images.each())
        read = {copy.image_path(one.sha256, one.format).read_bytes() for one in images}
    assert read == {picture(0), picture(1)}


def test_a_newer_copy_is_fetched_and_the_older_one_stays_for_its_readers(driven: Driven) -> None:
    with Dataset.open(copy_of(driven.bucket.address)) as older:
        take(driven.root, 2)
        publish(driven.root)
        with Dataset.open(copy_of(driven.bucket.address)) as newer:
            assert (older.images.count(), newer.images.count()) == (2, 3)


def test_a_second_driver_is_told_and_overwrites_nothing(driven: Driven, tmp_path: Path) -> None:
    before = driven.bucket.facts("catalog.sqlite")
    other = tmp_path / "other"
    made = gleanset("init", "--store", driven.bucket.address, "-d", other)
    assert made.code == 3
    assert f"is the place of another driver, {_host()}:{driven.root}" in made.stderr
    with pytest.raises(AnotherDriver):
        take(other, 2)
    with Dataset.open(other) as dataset:
        assert dataset.images.count() == 0
    assert driven.bucket.facts("catalog.sqlite") == before
    assert len(list(driven.bucket.each("images/"))) == 2
    assert gleanset("publish", "--take-over", "-d", other).code == 0
    with pytest.raises(AnotherDriver):
        take(driven.root, 2)


def test_of_two_copies_of_a_driver_the_second_to_publish_is_told(
    driven: Driven, tmp_path: Path
) -> None:
    shutil.copytree(driven.root, tmp_path / "copied")
    take(driven.root, 2)
    publish(driven.root)
    with pytest.raises(AnotherDriver, match="is the place of another driver"):
        take(tmp_path / "copied", 3)
    with pytest.raises(AnotherDriver):
        publish(tmp_path / "copied")


def test_a_driver_that_died_after_sending_knows_its_own(
    driven: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Dataset.open(driven.root) as dataset, dataset.db.write():
        dataset.classes.find_or_make("hana")
    send = Bucket.put

    def killed(self: Bucket, key: str, *rest: object, **options: object) -> None:
        send(self, key, *rest, **options)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            publish(driven.root)
    assert publish(driven.root)["changed"] is True
    assert publish(driven.root)["changed"] is False


def test_a_catalogue_that_comes_damaged_is_not_opened(driven: Driven, faulty: FaultyServer) -> None:
    facts = driven.bucket.facts("catalog.sqlite")
    assert facts is not None
    headers = {
        "ETag": f'"{facts.etag}"',
        "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT",
        "x-amz-meta-sha256": facts.sha256,
    }
    old = (200, headers, b"SQLite format 3 of yesterday")
    faulty.rule = lambda method, path: old if method == "GET" else None
    with pytest.raises(Unreachable, match="has other bytes than were written"):
        copy_of(driven.bucket.address)
    faulty.rule = lambda method, path: None
    assert (copy_of(driven.bucket.address) / "dataset.toml").is_file()


def test_a_server_that_shows_an_older_copy_is_no_other_driver(
    driven: Driven, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gleanset.published._PATIENCE", (0.0, 0.1))
    facts = driven.bucket.facts("catalog.sqlite")
    assert facts is not None
    headers = {
        "ETag": f'"{facts.etag}"',
        "Content-Length": str(facts.bytes),
        "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT",
        "x-amz-meta-sha256": facts.sha256,
    }
    faulty.rule = lambda method, path: (
        (200, headers, b"") if method == "HEAD" and "sqlite" in path else None
    )
    take(driven.root, 2)
    with pytest.raises(Unreachable, match="the server shows an older one"):
        publish(driven.root)
    take(driven.root, 3)
    faulty.rule = lambda method, path: None
    assert publish(driven.root)["changed"] is True
    with Dataset.open(copy_of(driven.bucket.address)) as copy:
        assert copy.images.count() == 4


def test_a_command_whose_copy_cannot_be_sent_keeps_its_work(
    driven: Driven, pictures: Path, faulty: FaultyServer
) -> None:
    faulty.rule = lambda method, path: (
        error(503, "SlowDown") if method == "PUT" and "sqlite" in path else None
    )
    ran = harvest(pictures, driven.root)
    assert ran.code == 4
    assert "the server says SlowDown" in ran.stderr
    assert gleanset("list", "images", "-d", driven.bucket.address).stdout.count("\n") == 2
    faulty.rule = lambda method, path: None
    assert gleanset("publish", "-d", driven.root, "--json").json["changed"] is True
    assert gleanset("list", "images", "-d", driven.bucket.address).stdout.count("\n") == 3


def test_a_dataset_in_a_folder_has_nothing_to_publish(dataset: Dataset) -> None:
    assert "lie in a folder" in gleanset("publish", "-d", dataset.root).stderr


def test_keys_never_stand_in_the_settings(dataset: Dataset) -> None:
    file = dataset.root / "dataset.toml"
    for line in ('secret_access_key = "x"', 'aws_access_key_id = "x"', 'session_token = "x"'):
        file.write_text(f"[store]\n{line}\n")
        ran = gleanset("status", "-d", dataset.root)
        assert ran.code == 3
        assert "looks like a credential" in ran.stderr
        assert "~/.aws" in ran.stderr
    file.write_text('[store]\nimages = "s3://key:secret@bucket/images"\n')
    assert (
        "neither a folder nor s3://bucket/prefix" in gleanset("status", "-d", dataset.root).stderr
    )


def test_what_was_forgotten_leaves_the_bucket_and_the_cache(driven: Driven, tmp_path: Path) -> None:
    with Dataset.open(driven.root) as dataset:
        first, second = dataset.images.each()
        file = dataset.image_path(first.sha256, first.format)
        file.read_bytes()
    ran = gleanset("forget", "--image", first.sha256, "--reason", "asked", "-y", "-d", driven.root)
    assert ran.code == 0, ran.stderr
    stored = [one.key for one in driven.bucket.each("images/")]
    assert [second.sha256 in key for key in stored] == [True]
    assert not list((tmp_path / "cache-of-user").rglob(first.sha256))


def _host() -> str:
    import platform

    return platform.node()


def test_a_published_dataset_is_merged_into_one_in_a_folder(
    driven: Driven, dataset: Dataset
) -> None:
    dataset.close()
    ran = gleanset("merge", driven.bucket.address, "-d", dataset.root, "--json")
    assert ran.code == 0, ran.stderr
    assert ran.json["images"] == 2
    stored = {path.read_bytes() for path in (dataset.root / "images").rglob("*.jpg")}
    assert stored == {picture(0), picture(1)}
