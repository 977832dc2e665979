"""Downloads of model files, also from a hub."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from publisher import Hub, Publisher, serving

from gleanset import Dataset
from gleanset.errors import DiskFull, InputUnusable, MissingComponent, UsageError
from gleanset.files.fetch import PublishedFile, fetch_file
from gleanset.files.hub import HubFile, pin_hub_name, query_hub
from gleanset.settings import SETTINGS_FILE

DATA = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(DATA).hexdigest()
HINT = "give a copy of it"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gleanset" / "fetched"


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    server = Publisher()
    server.data = DATA
    with serving(server, monkeypatch):
        yield server


def weights(publisher: Publisher, sha256: str = SHA256) -> PublishedFile:
    return PublishedFile(publisher.file_url(), sha256)


def test_file_is_fetched_once(publisher: Publisher) -> None:
    path = fetch_file(weights(publisher), HINT)
    assert (path.read_bytes(), path.name) == (DATA, f"{SHA256[:16]}-weights.xml")
    assert fetch_file(weights(publisher), HINT) == path
    assert publisher.range_headers == [None]
    path.write_bytes(DATA[:-1])
    fetch_file(weights(publisher), HINT)
    assert path.read_bytes() == DATA, "a damaged copy is fetched again"


def test_interrupted_fetch_resumes(publisher: Publisher) -> None:
    publisher.break_after = 400_000
    with pytest.raises(MissingComponent, match="could not be fetched"):
        fetch_file(weights(publisher), HINT)
    assert fetch_file(weights(publisher), HINT).read_bytes() == DATA
    first, second = publisher.range_headers
    assert first is None
    # Completely written blocks are not requested again.
    assert 300_000 < int(second.strip("bytes=-")) <= 400_000


def test_fetch_restarts_without_range_support(publisher: Publisher) -> None:
    publisher.break_after = 400_000
    publisher.ranges = False
    with pytest.raises(MissingComponent):
        fetch_file(weights(publisher), HINT)
    assert fetch_file(weights(publisher), HINT).read_bytes() == DATA


@pytest.mark.parametrize("rest", [b"of another file", DATA + b"and more"])
def test_invalid_partial_file_is_discarded(
    publisher: Publisher, cache: Path, rest: bytes
) -> None:
    cache.mkdir(parents=True)
    (cache / f"{SHA256[:16]}-weights.xml.partial").write_bytes(rest)
    assert fetch_file(weights(publisher), HINT).read_bytes() == DATA


def test_wrong_checksum_leaves_no_file(publisher: Publisher, cache: Path) -> None:
    with pytest.raises(MissingComponent, match=f"SHA-256 is {SHA256}") as error:
        fetch_file(weights(publisher, "0" * 64), HINT)
    assert HINT in error.value.fix
    assert error.value.exit_code == 6
    assert not [path for path in cache.iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize(
    "location", ["http://[::1", "http://\xff.example/", "\xff", "//a:b/", "x:y"]
)
def test_invalid_redirect_raises_error(publisher: Publisher, location: str) -> None:
    publisher.status = 302
    publisher.location = location
    with pytest.raises(MissingComponent, match="could not be fetched"):
        fetch_file(weights(publisher), HINT)


def test_refused_connection_raises_error(publisher: Publisher) -> None:
    url = publisher.file_url()
    publisher.shutdown()
    publisher.server_close()
    with pytest.raises(MissingComponent, match="refused") as error:
        fetch_file(PublishedFile(url, SHA256), HINT)
    assert "Connection refused" in error.value.what
    assert "HTTPConnection" not in error.value.what, "no Python where a person reads"
    assert "HTTPS_PROXY" in error.value.fix
    assert HINT in error.value.fix


def test_missing_certificate_file_raises_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(MissingComponent, match=r"none\.pem"):
        fetch_file(PublishedFile("https://127.0.0.1:9/file", SHA256), HINT)


def test_full_disk_raises_error(
    publisher: Publisher,
    small_disk: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk("size=300k")))
    with pytest.raises(DiskFull):
        fetch_file(weights(publisher), HINT)


def test_concurrent_fetches_share_one_request(publisher: Publisher) -> None:
    with ThreadPoolExecutor(6) as pool:
        paths = set(pool.map(lambda _: fetch_file(weights(publisher), HINT), range(6)))
    assert len(paths) == len(publisher.range_headers) == 1


@pytest.mark.parametrize(
    ("name", "safe"),
    [("a%2F..%2F.hidden", "hidden"), ("%E9%A1%94.onnx", "_.onnx"), ("", "file")],
)
def test_file_names_are_sanitized(name: str, safe: str) -> None:
    assert PublishedFile(f"https://example.org/x/{name}", SHA256).name == safe


NAME = f"hub:{Hub.repository}/face"


def test_dataset_pins_commit_of_first_use(hub: Hub, dataset: Dataset) -> None:
    first = hub.commit(face_model=DATA)
    file = dataset.root / SETTINGS_FILE
    file.write_text("# mine\nname = 'cats'  # three\n")
    pin = pin_hub_name(NAME, "", dataset.pin_of)
    assert pin == (f"{NAME}/model.onnx@{first}", hashlib.sha256(DATA).hexdigest())
    second = hub.commit(face_model=b"other")
    hub.range_headers.clear()
    with Dataset.open(dataset.root) as same_dataset:
        assert pin_hub_name(NAME, "", same_dataset.pin_of) == pin
        assert not hub.range_headers
        assert pin_hub_name(f"{NAME}@main", "", same_dataset.pin_of)[0].endswith(second)
        assert pin_hub_name(f"{NAME}@{first}", "", same_dataset.pin_of) == pin
    settings_text, *_ = file.read_text().partition("\n[hub.")
    assert settings_text == "# mine\nname = 'cats'  # three\n"
    file.write_text(settings_text)
    with Dataset.open(dataset.root) as reopened:
        assert pin_hub_name(NAME, "", reopened.pin_of)[0].endswith(second)


def test_file_is_shared_with_hub_client_cache(hub: Hub) -> None:
    from huggingface_hub import hf_hub_download

    commit = hub.commit(face_model=DATA, head_model=DATA[:9])
    own_file, client_file = (
        PublishedFile(*pin_hub_name(NAME.replace("face", x), ""))
        for x in ("face", "head")
    )
    downloaded = Path(hf_hub_download(hub.repository, "head/model.onnx"))
    for data, words in (
        (DATA[::-1], "not the file it should be"),
        (DATA, "could not be fetched"),
    ):
        hub.commits[commit]["face/model.onnx"] = data
        hub.break_after = 300_000 if data == DATA else None
        with pytest.raises(MissingComponent, match=words):
            fetch_file(own_file, HINT)
    assert fetch_file(own_file, HINT).read_bytes() == DATA
    assert hub.range_headers[-1] is not None, "it went on where it was"
    hub.commits.clear()
    assert fetch_file(own_file, HINT).read_bytes() == DATA
    assert fetch_file(client_file, HINT) == downloaded


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"X-Linked-Etag": '"' + "a" * 40 + '"'}, "cannot be checked"),
        ({"X-Repo-Commit": "../../x"}, "cannot be checked"),
        ({"X-Linked-Size": "1500000001"}, r"more than 1\.5 GB"),
    ],
)
def test_unverifiable_hub_file_raises_error(
    hub: Hub, headers: dict[str, str], words: str
) -> None:
    hub.commit(face_model=DATA)
    hub.headers = headers
    with pytest.raises(InputUnusable, match=words) as error:
        query_hub(HubFile.parse(NAME))
    assert error.value.fix


def test_invalid_hub_names_and_no_network(hub: Hub) -> None:
    hub.commit(face_model=DATA)
    for name in (
        "hub:a/b",
        "hub:a/../b",
        "hub:a/b/../c",
        "hub:a/b//c",
        "hub:a/b/.c",
        f"{NAME}@",
    ):
        with pytest.raises(UsageError, match="is not a file on a hub"):
            HubFile.parse(name)
    for name in (f"hub:{Hub.repository}/no", f"{NAME}@v9", "hub:who/knows/face"):
        with pytest.raises(UsageError, match="has no hub:"):
            query_hub(HubFile.parse(name))
    hub.server_close()
    with pytest.raises(MissingComponent, match="has no hub:") as error:
        query_hub(HubFile.parse(NAME))
    assert "HF_ENDPOINT" in error.value.fix
