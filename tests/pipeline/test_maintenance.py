"""verify, forget, gc and merge on real files; removals by hash, prefix or file."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from report_rows import store_report
from tools_for_tests import Ran, picture, run_cli, run_here, write_pictures

from baseline.data.pixels import PixelReader, decode_all
from baseline.data.samples import pixel_sources
from gleanset import Box, Dataset, Origin
from gleanset.dataset import PIXELS
from gleanset.db.journal import Choice
from gleanset.db.maintenance import Maintenance
from gleanset.db.reports import Claim, Reports
from gleanset.db.sorting import SampleTiles
from gleanset.errors import UsageError
from gleanset.images.staging import StageBytes
from gleanset.records import Rejection
from labeler.duplicates.plan import judge
from labeler.sorting.sample_images import ThumbnailCache, whole_image
from pipeline.maintenance.check_files import collect_garbage
from pipeline.maintenance.removals import plan_removal, remove_images


def make_dataset(root: Path, tree: Path, seeds: range, **options: str) -> Path:
    """Create a dataset of drawn images, each one sample; `folder` is their weak label."""
    write_pictures(tree / options.get("folder", "hana"), len(seeds), seeds.start)
    alone = ("--workers", "1", "-q", "-d", root)
    run_here("harvest.cli", "folder", tree, "--hints-from-folders", *alone)
    run_here("facecrop.cli", "run", "--detector", "whole", *alone)
    return root


def run_gleanset(root: Path, *words: str | Path) -> Ran:
    return run_here("pipeline.cli", *words, "-d", root, "--json")


@pytest.fixture(scope="module")
def four_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of four images, imported from `tree` next to it; tests copy it."""
    folder = tmp_path_factory.mktemp("four")
    return make_dataset(folder / "dataset", folder / "tree", range(4))


@pytest.fixture
def root(four_images: Path, tmp_path: Path) -> Path:
    shutil.copytree(four_images, tmp_path / "dataset")
    return tmp_path / "dataset"


def stored_images(root: Path) -> list[Path]:
    return sorted((root / "images").glob("*/*.jpg"))


def test_verify_sound_dataset(root: Path) -> None:
    result = run_gleanset(root, "verify").json
    assert (result["images"], result["sound"], result["gone"], result["damaged"]) == (
        4,
        4,
        0,
        0,
    )
    assert (
        result["unused_files"] == result["damaged_crops"] == result["gone_crops"] == 0
    )
    assert result["orphan_rows"] == result["duplicate_faces"] == 0
    assert result["disputed_labels"] == result["straddling_groups"] == 0
    assert "catalogue" not in result
    assert "contradictions" not in result


@pytest.mark.damages("a group is in two splits")
def test_verify_reports_group_across_splits(root: Path) -> None:
    with Dataset.open(root) as dataset:
        keys = [sample.key for sample in dataset.samples.iter_by_key()][:2]
        dataset.journal.apply("Label", [Choice(key, "label", "hana") for key in keys])
        dataset.samples.set_splits({keys[0]: ("a", "train"), keys[1]: ("b", "test")})
        judge(dataset, *keys, same=True)
        # One group, by all that can tie its samples.
        with dataset.db.transaction():
            dataset.db.execute(
                "UPDATE sample SET split_group='a', duplicate_set='a' WHERE split IS NOT NULL"
            )
    result = run_gleanset(root, "verify")
    assert result.json["straddling_groups"] == 1
    (line,) = result.json["contradictions"]
    assert line == f"the group of {keys[0]} is in several splits"
    assert "labeler split" in result.stderr


@pytest.mark.slow
def test_deleted_crop_is_reported_and_restored(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    boxes = tmp_path / "boxes"
    boxes.mkdir()
    (boxes / "a.jpg").write_bytes(picture(1))
    result = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "hana"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, 40, 40]}
        ],
    }
    (boxes / "boxes.json").write_text(json.dumps(result))
    run_here("labeler.cli", "import", boxes, "--workers", "1", "-q", "-d", root)
    assert run_gleanset(root, "verify").json["gone_crops"] == 0
    (crop,) = (root / "crops").glob("*/*.jpg")
    before = crop.read_bytes()
    crop.unlink()
    report = run_gleanset(root, "verify")
    assert (report.code, report.json["gone_crops"]) == (3, 1)
    assert "facecrop run" in report.stderr
    run_here(
        "facecrop.cli", "run", "--detector", "whole", "--workers", "1", "-q", "-d", root
    )
    assert crop.read_bytes() == before
    assert run_gleanset(root, "verify").json["gone_crops"] == 0


@pytest.mark.slow
def test_verify_changes_nothing_and_repair_copies_from_source(root: Path) -> None:
    gone, damaged, *_ = stored_images(root)
    gone.unlink()
    damaged.write_bytes(b"\xff\xd8 not an image")
    report = run_gleanset(root, "verify").refused(
        3, "2 images missing or damaged", f": gleanset verify --repair -d {root}"
    )
    assert (report.json["gone"], report.json["damaged"], report.json["repaired"]) == (
        1,
        1,
        0,
    )
    # Without --repair nothing is changed.
    assert damaged.exists()
    assert not (root / "damaged").exists()
    with Dataset.open(root) as dataset:
        assert not list(dataset.rejections.iterate())
        assert {image.state for image in dataset.images.iterate()} == {"ok"}
    repair = run_gleanset(root, "verify", "--repair").checked()
    assert [repair.json[name] for name in ("gone", "damaged", "repaired")] == [1, 1, 2]
    assert (root / "damaged" / damaged.name).read_bytes().endswith(b"not an image")
    assert run_gleanset(root, "verify").json["sound"] == 4


@pytest.mark.damages("quarantined files are left")
def test_repair_keeps_every_quarantined_file(root: Path) -> None:
    damaged = stored_images(root)[0]
    data = damaged.read_bytes()
    for wrong in (b"first", data, b"second"):
        damaged.write_bytes(wrong)
        (root / "damaged").mkdir(exist_ok=True)
        if wrong == data:
            damaged.replace(root / "damaged" / f"{damaged.stem}-sound.jpg")
            continue
        run_gleanset(root, "verify", "--repair")
    contents = {path.read_bytes() for path in (root / "damaged").iterdir()}
    assert (contents, damaged.read_bytes()) == ({b"first", b"second", data}, data)


@pytest.mark.slow
def test_unavailable_image_is_missing_until_restored(
    four_images: Path, root: Path, tmp_path: Path
) -> None:
    gone = stored_images(root)[0]
    data = gone.read_bytes()
    gone.unlink()
    tree = four_images.with_name("tree").rename(tmp_path / "elsewhere")
    repair = run_gleanset(root, "verify", "--repair")
    tree.rename(four_images.with_name("tree"))
    assert (repair.code, repair.json["repaired"]) == (3, 0)
    with Dataset.open(root) as dataset:
        image = dataset.images.get(gone.stem)
        assert image.state == "missing"
    gone.write_bytes(data)
    assert run_gleanset(root, "verify", "--repair").code == 0
    with Dataset.open(root) as dataset:
        image = dataset.images.get(gone.stem)
        assert image.state == "ok"
        assert not [r for r in dataset.rejections.iterate() if r.stage == "verify"]


def test_forgotten_image_is_removed_and_not_reimported(
    root: Path, tmp_path: Path
) -> None:
    first = stored_images(root)[0]
    sha256 = first.stem
    data = first.read_bytes()
    with Dataset.open(root) as dataset:
        keys = Maintenance(dataset.db).list_sample_keys(sha256)
        dataset.journal.apply("Label 1", [Choice(keys[0], "label", "hana")])
        dataset.samples.set_splits({keys[0]: (keys[0], "test")})
    # No terminal.
    unconfirmed = run_cli("pipeline.cli", "forget", "--image", sha256[:8], "-d", root)
    assert unconfirmed.code == 2, "it asks without -y, and there is no terminal"
    assert "Remove 1 image and 1 sample (1 in test) for good?" in unconfirmed.stderr
    assert "nothing was removed" in unconfirmed.stderr
    assert "-y" in unconfirmed.stderr
    assert "interrupted" not in unconfirmed.stderr, "end of input is not Ctrl-C"
    assert first.exists()
    done = run_gleanset(
        root,
        "forget",
        "--image",
        sha256[:8],
        "--reason",
        "requested by the author",
        "-y",
    )
    assert done.json["forgotten"] == {"images": 1, "samples": 1, "in_test": 1}
    assert not first.exists()
    with Dataset.open(root) as dataset:
        assert (dataset.images.count(), dataset.journal.count()) == (3, 0)
        assert dataset.samples.get(keys[0]) is None
        assert dataset.images.get_tombstone(sha256) == "requested by the author"
    (tmp_path / "hana").mkdir()
    (tmp_path / "hana" / "again.jpg").write_bytes(data)
    words = ("folder", tmp_path / "hana", "-d", root, "--json")
    repeated = run_here("harvest.cli", *words).json
    assert repeated["reasons"] == {"forgotten": 1}
    assert not first.exists()
    assert run_gleanset(root, "verify").json["sound"] == 3


def test_forget_removes_cached_pixels(root: Path) -> None:
    """Thumbnails and decoded samples show what somebody asked to remove."""
    removed, kept = (file.stem for file in stored_images(root)[:2])
    with Dataset.open(root) as dataset:
        thumbnails = ThumbnailCache(dataset.cache, dataset.originals(), dataset.crops())
        tiles = SampleTiles(dataset.db).get_many(range(1, 5)).values()
        for region in [tile.region for tile in tiles]:
            for side in (128, 256):
                thumbnails.pixels(region, side)
                thumbnails.pixels(whole_image(region), side)
        samples = [sample.record for sample in dataset]
        sources = list(pixel_sources(dataset, samples))
        decode_all(dataset.cache / PIXELS, sources, PixelReader(8, 3))
        key, kept_key = (
            Maintenance(dataset.db).list_sample_keys(sha256)[0]
            for sha256 in (removed, kept)
        )
    run_gleanset(root, "snapshot", "before")
    names = [path.name for path in (root / "cache").rglob("*") if path.is_file()]
    assert sum(name.startswith((key, removed[:32])) for name in names) == 4
    assert any(name.endswith(".pixels") for name in names)

    run_gleanset(root, "forget", "--image", removed, "-y")
    names = [path.name for path in (root / "cache").rglob("*") if path.is_file()]
    assert not [name for name in names if name.startswith((key, removed[:32]))]
    assert not [name for name in names if name.endswith(".pixels")]
    assert sum(name.startswith((kept_key, kept[:32])) for name in names) == 4


def test_forget_leaves_no_text_in_the_catalogue(root: Path) -> None:
    author = "Katsushika Hokusai of Edo"
    with Dataset.open(root) as dataset, dataset.db.transaction():
        dataset.db.execute("UPDATE origin SET author=? WHERE id=1", (author,))
    assert author.encode() in (root / "catalog.sqlite").read_bytes()
    run_gleanset(root, "forget", "--author", author, "-y")
    assert author.encode() not in (root / "catalog.sqlite").read_bytes()


def test_forget_removes_quarantined_files(root: Path) -> None:
    """A damaged file may still show what somebody asked to remove."""
    damaged = stored_images(root)[0]
    with Dataset.open(root) as dataset:
        (key,) = Maintenance(dataset.db).list_sample_keys(damaged.stem)
        crop = dataset.crop_path(key)
        crop.parent.mkdir(parents=True, exist_ok=True)
    for file in (damaged, crop):
        file.write_bytes(b"damaged")
    run_gleanset(root, "verify", "--repair")
    kept = root / "damaged" / f"{'0' * 64}.jpg"
    kept.write_bytes(b"of another image")
    assert len(list(kept.parent.iterdir())) == 3
    run_gleanset(root, "forget", "--image", damaged.stem, "-y").checked()
    assert list(kept.parent.iterdir()) == [kept]


def test_forget_returns_copies_of_the_kept_image(root: Path) -> None:
    with Dataset.open(root) as dataset:
        keys = [sample.key for sample in dataset.samples.iterate()]
        with dataset.db.transaction():
            for key in keys:
                name, kept = (
                    ("two", True) if key == keys[3] else ("one", key == keys[0])
                )
                dataset.db.execute(
                    "UPDATE sample SET duplicate_set=?, kept=? WHERE key=?",
                    (name, kept, key),
                )
        image = dataset.samples.get(keys[0]).image
    run_gleanset(root, "forget", "--image", image, "-y").checked()
    with Dataset.open(root) as dataset:
        states = {s.key: (s.kept, s.group) for s in dataset.samples.iterate()}
    assert states == {
        keys[1]: (True, None),
        keys[2]: (True, None),
        keys[3]: (True, "two"),
    }


@pytest.mark.parametrize("exists", [True, False])
def test_file_named_like_the_beginning_of_a_hash_is_another_image(
    root: Path, tmp_path: Path, exists: bool
) -> None:
    image = stored_images(root)[0]
    other = tmp_path / f"{image.stem[:4]}.jpg"
    if exists:
        other.write_bytes(picture(77))
    run_gleanset(root, "forget", "--image", other, "-y").refused(2, "there is no image")
    assert image.exists()
    # A missing original is still known by its name.
    image.unlink()
    assert run_gleanset(root, "forget", "--image", image, "-y").code == 0


@pytest.mark.parametrize("number", ["9" * 20, "9" * 5000])
def test_number_beyond_the_catalogue_is_a_usage_error(root: Path, number: str) -> None:
    run_gleanset(root, "forget", "--report", number, "-y").refused(2)
    for action in ("accept", "refuse"):
        words = ("reports", action, number, "-d", root)
        run_here("webapp.cli", *words).refused(2, "number")


@pytest.mark.slow
def test_forget_removes_rejections_of_samples(root: Path) -> None:
    with Dataset.open(root) as dataset:
        gone, kept = list(dataset.images.iterate())[:2]
        upkeep = Maintenance(dataset.db)
        words = {
            name: [image.sha256, *upkeep.list_sample_keys(image.sha256)]
            for name, image in (("gone", gone), ("kept", kept))
        }
        for what in (*words["gone"], *words["kept"]):
            dataset.rejections.add(Rejection("quality", what, "truncated"))
    run_gleanset(root, "forget", "--image", gone.sha256, "-y")
    with Dataset.open(root) as dataset:
        assert {rejection.item for rejection in dataset.rejections.iterate()} == set(
            words["kept"]
        )
        assert len(words["kept"]) == 2


@pytest.mark.slow
def test_undo_after_forget_undoes_last_step(root: Path) -> None:
    """The first decision has the number of its step, which must not decide about later steps."""
    with Dataset.open(root) as dataset:
        first, second, third, *_ = dataset.samples.iter_by_key()
    for words in (("mei", first.key, second.key), ("rin", third.key)):
        run_here("labeler.cli", "label", *words, "-d", root)
    run_gleanset(root, "forget", "--image", first.image, "-y")
    assert run_here("labeler.cli", "undo", "-d", root).code == 0
    with Dataset.open(root) as dataset:
        labels_by_key = {
            sample.key: sample.label for sample in dataset.samples.iterate()
        }
    assert (labels_by_key[second.key], labels_by_key[third.key]) == ("mei", None)


def test_forget_by_author_and_origin(root: Path) -> None:
    with Dataset.open(root) as dataset:
        images = list(dataset.images.iterate())
        with dataset.db.transaction():
            dataset.db.execute("UPDATE origin SET author='Ann' WHERE image IN (1, 2)")
            dataset.db.execute("UPDATE origin SET url='http://x/y.jpg' WHERE image=3")
    assert (
        run_gleanset(root, "forget", "--author", "Ann", "--simulate").json[
            "would_forget"
        ]["images"]
        == 2
    )
    assert len(images) == len(stored_images(root)) == 4
    run_gleanset(root, "forget", "--author", "Ann", "--origin", "http://x/y.jpg", "-y")
    assert len(stored_images(root)) == 1
    run_gleanset(root, "forget", "--author", "Nobody", "-y").refused(
        2, "is by 'Nobody'"
    )


def test_frame_is_named_with_its_time(root: Path) -> None:
    with Dataset.open(root) as dataset, dataset.db.transaction():
        dataset.db.execute(
            "UPDATE origin SET path='/v/e1.mkv', time=83.5, author='Ann'"
        )
    ran = run_here(
        "pipeline.cli", "forget", "--author", "Ann", "--simulate", "-d", root
    ).checked()
    simulation, plan, heading, first, *_ = ran.stdout.splitlines()
    assert simulation == "simulation: nothing is changed"
    assert plan == "would forget: 4 images and 4 samples"
    assert (heading, first.partition(" /")[2]) == ("images:", "v/e1.mkv at 1:23.5")


@pytest.mark.slow
def test_gc_removes_only_old_stray_files(root: Path) -> None:
    stray = root / "images" / "ab" / f"ab{'0' * 62}.jpg"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"half a download")
    verified = run_gleanset(root, "verify")
    assert (verified.json["unused_files"], "gc --simulate" in verified.stderr) == (
        1,
        True,
    )
    assert run_gleanset(root, "gc").json["removed"] == 0
    half = root / "cache" / "features" / ".partial-0123456789abcdef"
    old = time.time() - 100_000
    half.parent.mkdir()
    half.write_bytes(b"half a shard")
    for path in (stray, half):
        os.utime(path, (old, old))
    preview = run_gleanset(root, "gc", "--simulate").json
    assert {*map(Path, preview.pop("paths"))} == {stray, half}
    assert preview == {"would_remove": 2, "bytes": 27}
    assert run_gleanset(root, "gc").json == {"removed": 2, "bytes": 27}
    assert not stray.exists()
    assert not half.exists()
    assert len(stored_images(root)) == 4
    assert run_gleanset(root, "gc", "--older", "soon").code == 2


def test_gc_and_repair_keep_files_of_a_folder_that_was_there_before(
    tmp_path: Path,
) -> None:
    """A dataset in the folder of a project, whose folder `images` has the user's files."""
    names = (
        "images/cat/1.jpg",
        "images/ab/1.jpg",
        f"images/cd/ab{'0' * 62}.jpg",
        f"images/ab/ab{'0' * 30}.jpg",
        "crops/dog/2.jpg",
        "web/images/ab/3.jpg",
    )
    old = time.time() - 100_000
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(1) if name == names[0] else b"damaged")
        os.utime(path, (old, old))
    run_here("labeler.cli", "import", "images/cat", "--class-level", "1", cwd=tmp_path)
    assert run_gleanset(tmp_path, "verify", "--repair").json["unused_files"] == 0
    assert run_gleanset(tmp_path, "gc").json["removed"] == 0
    assert [name for name in names if not (tmp_path / name).exists()] == []


def backup(dataset: Dataset, name: str, days: float) -> Path:
    """Add a backup whose file was changed `days` ago."""
    path = dataset.root / f"catalog.sqlite.before-{name}"
    path.write_bytes(b"copy")
    os.utime(path, (time.time() - days * 86400,) * 2)
    return path


def test_gc_keeps_newest_and_recent_backups(dataset: Dataset) -> None:
    old = backup(dataset, "0003-faces", days=30)
    young = backup(dataset, "0004-curation", days=3)
    # A copy of a dataset may change the times of files.
    newest = backup(dataset, "0005-balance", days=400)
    half = dataset.root / "catalog.sqlite.before-0006-splits.partial"
    half.write_bytes(b"half")
    week = 7 * 86400.0
    result = collect_garbage(dataset, week, simulate=True)
    assert result.to_json() == {"would_remove": 1, "bytes": 4, "paths": [str(old)]}
    assert old.exists()
    assert collect_garbage(dataset, week, simulate=False).removed == 1
    assert not old.exists()
    assert young.exists()
    assert half.exists()
    assert collect_garbage(dataset, 0.0, simulate=False).removed == 2
    assert [path for path in (young, newest, half) if path.exists()] == [newest]


def test_gc_frees_space_on_an_almost_full_disk(
    root: Path, small_disk: Callable[[str], Path]
) -> None:
    """Compacting the catalogue needs room for a copy; removing files does not."""
    disk = small_disk("size=4m")
    shutil.copytree(root, disk / "dataset")
    leftover = disk / "dataset" / "cache" / "scratch" / "killed" / "x"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(bytes(200_000))
    free = shutil.disk_usage(disk).free
    (disk / "other").write_bytes(bytes(free - 150_000))

    done = run_gleanset(disk / "dataset", "gc")
    assert (done.code, done.json["removed"], done.json["bytes"]) == (0, 1, 200_000)
    assert not leftover.exists()
    assert run_gleanset(disk / "dataset", "verify").json["sound"] == 4


def label(root: Path, who: str, **labels: str) -> None:
    """Label as `who`; the keys are prefixes of image hashes."""
    with Dataset.open(root) as dataset:
        dataset.journal.user = who
        for sha256, name in labels.items():
            (key,) = Maintenance(dataset.db).list_sample_keys(
                dataset.images.resolve(sha256).sha256
            )
            dataset.journal.apply(f"{who}: {name}", [Choice(key, "label", name)])


def labels(root: Path) -> dict[str, str | None]:
    with Dataset.open(root) as dataset:
        return {sample.image: sample.label for sample in dataset.samples.iterate()}


@pytest.mark.slow
def test_merge_adds_images_and_queues_conflicts(root: Path, tmp_path: Path) -> None:
    other = make_dataset(
        tmp_path / "other", tmp_path / "tree2", range(2, 6), folder="yui"
    )
    ours, theirs = (
        {path.stem for path in stored_images(place)} for place in (root, other)
    )
    (agreed, disputed) = ours & theirs
    (own_image, _) = ours - theirs
    other_image, _ = theirs - ours
    label(root, "me", **{own_image: "hana", agreed: "hana", disputed: "hana"})
    label(other, "ana", **{other_image: "yui", agreed: "hana", disputed: "yui"})

    result = run_gleanset(root, "merge", other, "--simulate").json["would_merge"]
    results = run_gleanset(root, "merge", other).json
    assert results == result
    assert (results["images"], results["decisions"], results["conflicts"]) == (2, 3, 1)
    assert len(stored_images(root)) == 6
    now = labels(root)
    assert (now[own_image], now[agreed]) == ("hana", "hana")
    assert (now[other_image], now[disputed]) == ("yui", None)
    with Dataset.open(root) as dataset:
        message = list(dataset.journal.iterate())
        assert {
            d.user
            for d in message
            if d.value == "yui" and not d.name.startswith("Merge ")
        } == {"ana"}
        (conflict,) = [d for d in message if d.action == "clear"]
        assert conflict.provenance == "hana or yui"
        assert dataset.samples.get(conflict.sample).status == "queue"  # type: ignore[union-attr]

    undone = run_here("labeler.cli", "undo", "-d", root, "--json").json
    assert undone == {
        "undone": "Merge other: 2 decisions",
        "restored": 2,
        "changed_since": 0,
        "now": {"labelled": 1, "queue": 1},
        "next": f"gleanset status -d {root}",
    }
    assert (labels(root)[other_image], labels(root)[disputed]) == (None, "hana")
    label(root, "me", **{disputed: "hana"})
    run_gleanset(root, "merge", other)
    assert labels(root)[disputed] == "hana"
    assert run_gleanset(root, "verify").json["sound"] == 6
    searched = run_here(
        "facecrop.cli", "run", "--detector", "whole", "-d", root, "--json"
    )
    assert searched.json["images"] == 0


@pytest.mark.slow
def test_merge_respects_removals(root: Path, tmp_path: Path) -> None:
    assert run_gleanset(root, "merge", root).code == 2
    other = make_dataset(tmp_path / "other", tmp_path / "tree2", range(5))
    run_gleanset(root, "forget", "--image", stored_images(root)[0].stem, "-y")
    assert run_gleanset(root, "merge", other).json["images"] == 1
    assert len(stored_images(root)) == 4
    result = run_gleanset(other, "merge", root).json
    assert result["forgotten_there"] == 1
    damaged = stored_images(other)[0]
    damaged.write_bytes(b"x")
    third = tmp_path / "third"
    run_here("pipeline.cli", "init", "-d", third)
    assert run_gleanset(third, "merge", other).json["rejected"] == 1
    assert len(stored_images(third)) == 4


BOX = Box(0, 0, 10, 10)


def resolve_images(dataset: Dataset, text: str) -> tuple[str, ...]:
    return plan_removal(dataset, [text], [], []).images


def test_image_only_in_report_is_removed(dataset: Dataset, tmp_path: Path) -> None:
    sha256 = store_report(dataset, picture(1), BOX, "mei")
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(picture(1))
    stored = dataset.report_images().path(sha256, "JPEG")
    for text in (sha256, sha256.upper(), sha256[:8], str(copy), str(stored)):
        assert resolve_images(dataset, text) == (sha256,)
    remove_images(dataset, plan_removal(dataset, [sha256[:8]], [], []), "asked to")
    assert not stored.exists()
    assert Reports(dataset.db).count() == 0
    assert dataset.images.get_tombstone(sha256) == "asked to"
    assert resolve_images(dataset, sha256) == (sha256,), "repeating is harmless"


def test_ambiguous_hash_prefix_raises_error(dataset: Dataset) -> None:
    reports = Reports(dataset.db)
    for end in "12":
        claim = Claim(
            sha256="ab12" + end * 60,
            format="JPEG",
            box=BOX,
            claimed="mei",
            run="a-run",
        )
        reports.add(claim)
    for text, message in (
        ("ab12", "several images"),
        ("cd34", "no image"),
        ("nothing", "no image"),
    ):
        with pytest.raises(UsageError, match=message):
            resolve_images(dataset, text)
    assert resolve_images(dataset, "ab121") == ("ab12" + "1" * 60,)


def test_image_with_report_is_one_match(dataset: Dataset) -> None:
    sha256 = store_report(dataset, picture(2), BOX, "mei")
    with dataset.stage("in") as scratch:
        store = dataset.originals(scratch)
        dataset.take_original(store, StageBytes(store)(picture(2)), Origin("web", "1"))
    assert resolve_images(dataset, sha256[:10]) == (sha256,)
