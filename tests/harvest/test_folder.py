"""Importing folders."""

import json
import os
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from catalogue_rows import sample_of
from faulty_server import NO_COUNTS
from tools_for_tests import (
    command,
    make_archive,
    picture,
    python,
    python_path,
    run_here,
    run_to_its_end,
    write_pictures,
)

from gleanset import Dataset, Image
from gleanset.credit import Credit
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable, UsageError
from gleanset.tree import (
    ARCHIVE,
    DATASET,
    HIDDEN,
    LINKED_FOLDER,
    NOT_AN_IMAGE,
    PACKED,
    SOURCE_TABLE,
    SYSTEM,
    VIDEO,
)
from harvest.archives import harvest_files
from harvest.folder import find_images
from harvest.importer import ImportOptions
from harvest.request import FolderRequest
from labeler.acceptance import accept_hints

CLEAN = NO_COUNTS | {"ignored": 0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ("cats/a.jpg", "cats/old/b.jpg", "dogs/c.png", "d.jpg")
    return write_pictures(tmp_path / "photos", names, first=1)


def harvest(dataset: Dataset, *folders: Path, **options: object) -> dict[str, object]:
    return harvest_files(
        dataset, folders, ImportOptions(workers=1, **options)
    ).to_json()  # type: ignore[arg-type]


def images(dataset: Dataset) -> dict[str, Image]:
    """Return images by file name."""
    return {str(i.origins[0].title): i for i in dataset.images.iterate()}


def labels(dataset: Dataset) -> list[str]:
    return sorted(s.label for s in dataset.samples.iter_by_key() if s.label is not None)


def reasons(dataset: Dataset) -> dict[str, str]:
    return {Path(r.item).name: r.reason for r in dataset.rejections.iterate()}


def test_images_are_added_with_origin(dataset: Dataset, folder: Path) -> None:
    assert harvest(dataset, folder) == CLEAN | {"added": 4}
    result = images(dataset)["c.png"]
    assert (result.format, result.width, result.height) == ("PNG", 64, 48)
    [origin] = result.origins
    assert (origin.source, origin.path) == ("folder", str(folder / "dogs" / "c.png"))
    stored = dataset.image_path(result.sha256, "PNG")
    assert stored.read_bytes() == (folder / "dogs" / "c.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "hints"),
    [
        (ImportOptions(hints=True), ["cats", "cats", "dogs", None]),
        (ImportOptions(hints=True, class_level=2), [None, "old", None, None]),
        (ImportOptions(hints=True, class_level=0), ["cats", "old", "dogs", None]),
        (ImportOptions(label="x"), ["x"] * 4),
        (ImportOptions(), [None] * 4),
    ],
)
def test_weak_label_from_folder_or_option(
    folder: Path, options: ImportOptions, hints: list[str | None]
) -> None:
    labels_by_name = {
        picture.path.name: picture.origin.hint
        for picture in find_images(folder, options, Counter())
    }
    assert [
        labels_by_name[name] for name in ("a.jpg", "b.jpg", "c.png", "d.jpg")
    ] == hints


def test_flat_folder_name_is_weak_label(dataset: Dataset, folder: Path) -> None:
    (folder / "dogs" / ".thumbs").mkdir()
    done = harvest(dataset, folder / "dogs", hints=True)
    assert (done["added"], done["hints"]) == (1, {"dogs": 1})
    assert images(dataset)["c.png"].origins[0].hint == "dogs"
    # The same folder, reached from its parent, is not a new one.
    result = CLEAN | {
        "added": 3,
        "known": 1,
        "without_hint": 1,
        "hints": {"cats": 2, "dogs": 1},
    }
    assert harvest(dataset, folder, hints=True) == result
    assert [len(image.origins) for image in dataset.images.iterate()] == [1] * 4


def test_changed_class_level_replaces_weak_labels(
    dataset: Dataset, folder: Path
) -> None:
    harvest(dataset, folder / "cats" / "old" / "b.jpg", label="mine")
    harvest(dataset, folder, hints=True)
    done = harvest(dataset, folder, hints=True, class_level=2)
    assert done == CLEAN | {
        "duplicate": 3,
        "known": 1,
        "without_hint": 2,
        "hints": {"old": 1},
    }
    hints = {
        name: [o.hint for o in image.origins] for name, image in images(dataset).items()
    }
    # A label given with --label does not come from a folder, so it stays.
    assert sorted(map(str, hints.pop("b.jpg"))) == ["mine", "old"]
    assert hints == {"a.jpg": [None], "c.png": [None], "d.jpg": [None]}


@pytest.mark.parametrize("name", ["photos", "photos.zip"])
def test_changed_class_level_replaces_weak_labels_of_folders_from_macos(
    dataset: Dataset, tmp_path: Path, name: str
) -> None:
    # The letters and their accents are separate characters there.
    folder = tmp_path / "photos"
    write_pictures(folder / "zoe\u0308" / "e\u0301te\u0301", ("a.jpg",))
    shutil.make_archive(str(folder), "zip", folder)
    for level, hint in ((1, "zo\xeb"), (2, "\xe9t\xe9"), (1, "zo\xeb")):
        done = harvest(dataset, tmp_path / name, hints=True, class_level=level)
        assert done["hints"] == {hint: 1}
        [image] = dataset.images.iterate()
        assert {origin.hint for origin in image.origins} == {hint}


@pytest.mark.parametrize("name", ["photos", "photos.zip"])
@pytest.mark.parametrize("first", [{}, {"label": "mine"}, {"hints": True}])
def test_simulation_counts_imported_files_with_other_labels_as_duplicates(
    dataset: Dataset, tmp_path: Path, name: str, first: dict[str, object]
) -> None:
    folder = write_pictures(tmp_path / "photos", ("a.jpg", "b.jpg"))
    shutil.make_archive(str(folder), "zip", folder)
    harvest(dataset, tmp_path / name, **first)
    for options in ({}, {"label": "mine"}, {"hints": True}):
        done = harvest(dataset, tmp_path / name, simulate=True, **options)
        assert (done["candidates"], done.get("paths")) == (0, None)
        assert (done.get("known"), done.get("duplicate")) == (
            (2, None) if options == first else (None, 2)
        )
    harvest(dataset, tmp_path / name, label="mine")
    (folder / "a.jpg").write_bytes(picture(9))
    changed = harvest(dataset, folder, simulate=True)
    assert (
        changed["candidates"] == len(changed["paths"]) == (1 if name == "photos" else 2)
    )


def test_labels_from_replaced_weak_labels_are_revoked(
    dataset: Dataset, folder: Path
) -> None:
    harvest(dataset, folder / "cats", hints=True)
    harvest(dataset, folder, hints=True)
    for image in list(dataset.images.iterate()):
        sample_of(dataset, image)
    accept_hints(dataset)
    assert labels(dataset) == ["cats", "cats", "dogs"]
    done = harvest(dataset, folder, hints=True, class_level=2)
    assert (done["taken_back"], labels(dataset)) == (1, ["cats", "dogs"])
    accept_hints(dataset)
    assert labels(dataset) == ["cats", "dogs", "old"]
    assert harvest(dataset, folder, hints=True, class_level=2)["known"] == 4


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ({"hints": True}, {}, 4),
        ({"label": "mine"}, {"hints": True, "class_level": 2}, 5),
        ({}, {"label": "mine"}, 4),
    ],
)
def test_repeated_import_with_other_options_adds_no_origins(
    dataset: Dataset,
    folder: Path,
    first: dict[str, object],
    second: dict[str, object],
    count: int,
) -> None:
    for options in (first, second, second | {"credit": Credit("me")}):
        harvest(dataset, folder, **options)
    origins = [origin for image in dataset.images.iterate() for origin in image.origins]
    assert len(origins) == count
    own = {"mine"} if {"label": "mine"} in (first, second) else set()
    hints = {origin.hint for origin in origins} - {None}
    assert hints == own | ({"old"} if "hints" in second else set())


def test_exclude_option(tmp_path: Path) -> None:
    names = ("cats/a.jpg", "cats/backup/a.jpg", "dogs/b.jpg", "dogs/b_old.jpg")
    write_pictures(tmp_path / "p", names)
    line = (
        "folder",
        tmp_path / "p",
        "--hints-from-folders",
        "-d",
        tmp_path / "d",
        "--json",
    )
    done = run_here(
        "harvest.cli", *line, "--exclude", "backup", "--exclude", "dogs/*_old.*"
    ).json
    assert (done["added"], done["ignored_reasons"]) == (2, {"excluded": 2})
    assert done["hints"] == {"cats": 1, "dogs": 1}


@pytest.mark.parametrize("name", ["old/", "./dogs/", "cats//old", "cats/old/"])
def test_exclude_accepts_completed_folder_names(
    dataset: Dataset, folder: Path, name: str
) -> None:
    done = FolderRequest(path=str(folder), exclude=(name,), workers=1).run(dataset)
    assert done.ignored_reasons == {"excluded": 1}


def test_exclude_of_an_absolute_path_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="begins at the root") as caught:
        FolderRequest(path=str(folder), exclude=(str(folder / "cats"),))
    assert "its path below DIR" in caught.value.fix


def test_label_is_that_of_images_without_class_folder(
    dataset: Dataset, folder: Path
) -> None:
    done = harvest(dataset, folder, hints=True, label="mine")
    assert done["hints"] == {"cats": 2, "dogs": 1, "mine": 1}
    assert "without_hint" not in done


def test_second_run_reads_no_files(dataset: Dataset, folder: Path) -> None:
    (folder / "notes.txt").write_text("hello")
    harvest(dataset, folder)
    before = {
        path: path.stat().st_atime_ns for path in folder.rglob("*") if path.is_file()
    }
    done = harvest(dataset, folder)
    assert (done["known"], done["ignored"]) == (4, 1)
    assert dataset.images.count() == 4
    assert before == {path: path.stat().st_atime_ns for path in before}


def test_changed_file_is_imported_again(dataset: Dataset, folder: Path) -> None:
    (folder / "bad.jpg").write_bytes(b"not yet")
    harvest(dataset, folder)
    write_pictures(folder, ("d.jpg", "bad.jpg"), first=40)
    assert harvest(dataset, folder) == CLEAN | {"added": 2, "known": 3}
    assert (dataset.images.count(), list(dataset.rejections.iterate())) == (6, [])


def test_nested_dataset_is_ignored(folder: Path) -> None:
    with Dataset.create(folder / "dataset") as dataset:
        assert harvest(dataset, folder)["added"] == 4
        (folder / "cats" / "again").symlink_to(folder / "dataset")
        done = harvest(dataset, folder)
        assert (done["added"], done["known"]) == (0, 4)
        assert set(done["ignored_reasons"]) == {DATASET, LINKED_FOLDER}


def test_importing_the_dataset_folder_raises_error(dataset: Dataset) -> None:
    write_pictures(dataset.root, 1)
    with pytest.raises(InputUnusable, match="-d"):
        harvest(dataset, dataset.root)


def test_file_links_are_followed_and_loops_ignored(
    dataset: Dataset, folder: Path
) -> None:
    (folder / "cats" / "up").symlink_to(folder)
    (folder / "self").symlink_to("self")
    (folder / "broken.jpg").symlink_to("gone.jpg")
    write_pictures(folder.parent, ["outside.jpg"], first=9)
    (folder / "link.jpg").symlink_to(folder.parent / "outside.jpg")
    result = harvest(dataset, folder)
    assert (result["added"], result["rejected"]) == (5, 2)
    assert result["ignored_reasons"] == {LINKED_FOLDER: 1}
    assert reasons(dataset) == {"self": "not a file", "broken.jpg": "not a file"}


def test_summary_counts_every_file(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    write_pictures(
        root, ("a.jpg", "b/c.jpg", "b/d.png", "e_without_ending", "f.jpg_large")
    )
    ignored = (
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "#recycle/old.jpg",
        "b/__MACOSX/x.jpg",
        ".trash/y.jpg",
    )
    write_pictures(root, ignored, first=20)
    odd = {
        "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "b/._d.png": b"\0\5\x16\7",
        "notes.txt": b"remember",
        "b/labels.csv": b"file,label\n",
        "sources.csv": b"file,author\n",
        "clip.MP4": b"\0\0\0\x18ftypisom",
        "more.zip": b"PK\3\4",
        "more.rar": b"Rar!\x1a\7",
        "report.docx": b"PK\3\4",
        "bmw": b"BMW and others",
        "broken.jpg": b"\xff\xd8\xff",
        "logo.svg": b"<svg/>",
        "empty": b"",
    }
    for name, data in odd.items():
        (root / name).write_bytes(data)
    (root / "linked").symlink_to(root / "b")
    done = run_here("harvest.cli", "folder", root, "-d", tmp_path / "d", "--json").json
    assert done["added"] == 5
    assert done["reasons"] == {"damaged": 1, "unsupported format (SVG)": 1}
    assert done["ignored_reasons"] == {
        SYSTEM: 4,
        HIDDEN: 2,
        NOT_AN_IMAGE: 5,
        LINKED_FOLDER: 1,
        SOURCE_TABLE: 1,
        VIDEO: 1,
        ARCHIVE: 1,
        PACKED: 1,
    }
    # Not sources.csv, which was read.
    listed = {Path(file).name for file in done["ignored_files"]}
    assert listed == {"labels.csv", "clip.MP4", "more.zip", "more.rar"}
    files = sum(len(names) for _, _, names in os.walk(root)) + 1
    names = ("added", "duplicate", "known", "ignored", "rejected")
    assert sum(done[name] for name in names) == files
    second = run_here(
        "harvest.cli", "folder", root, "-d", tmp_path / "d", "--json"
    ).json
    assert sum(second[name] for name in names) == files
    simulated = run_here(
        "harvest.cli", "folder", root, "-d", tmp_path / "e", "--simulate", "--json"
    ).json
    assert (simulated["candidates"], simulated["ignored"]) == (7, done["ignored"])


ODD_NAMES = [
    b"new\nline.jpg",
    b"-rf.jpg",
    b"latin\xe9.jpg",
    b"\xff\xfe",
    b"quote'\"`$(x).jpg",
    b"tab\t.jpg",
    "日本🐱.jpg".encode(),
    b"back\\slash.jpg",
    b"%s%d.jpg",
    b" space ",
    b"x" * 251 + b".jpg",
]


def test_conflicting_weak_label_revokes_accepted_label(
    dataset: Dataset, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "hana", ("one.jpg", "other.jpg"))
    harvest(dataset, tmp_path / "hana", hints=True)
    keys = [sample_of(dataset, image) for image in list(dataset.images.iterate())]
    dataset.journal.apply(
        "Accept", [Choice(key, "label", "hana", "hint") for key in keys]
    )
    write_pictures(tmp_path / "rei", ["same.jpg"])
    result = harvest(dataset, tmp_path / "rei", hints=True)
    assert (result["duplicate"], result["taken_back"]) == (1, 1)
    assert sorted(sample.status for sample in dataset.samples.iterate()) == [
        "labelled",
        "queue",
    ]
    assert "taken_back" not in harvest(dataset, tmp_path / "rei", hints=True)
    # Automatic steps of the harvest are not the user's: undo reverts what the user accepted.
    dataset.journal.undo()
    assert {sample.status for sample in dataset.samples.iterate()} == {"queue"}


def test_unusual_file_names_are_imported_once(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"p-\xe9\n")
    write_pictures(root, map(os.fsdecode, ODD_NAMES))
    line = ("folder", root, "--hints-from-folders", "-d", tmp_path / "d", "--json")
    done = run_here("harvest.cli", *line)
    assert done.code == 0
    assert "is not UTF-8, read as cp1252: 'p-é'" in done.stderr
    assert done.json["added"] == len(ODD_NAMES)
    with Dataset.open(tmp_path / "d") as dataset:
        origins = [
            origin for image in dataset.images.iterate() for origin in image.origins
        ]
        assert {origin.hint for origin in origins} == {"p-é\n"}
        titles = {origin.title for origin in origins}
        assert titles == {name.decode(errors="backslashreplace") for name in ODD_NAMES}
        assert harvest(dataset, root, hints=True)["known"] == len(ODD_NAMES)


def test_forgotten_images_are_not_counted_as_known(tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", [f"{number}.jpg" for number in range(4)])
    line = ("folder", tmp_path / "in", "-d", tmp_path / "d")
    run_here("harvest.cli", *line)
    with Dataset.open(tmp_path / "d") as dataset:
        dataset.remove_image(next(dataset.images.iterate()).sha256, "asked to")
    for _ in range(2):
        assert (
            run_here("harvest.cli", *line).stdout
            == "added: 0, known: 3, forgotten: 1\n"
        )
    (tmp_path / "in").rename(tmp_path / "moved")
    line = ("folder", tmp_path / "moved", "-d", tmp_path / "d")
    assert "duplicate: 3, rejected: 1" in run_here("harvest.cli", *line).stdout
    assert run_here("harvest.cli", *line).stdout == "added: 0, known: 3, forgotten: 1\n"


def test_special_files_are_rejected_without_blocking(
    dataset: Dataset, folder: Path
) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "empty.jpg").touch()
    with (folder / "huge.jpg").open("wb") as file:
        file.truncate(20_000_000_000)
    start = time.monotonic()
    result = harvest(dataset, folder)
    assert time.monotonic() - start < 60
    assert (result["added"], result["rejected"]) == (4, 4)
    assert reasons(dataset) == {
        "pipe.jpg": "not a file",
        "zero.jpg": "not a file",
        "empty.jpg": "empty",
        "huge.jpg": "too large",
    }
    assert result["reasons"] == {"not a file": 2, "empty": 1, "too large": 1}


def test_single_file_is_imported(dataset: Dataset, tmp_path: Path) -> None:
    write_pictures(tmp_path / "hana", ("1.JPG", "2.JPG"))
    file = tmp_path / "hana" / "1.JPG"
    assert harvest(dataset, file, hints=True)["added"] == 1
    assert harvest(dataset, file, hints=True)["added"] == 0
    # The same file under its folder is not a second origin.
    assert harvest(dataset, tmp_path / "hana", hints=True)["added"] == 1
    assert [o.hint for i in dataset.images.iterate() for o in i.origins] == [
        "hana",
        "hana",
    ]


# Imports a folder twice, the second time into a dataset that may not be read.
IMPORT_TWICE = """
import os, sys
from gleanset.start import harvest
for mode in (0o755, 0):
    if os.path.exists(sys.argv[-1]):
        os.chmod(sys.argv[-1], mode)
    try:
        harvest()
    except SystemExit as end:
        print(end.code)
"""


@pytest.mark.slow
def test_unreadable_files_are_reported_and_retried(tmp_path: Path) -> None:
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to give up the right to read everything")
    photos = tmp_path / "photos"
    root = tmp_path / "d"
    write_pictures(photos, ("fine.jpg", "closed.jpg", "locked/inside.jpg"))
    for name in ("closed.jpg", "locked"):
        (photos / name).chmod(0)
    line = ("folder", photos, "--json", "-d", root)
    unprivileged = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    program = [
        *unprivileged,
        sys.executable,
        "-c",
        IMPORT_TWICE,
        *map(os.fsencode, line),
    ]
    done = run_to_its_end(program, None, {"PYTHONPATH": python_path()}, 120)
    result, *codes = done.stdout.splitlines()
    assert codes == ["0", "2"], done.stderr
    assert "not readable" in done.stderr
    counts = json.loads(result)
    assert counts.pop("rejected_files")["files"] == [
        "photos/closed.jpg: cannot be read",
        "photos/locked: cannot be read",
    ]
    assert counts == CLEAN | {
        "added": 1,
        "rejected": 2,
        "reasons": {"cannot be read": 2},
    }
    for path in (root, photos / "locked", photos / "closed.jpg"):
        path.chmod(0o755)
    assert run_here("harvest.cli", *line).json["added"] == 2


def test_full_disk_exits_with_code_3(tmp_path: Path, small_disk: object) -> None:
    disk = small_disk("size=600k")  # type: ignore[operator]
    for seed in range(12):
        path = tmp_path / "big" / f"{seed}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture(seed, (160, 120), "BMP"))
    line = ("folder", tmp_path / "big", "-d", disk / "d", "--workers", "1", "--json")
    run_here("harvest.cli", *line).refused(3, "no space left")
    with Dataset.open(disk / "d") as dataset:
        stored = list(dataset.images.iterate())
        assert len(stored) < 12
        assert all(dataset.image_path(i.sha256, i.format).exists() for i in stored)
        assert list(dataset.rejections.iterate()) == []


# A process inherits its parent's peak memory, so a small process must start the measured one.
MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
print(done.stdout, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, sep="")
print(done.stderr, end="", file=sys.stderr)
sys.exit(done.returncode)
"""


def test_hostile_files_are_counted_in_little_memory(
    tmp_path: Path, shared_data: Path
) -> None:
    folder = shared_data / "hostile"
    root = tmp_path / "d"
    line = command("harvest.cli", "folder", folder, "-d", root, "--json")
    start = time.monotonic()
    process = python(MEASURED, *map(os.fsdecode, line))
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert time.monotonic() - start < 120
    result, memory = out.splitlines()
    # Linux reports KiB, the maximum over the command and its workers.
    assert int(memory) < 1_000_000
    with Dataset.open(root) as dataset:
        accepted = {
            Path(str(o.path)).name for i in dataset.images.iterate() for o in i.origins
        }
        rejected = reasons(dataset)
        stored = {p.stem for p in (root / "images").rglob("*.*")}
        assert stored == {image.sha256 for image in dataset.images.iterate()}
    names = {path.name for path in folder.iterdir()}
    assert not accepted & set(rejected)
    counted = json.loads(result)
    assert len(accepted | set(rejected)) + counted["ignored"] == len(names)
    assert counted["added"] + counted["duplicate"] == len(accepted)
    assert counted["rejected"] == len(rejected)
    assert not set(rejected.values()) & {"internal error", "crashed", "too slow"}


NUMBERED = r"(.+)-\d+\."


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Make two sessions of three photos, and two photos outside."""
    sessions = ["session 0/"] * 3 + ["session 1/"] * 3 + [""] * 2
    names = [f"{session}p{n // 2}-{n % 2}.jpg" for n, session in enumerate(sessions)]
    return write_pictures(tmp_path / "photos", names, first=1)


def posts(dataset: Dataset) -> dict[str, str | None]:
    return {
        str(o.title): o.post
        for image in dataset.images.iterate()
        for o in image.origins
    }


def test_group_by_folder(dataset: Dataset, photos: Path) -> None:
    done = (
        FolderRequest(path=str(photos), group_by="folder", workers=1)
        .run(dataset)
        .to_json()
    )
    assert (done["added"], done["groups"]) == (8, 3)
    assert posts(dataset)["p0-0.jpg"] == str(photos / "session 0")
    assert posts(dataset)["p3-1.jpg"] == str(photos)


def test_groups_are_added_by_second_run(dataset: Dataset, photos: Path) -> None:
    first = FolderRequest(path=str(photos), workers=1)
    message = first.run(dataset).maybe_parts_of_one_image
    assert message["files"] == 8
    assert message["then"] == r"run it again with --group-by '(.+)[-_]\d+\.'"
    by_name = FolderRequest(path=str(photos), group_by=NUMBERED, workers=1)
    second_result = by_name.run(dataset).to_json()
    assert (
        second_result["added"],
        second_result["duplicate"],
        second_result["groups"],
    ) == (
        0,
        8,
        4,
    )
    assert set(posts(dataset).values()) == {"p0", "p1", "p2", "p3"}
    assert by_name.run(dataset).known == 8


def test_group_by_archive_folder(dataset: Dataset, tmp_path: Path) -> None:
    places = tuple(
        make_archive(
            tmp_path / f"{first}.zip",
            {
                f"s{number // 2}/x-{number}.jpg": picture(first + number)
                for number in range(4)
            },
        )
        for first in (1, 11)
    )
    done = (
        FolderRequest(path=places, group_by="folder", workers=1).run(dataset).to_json()
    )
    assert (done["added"], done["groups"]) == (8, 4), (
        "equal folder names of two archives are two groups"
    )
    done = (
        FolderRequest(path=places, group_by=NUMBERED, workers=1).run(dataset).to_json()
    )
    assert (done["duplicate"], done["groups"]) == (8, 1)
    assert set(posts(dataset).values()) == {"x"}


def test_group_preview_and_invalid_patterns(photos: Path, tmp_path: Path) -> None:
    line = ("folder", photos, "-d", tmp_path / "d", "--group-by")
    simulated = run_here("harvest.cli", *line, NUMBERED, "--simulate", "--json")
    preview = json.loads(simulated.stdout)
    assert len(preview.pop("paths")) == 8
    assert preview == {"candidates": 8, "ignored": 0, "groups": 4}
    for bad in ("(", "x+", "(nowhere)"):
        run_here("harvest.cli", *line, bad, "--simulate").refused(2)
    assert not (tmp_path / "d").exists()
