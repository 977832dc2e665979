"""Finding leaks between splits in folders and in datasets."""

import json
import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
from duplicate_images import COPIES, drawing, search
from labelled_images import picture, put, run_labeler
from PIL import Image, ImageOps
from test_verification import cel, hue_turned
from tools_for_tests import Ran, encode, run_here, write_pictures

from gleanset import Dataset, Origin
from gleanset.db.duplicates import Pairs, SampleHashes
from gleanset.errors import InputUnusable
from gleanset.work.progress import NO_PROGRESS
from labeler.audit import Audit, collect_dataset, collect_tree, find_leaks
from labeler.duplicates.candidates import make_batch, to_columns
from labeler.duplicates.plan import judge

KINDS = ("small", "mirror", "crop 5 %", "letterbox", "watermark")


def save(image: Image.Image, path: Path, **options: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(image, **options))


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images in train, three others and all kinds of copies in test, bad files in val."""
    root = tmp_path_factory.mktemp("leaky")
    for seed in range(8):
        save(drawing(seed), root / f"train2017/cat/{seed}.jpg")
    for seed in range(12, 15):
        save(drawing(seed), root / f"test/cat/{seed}.jpg")
    for seed, kind in enumerate(KINDS):
        save(COPIES[kind](drawing(seed)), root / f"test/dog/{kind}.jpg", quality=70)
    shutil.copy(root / "train2017/cat/7.jpg", root / "test/cat/same.jpg")
    (root / "Validation").mkdir()
    (root / "Validation/-rf\n.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (root / "Validation/empty.jpg").write_bytes(b"")
    os.mkfifo(root / "Validation/pipe.jpg")
    (root / "Validation/loop.jpg").symlink_to("loop.jpg")
    (root / "Validation/up").symlink_to(root)
    (root / "test/labels.csv").write_text("x")
    save(drawing(0), root / "outside/0.jpg")
    save(drawing(0), root / "test/.hidden/0.jpg")
    return root


@pytest.fixture(scope="module")
def leaky_audit(leaky: Path) -> Audit:
    return find_leaks(collect_tree(leaky), workers=1, progress=NO_PROGRESS)


def test_all_kinds_of_copies_are_found(leaky_audit: Audit) -> None:
    expected = {"test/cat/same.jpg": ("train2017/cat/7.jpg", "same file")}
    for seed, kind in enumerate(KINDS):
        leak_kind = "mirrored copy" if kind == "mirror" else "copy"
        expected[f"test/dog/{kind}.jpg"] = (f"train2017/cat/{seed}.jpg", leak_kind)
    assert {leak.b: (leak.a, leak.kind) for leak in leaky_audit.leaks} == expected


@pytest.mark.posix("pipes and links")
def test_result_accounts_for_every_file(leaky: Path, leaky_audit: Audit) -> None:
    result = json.loads(json.dumps(leaky_audit.result().to_json()))
    files = [
        path for path in leaky.rglob("*") if path.is_symlink() or not path.is_dir()
    ]
    accounted = (
        sum(result["images"].values()) + result["unreadable"] + result["ignored"]
    )
    assert (accounted, result["images"]) == (
        len(files),
        {"test": 9, "train": 8, "val": 0},
    )
    assert (result["leaks"], result["alike"], result["leaking"]) == (
        6,
        0,
        {"test in train": 6},
    )
    assert result["unreadable"] == 4
    assert {row["file"] for row in result["not_read"]} == {
        "Validation/-rf\n.png",
        "Validation/empty.jpg",
        "Validation/loop.jpg",
        "Validation/pipe.jpg",
    }
    reasons = result["ignored_reasons"]
    assert (reasons["in no split"], reasons["not an image"], reasons["hidden"]) == (
        1,
        1,
        1,
    )
    assert result["ignored"] == sum(reasons.values())
    assert result["pairs"][0] == {
        "kind": "same file",
        "a": "train2017/cat/7.jpg",
        "b": "test/cat/same.jpg",
        "splits": ["train", "test"],
        "labels": ["cat", "cat"],
    }


@pytest.mark.slow
def test_hashes_of_files_keep_all_bits() -> None:
    high = (1 << 63) + 1
    hashes = [
        SampleHashes(number, plain, plain, 1.0, b"", bytes(3))
        for number, plain in enumerate((high, 1))
    ]
    batch = make_batch(to_columns(hashes))
    assert batch.plain.tolist() == [high, 1]


def test_audit_command(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    save(drawing(0), tree / "train/cat/0.jpg")
    save(drawing(0), tree / "test/cat/same.jpg")
    save(ImageOps.mirror(drawing(0)), tree / "test/dog/mirrored.jpg", quality=70)
    (tree / "test/-rf\n.png").write_bytes(b"no image")
    done = run_labeler("audit", tree, "--workers", "1").checked()
    assert "train/cat/0.jpg  =  test/cat/same.jpg  (same file)" in done.stdout
    assert "test/dog/mirrored.jpg  (mirrored copy, other labels)" in done.stdout
    assert "'test/-rf\\n.png': " in done.stdout
    assert run_labeler("audit", tree / "train").code == 3
    failed = run_labeler("audit", tree, "--fail", "--workers", "1")
    assert (failed.code, "in two splits" in failed.stderr) == (3, True)


def test_splits_on_second_level(tmp_path: Path) -> None:
    for split, seed in (("train", 1), ("valid", 2), ("valid", 1)):
        save(drawing(seed), tmp_path / f"images/{split}/{seed}.jpg")
    assert collect_tree(tmp_path).sizes() == {"train": 1, "val": 2}


@pytest.mark.parametrize("name", ["nowhere", "train"])
def test_tree_without_splits_raises_error(tmp_path: Path, name: str) -> None:
    save(drawing(1), tmp_path / "train/train/1.jpg")  # a class named train
    with pytest.raises(InputUnusable, match=r"link them into one|check its name"):
        collect_tree(tmp_path / name)


def test_dataset_audit_finds_copies_and_groups(empty: Dataset) -> None:
    """Copies are found by pixels, divided groups by the catalogue."""
    frame = partial(Origin, "video", video="f" * 64, scene=1)
    put(empty, encode(drawing(1)), "a", split="train")
    put(empty, encode(COPIES["small"](drawing(1))), "b", split="test")
    put(empty, encode(drawing(2)), "c", split="train", origin=frame("c", time=1))
    put(empty, encode(drawing(3)), "d", split="test", origin=frame("d", time=2))
    put(empty, encode(drawing(4)), "e", split="test")
    audit = find_leaks(collect_dataset(empty), empty, workers=1, progress=NO_PROGRESS)
    assert [leak.kind for leak in audit.leaks] == ["copy", "same group"]
    assert audit.result().to_json()["leaking"] == {"test in train": 2}


@pytest.mark.slow
def test_dataset_audit_uses_verdicts(empty: Dataset) -> None:
    """Verdicts of dedup and of persons take precedence."""
    for seed, split in ((1, "train"), (2, "train"), (3, "train")):
        put(empty, encode(drawing(seed)), f"{seed}", split=split)
        copy = COPIES["small"](drawing(seed))
        put(empty, encode(copy), f"copy {seed}", split="test")
    options = ("-d", empty.root, "--json", "--workers", "1")
    search(empty)
    result = run_labeler("audit", *options).json
    assert result["kinds"] == {"copy": 3}
    first, second, third = ((pair["a"], pair["b"]) for pair in result["pairs"])
    judge(empty, *first, same=False)
    rows = sorted(Pairs(empty.db).get_ids(second))
    with empty.db.transaction():
        empty.db.execute("UPDATE pair SET verdict='doubtful' WHERE a=? AND b=?", rows)
    done = run_labeler("audit", "-d", empty.root, "--workers", "1")
    again = run_labeler("audit", *options).json
    kinds = {(pair["a"], pair["b"]): pair["kind"] for pair in again["pairs"]}
    assert kinds == {first: "alike", second: "perhaps a copy", third: "copy"}
    assert again["leaks"] == 2
    assert "labeler groups --same or --differ" in done.stdout.replace("\n  ", " ")


def test_frames_have_stricter_limits(empty: Dataset) -> None:
    for name, image, split in (("a", cel(), "train"), ("b", hue_turned(cel()), "test")):
        origin = Origin("video", name, video="f" * 64)
        data = encode(image.convert("L"), quality=95)
        put(empty, data, name, split=split, origin=origin)
    audited = collect_dataset(empty)
    assert [
        leak.kind for leak in find_leaks(audited, workers=1, progress=NO_PROGRESS).leaks
    ] == ["perhaps a copy"]
    result = find_leaks(audited, empty, workers=1, progress=NO_PROGRESS).leaks
    assert [leak.kind for leak in result] == ["same group"], "not a copy"
    plan = search(empty)
    assert (plan.sets, plan.doubts) == ([], [])


@pytest.mark.slow
def test_own_split_has_no_leaks(empty: Dataset, shared_data: Path) -> None:
    """Label, split and audit real images with real copies."""
    folder = shared_data / "neardup"
    result = json.loads((folder / "neardup.json").read_text())["groups"]
    for group in [g for g in result if g["expect"] == "duplicate"][:6]:
        for file in group["files"]:
            data = (folder / file).read_bytes()
            put(empty, data, file, label=group["id"][:1], origin=Origin("folder", file))
    done = run_labeler(
        "split", "--ratio", "1:1:1", "-d", empty.root, "--json"
    ).checked()
    assert min(done.json[split] for split in ("train", "val", "test")) > 1
    result = run_labeler("audit", "-d", empty.root, "--json", "--workers", "1").json
    assert result["leaks"] == 0, result["pairs"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Six images, one in two classes and one with a copy, and two invalid files."""
    names = [f"{('hana', 'rei')[number % 2]}/{number}.jpg" for number in range(6)]
    write_pictures(tmp_path / "tree", names, size=(360, 240))
    rei = tmp_path / "tree" / "rei"
    (rei / "same.jpg").write_bytes((tmp_path / "tree" / "hana" / "0.jpg").read_bytes())
    (rei / "copy.jpg").write_bytes(encode(picture(2, (360, 240)).resize((300, 200))))
    (rei / "no picture.jpg").write_bytes(b"x")
    (rei / "bad\x1b[31m.jpg").write_bytes(b"x")
    return tmp_path / "tree"


def printed_text(ran: Ran) -> str:
    assert ran.code == 0, ran.stderr
    assert "\x1b" not in ran.stdout
    # Commands and paths are not wrapped.
    unwrapped = ("gleanset ", "labeler ", "baseline ", "to: ", "dataset: ")
    lines = [
        line
        for line in ran.stdout.splitlines()
        if not any(start in line for start in unwrapped)
    ]
    lines = [line for line in lines if not Path(line.strip()).is_dir()]
    assert max(map(len, lines), default=0) <= 80
    return ran.stdout


def run_suggested_command(command: str) -> Sequence[dict[str, object]]:
    """Run a command of a summary; return its JSON lines."""
    program, *words = command.split()
    modules = {"gleanset": "pipeline.cli", "labeler": "labeler.cli"}
    ran = run_here(modules[program], *words, "--json").checked()
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_import_lists_disputed_and_invalid_files(empty: Dataset, tree: Path) -> None:
    text = printed_text(run_labeler("import", tree, "-d", empty.root))
    assert "hana/0.jpg: hana, rei/same.jpg: rei" in text
    assert "rei/no picture.jpg: not an image" in text
    assert r"'rei/bad\x1b[31m.jpg': not an image" in text
    see = next(line for line in text.splitlines() if "gleanset list" in line)
    rows = {
        Path(str(row["item"])).name: row
        for row in run_suggested_command(see.removeprefix("  see:"))
    }
    assert {name: row["reason"] for name, row in rows.items()} == {
        "0.jpg": "disputed",
        "same.jpg": "disputed",
        "no picture.jpg": "not an image",
        "bad\x1b[31m.jpg": "not an image",
    }
    assert rows["same.jpg"]["detail"] == "label rei, hana/0.jpg: hana"


def test_settled_dispute_is_forgotten(empty: Dataset, tree: Path) -> None:
    line = ("import", tree, "-d", empty.root)
    run_labeler(*line)
    key = next(
        sample.key for sample in empty.samples.iter_by_key() if sample.status == "queue"
    )
    run_labeler("label", "rei", key, "-d", empty.root)
    text = printed_text(run_labeler(*line))
    assert "hana/0.jpg: hana, decided: rei" in text
    (tree / "hana" / "0.jpg").unlink()
    assert "disputed files" not in printed_text(run_labeler(*line))


def test_conflicting_copies_are_listed(
    empty: Dataset, tree: Path, tmp_path: Path
) -> None:
    dataset_option = ("-d", empty.root)
    run_labeler("import", tree, *dataset_option)
    pair = "hana/2.jpg (hana), rei/copy.jpg (rei)"
    for words in (("dedup", "--simulate"), ("dedup",), ("dedup",)):
        assert pair in printed_text(run_labeler(*words, *dataset_option))
    for module, words in (
        ("labeler.cli", ("split",)),
        ("labeler.cli", ("export", tmp_path / "out")),
        ("pipeline.cli", ("status",)),
    ):
        text = printed_text(run_here(module, *words, *dataset_option))
        assert "hana/2.jpg is hana" in text
        assert f"labeler groups --conflicts -d {empty.root}" in text
    result = run_labeler("dedup", *dataset_option, "--json").json[
        "labelled_differently"
    ]
    assert result == {
        "see": f"labeler groups --conflicts -d {empty.root}",
        "files": [pair],
    }
    (group,) = run_suggested_command(result["see"])
    assert sorted(group["files"]) == [
        str(tree / "hana" / "2.jpg"),
        str(tree / "rei" / "copy.jpg"),
    ]
    run_labeler("label", "hana", group["kept"], *group["others"], *dataset_option)  # type: ignore[misc]
    for words in (("dedup",), ("split",)):
        assert "labelled differently" not in printed_text(
            run_labeler(*words, *dataset_option)
        )
