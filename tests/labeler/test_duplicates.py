"""Duplicate search: sets, labels, verdicts, contested pairs, and its commands."""

import random
from collections.abc import Mapping
from itertools import combinations, pairwise, permutations
from pathlib import Path
from random import Random
from typing import Any

import pytest
from duplicate_images import (
    COPIES,
    add_picture,
    drawing,
    encoded,
    face,
    prepare_image,
    search,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from labeler_makers import add_faces, add_image, label, sample_states
from labelled_images import put, run_labeler
from PIL import Image, ImageDraw
from scipy.cluster.hierarchy import DisjointSet
from test_verification import cel
from tools_for_tests import encode, examples, run_here

from gleanset import Dataset, Origin
from gleanset.db.classes import Placements
from gleanset.db.duplicates import (
    DOUBTFUL,
    NOT_SAME,
    SAME,
    Pairs,
    PairVerdict,
    Relation,
)
from gleanset.db.journal import (
    MODEL,
    PAGE_USER,
    PERSON,
    Choice,
    get_label_provenances,
)
from gleanset.db.maintenance import find_contradictions
from gleanset.errors import UsageError
from gleanset.images.decode import decode
from labeler import acceptance
from labeler.duplicates.advantages import describe_reasons
from labeler.duplicates.duplicate_sets import is_refusal, order_pair
from labeler.duplicates.finder import DuplicateFinder
from labeler.duplicates.plan import DuplicatePlan, accept, conflict_summary, judge
from labeler.duplicates.verification import compare_images
from labeler.export.options import ExportOptions
from labeler.export.plan import plan_export
from tools.sample.character import CAST, Character
from tools.sample.scene import face_box, paint_scene, plan_scene


def test_frames_of_one_film_must_be_equal() -> None:
    before = drawing(4)
    after = drawing(4)
    after.paste(before.crop((100, 100, 130, 130)), (104, 102))
    views = prepare_image(before), prepare_image(after)
    assert not compare_images(*views, one_film=True).same
    assert compare_images(views[0], prepare_image(before), one_film=True).same
    turned = prepare_image(COPIES["mirror"](drawing(4)))
    assert compare_images(views[0], turned).same
    assert not compare_images(views[0], turned, one_film=True).same


def groups(plan: DuplicatePlan) -> set[frozenset[str]]:
    return {frozenset((group.best_key, *group.others)) for group in plan.sets}


@pytest.mark.slow
def test_all_kinds_of_copies_are_found(dataset: Dataset) -> None:
    original = drawing(11)
    keys = [add_picture(dataset, "original", encoded(original, 95))]
    for kind, copy in COPIES.items():
        keys.append(add_picture(dataset, kind, encoded(copy(original), 70)))
    turned = encoded(original.rotate(90, expand=True), 95, orientation=6)
    keys.append(add_picture(dataset, "turned", turned))
    faces = [face("smile"), face("open"), face("smile", "closed")]
    for number, other in enumerate([drawing(13), drawing(14), *faces]):
        add_picture(dataset, f"other {number}", encoded(other))
    assert groups(search(dataset)) == {frozenset(keys)}


def outline(plan: DuplicatePlan) -> list[tuple[object, ...]]:
    return [
        *((group.best_key, *sorted(group.others)) for group in plan.sets),
        *sorted(tuple(sorted((pair.best_key, *pair.others))) for pair in plan.doubts),
    ]


@pytest.mark.slow
def test_sets_do_not_depend_on_import_order(tmp_path: Path) -> None:
    faces = [
        drawn_face(character, number) for character in CAST[:2] for number in range(3)
    ]
    files = [encoded(face, 95) for face in faces]
    files += [encoded(face.resize((140, 140)), 60) for face in faces[::3]]
    plans = []
    for seed in range(2):
        order = list(range(len(files)))
        random.Random(seed).shuffle(order)
        with Dataset.create(tmp_path / str(seed)) as dataset:
            for number in order:
                add_picture(dataset, str(number), files[number])
            plans.append(outline(search(dataset)))
    assert len(plans[0]) >= len(faces) // 3
    assert plans[0] == plans[1]


def drawn_face(character: Character, seed: int) -> Image.Image:
    scene = plan_scene([character], seed, (400, 300))
    box = face_box(scene.figures[0])
    return paint_scene(scene).crop(
        (box.x, box.y, box.x + box.width, box.y + box.height)
    )


def kept_labels(dataset: Dataset) -> dict[str, str]:
    """Return the labels of the samples that are not marked as duplicates."""
    return {
        s.key: str(s.label) for s in dataset.samples.iter_by_key() if s.label and s.kept
    }


def pair(dataset: Dataset) -> tuple[str, str]:
    """Add an image and a small copy of it."""
    good = add_picture(dataset, "good", encoded(drawing(21), 95))
    return good, add_picture(dataset, "poor", encoded(COPIES["small"](drawing(21)), 60))


def test_label_moves_to_best_copy(dataset: Dataset) -> None:
    good, poor = pair(dataset)
    label(dataset, poor, "hana")
    plan = search(dataset)
    assert [(group.best_key, group.others) for group in plan.sets] == [(good, (poor,))]
    assert "larger (320 x 260 vs. 160 x 130)" in describe_reasons(plan.sets[0].reasons)
    assert DuplicateFinder(dataset).apply() == plan
    samples = {sample.key: sample for sample in dataset.samples.iter_by_key()}
    assert samples[good].label == "hana"
    assert samples[good].group is not None
    assert samples[good].group == samples[poor].group
    assert kept_labels(dataset) == {good: "hana"}
    assert dataset.journal.undo().restored == 2, (
        "the label of one, the mark of the other"
    )
    assert kept_labels(dataset) == {poor: "hana"}
    undo = max(decision.step for decision in dataset.journal.iterate())
    dataset.journal.undo(undo)  # a redo
    assert kept_labels(dataset) == {good: "hana"}
    assert DuplicateFinder(dataset).apply().places == []


def test_human_verdict_is_kept_until_undone(dataset: Dataset) -> None:
    good, poor = pair(dataset)
    other = add_picture(dataset, "other", encoded(drawing(99)))
    finder = DuplicateFinder(dataset, workers=1)
    finder.search()
    finder.apply()
    judge(dataset, good, poor, same=False)
    plan = finder.plan()
    assert (plan.sets, {place.kept for place in plan.places}) == ([], {True})
    judge(dataset, other, good, same=True)
    finder.search()
    assert groups(finder.plan()) == {frozenset((good, other))}
    dataset.journal.undo()
    dataset.journal.undo()
    assert groups(finder.plan()) == {frozenset((good, poor))}
    with pytest.raises(UsageError, match="no sample"):
        judge(dataset, good, "nobody", same=True)
    with pytest.raises(UsageError, match="twice"):
        judge(dataset, good, good, same=True)


def test_pairs_of_an_earlier_version_are_compared_again_once(dataset: Dataset) -> None:
    good, poor = pair(dataset)
    other = add_picture(dataset, "other", encoded(drawing(99)))
    finder = DuplicateFinder(dataset, workers=1)
    finder.search()
    judge(dataset, good, other, same=True)
    # As that version left it: wrong verdicts, and no version.
    with dataset.db.transaction():
        dataset.db.execute(
            "UPDATE pair SET verdict='not', version=0 WHERE kind='pixels' AND verdict='same'"
        )
        dataset.db.execute("UPDATE pair SET version=0 WHERE kind='detail'")
    assert groups(finder.plan()) == {frozenset((good, other))}
    counts = finder.search()
    assert (counts.described, counts.same) == (0, 1)
    ids = Pairs(dataset.db).get_ids([good, poor, other])
    assert Pairs(dataset.db).get_verdicts() == {
        order_pair(ids[0], ids[1]): True,
        order_pair(ids[0], ids[2]): True,
    }
    assert finder.search() == (0, 0, 0, 0)


def test_new_images_are_compared_with_old(dataset: Dataset) -> None:
    good = add_picture(dataset, "good", encoded(drawing(21), 95))
    add_picture(dataset, "other", encoded(drawing(22)))
    finder = DuplicateFinder(dataset, workers=1)
    assert finder.search().described == 2
    crop = add_picture(dataset, "crop", encoded(COPIES["crop 15 %"](drawing(21))))
    second = finder.search()
    assert (second.described, second.same) == (1, 1)
    assert groups(finder.plan()) == {frozenset((good, crop))}
    assert finder.search() == (0, 0, 0, 0)


@pytest.mark.damages("a picture is removed")
def test_missing_file_is_rejected_until_restored(dataset: Dataset) -> None:
    good, poor = pair(dataset)
    lost = dataset.samples.get(add_picture(dataset, "lost", encoded(drawing(21), 60)))
    path = dataset.image_path(lost.image, "JPEG")
    bytes_ = path.read_bytes()
    path.unlink()
    finder = DuplicateFinder(dataset, workers=1)
    pairs = Pairs(dataset.db)
    assert finder.search() == (2, 1, 1, 1)
    assert [r.item for r in dataset.rejections.iterate()] == [lost.key]
    assert groups(finder.plan()) == {frozenset((good, poor))}
    path.write_bytes(bytes_)
    assert finder.search()[:2] == (1, 2)
    assert groups(finder.plan()) == {frozenset((good, poor, lost.key))}
    # It is lost again before all pairs were compared.
    with dataset.db.transaction():
        dataset.db.execute("UPDATE pair SET verdict='open' WHERE kind='pixels'")
    path.unlink()
    assert (finder.search().failed, pairs.list_uncompared()) == (2, [])
    assert [r.item for r in dataset.rejections.iterate()] == [lost.key]


@pytest.fixture
def searched(dataset: Dataset) -> list[str]:
    """Return the keys of an image and its copies, after a search."""
    image = drawing(41)
    keys = [
        add_picture(dataset, kind, encoded(COPIES[kind](image), 80))
        for kind in ("small", "grey", "vivid", "letterbox", "squeezed")
    ]
    keys.insert(0, add_picture(dataset, "good", encoded(image, 95)))
    assert groups(search(dataset)) == {frozenset(keys)}
    return keys


def test_copies_stay_together_without_best(
    dataset: Dataset, searched: list[str]
) -> None:
    with dataset.db.transaction():
        dataset.db.execute(
            "UPDATE sample SET status='retired' WHERE key=?", (searched[0],)
        )
    assert groups(DuplicateFinder(dataset).plan()) == {frozenset(searched[1:])}


def test_copy_separated_from_best_leaves_set(
    dataset: Dataset, searched: list[str]
) -> None:
    (copies,) = DuplicateFinder(dataset).plan().sets
    judge(dataset, copies.best_key, copies.others[0], same=False)
    assert groups(search(dataset)) == {frozenset(searched) - {copies.others[0]}}


def test_chain_of_copies_is_compared_with_hub(
    dataset: Dataset, searched: list[str]
) -> None:
    pairs = Pairs(dataset.db)
    chain = [*pairwise(sorted(pairs.get_ids(searched)))]
    with dataset.db.transaction():
        dataset.db.execute("UPDATE pair SET verdict='open' WHERE kind='pixels'")
    pairs.save_verdicts([PairVerdict(a, b, 0.0, 1.0, SAME) for a, b in chain])
    assert set(pairs.get_possible_duplicates().values()) == {True}
    assert (groups(search(dataset)), pairs.list_uncompared()) == (
        {frozenset(searched)},
        [],
    )
    with dataset.db.transaction():
        dataset.db.execute("DELETE FROM pair")
    pairs.save_verdicts([PairVerdict(a, b, 0.0, 1.0, SAME) for a, b in chain])
    assert groups(search(dataset)) == {frozenset(searched)}


@pytest.fixture
def copies(empty: Dataset) -> dict[str, str]:
    small_copy = drawing(1).resize((160, 130))
    (small,) = put(empty, encoded(small_copy, 60), "small.jpg", label="a")
    (large,) = put(empty, encoded(drawing(1)), "large.jpg", label="a")
    (other,) = put(empty, encoded(drawing(2)), "other.jpg", label="b")
    return {"small": small, "large": large, "other": other}


def run(dataset: Dataset, *words: str) -> dict[str, Any]:
    return run_here("labeler.cli", *words, "-d", dataset.root, "--json").checked().json


def list_sets(dataset: Dataset, option: str) -> str:
    return run_here("labeler.cli", "groups", option, "-d", dataset.root).stdout


def test_dedup_before_faces_are_searched_names_the_next_command(
    empty: Dataset,
) -> None:
    add_image(empty, "a")
    result = run(empty, "dedup")
    assert (result["looked_at"], result["next"]) == (
        0,
        f"gleanset status -d {empty.root}",
    )


@pytest.mark.slow
def test_dedup_and_undo(empty: Dataset, copies: dict[str, str]) -> None:
    first = run(empty, "dedup", "--simulate")
    assert (first["set_aside"], first["looked_at"]) == (1, 3)
    assert "looked_at_before" not in first
    assert len(plan_export(empty, ExportOptions())) == 3
    result = run(empty, "dedup")
    assert (result["looked_at"], result["looked_at_before"]) == (0, 3)
    assert (result["groups"], result["set_aside"], result["conflicts"]) == (1, 1, 0)
    assert run(empty, "dedup")["changed"] == 0
    group = run(empty, "groups")
    assert (group["kept"], group["others"]) == (copies["large"], [copies["small"]])
    assert "larger (320 x 260 vs. 160 x 130)" in group["reason"]
    assert {item.sample.key for item in plan_export(empty, ExportOptions())} == {
        copies["large"],
        copies["other"],
    }
    run(empty, "undo")
    assert len(plan_export(empty, ExportOptions())) == 3
    run(empty, "dedup")
    run(empty, "groups", "--differ", copies["small"], copies["large"])
    run(empty, "dedup")
    assert run(empty, "undo")["undone"] == "Restore 2 duplicates"


@pytest.mark.slow
def test_conflicting_labels_are_left_out(
    empty: Dataset, copies: dict[str, str]
) -> None:
    run(empty, "label", "b", copies["small"])
    result = run(empty, "dedup")
    assert (result["set_aside"], result["conflicts"]) == (0, 1)
    assert sorted(run(empty, "groups", "--conflicts")["decisions"]) == ["a", "b"]
    # They are in no split until then.
    assert run(empty, "split")["left_out"] == {"copies labelled differently": 2}
    printed = run_here("labeler.cli", "split", "-d", empty.root).checked().stdout
    assert "copies labelled differently: 2" in printed
    assert "…" not in printed
    assert {item.sample.key for item in plan_export(empty, ExportOptions())} == {
        copies["other"]
    }
    pair = (copies["small"], copies["large"])
    run_labeler("groups", "--same", *pair, "--differ", *pair, "-d", empty.root).refused(
        2, "choose one of them"
    )
    run(empty, "groups", "--differ", *pair)
    assert run(empty, "dedup")["groups"] == 0
    assert "left_out" not in run(empty, "split")


@pytest.mark.slow
def test_doubtful_pairs_are_listed_until_judged(
    empty: Dataset, copies: dict[str, str]
) -> None:
    assert run(empty, "dedup", "--simulate")["doubtful"] == 0
    with empty.db.transaction():
        empty.db.execute("UPDATE pair SET verdict='doubtful' WHERE verdict='same'")
    result = run(empty, "dedup")
    assert (result["doubtful"], result["set_aside"]) == (1, 0)
    empty.journal.apply("Clear", [Choice(copies["small"], "clear")])
    printed = (
        run_here("labeler.cli", "dedup", "--simulate", "-d", empty.root)
        .checked()
        .stdout
    )
    assert "pictures/large.jpg (a), pictures/small.jpg (unlabelled)" in printed
    samples = run(empty, "groups", "--doubtful")["samples"]
    assert set(samples) == {copies["small"], copies["large"]}
    assert list_sets(empty, "--conflicts") == ""
    run(empty, "groups", "--same", *samples)
    assert run(empty, "dedup")["set_aside"] == 1
    assert list_sets(empty, "--doubtful") == ""


@pytest.mark.slow
@pytest.mark.parametrize(("label", "changes"), [("rin", False), ("aoba", True)])
def test_only_other_labels_are_printed_as_changed(
    empty: Dataset, copies: dict[str, str], label: str, changes: bool
) -> None:
    empty.journal.apply("Accept", [Choice(copies["large"], "label", label, MODEL)])
    empty.journal.apply("Label", [Choice(copies["small"], "label", "rin")])
    printed = run_here("labeler.cli", "dedup", "-d", empty.root).checked().stdout
    assert ("labels changed:" in printed) is changes
    assert empty.samples.get(copies["large"]).label == "rin"


def captioned(text: str) -> Image.Image:
    """Return a template below a caption."""
    image = Image.new("RGB", (320, 310), "white")
    image.paste(drawing(5), (0, 50))
    ImageDraw.Draw(image).text((10, 10), text, "black", font_size=26)
    return image


def join(left: Image.Image, right: Image.Image) -> Image.Image:
    collage = Image.new("RGB", (left.width + right.width, left.height))
    collage.paste(left, (0, 0))
    collage.paste(right, (left.width, 0))
    return collage


CAPTIONED = {
    "blank": drawing(5),
    "one": captioned("NOBODY EXPECTED"),
    "two": captioned("MONDAY AGAIN"),
    "two again": captioned("MONDAY AGAIN").resize((240, 232)),
}
FACES = {
    "smile": cel(),
    "open": cel(mouth="open"),
    "eyes": (whole := cel()).crop((0, 0, whole.width, round(whole.height * 0.62))),
    "smaller": cel().resize((74, 74)),
}
COLLAGES = {
    "left": drawing(1),
    "one": join(drawing(1), drawing(2)),
    "two": join(drawing(1), drawing(3)),
}


@pytest.mark.parametrize(
    ("images", "sets", "contested"),
    [
        (CAPTIONED, {("two", "two again")}, {("blank", "one"), ("blank", "two")}),
        (FACES, {("smaller", "smile")}, {("eyes", "smile"), ("eyes", "open")}),
        (COLLAGES, set(), {("left", "one"), ("left", "two")}),
    ],
    ids=["captions", "mouths", "collages"],
)
def test_images_sharing_a_part_are_contested(
    dataset: Dataset,
    images: Mapping[str, Image.Image],
    sets: set[tuple[str, ...]],
    contested: set[tuple[str, ...]],
) -> None:
    keys = {
        add_picture(dataset, name, encoded(image, 92)): name
        for name, image in images.items()
    }
    finder = DuplicateFinder(dataset, workers=1)
    finder.search()
    plan = finder.plan()
    assert (named(plan, keys), plan.missing) == ((sets, contested), set())
    pairs = Pairs(dataset.db)
    for doubt in plan.doubts:
        a, b = sorted(member.id for member in doubt.members)
        assert doubt.is_contested
        assert pairs.get_comparison(a, b) is not None
    for group in plan.sets:
        for pair in combinations(
            [images[keys[member.key]] for member in group.members], 2
        ):
            assert compare_images(*map(prepare_image, pair)).same
    assert finder.search() == (0, 0, 0, 0)


def named(
    plan: DuplicatePlan, keys: Mapping[str, str]
) -> tuple[set[tuple[str, ...]], ...]:
    """Return sets and contested pairs by the names of their members."""
    return tuple(
        {
            tuple(sorted(keys[member.key] for member in group.members))
            for group in groups
        }
        for groups in (plan.sets, plan.doubts)
    )


def on_phone(image: Image.Image) -> Image.Image:
    """Show an image between black bars, below a status bar."""
    page = Image.new("RGB", (image.width, 2 * image.height), "black")
    page.paste(image, (0, image.height // 2))
    ImageDraw.Draw(page).text((10, 10), "12:40", "white", font_size=20)
    return page


def test_screenshots_and_captions_join_image_with_many_copies(dataset: Dataset) -> None:
    image = drawing(5)
    plain = [
        "small",
        "squeezed",
        "crop 5 %",
        "crop 15 %",
        "mirror",
        "letterbox",
        "grey",
    ]
    copies = {name: COPIES[name](image) for name in [*plain, "vivid", "screenshot"]}
    copies |= {"original": image, "phone": on_phone(image)}
    names = {
        add_picture(dataset, name, encoded(copy, 92)): name
        for name, copy in copies.items()
    }
    assert named(search(dataset), names) == ({tuple(sorted(copies))}, set())


def test_other_words_around_or_on_one_image_are_asked_about(dataset: Dataset) -> None:
    lettered = drawing(5)
    ImageDraw.Draw(lettered).text(
        (20, 210), "WORKS HERE", "white", font_size=34, stroke_width=2, stroke_fill=0
    )
    images = {"bar": captioned("NOBODY EXPECTED"), "letters": lettered}
    names = {
        add_picture(dataset, name, encoded(image, 92)): name
        for name, image in images.items()
    }
    assert named(search(dataset), names) == (set(), {("bar", "letters")})


def test_flat_drawing_is_kept_over_its_gif(dataset: Dataset) -> None:
    image = drawing(5).resize((1280, 1040))
    files = {"jpeg": encoded(image, 75), "gif": encode(image.quantize(64), "GIF")}
    assert len(files["jpeg"]) < 0.1 * image.width * image.height
    keys = {name: add_picture(dataset, name, files[name]) for name in ("gif", "jpeg")}
    finder = DuplicateFinder(dataset, workers=1)
    finder.search()
    [copies] = finder.plan().sets
    assert copies.best_key == keys["jpeg"]
    assert copies.others == (keys["gif"],)


RECOMPRESSED = {
    "quality 20": lambda p: encode(p, quality=20),
    "webp": lambda p: encode(p, "WEBP", quality=20),
    "twice": lambda p: encode(decode(encode(p, quality=20)).pixels, quality=85),
}


@pytest.mark.parametrize("kind", RECOMPRESSED)
@pytest.mark.parametrize("part", [0.75, 0.8])
def test_artifacts_are_not_detail(dataset: Dataset, kind: str, part: float) -> None:
    # The smaller copy has nearly all detail of a soft image.
    image = drawing(11).resize((640, 520), Image.Resampling.BICUBIC)
    small = image.resize((round(640 * part), round(520 * part)))
    original = add_picture(dataset, "original", encode(image, "PNG"))
    add_picture(dataset, "small", encode(small, quality=85))
    add_picture(dataset, "artifacts", RECOMPRESSED[kind](image))
    add_picture(dataset, "enlarged", encode(image.resize((1280, 1040)), quality=85))

    finder = DuplicateFinder(dataset, workers=1)
    finder.search()
    [copies] = finder.plan().sets
    assert len(copies.members) == 4
    assert copies.best_key == original


def test_enlarged_copy_of_equal_size_is_not_kept(dataset: Dataset) -> None:
    image = drawing(5).resize((960, 780))
    small = image.resize((384, 312), Image.Resampling.LANCZOS)
    original = add_picture(dataset, "original", encode(image, quality=80))
    add_picture(dataset, "small", encode(small, quality=85))
    enlarged = small.resize(image.size, Image.Resampling.LANCZOS)
    add_picture(dataset, "enlarged", encode(enlarged, "PNG"))

    finder = DuplicateFinder(dataset, workers=1)
    finder.search()
    [copies] = finder.plan().sets
    assert copies.best_key == original
    assert describe_reasons(copies.reasons) == "not enlarged (960 x 780 vs. 960 x 780)"


def test_human_verdict_settles_contested_pair(dataset: Dataset) -> None:
    names = {
        add_picture(dataset, name, encoded(image, 92)): name
        for name, image in COLLAGES.items()
    }
    keys = {name: key for key, name in names.items()}
    search(dataset)
    judge(dataset, keys["left"], keys["one"], same=True)
    assert named(search(dataset), names) == ({("left", "one")}, {("left", "two")})
    judge(dataset, keys["left"], keys["two"], same=False)
    assert named(search(dataset), names) == ({("left", "one")}, set())


def add_hinted(dataset: Dataset, name: str, hint: str | None) -> str:
    """Add an image with a weak label; return the key of its sample."""
    image = add_image(dataset, name, Origin("folder", f"{name} {hint}", hint=hint))
    return add_faces(dataset, image)[0]


def mark_as_copies(dataset: Dataset, *keys: str) -> None:
    """Store verdicts that these are copies."""
    rows = sorted(Pairs(dataset.db).get_ids(keys))
    Pairs(dataset.db).save_verdicts(
        [PairVerdict(a, b, 0.0, 1.0, SAME) for a, b in combinations(rows, 2)]
    )


def test_questions_link_sets_only_once(empty: Dataset) -> None:
    keys = [add_hinted(empty, name, None) for name in "abcd"]
    rows = Pairs(empty.db).get_ids(keys)
    Pairs(empty.db).save_verdicts(
        [PairVerdict(a, b, 9.0, 1.0, DOUBTFUL) for a, b in combinations(rows, 2)]
    )
    finder = DuplicateFinder(empty)
    assert len(finder.plan().doubts) == 3, "six pairs of four samples"

    # Whatever the answers are, every pair is asked that they leave open.
    while doubts := finder.plan().doubts:
        a, b = (member.key for member in doubts[0].members)
        judge(empty, a, b, same={a, b} == {*keys[:2]})
    assert [len(group.members) for group in finder.plan().sets] == [2]


def dedup(dataset: Dataset) -> dict[str, object]:
    return DuplicateFinder(dataset).apply().result().to_json()


def accept_hints(dataset: Dataset) -> dict[str, object]:
    return acceptance.accept_hints(dataset).result().to_json()


def labels(dataset: Dataset) -> dict[str, str]:
    return {
        s.key: str(s.label)
        for s in dataset.samples.iter_by_key()
        if s.status == "labelled"
    }


@pytest.mark.parametrize(
    "order", sorted(set(permutations([dedup, accept_hints] * 2)), key=str)
)
def test_copies_with_different_weak_labels_stay_unlabelled(
    empty: Dataset, order: tuple[object, ...]
) -> None:
    mark_as_copies(
        empty, add_hinted(empty, "better", "rei"), add_hinted(empty, "poorer", "hana")
    )
    alone = add_hinted(empty, "alone", "hana")
    for command in (*order, dedup, accept_hints):
        command(empty)  # type: ignore[operator]
    assert labels(empty) == {alone: "hana"}
    assert find_contradictions(empty.db)["disputed_labels"].cases == 0
    assert dedup(empty)["disputed"] == 1
    assert accept_hints(empty)["left"] == {"disputed weak label": 1}
    before = sample_states(empty)
    dedup(empty)
    accept_hints(empty)
    assert sample_states(empty) == before


def test_later_copy_disputes_accepted_label(empty: Dataset) -> None:
    first = add_hinted(empty, "better", "hana")
    accept_hints(empty)
    assert labels(empty) == {first: "hana"}
    mark_as_copies(empty, first, add_hinted(empty, "poorer", "rei"))
    result = dedup(empty)
    assert (result["disputed"], result["conflicts"], result["labels_taken_back"]) == (
        1,
        0,
        1,
    )
    assert labels(empty) == {}
    empty.journal.undo()
    assert labels(empty) == {first: "hana"}, "undo restores the label"


def test_human_label_settles_disputed_set(empty: Dataset) -> None:
    first = add_hinted(empty, "a", "hana")
    second = add_hinted(empty, "b", "rei")
    mark_as_copies(empty, first, second)
    accept_hints(empty)
    label(empty, first, "rei")
    result = dedup(empty)
    assert (result["conflicts"], result["disputed"], result["set_aside"]) == (0, 0, 1)
    accept_hints(empty)
    assert (set(kept_labels(empty).values()), len(kept_labels(empty))) == ({"rei"}, 1)
    assert find_contradictions(empty.db)["disputed_labels"].cases == 0


def test_human_label_overrides_weak_label(empty: Dataset) -> None:
    first = add_hinted(empty, "a", None)
    second = add_hinted(empty, "b", "hana")
    accept_hints(empty)
    label(empty, first, "rei")
    mark_as_copies(empty, first, second)
    (changed,) = conflict_summary(empty, DuplicateFinder(empty).plan()).values()
    assert "(hana, now no label)" in str(changed), (
        "the command says what becomes of the copies"
    )
    assert "(rei)" in str(changed)
    assert (dedup(empty)["conflicts"], set(labels(empty).values())) == (0, {"rei"})
    accept_hints(empty)
    assert set(labels(empty).values()) == {"rei"}, (
        "the weak label of the copy is ignored"
    )


@pytest.mark.parametrize("provenance", [PAGE_USER, "import"])
def test_only_person_overrides_weak_label(empty: Dataset, provenance: str) -> None:
    first = add_hinted(empty, "a", "hana")
    second = add_hinted(empty, "b", None)
    accept_hints(empty)
    empty.journal.apply("All", [Choice(second, "label", "rei", provenance)])
    mark_as_copies(empty, first, second)
    assert (dedup(empty)["conflicts"], labels(empty)) == (
        1,
        {first: "hana", second: "rei"},
    )


def test_label_given_to_a_duplicate_counts_for_the_kept_copy(empty: Dataset) -> None:
    best = add_hinted(empty, "a", None)
    other = add_hinted(empty, "b", None)
    mark_as_copies(empty, best, other)
    dedup(empty)

    run_labeler("label", "hana", other, "-d", empty.root).checked()
    assert labels(empty) == {best: "hana", other: "hana"}
    run_labeler("label", "rei", other, "-d", empty.root).checked()
    assert labels(empty) == {best: "rei", other: "rei"}, "a correction"
    run_labeler("label", "hana", best, "-d", empty.root).checked()
    run_labeler("label", "yuki", other, "-d", empty.root).checked()
    assert labels(empty)[best] == "hana", "decided otherwise: a person has to choose"
    assert dedup(empty)["conflicts"] == 1


def test_moved_label_stays_that_of_a_person(empty: Dataset) -> None:
    best = add_hinted(empty, "a", None)
    other = add_hinted(empty, "b", None)
    label(empty, other, "hana")
    mark_as_copies(empty, best, other)
    (group,) = DuplicateFinder(empty).plan().open_sets()
    accept(empty, [group.with_best(best)])
    assert labels(empty)[best] == "hana"
    assert get_label_provenances(empty.db)[best] == PERSON


def test_chosen_copy_decides_the_label(empty: Dataset) -> None:
    first = add_hinted(empty, "a", "hana")
    second = add_hinted(empty, "b", "hana")
    accept_hints(empty)
    mark_as_copies(empty, first, second)
    empty.journal.apply("Reject", [Choice(second, "reject")])
    (group,) = DuplicateFinder(empty).plan().open_sets()
    assert group.decisions == ("hana", "rejected")
    accept(empty, [group.with_best(first)])
    empty.journal.undo()
    empty.journal.undo(empty.db.fetch_int("SELECT max(id) FROM step"))
    assert len(Pairs(empty.db).get_chosen_copies()) == 1, "a redo keeps the choice"
    assert labels(empty) == {first: "hana", second: "hana"}
    provenance = {
        decision.sample: decision.provenance for decision in empty.journal.iterate()
    }
    assert provenance == {first: "undo", second: "undo"}


def test_chosen_copy_stays_the_best(empty: Dataset) -> None:
    keys = [add_hinted(empty, name, None) for name in "ab"]
    mark_as_copies(empty, *keys)
    (group,) = DuplicateFinder(empty).plan().open_sets()
    accept(empty, [group.with_best(group.others[0])])

    (group,) = DuplicateFinder(empty).plan().sets
    assert (group.is_chosen, group.is_settled) == (True, True)
    assert describe_reasons(group.reasons) == "chosen by a person"
    assert group.best_key == keys[1]


NUMBER = 8
OLD = 6


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    dataset = Dataset.create(tmp_path_factory.mktemp("random") / "dataset")
    for level in range(NUMBER):
        add_picture(
            dataset, str(level), encoded(Image.new("RGB", (8, 8), (20 * level, 0, 0)))
        )
    return dataset


def random_verdicts(random: Random) -> dict[tuple[int, int], PairVerdict]:
    verdicts = {}
    for a, b in combinations(range(1, NUMBER + 1), 2):
        answer = random.choices((SAME, NOT_SAME, DOUBTFUL), (5, 2, 1))[0]
        changed = (
            1000.0
            if answer == NOT_SAME and random.random() < 0.3
            else random.uniform(0, 9)
        )
        relation = Relation(random.choice((0, 0, 0, 1, 2, 16, 32, 64, 128)))
        verdicts[a, b] = PairVerdict(
            a, b, changed, random.uniform(0.3, 1), answer, relation
        )
    return verdicts


@settings(
    max_examples=examples(40, 600),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 2**32))
def test_no_set_holds_refused_pair(pictures: Dataset, seed: int) -> None:
    random = Random(seed)
    dataset = pictures
    verdicts = random_verdicts(random)
    with dataset.db.transaction():
        dataset.db.execute("DELETE FROM pair")
        dataset.db.execute("UPDATE sample SET kept=1, duplicate_set=NULL")
        stored = [pair for pair in verdicts if random.random() < 0.6]
        for is_new in (False, True):
            due = [verdicts[pair] for pair in stored if (max(pair) > OLD) == is_new]
            Pairs(dataset.db).save_verdicts(due)
            step = dataset.journal.apply("Judge", [])
            for pair in random.sample(sorted(verdicts), random.randint(0, 3)):
                Placements(dataset.db).record_verdict(
                    step, *pair, random.choice((SAME, NOT_SAME))
                )
            finder = DuplicateFinder(dataset, workers=1)
            check_sets_after(finder)
            while missing := finder.plan().missing:
                Pairs(dataset.db).save_verdicts([verdicts[pair] for pair in missing])
            check_sets_after(finder)


def test_frames_that_a_thumbnail_does_not_show_join_one_set(pictures: Dataset) -> None:
    thumbnail, original, first, second, *others = range(1, NUMBER + 1)
    framed = Relation.MORE_B | Relation.FRAMED_B
    relations = {
        (thumbnail, original): Relation(0),
        (thumbnail, first): Relation.MORE_B,
        (thumbnail, second): Relation.MORE_B,
        (original, first): framed,
        (original, second): framed,
        **{(thumbnail, row): Relation(0) for row in others},
        **{(original, row): Relation(0) for row in others[1:]},
    }
    verdicts = [
        PairVerdict(*pair, 0.0, 0.9, SAME, relation)
        for pair, relation in relations.items()
    ]
    with pictures.db.transaction():
        pictures.db.execute("DELETE FROM pair")
        pairs = Pairs(pictures.db)
        pairs.save_verdicts([*verdicts, PairVerdict(first, second, 1.0, 0.9, NOT_SAME)])
        [copies] = DuplicateFinder(pictures).plan().sets
        assert copies.rows == [*range(1, NUMBER + 1)]


def check_sets_after(finder: DuplicateFinder) -> None:
    finder.apply()
    assert finder.plan().places == []
    check_sets(finder._dataset)


def check_sets(dataset: Dataset) -> None:
    pairs = Pairs(dataset.db)
    by_person = DisjointSet(range(NUMBER + 1))
    for pair, equal in pairs.get_human_verdicts().items():
        if equal:
            by_person.merge(*pair)
    refused = [pair for pair, equal in pairs.get_human_verdicts().items() if not equal]
    contradictory = any(by_person.connected(a, b) for a, b in refused)
    sets = dict(
        map(tuple, dataset.db.fetch_all("SELECT id, duplicate_set FROM sample"))
    )
    for a, b in combinations(sorted(sets), 2):
        together = sets[a] is not None and sets[a] == sets[b]
        connected = by_person.connected(a, b)
        found = pairs.get_comparison(a, b)
        assert not (together and (a, b) in refused)
        if together and not connected and found and is_refusal(found):
            members = {row for row in sets if sets[row] == sets[a]} - {a, b}
            assert any(has_marks(pairs, row, a, b) for row in members), (a, b)
        assert together or not connected or contradictory, (a, b)


def has_marks(pairs: Pairs, row: int, *others: int) -> bool:
    """Return whether each of the others is a row with a mark or frame."""
    relations = [
        pairs.get_comparison(*sorted((row, other))) or PairVerdict(0, 0, 0, 0, "")
        for other in others
    ]
    return all(
        (verdict.relation if verdict.a == row else verdict.relation.swap()).b_adds_words
        for verdict in relations
    )
