"""Output of img2dataset as it writes it: shards or files, each image with its metadata."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from tools_for_tests import picture, run_here

from gleanset import Dataset

FIELDS = ("url", "key", "status", "error_message", "width", "height", "sha256", "exif")


def metadata(number: int) -> dict[str, object]:
    url = f"https://images.example.org/{number}.jpg?w=1"
    row = dict.fromkeys(FIELDS, None) | {"url": url, "key": f"{number:09}", "status": "success"}
    return row | {"caption": f"caption {number}", "author": "Ann" if number else None}


def sample(number: int) -> dict[str, bytes]:
    """Return the files of an image, in the order of a shard."""
    key, row = f"{number:09}", metadata(number)
    return {
        f"{key}.jpg": picture(number),
        f"{key}.json": json.dumps(row, indent=4).encode(),
        f"{key}.txt": str(row["caption"]).encode(),
    }


def write_output(folder: Path, form: str) -> Path:
    """Write two shards of two images, as `img2dataset --output_format FORM` does."""
    folder.mkdir()
    for shard in range(2):
        name = f"{shard:05}"
        (folder / f"{name}.parquet").write_bytes(b"PAR1")
        (folder / f"{name}_stats.json").write_text('{"count": 2, "successes": 2}')
        files = sample(2 * shard) | sample(2 * shard + 1)
        if form == "files":
            (folder / name).mkdir()
            for file, data in files.items():
                (folder / name / file).write_bytes(data)
            continue
        with tarfile.open(folder / f"{name}.tar", "w") as archive:
            for file, data in files.items():
                info = tarfile.TarInfo(file)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return folder


@pytest.mark.parametrize("form", ["webdataset", "files"])
def test_img2dataset_metadata_is_imported(form: str, tmp_path: Path) -> None:
    folder, root = write_output(tmp_path / "out", form), tmp_path / "d"
    shown = run_here("harvest.cli", "folder", folder, "-d", root, "--simulate")
    assert shown.stdout.count(".jpg") == 4
    done = run_here("harvest.cli", "folder", folder, "-d", root, "--json")
    assert (done.code, done.json["added"]) == (0, 4), done.stderr
    with Dataset.open(root) as dataset:
        origins = {image.origins[0].url: image.origins[0] for image in dataset.images.iterate()}
    assert set(origins) == {metadata(number)["url"] for number in range(4)}
    for number in range(4):
        origin = origins[str(metadata(number)["url"])]
        assert origin.title == f"caption {number}"
        assert origin.author == ("Ann" if number else None)
    again = run_here("harvest.cli", "folder", folder, "-d", root, "--json")
    assert (again.json["added"], again.json["known"]) == (0, 4)


def test_other_json_files_are_ignored(tmp_path: Path) -> None:
    folder, root = tmp_path / "out", tmp_path / "d"
    folder.mkdir()
    for number, text in enumerate(['{"url": "https://x.org"}', "[]", "{broken", "[" * 100_000]):
        (folder / f"{number}.jpg").write_bytes(picture(number))
        (folder / f"{number}.json").write_text(text)
    done = run_here("harvest.cli", "folder", folder, "-d", root, "--json")
    assert (done.code, done.json["added"]) == (0, 4), done.stderr
    with Dataset.open(root) as dataset:
        assert {image.origins[0].url for image in dataset.images.iterate()} == {None}
