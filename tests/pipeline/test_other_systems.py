"""Windows and macOS, as far as this system can play them: docs/systems.md says how far that is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools_for_tests import ROOT, WITHOUT_POSIX, Ran, picture, run_cli, run_here, run_to_its_end

from gleanset import Dataset
from gleanset.config import read_toml
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.names import escapes_folder
from gleanset.settings import SETTINGS_FILE, Settings
from gleanset.source_table import read_source_table
from harvest.lists import read_lines
from labeler.importing.reading import read_labelled
from pipeline.recipe import ExportPart, read_recipe

SHIM = ROOT / "tests" / "without_posix"
CORE = (
    "tests/gleanset/test_store.py",
    "tests/gleanset/test_stage.py::test_stage_is_exclusive_between_processes",
    "tests/harvest/test_folder.py::test_images_are_added_with_origin",
    "tests/harvest/test_frames.py::test_frame_times_are_exact",
    "tests/harvest/test_run_ffmpeg.py",
    "tests/facecrop/test_search.py::test_a_rejected_face_stays_rejected",
    "tests/facecrop/test_search.py::test_a_lost_original_is_a_rejection_and_the_run_goes_on",
    "tests/labeler/test_export_formats.py::test_text_files_have_unix_line_ends",
    "tests/webapp/test_compute_process.py",
)
"""Files, locks, processes, videos, sockets: what differs most from one system to another."""
CJK, EMOJI = "凛", "😀"


def without_posix(*words: str, packages: str = "") -> Ran:
    """Run a program of Python's with POSIX taken away from the rooms."""
    environment = {"PYTHONPATH": str(SHIM), "WITHOUT_PACKAGES": packages}
    return run_to_its_end([sys.executable, *words], ROOT, environment, 1500)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(WITHOUT_POSIX, reason="it is taken away already")
def test_core_works_without_posix() -> None:
    ran = without_posix("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not long", *CORE)
    assert ran.code == 0, ran.stdout[-5000:]
    assert "failed" not in ran.stdout


@pytest.mark.long
@pytest.mark.skipif(WITHOUT_POSIX, reason="it is taken away already")
@pytest.mark.parametrize(
    "room", ["gleanset", "curation", "harvest", "facecrop", "labeler", "labeler/qt", "baseline"]
)
def test_package_works_without_posix(package: str) -> None:
    line = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "-m", "not long")
    window = () if package == "labeler/qt" else ("--ignore=tests/labeler/qt",)
    ran = without_posix(*line, f"tests/{package}", *window)
    assert ran.code == 0, ran.stdout[-5000:]


def test_posix_is_hidden() -> None:
    code = (
        "import gleanset.platform as p, gleanset.work.processes as w; "
        "print(p.os.name, hasattr(p.os, 'sched_getaffinity'), w.Context.__name__)"
    )
    ran = without_posix("-c", code)
    assert ran.stdout.split() == ["nt", "False", "SpawnContext"], ran.stderr


def test_animeface_is_optional() -> None:
    doctor = without_posix("-m", "pipeline", "doctor", "--json", packages="animeface")
    parts = {part["name"]: part for part in doctor.json["parts"]}
    assert doctor.code == 0, doctor.stderr
    assert (parts["drawnface"]["ok"], parts["drawnface"]["needed"]) == (True, True)
    assert (parts["animeface"]["ok"], parts["animeface"]["needed"]) == (False, False)
    assert "--detector drawnface" in parts["animeface"]["hint"]
    result = without_posix("-m", "facecrop", "detectors", packages="animeface").stdout
    assert re.search(r"drawnface: [^:]*The\s+default\.", result), result


@pytest.fixture
def unicode_folder(tmp_path: Path) -> Path:
    """A folder of pictures whose classes and files no code page has."""
    for number, label in enumerate((CJK, EMOJI)):
        (tmp_path / "in" / label).mkdir(parents=True)
        for copy in range(4):
            file = tmp_path / "in" / label / f"é{label}{copy}.jpg"
            file.write_bytes(picture(10 * number + copy))
    return tmp_path / "in"


def test_console_without_class_characters(
    unicode_folder: Path,
) -> None:
    def run(program: str, *words: str) -> Ran:
        ran = run_here(program, *words, "-d", "d", cwd=unicode_folder.parent, console="cp1252")
        assert ran.code == 0, ran.stderr
        assert "Traceback" not in ran.stderr
        return ran

    run("harvest.cli", "folder", "in", "--hints-from-folders")
    run("facecrop.cli", "run", "--detector", "whole")
    run("labeler.cli", "accept", "hints")
    letters = CJK.encode("ascii", "backslashreplace").decode()
    listed = ("classes", "list", "-d", unicode_folder.parent / "d")
    separate_process = run_cli("labeler.cli", *listed, PYTHONIOENCODING="cp1252")
    assert letters in separate_process.stdout == run("labeler.cli", "classes", "list").stdout
    run("labeler.cli", "split")
    run("labeler.cli", "export", "out")
    assert EMOJI in run("pipeline.cli", "status", "--json").json["labels"]
    lines = run("pipeline.cli", "list", "samples").stdout.splitlines()
    assert {json.loads(line)["label"] for line in lines} == {CJK, EMOJI}
    assert {file.parent.name for file in (unicode_folder.parent / "out").rglob("*.jpg")} == {
        CJK,
        EMOJI,
    }


def save_as_windows(path: Path, text: str) -> Path:
    """Save a file as an editor of Windows does: a mark, then lines that end with CR and LF."""
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    return path


def test_files_with_bom_and_crlf_are_read(tmp_path: Path) -> None:
    settings = save_as_windows(tmp_path / SETTINGS_FILE, '[split]\nratio = "6:2:2"\nseed = 7\n')
    assert read_toml(settings, Settings).split.seed == 7
    recipe = save_as_windows(
        tmp_path / "recipe.toml",
        'title = "T"\n[[folder]]\npath = ["in"]\n[crop]\ndetector = "whole"\n',
    )
    assert read_recipe(recipe).title == "T"
    urls = save_as_windows(tmp_path / "urls.txt", f"# mine\nhttps://a.example/1.jpg\t{CJK}\n\n")
    assert list(read_lines(urls)) == [("https://a.example/1.jpg", CJK)]
    save_as_windows(tmp_path / "sources.csv", f"file,author\nsub\\1.jpg,{CJK}\n")
    assert read_source_table(tmp_path)[tmp_path / "sub" / "1.jpg"].credit.author == CJK
    row = json.dumps({"file_name": "1.jpg", "label": CJK})
    save_as_windows(tmp_path / "metadata.jsonl", f"{row}\n\n")
    (tmp_path / "1.jpg").write_bytes(picture(1))
    pictures = read_labelled(tmp_path)
    assert [label for image in pictures.images for _, label in image.labels] == [CJK]


def test_settings_with_bom_and_crlf_are_read(dataset: Dataset) -> None:
    file = dataset.root / SETTINGS_FILE
    save_as_windows(file, file.read_text(encoding="utf-8") + "\n[split]\nseed = 7\n")
    with Dataset.open(dataset.root) as again:
        assert again.settings.split.seed == 7


@pytest.mark.parametrize(
    "name", ["/etc/a.jpg", "C:\\a.jpg", "C:a.jpg", "..\\a.jpg", "sub\\..\\..\\a.jpg", "\\a.jpg"]
)
def test_path_outside_folder_is_rejected(tmp_path: Path, name: str) -> None:
    assert escapes_folder(name)
    row = json.dumps({"file_name": name, "label": "x"})
    (tmp_path / "metadata.jsonl").write_text(f"{row}\n", encoding="utf-8")
    with pytest.raises(InputUnusable, match="leads out"):
        read_labelled(tmp_path)
    with pytest.raises(UsageError, match="is outside the dataset"):
        ExportPart(to=name).target(tmp_path)


def test_export_to_dataset_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is used by the dataset"):
        ExportPart(to="Images/mine").target(tmp_path)


HOSTILE = ("CON.jpg", "NUL.txt.jpg", "aux.jpg", "ends with a dot..jpg", " blank .jpg", "C:x.jpg")
HOSTILE += ("a\\b.jpg", "com1 .jpg", "what?.jpg", "UPPER.jpg", "upper.jpg", "colon:stream.jpg")
CLASSES = ("Rei", "rei ", "con", "nul.x")


@pytest.fixture
def hostile_names(tmp_path: Path) -> Path:
    """A folder as only POSIX can have it: Windows would refuse its names, or take two for one."""
    folder = tmp_path / "hostile"
    for number, label in enumerate(CLASSES):
        (folder / label).mkdir(parents=True)
        for copy, name in enumerate(HOSTILE):
            (folder / label / name).write_bytes(picture(100 * number + copy, (80, 60)))
    decomposed = unicodedata.normalize("NFD", "Éclair")
    (folder / decomposed).mkdir()
    (folder / decomposed / f"{decomposed}.jpg").write_bytes(picture(999, (80, 60)))
    return folder


@pytest.fixture
def windows_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of Windows: it ignores case, and refuses the names that Windows does."""
    folder, image = tmp_path / "ntfs", tmp_path / "ntfs.img"
    folder.mkdir()
    try:
        with image.open("wb") as file:
            file.truncate(64 << 20)
        make = [shutil.which("mkfs.ntfs") or "mkfs.ntfs", "-F", "-Q", str(image)]
        subprocess.run(make, check=True, capture_output=True)
        line = ["lowntfs-3g", "-o", "ignore_case,windows_names", str(image), str(folder)]
        subprocess.run(line, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs ntfs-3g and the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.posix("names that Windows refuses are made")
def test_dataset_works_on_ntfs(windows_disk: Path, hostile_names: Path) -> None:
    def run(program: str, *words: str | Path) -> Ran:
        ran = run_here(program, *words, "-d", windows_disk / "d", "--json")
        assert ran.code == 0, ran.stderr
        return ran

    imported = run("harvest.cli", "folder", hostile_names, "--hints-from-folders")
    assert imported.json["added"] == len(HOSTILE) * len(CLASSES) + 1
    run("facecrop.cli", "run", "--detector", "whole")
    run("labeler.cli", "accept", "hints")
    run("labeler.cli", "split")
    labels = run("pipeline.cli", "status").json["labels"]
    assert "Éclair" in labels
    for form in ("imagefolder", "captions", "yolo-classify"):
        out = windows_disk / form
        result = run("labeler.cli", "export", out, "--format", form).json
        pictures = [file for file in out.rglob("*") if file.suffix == ".jpg"]
        assert len(pictures) == result["exported"] == sum(labels.values())
    folders = {file.name.casefold() for file in (windows_disk / "imagefolder" / "train").iterdir()}
    assert len(folders) == len(labels)
    assert run("pipeline.cli", "verify").json["sound"] == imported.json["added"]
