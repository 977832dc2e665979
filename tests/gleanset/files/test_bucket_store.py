"""The store in a bucket of a real S3 server."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from s3_server import NEEDS_SWIFT, FaultyServer, error, limit, new_bucket

from gleanset.errors import DiskFull, InputUnusable, NeedsLogin, Unreachable, Unreadable
from gleanset.files import s3
from gleanset.files.bucket_store import BucketStore
from gleanset.files.content_cache import ContentCache
from gleanset.files.s3 import Bucket, Overtaken

pytestmark = NEEDS_SWIFT


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def store(bucket: Bucket, tmp_path: Path) -> BucketStore:
    return BucketStore(bucket, ContentCache(1_000_000, tmp_path / "kept"), tmp_path / "scratch")


def held(cache: ContentCache) -> int:
    # What comes and goes while one looks would be counted twice.
    with FileLock(cache.root / "lock"):
        return sum(path.stat().st_size for path in cache.root.glob("??/*"))


def requests_of(server: FaultyServer, act: Callable[[], object]) -> list[str]:
    server.asked.clear()
    act()
    return [method for method, _ in server.asked]


def test_what_is_staged_is_there_and_published_and_read_back(store: BucketStore) -> None:
    data = b"the bytes of a picture"
    store.stage(sha(data), "PNG", data)
    store.publish(sha(data), "PNG", len(data))
    assert store.read(sha(data), "PNG") == data
    assert store.holds(sha(data), "PNG")
    assert [(file.name, size) for file, size, _ in store.each()] == [
        (f"{sha(data)}.png", len(data))
    ]
    assert str(store.path(sha(data), "PNG")) == f"{store.address}/{sha(data)[:2]}/{sha(data)}.png"
    (found,) = store.named(sha(data))
    found.unlink()
    assert not store.holds(sha(data), "PNG")
    with pytest.raises(FileNotFoundError):
        store.read(sha(data), "PNG")


def test_what_was_not_staged_gets_no_row(
    store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gleanset.files.bucket_store._PATIENCE", ())
    with pytest.raises(Unreadable, match="removed while it was taken in"):
        store.publish(sha(b"nothing"), "PNG", 7)
    with pytest.raises(Unreachable, match="does not show it"), store.syncing_once():
        store.publish(sha(b"nothing"), "PNG", 7)


def test_names_are_given_by_their_start(store: BucketStore) -> None:
    names = ["00" + "a" * 30, "00" + "b" * 30, "7f" + "c" * 30]
    for name in names:
        store.overwrite(name, "JPEG", b"cut")
    given = store.names_by_start()
    by_start = {start: given(start) for start in (f"{n:02x}" for n in range(256))}
    assert {start: found for start, found in by_start.items() if found} == {
        "00": set(names[:2]),
        "7f": {names[2]},
    }


def test_bytes_of_originals_are_asked_for_once(store: BucketStore, faulty: FaultyServer) -> None:
    data = b"a picture" * 100
    assert requests_of(faulty, lambda: store.stage(sha(data), "JPEG", data)) == ["HEAD", "PUT"]
    assert requests_of(faulty, lambda: store.stage(sha(data), "JPEG", data)) == ["HEAD"]
    assert requests_of(faulty, lambda: store.read(sha(data), "JPEG")) == ["GET"]
    assert requests_of(faulty, lambda: store.read(sha(data), "JPEG")) == []


def test_a_crop_that_was_cut_anew_is_read_anew(store: BucketStore, faulty: FaultyServer) -> None:
    key = "ab" * 16
    store.overwrite(key, "JPEG", b"one cut")
    assert store.read(key, "JPEG") == b"one cut"
    assert requests_of(faulty, lambda: store.read(key, "JPEG")) == ["HEAD"]
    store.overwrite(key, "JPEG", b"another")
    assert store.read(key, "JPEG") == b"another"


def test_wrong_bytes_are_never_used(store: BucketStore, faulty: FaultyServer) -> None:
    data, other = b"what was written", b"something else.."
    store.stage(sha(data), "PNG", data)
    etag = {"ETag": '"0"', "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"}
    faulty.rule = lambda method, path: (200, etag, other) if method == "GET" else None
    with pytest.raises(OSError, match="gives other bytes than were written"):
        store.read(sha(data), "PNG")
    faulty.rule = lambda method, path: None
    assert store.read(sha(data), "PNG") == data


def test_a_kept_file_that_was_spoilt_is_fetched_again(store: BucketStore) -> None:
    data = b"what was written"
    store.stage(sha(data), "PNG", data)
    store.read(sha(data), "PNG")
    (kept,) = store.cache.root.glob("??/*")
    kept.write_bytes(b"")
    assert store.read(sha(data), "PNG") == data


def test_a_server_that_is_busy_is_tried_again(store: BucketStore, faulty: FaultyServer) -> None:
    answers = [error(503, "SlowDown")]
    faulty.rule = lambda method, path: answers.pop() if method == "PUT" and answers else None
    store.stage(sha(b"x"), "PNG", b"x")
    assert [method for method, _ in faulty.asked] == ["HEAD", "PUT", "PUT"]
    assert store.read(sha(b"x"), "PNG") == b"x"


@pytest.mark.parametrize("fault", ["halve", "damage", "cut", "reset", "late", "500"])
def test_every_kind_of_fault_is_tried_again(
    store: BucketStore, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(s3, "_PAUSES", (0.01,))
    asked: set[str] = set()

    def first_of_each(method: str, path: str) -> str:
        new = method not in asked
        asked.add(method)
        return fault if new else ""

    faulty.fault = first_of_each
    store.stage(sha(b"some bytes"), "PNG", b"some bytes")
    assert store.read(sha(b"some bytes"), "PNG") == b"some bytes"
    assert [file.stem for file, _, _ in store.each()] == [sha(b"some bytes")]
    store.path(sha(b"some bytes"), "PNG").unlink()
    assert not store.holds(sha(b"some bytes"), "PNG")


def test_an_outage_is_waited_for_up_to_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_MAX_ATTEMPTS", raising=False)
    pauses = list(s3._pauses())
    assert len(pauses) == 5
    assert pauses == sorted(pauses)
    assert 40 < sum(pauses) < 75


def test_an_answer_that_was_lost_is_not_taken_for_another_writer(
    store: BucketStore, faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_PAUSES", (0.01,))
    lost = ["reset"]
    faulty.fault = lambda method, path: lost.pop() if method == "PUT" and lost else ""
    store.bucket.put("catalog", b"mine", only_new=True)
    with pytest.raises(Overtaken):
        store.bucket.put("catalog", b"theirs", only_new=True)
    assert store.bucket.get("catalog")[0] == b"mine"


def test_what_is_put_aside_is_copied_by_the_server_and_kept_where_that_fails(
    store: BucketStore, faulty: FaultyServer
) -> None:
    store.stage(sha(b"right"), "PNG", b"wrong")
    file = store.path(sha(b"right"), "PNG")
    faulty.rule = lambda method, path: (
        error(501, "NotImplemented") if method == "PUT" and "damaged" in path else None
    )
    with pytest.raises(InputUnusable):
        store.put_aside(file)
    assert store.hash_of(sha(b"right"), "PNG") == sha(b"wrong")
    faulty.rule = lambda method, path: None
    assert "GET" not in requests_of(faulty, lambda: store.put_aside(file))
    assert not file.exists()
    assert list(store.put_aside_before(sha(b"right"))) == [b"wrong"]


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (503, "SlowDown", Unreachable, "was tried 2 times: the server says SlowDown"),
        (500, "InternalError", Unreachable, "was tried 2 times"),
        (403, "AccessDenied", NeedsLogin, "may not be written with this key"),
        (403, "InvalidAccessKeyId", NeedsLogin, "is refused"),
        (403, "QuotaExceeded", DiskFull, "no space left"),
        (413, "EntityTooLarge", DiskFull, "no space left"),
        (507, "InsufficientStorage", DiskFull, "no space left"),
        (404, "NoSuchBucket", InputUnusable, "there is no bucket"),
    ],
)
def test_what_a_server_says_becomes_one_line_with_its_mend(
    store: BucketStore, faulty: FaultyServer, status: int, code: str, kind: type, words: str
) -> None:
    faulty.rule = lambda method, path: error(status, code) if method == "PUT" else None
    with pytest.raises(kind, match=words) as told:
        store.stage(sha(b"x"), "PNG", b"x")
    assert told.value.mend


def test_a_bucket_that_is_not_there(s3_server: str) -> None:
    with pytest.raises(InputUnusable, match="there is no bucket 'nobody-made-it'"):
        Bucket("s3://nobody-made-it/x").put("key", b"")


def test_keys_without_rights_wrong_ones_and_none(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for user, secret, words in (
        ("test:guest", "guest", "may not be written with this key"),
        ("test:tester", "guessed", "is refused: the server says SignatureDoesNotMatch"),
        ("", "", "there is no key"),
    ):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", user)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        s3._session_of.cache_clear()
        s3._client_of.cache_clear()
        with pytest.raises(NeedsLogin, match=words):
            bucket.put("key", b"")
    s3._session_of.cache_clear()


def test_a_server_that_is_not_there(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    s3._client_of.cache_clear()
    with pytest.raises(Unreachable, match="cannot be reached"):
        bucket.put("key", b"")


def test_a_full_quota_of_a_real_server(s3_server: str, store: BucketStore) -> None:
    limit(s3_server, store.bucket, 10)
    store.stage(sha(b"before"), "PNG", b"before")
    with pytest.raises(DiskFull, match="no space left"):
        store.stage(sha(b"much" * 9), "PNG", b"much" * 9)
    assert store.read(sha(b"before"), "PNG") == b"before"


def test_an_object_is_written_only_where_it_is_still_the_same(bucket: Bucket) -> None:
    bucket.put("one", b"first", about={"who": "me"})
    with pytest.raises(Overtaken):
        bucket.put("one", b"second", only_new=True)
    data, facts = bucket.get("one")
    assert (data, facts.sha256, facts.about) == (b"first", sha(b"first"), {"who": "me"})


def test_a_file_is_sent_and_fetched_a_part_at_a_time(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "shard").write_bytes(data := os.urandom(5_000_000))
    assert bucket.put("shard", tmp_path / "shard") == sha(data)
    assert bucket.fetch("shard", tmp_path / "back", "").sha256 == sha(data)
    assert (tmp_path / "back").read_bytes() == data


def test_more_than_a_page_of_objects_is_listed(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        bucket.put(f"{number}", b"")
    client = bucket._client()
    plain = client.list_objects_v2
    monkeypatch.setattr(client, "list_objects_v2", lambda **asked: plain(MaxKeys=2, **asked))
    assert [facts.key for facts in bucket.each()] == ["0", "1", "2", "3", "4"]
    assert list(new_bucket().each()) == []


def test_the_cache_stays_below_its_bound_with_many_readers(bucket: Bucket, tmp_path: Path) -> None:
    cache = ContentCache(10_000, tmp_path / "kept")
    pictures = {sha(data): data for data in (os.urandom(900) for _ in range(16))}
    store = BucketStore(bucket, cache, tmp_path)
    for name, data in pictures.items():
        store.stage(name, "PNG", data)
    wrong: list[str] = []

    def read() -> None:
        wrong.extend(name for name, data in pictures.items() if store.read(name, "PNG") != data)

    cache.root.mkdir()
    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, held(cache))
    assert not wrong
    assert 0 < held(cache) <= max(most, held(cache)) <= 10_000
