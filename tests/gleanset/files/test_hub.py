"""Files on a hub: pinned to the first version, fetched as that version or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from publisher import Hub

from gleanset import Dataset
from gleanset.errors import InputUnusable, MissingComponent, UsageError
from gleanset.files.fetch import PublishedFile, fetch_file
from gleanset.files.hub import HubFile, pin_hub_name, query_hub
from gleanset.settings import SETTINGS_FILE

DATA = bytes(range(256)) * 4000
NAME = f"hub:{Hub.repository}/face"


def test_dataset_pins_commit_of_first_use(hub: Hub, dataset: Dataset) -> None:
    first, file = hub.commit(face_model=DATA), dataset.root / SETTINGS_FILE
    file.write_text("# mine\nname = 'cats'  # three\n")
    pin = pin_hub_name(NAME, "", dataset.pin_of)
    assert pin == (f"{NAME}/model.onnx@{first}", hashlib.sha256(DATA).hexdigest())
    second = hub.commit(face_model=b"other")
    hub.range_headers.clear()
    with Dataset.open(dataset.root) as again:
        assert pin_hub_name(NAME, "", again.pin_of) == pin
        assert not hub.range_headers
        assert pin_hub_name(f"{NAME}@main", "", again.pin_of)[0].endswith(second)
        assert pin_hub_name(f"{NAME}@{first}", "", again.pin_of) == pin
    settings_text, *_ = file.read_text().partition("\n[hub.")
    assert settings_text == "# mine\nname = 'cats'  # three\n"
    file.write_text(settings_text)
    with Dataset.open(dataset.root) as reopened:
        assert pin_hub_name(NAME, "", reopened.pin_of)[0].endswith(second)


def test_file_is_shared_with_hub_client_cache(hub: Hub) -> None:
    from huggingface_hub import hf_hub_download

    commit = hub.commit(face_model=DATA, head_model=DATA[:9])
    own_file, client_file = (
        PublishedFile(*pin_hub_name(NAME.replace("face", x), "")) for x in ("face", "head")
    )
    downloaded = Path(hf_hub_download(hub.repository, "head/model.onnx"))
    for data, words in ((DATA[::-1], "not the file it should be"), (DATA, "could not be fetched")):
        hub.commits[commit]["face/model.onnx"] = data
        hub.break_after = 300_000 if data == DATA else None
        with pytest.raises(MissingComponent, match=words):
            fetch_file(own_file)
    assert fetch_file(own_file).read_bytes() == DATA
    assert hub.range_headers[-1] is not None, "it went on where it was"
    hub.commits.clear()
    assert fetch_file(own_file).read_bytes() == DATA
    assert fetch_file(client_file) == downloaded


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"X-Linked-Etag": '"' + "a" * 40 + '"'}, "cannot be checked"),
        ({"X-Repo-Commit": "../../x"}, "cannot be checked"),
        ({"X-Linked-Size": "1500000001"}, r"more than 1\.5 GB"),
    ],
)
def test_unverifiable_hub_file_raises_error(hub: Hub, headers: dict[str, str], words: str) -> None:
    hub.commit(face_model=DATA)
    hub.headers = headers
    with pytest.raises(InputUnusable, match=words) as error:
        query_hub(HubFile.parse(NAME))
    assert error.value.fix


def test_invalid_hub_names_and_no_network(hub: Hub) -> None:
    hub.commit(face_model=DATA)
    for name in ("hub:a/b", "hub:a/../b", "hub:a/b/../c", "hub:a/b//c", "hub:a/b/.c", f"{NAME}@"):
        with pytest.raises(UsageError, match="is not a file on a hub"):
            HubFile.parse(name)
    for name in (f"hub:{Hub.repository}/no", f"{NAME}@v9", "hub:who/knows/face"):
        with pytest.raises(UsageError, match="has no hub:"):
            query_hub(HubFile.parse(name))
    hub.server_close()
    with pytest.raises(MissingComponent, match="has no hub:") as error:
        query_hub(HubFile.parse(NAME))
    assert "HF_ENDPOINT" in error.value.fix
