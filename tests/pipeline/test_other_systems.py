"""Windows and macOS, as far as this system can simulate them (docs/systems.md)."""

import json
import re
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools_for_tests import (
    ROOT,
    WITHOUT_POSIX,
    Ran,
    drawn_video,
    picture,
    python_path,
    run_cli,
    run_here,
    run_to_its_end,
    write_pictures,
)

from gleanset import Dataset
from gleanset.errors import UsageError
from gleanset.files.names import escapes_folder
from gleanset.settings import SETTINGS_FILE
from gleanset.source_table import SourceTables
from harvest.lists import read_lines
from labeler.importing.reading import read_labelled
from pipeline.recipe import ExportPart, read_recipe

SHIM = ROOT / "tests" / "without_posix"
COMMANDS = """
harvest folder in --hints-from-folders --workers 2
harvest frames clip.mp4 --every 1s
facecrop run --detector whole --workers 1
labeler accept hints
labeler dedup --workers 1
labeler split
labeler export out
verify
"""
PACKAGES = (
    "gleanset",
    "curation",
    "harvest",
    "facecrop",
    "labeler",
    "labeler/qt",
    "baseline",
)
CJK = "凛"
EMOJI = "😀"


RUN_COMMANDS = """
import sys
import gleanset.platform as platform, gleanset.work.processes as processes
from pipeline.cli import commands
print(platform.os.name, hasattr(platform.os, "sched_getaffinity"), processes.Context.__name__)
for line in sys.argv[1].strip().splitlines():
    commands([*line.split(), "-q", "-d", "d"], standalone_mode=False)
commands(["facecrop", "detectors"], standalone_mode=False)
commands(["doctor", "--json"], standalone_mode=False)
"""


def without_posix(*words: str, cwd: Path = ROOT, packages: str = "") -> Ran:
    """Run Python with POSIX hidden from our packages."""
    environment = {"PYTHONPATH": python_path(SHIM), "WITHOUT_PACKAGES": packages}
    return run_to_its_end([sys.executable, *words], cwd, environment, 1500)


@pytest.mark.slow
@pytest.mark.skipif(WITHOUT_POSIX, reason="POSIX is hidden already")
def test_core_works_without_posix(unicode_folder: Path) -> None:
    """The optional detector animeface is hidden, too."""
    folder = unicode_folder.parent
    drawn_video(folder / "clip.mp4", "testsrc2=d=3:s=320x240:r=5")
    ran = without_posix(
        "-c", RUN_COMMANDS, COMMANDS, cwd=folder, packages="animeface"
    ).checked()
    assert "Traceback" not in ran.stderr
    assert ran.stdout.splitlines()[0] == "nt False SpawnContext"
    assert re.search(r"drawnface: [^:]*The\s+default\.", ran.stdout), ran.stdout
    parts = {part["name"]: part for part in ran.json["parts"]}
    assert (parts["drawnface"]["ok"], parts["drawnface"]["needed"]) == (True, True)
    assert (parts["animeface"]["ok"], parts["animeface"]["needed"]) == (False, False)
    assert "--detector drawnface" in parts["animeface"]["hint"]
    assert len(list((folder / "out").rglob("*.jpg"))) == 8
    status = run_here("pipeline.cli", "status", "--json", "-d", folder / "d").json
    assert (
        status["images"]
        == status["samples"]["labelled"] + status["samples"]["queue"]
        == 11
    )


@pytest.mark.long
@pytest.mark.skipif(WITHOUT_POSIX, reason="POSIX is hidden already")
@pytest.mark.parametrize("package", [*PACKAGES, "webapp/test_compute_process.py"])
def test_package_works_without_posix(package: str) -> None:
    line = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "-m", "not long")
    window = () if package == "labeler/qt" else ("--ignore=tests/labeler/qt",)
    ran = without_posix(*line, f"tests/{package}", *window)
    assert ran.code == 0, ran.stdout[-5000:]


@pytest.fixture
def unicode_folder(tmp_path: Path) -> Path:
    """Return a folder of images whose classes and file names are in no code page."""
    for number, label in enumerate((CJK, EMOJI)):
        names = [f"é{label}{copy}.jpg" for copy in range(4)]
        write_pictures(tmp_path / "in" / label, names, 10 * number)
    return tmp_path / "in"


def test_console_without_class_characters(unicode_folder: Path) -> None:
    def run(program: str, *words: str) -> Ran:
        ran = run_here(
            program, *words, "-d", "d", cwd=unicode_folder.parent, console="cp1252"
        )
        assert ran.code == 0, ran.stderr
        assert "Traceback" not in ran.stderr
        return ran

    run("harvest.cli", "folder", "in", "--hints-from-folders", "--workers", "1")
    run("facecrop.cli", "run", "--detector", "whole", "--workers", "1")
    run("labeler.cli", "accept", "hints")
    letters = CJK.encode("ascii", "backslashreplace").decode()
    listed = ("classes", "list", "-d", unicode_folder.parent / "d")
    separate_process = run_cli("labeler.cli", *listed, PYTHONIOENCODING="cp1252")
    assert (
        letters
        in separate_process.stdout
        == run("labeler.cli", "classes", "list").stdout
    )
    run("labeler.cli", "split")
    run("labeler.cli", "export", "out")
    assert EMOJI in run("pipeline.cli", "status", "--json").json["labels"]
    lines = run("pipeline.cli", "list", "samples").stdout.splitlines()
    assert {json.loads(line)["label"] for line in lines} == {CJK, EMOJI}
    assert {
        file.parent.name for file in (unicode_folder.parent / "out").rglob("*.jpg")
    } == {
        CJK,
        EMOJI,
    }


def save_as_windows(path: Path, text: str) -> Path:
    """Save a file as Windows editors do: with a byte order mark and CRLF."""
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    return path


def test_files_with_bom_and_crlf_are_read(dataset: Dataset, tmp_path: Path) -> None:
    save_as_windows(
        dataset.root / SETTINGS_FILE, '[split]\nratio = "6:2:2"\nseed = 7\n'
    )
    with Dataset.open(dataset.root) as reopened:
        assert reopened.settings.split.seed == 7
    recipe = save_as_windows(
        tmp_path / "recipe.toml",
        'title = "T"\n[[folder]]\npath = ["in"]\n[crop]\ndetector = "whole"\n',
    )
    assert read_recipe(recipe).title == "T"
    urls = save_as_windows(
        tmp_path / "urls.txt", f"# mine\nhttps://a.example/1.jpg\t{CJK}\n\n"
    )
    assert list(read_lines(urls, None)) == [("https://a.example/1.jpg", CJK)]
    save_as_windows(tmp_path / "sources.csv", f"file,author\nsub\\1.jpg,{CJK}\n")
    assert (
        SourceTables(tmp_path).get_row(tmp_path / "sub" / "1.jpg").credit.author == CJK
    )
    row = json.dumps({"file_name": "1.jpg", "label": CJK})
    save_as_windows(tmp_path / "metadata.jsonl", f"{row}\n\n")
    (tmp_path / "1.jpg").write_bytes(picture(1))
    pictures = read_labelled(tmp_path)
    assert [label for image in pictures.images for _, label in image.labels] == [CJK]


@pytest.mark.parametrize(
    "name",
    [
        "/etc/a.jpg",
        "C:\\a.jpg",
        "C:a.jpg",
        "..\\a.jpg",
        "sub\\..\\..\\a.jpg",
        "\\a.jpg",
    ],
)
def test_path_outside_folder_is_rejected(tmp_path: Path, name: str) -> None:
    assert escapes_folder(name)
    with pytest.raises(UsageError, match="is outside the dataset"):
        ExportPart(to=name).folder_in(tmp_path)
    for own in ("Images/mine", "snapshots", "WEB/x"):
        with pytest.raises(UsageError, match="is used by the dataset"):
            ExportPart(to=own).folder_in(tmp_path)


HOSTILE = (
    "CON.jpg",
    "NUL.txt.jpg",
    "aux.jpg",
    "ends with a dot..jpg",
    " blank .jpg",
    "C:x.jpg",
)
HOSTILE += (
    "a\\b.jpg",
    "com1 .jpg",
    "what?.jpg",
    "UPPER.jpg",
    "upper.jpg",
    "colon:stream.jpg",
)
CLASSES = ("Rei", "rei ", "con", "nul.x")


@pytest.fixture
def hostile_names(tmp_path: Path) -> Path:
    """Return a folder of names that Windows refuses or cannot distinguish."""
    folder = tmp_path / "hostile"
    for number, label in enumerate(CLASSES):
        write_pictures(folder / label, HOSTILE, 100 * number, (80, 60))
    decomposed = unicodedata.normalize("NFD", "Éclair")
    write_pictures(folder / decomposed, [f"{decomposed}.jpg"], 999, (80, 60))
    return folder


@pytest.fixture
def windows_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield an NTFS folder that ignores case and refuses the names that Windows refuses."""
    folder = tmp_path / "ntfs"
    image = tmp_path / "ntfs.img"
    folder.mkdir()
    try:
        with image.open("wb") as file:
            file.truncate(64 << 20)
        make = [shutil.which("mkfs.ntfs") or "mkfs.ntfs", "-F", "-Q", str(image)]
        subprocess.run(make, check=True, capture_output=True)
        line = [
            "lowntfs-3g",
            "-o",
            "ignore_case,windows_names",
            str(image),
            str(folder),
        ]
        subprocess.run(line, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs ntfs-3g and the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.posix("creates names that Windows refuses")
def test_dataset_works_on_ntfs(windows_disk: Path, hostile_names: Path) -> None:
    def run(program: str, *words: str | Path) -> Ran:
        return run_here(program, *words, "-d", windows_disk / "d", "--json").checked()

    imported = run("harvest.cli", "folder", hostile_names, "--hints-from-folders")
    assert imported.json["added"] == len(HOSTILE) * len(CLASSES) + 1
    run("facecrop.cli", "run", "--detector", "whole", "--workers", "1")
    run("labeler.cli", "accept", "hints")
    run("labeler.cli", "split")
    labels = run("pipeline.cli", "status").json["labels"]
    assert "Éclair" in labels
    for form in ("imagefolder", "captions", "yolo-classify"):
        out = windows_disk / form
        result = run("labeler.cli", "export", out, "--format", form).json
        pictures = [file for file in out.rglob("*") if file.suffix == ".jpg"]
        assert len(pictures) == result["exported"] == sum(labels.values())
    folders = {
        file.name.casefold()
        for file in (windows_disk / "imagefolder" / "train").iterdir()
    }
    assert len(folders) == len(labels)
    assert run("pipeline.cli", "verify").json["sound"] == imported.json["added"]
