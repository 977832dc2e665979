"""Splits: settings, held-out sources, unsearched copies, and labels that nobody has seen."""

from collections import Counter
from pathlib import Path

import pytest
from duplicate_images import COPIES, add_picture, drawing, encoded
from labeler_makers import Group, add_faces, add_groups, add_image, label, sample_states
from labelled_images import run_labeler

from baseline.data.samples import can_be_folded
from baseline.evaluation.summary import TrainedRun
from curation.labelling_command import suggest_larger_test
from gleanset import Dataset, Origin
from gleanset.db.classes import Placements
from gleanset.db.duplicates import Pairs, PairVerdict
from gleanset.db.journal import MODEL, PAGE_USER, Choice, get_unseen_labels
from gleanset.errors import InputUnusable, UsageError
from gleanset.settings import Settings, SplitSettings
from labeler.duplicates.finder import DuplicateFinder
from labeler.duplicates.plan import judge
from labeler.splits.job import make_result
from labeler.splits.plan import LeftOut, SplitPlan, apply_split, plan_split
from pipeline.status import gather_status, next_step

CLASSES = ("hana", "rei", "sora")


def split_dataset(dataset: Dataset, **settings: object) -> SplitPlan:
    """Split with these settings."""
    plan = plan_split(dataset, SplitSettings(**settings))  # type: ignore[arg-type]
    apply_split(dataset, plan)
    return plan


def splits_by_sample(dataset: Dataset) -> dict[str, str | None]:
    return {sample.key: sample.split for sample in dataset.samples.iter_by_key()}


def singles(number: int, name: str = "hana") -> list[Group]:
    return [Group(f"{name}-{n}", name, 1) for n in range(number)]


def test_only_labelled_samples_are_split(empty: Dataset) -> None:
    add_groups(empty, singles(10))
    waiting = add_faces(empty, add_image(empty, "waiting"))[0]
    split_dataset(empty)
    assert splits_by_sample(empty)[waiting] is None
    rejected = next(key for key, split in splits_by_sample(empty).items() if split)
    empty.journal.apply("Reject", [Choice(rejected, "reject")])
    plan = split_dataset(empty)
    sample = empty.samples.get(rejected)
    assert (sample.split, sample.split_group) == (None, None)
    assert plan.groups == 9


def add_connecting_image(dataset: Dataset, first: str, second: str) -> str:
    """Add a labelled image with the posts of two samples; return its key."""
    post = {image.sha256: image.origins[0].post for image in dataset.images.iterate()}
    samples = [dataset.samples.get(key) for key in (first, second)]
    posts = [post[sample.image] for sample in samples if sample]
    image = add_image(
        dataset,
        f"ties {first} {second}",
        Origin("site", f"x{first}", post=posts[0]),
        Origin("site", f"y{second}", post=posts[1]),
    )
    (key,) = add_faces(dataset, image)
    label(dataset, key, "hana")
    return key


@pytest.mark.parametrize(
    ("strong", "weak"), [("test", "train"), ("test", "val"), ("val", "train")]
)
def test_image_connecting_splits_leaves_out_weaker_one(
    empty: Dataset, strong: str, weak: str
) -> None:
    add_groups(empty, singles(20))
    split_dataset(empty)
    before = splits_by_sample(empty)
    samples = {split: key for key, split in before.items()}
    key = add_connecting_image(empty, samples[strong], samples[weak])
    plan = split_dataset(empty)
    after = splits_by_sample(empty)
    assert (plan.tied_count, make_result(plan).to_json()["groups_tied_since"]) == (1, 1)
    assert make_result(plan).to_json()["left_out"] == {f"tied to {strong}": 1}
    assert make_result(plan).to_json()["tied"] == [f"{samples[weak]}: tied to {strong}"]
    assert after[key] == after[samples[strong]] == strong
    assert after[samples[weak]] is None
    assert {k for k in before if before[k] != after[k]} == {samples[weak]}
    assert (split_dataset(empty).tied_count, splits_by_sample(empty)) == (0, after)
    empty.journal.apply("Reject", [Choice(key, "reject")])
    split_dataset(empty)
    assert splits_by_sample(empty)[samples[weak]] == weak, "where it was before"
    assert splits_by_sample(empty)[samples[strong]] == strong


def test_image_returns_to_split_after_conflict(empty: Dataset) -> None:
    add_groups(empty, singles(20))
    split_dataset(empty)
    first = next(
        key for key, split in splits_by_sample(empty).items() if split == "test"
    )
    (copy,) = add_faces(empty, add_image(empty, "copy"))
    label(empty, copy, "rei")
    judge(empty, first, copy, same=True)  # not followed by `labeler dedup`
    split_dataset(empty)
    assert splits_by_sample(empty)[first] is splits_by_sample(empty)[copy] is None
    empty.journal.apply("Reject", [Choice(copy, "clear")])
    split_dataset(empty)
    assert splits_by_sample(empty)[first] == "test"


@pytest.fixture
def sources(empty: Dataset) -> Dataset:
    """30 frames of two episodes, 20 images of a site, and one that is in both."""

    def frame(number: int) -> Origin:
        video = f"{number % 2}" * 64
        return Origin(
            "video", f"film{number}", video=video, scene=number, time=9.0 * number
        )

    images: list[tuple[Origin, ...]] = [(frame(number),) for number in range(30)]
    images += [(Origin("pixiv", f"art{number}"),) for number in range(20)]
    images += [(Origin("pixiv", "both"), frame(99))]
    for number, origins in enumerate(images):
        (key,) = add_faces(empty, add_image(empty, f"image {number}", *origins))
        label(empty, key, "hana" if number % 3 else "rei")
    for episode in "01":
        video = Origin(
            "video", "", video=episode * 64, title=f"[Sub] episode {episode}.mkv"
        )
        empty.videos.record(video, "", 1.0, 15)
    return empty


def sources_by_sample(dataset: Dataset) -> dict[str, set[str]]:
    sources = {
        image.sha256: {o.source for o in image.origins}
        for image in dataset.images.iterate()
    }
    return {s.key: sources[s.image] for s in dataset.samples.iter_by_key()}


def test_held_out_source_is_test(sources: Dataset) -> None:
    plan = split_dataset(sources, hold_out=("source=pixiv",))
    origins = sources_by_sample(sources)
    for key, split in splits_by_sample(sources).items():
        assert (split == "test") == ("pixiv" in origins[key])
    assert sum(row["test"] for row in plan.table.values()) == 21
    assert sum(row["val"] for row in plan.table.values()) in (3, 4)


def test_held_out_video_leaves_out_connected_samples(sources: Dataset) -> None:
    origins = sources_by_sample(sources)
    other = next(
        s for s in sources.samples.iter_by_key() if origins[s.key] == {"pixiv"}
    )
    image = next(i for i in sources.images.iterate() if i.origins[0].video == "1" * 64)
    inside = next(s for s in sources.samples.iter_by_key() if s.image == image.sha256)
    rows = Pairs(sources.db).get_ids([other.key, inside.key])
    with sources.db.transaction():
        step = sources.journal.apply("same", [])
        Placements(sources.db).record_verdict(step, rows[0], rows[1], "same")
    for name in ("[Sub] episode 1.mkv", "[Sub] episode 1", "1" * 64):
        plan = split_dataset(sources, hold_out=[f"video={name}"])
        assert plan.left_out == {other.key: LeftOut.TIED_TO_HELD_OUT}
        assert sum(row["test"] for row in plan.table.values()) == 16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio": "75:25"}, "75:0:25"),
        ({"ratio": "a:b"}, "8:1:1"),
        ({"hold_out": ["pixiv"]}, "source=pixiv"),
        ({"hold_out": ["source=nowhere"]}, "known: site"),
        ({"hold_out": ["video=nothing"]}, "known: none"),
    ],
)
def test_invalid_settings_raise_error(
    empty: Dataset, settings: dict[str, object], message: str
) -> None:
    add_groups(empty, singles(3))
    with pytest.raises(UsageError, match=message):
        split_dataset(empty, **settings)
    assert set(splits_by_sample(empty).values()) == {None}


def test_holding_out_everything_raises_error(empty: Dataset) -> None:
    add_groups(empty, singles(3))
    with pytest.raises(InputUnusable, match="everything is held out"):
        split_dataset(empty, hold_out=("source=site",))


def test_splits_come_close_to_ratio(empty: Dataset) -> None:
    add_groups(empty, [Group("scene", "hana", 9), *singles(1), *singles(10, "rei")])
    result = make_result(plan_split(empty, SplitSettings())).to_json()
    assert result["classes"] == {
        "hana": {"train": 9, "val": 0, "test": 1},
        "rei": {"train": 8, "val": 1, "test": 1},
    }
    assert result["not_searched_for_duplicates"] == 20


def test_settings_are_stored_as_options(sources: Dataset) -> None:
    """The report prints them as a command that repeats the split."""
    hold = ["video=[Sub] episode 1.mkv"]
    first = split_dataset(sources, hold_out=hold, seed=4)
    settings = sources.samples.get_split_settings()
    assert settings == SplitSettings("8:1:1", 4, tuple(hold))
    assert settings.describe() == (
        "ratio=8:1:1 seed=4 'hold-out=video=[Sub] episode 1.mkv'"
    )
    assert split_dataset(sources, hold_out=hold, seed=4).splits == first.splits


@pytest.mark.slow
def test_split_command(empty: Dataset) -> None:
    add_groups(empty, singles(10))
    before = sample_states(empty)
    simulated = run_labeler("split", "-s", "--json", "-d", empty.root)
    assert sample_states(empty) == before
    done = run_labeler("split", "--json", "-d", empty.root)
    assert (done.json, done.json["train"]) == (simulated.json, 8)
    assert Counter(splits_by_sample(empty).values()) == {
        "train": 8,
        "val": 1,
        "test": 1,
    }
    assert run_labeler("split", "--ratio", "8:1", "-d", empty.root).code == 2
    other = run_labeler("split", "--ratio", "6:2:2", "--json", "-d", empty.root).json
    assert other["moved_between_splits"] > 0
    kept = run_labeler("split", "--json", "-d", empty.root).json
    assert (kept["train"], "moved_between_splits" in kept) == (6, False)


def test_dataset_settings_are_defaults(tmp_path: Path) -> None:
    settings = SplitSettings("6:2:2", seed=3)
    with Dataset.create(tmp_path / "own", Settings(split=settings)) as dataset:
        add_groups(dataset, singles(10))
        root = dataset.root
    result = run_labeler("split", "--json", "-d", root).json
    assert (result["train"], result["test"]) == (6, 2)
    result = run_labeler("split", "--ratio", "8:1:1", "--json", "-d", root).json
    assert (result["train"], result["test"]) == (8, 1)
    with Dataset.open(root) as dataset:
        assert dataset.samples.get_split_settings() == SplitSettings(seed=3)


def test_uneven_splits_and_small_test_classes_are_reported(empty: Dataset) -> None:
    add_groups(empty, [Group("one", "hana", 6)])
    text = (
        "far from the ratio: {} images, because near duplicates and scenes stay together in {}, "
        "the largest of 6 images"
    )
    result = make_result(plan_split(empty, SplitSettings("6:2:2"))).to_json()
    assert result["uneven"] == [text.format("train 6, val 0, test 0 of 6", "1 group")]
    assert (
        "uneven" not in make_result(plan_split(empty, SplitSettings("1:0:0"))).to_json()
    )
    add_groups(empty, [Group("two", "hana", 1)])
    result = make_result(plan_split(empty, SplitSettings("1:0:1"))).to_json()
    assert result["uneven"] == [text.format("train 1, test 6 of 7", "2 groups")]
    add_groups(empty, [Group(f"more-{n}", "hana", 5) for n in range(6)])
    add_groups(empty, [Group(f"rei-{n}", "rei", 1) for n in range(10)])
    result = make_result(plan_split(empty, SplitSettings("8:1:1")))
    assert "uneven" not in result.to_json()
    few = ["fewer than 5 test images per class: their accuracy is uncertain", "rei: 1"]
    assert result.few_test_images == few
    assert result.summary()["classes_with_few_test_images"] == few


def test_reason_of_uneven_splits_is_not_groups_of_one(empty: Dataset) -> None:
    def reason(ratio: str) -> str:
        (text,) = make_result(plan_split(empty, SplitSettings(ratio))).uneven
        return text.partition(", because ")[2]

    few = "the classes have too few images"
    add_groups(
        empty, [group for name in ("mio", "rei", "sana") for group in singles(3, name)]
    )
    assert reason("8:1:1") == few
    add_groups(empty, singles(3))
    assert reason("8:1:1") == few
    apply_split(empty, plan_split(empty, SplitSettings("8:1:1")))
    assert reason("8:1:1") == few
    add_groups(empty, [Group(f"more-{n}", "hana", 1) for n in range(77)])
    apply_split(empty, plan_split(empty, SplitSettings("8:1:1")))
    train = [key for key, split in splits_by_sample(empty).items() if split == "train"]
    empty.journal.apply("Clear", [Choice(key, "clear") for key in train[:50]])
    assert reason("8:1:1") == "earlier splits are kept"


KINDS = ("crop 15 %", "mirror")


@pytest.fixture
def images_with_copies(empty: Dataset) -> list[tuple[str, ...]]:
    """Six labelled drawings with two copies each, not searched for duplicates."""
    result = []
    for seed in range(6):
        images = [drawing(seed), *(COPIES[kind](drawing(seed)) for kind in KINDS)]
        keys = [
            add_picture(empty, f"{seed}-{n}", encoded(image))
            for n, image in enumerate(images)
        ]
        for key in keys:
            label(empty, key, ("hana", "rei")[seed % 2])
        result.append(tuple(keys))
    add_picture(empty, "waits", encoded(drawing(99)))
    return result


def test_unsearched_copies_stay_in_one_split(
    empty: Dataset, images_with_copies: list[tuple[str, ...]]
) -> None:
    simulated = run_labeler(
        "split", "--ratio", "1:1:1", "--simulate", "--json", "-d", empty.root
    )
    compared = simulated.json["looked_for_copies"]
    assert compared["compared"] == 18, "queued samples are left to dedup"
    assert compared["copies"] >= 12
    result = run_labeler("split", "--ratio", "1:1:1", "--json", "-d", empty.root).json
    assert "looked_for_copies" not in result, "results are stored"
    assert "not_searched_for_duplicates" not in result
    assert result["groups"] == 6
    splits = splits_by_sample(empty)
    assert all(sample.kept for sample in empty.samples.iter_by_key())
    assert len(splits) == 19, "no sample is marked as duplicate"
    assert all(len({splits[key] for key in keys}) == 1 for keys in images_with_copies)
    assert {splits[keys[0]] for keys in images_with_copies} == {"train", "val", "test"}
    audit = run_labeler("audit", "-d", empty.root, "--json").json
    assert audit["leaks"] == 0


@pytest.mark.damages("an original is gone")
def test_unreadable_samples_are_not_counted_as_searched(
    empty: Dataset, images_with_copies: list[tuple[str, ...]]
) -> None:
    sample = empty.samples.get(images_with_copies[0][0])
    image = empty.images.get(sample.image)
    empty.image_path(image.sha256, image.format).unlink()
    result = DuplicateFinder(empty).search_labelled()["looked_for_copies"]
    assert result == {"compared": 17, "copies": result["copies"], "unreadable": 1}  # type: ignore[index]
    keys = [key for keys in images_with_copies for key in keys]
    assert Pairs(empty.db).count_searched(keys) == 17


def test_card_states_near_duplicate_search(empty: Dataset) -> None:
    key = add_picture(empty, "alone", encoded(drawing(0)))
    label(empty, key, "hana")
    empty.samples.set_splits({key: (key, "train")})
    run_labeler("export", empty.root / "a", "-d", empty.root)
    assert (
        "No samples were searched for near-duplicates."
        in (empty.root / "a/README.md").read_text()
    )
    DuplicateFinder(empty).search_labelled()
    run_labeler("export", empty.root / "b", "-d", empty.root)
    assert (
        "All samples were searched for near-duplicates."
        in (empty.root / "b/README.md").read_text()
    )


def add_samples(
    dataset: Dataset, prefix: str, number: int, provenance: str, *, post: str = ""
) -> list[str]:
    """Add samples of hana with own posts, or with one post."""
    keys = []
    for index in range(number):
        name = f"{prefix}{index}"
        image = add_image(dataset, name, Origin("site", name, post=post or name))
        keys += add_faces(dataset, image)
    dataset.journal.apply(
        "Label", [Choice(key, "label", "hana", provenance) for key in keys]
    )
    return keys


def count_by_split(dataset: Dataset, keys: list[str]) -> Counter[str | None]:
    return Counter(sample.split for key in keys if (sample := dataset.samples.get(key)))


def test_unseen_labels_are_train_only(empty: Dataset) -> None:
    hand = add_samples(empty, "hand", 20, "person")
    hints = add_samples(empty, "hint", 10, "hint")
    imported = add_samples(empty, "import", 10, "import")
    model = add_samples(empty, "model", 60, MODEL)
    visitor = add_samples(empty, "visitor", 20, PAGE_USER)
    plan = split_dataset(empty)
    assert count_by_split(empty, model) == {"train": 60}
    assert count_by_split(empty, visitor) == {"train": 20}
    assert count_by_split(empty, hand + hints + imported) == {
        "train": 32,
        "val": 4,
        "test": 4,
    }
    result = make_result(plan).to_json()
    assert result["unreviewed_labels"] == {"in_train": 80, "left_out": 0}
    evaluated = [
        key for key, (_, split) in plan.splits.items() if split in ("val", "test")
    ]
    provenances = Counter(
        name
        for name, keys in (("person", hand), ("hint", hints), ("import", imported))
        for key in keys
        if key in evaluated
    )
    assert result["val_and_test_labels_by"] == provenances
    assert result["classes"]["hana"] == {"train": 112, "val": 4, "test": 4}
    assert split_dataset(empty).splits == plan.splits


def test_unseen_labels_of_test_group_are_left_out(empty: Dataset) -> None:
    for number in range(10):
        add_samples(empty, f"seen{number}-", 1, "person", post=f"p{number}")
        add_samples(empty, f"unseen{number}-", 2, MODEL, post=f"p{number}")
    plan = split_dataset(empty)
    assert make_result(plan).to_json()["unreviewed_labels"] == {
        "in_train": 16,
        "left_out": 4,
    }
    assert Counter(plan.left_out.values()) == {LeftOut.UNSEEN: 4}
    splits = {s.key: s.split for s in empty.samples.iter_by_key()}
    for group in {group for group, _ in plan.splits.values()}:
        group_splits = {
            splits[key] for key, (m, _) in plan.splits.items() if m == group
        }
        assert group_splits <= {"train"} or group_splits in (
            {"val", None},
            {"test", None},
        )
    assert "labeler split" not in next_step(empty)


def test_unseen_labels_of_held_out_source_are_left_out(empty: Dataset) -> None:
    add_samples(empty, "hand", 24, "person")
    model = add_samples(empty, "model", 30, MODEL)
    for number, provenance in enumerate(["person", "person", MODEL]):
        image = add_image(empty, f"held{number}", Origin("elsewhere", f"held{number}"))
        (key,) = add_faces(empty, image)
        empty.journal.apply("Label", [Choice(key, "label", "hana", provenance)])
    plan = split_dataset(empty, hold_out=["source=elsewhere"])
    unseen = get_unseen_labels(empty.db)
    assert not [
        k for k, (_, s) in plan.splits.items() if k in unseen and s in ("val", "test")
    ]
    assert plan.splits.keys() >= unseen.keys(), "each has a split or a reason"
    assert (plan.table["hana"]["test"], count_by_split(empty, model)) == (
        2,
        {"train": 30},
    )


def test_unseen_labels_train_where_all_others_are_held_out(empty: Dataset) -> None:
    model = add_samples(empty, "model", 10, MODEL)
    for number in range(3):
        image = add_image(empty, f"held{number}", Origin("elsewhere", f"held{number}"))
        label(empty, add_faces(empty, image)[0], "hana")
    plan = split_dataset(empty, hold_out=["source=elsewhere"])
    assert plan.totals == {"train": 10, "val": 0, "test": 3}
    with pytest.raises(InputUnusable, match="everything is held out"):
        split_dataset(empty, hold_out=["source=elsewhere", "source=site"])
    assert count_by_split(empty, model) == {"train": 10}


def test_unseen_image_of_held_out_source_does_not_train(empty: Dataset) -> None:
    add_samples(empty, "hand", 20, "person")
    held = add_image(empty, "held", Origin("elsewhere", "held"))
    label(empty, add_faces(empty, held)[0], "hana")
    (copy,) = add_faces(empty, add_image(empty, "copy", Origin("site", "copy")))
    label(empty, copy, "hana")
    unseen_image = add_image(empty, "unseen", Origin("elsewhere", "unseen"))
    (unseen,) = add_faces(empty, unseen_image)
    empty.journal.apply("Label", [Choice(unseen, "label", "hana", MODEL)])
    judge(empty, copy, unseen, same=True)
    plan = split_dataset(empty, hold_out=["source=elsewhere"])
    assert plan.splits[copy].split in ("train", "val")
    assert plan.left_out == {unseen: LeftOut.UNSEEN}


def test_another_seed_is_not_suggested_for_held_out_groups(sources: Dataset) -> None:
    def split(*options: str) -> str:
        return run_labeler("split", *options, "-d", sources.root).checked().stdout

    # Of the scene of a frame that is also on the site.
    beside = Origin("video", "beside", video="1" * 64, scene=99, time=1.0)
    label(sources, add_faces(sources, add_image(sources, "beside", beside))[0], "rei")
    text = split("--hold-out", "source=pixiv")
    assert "tied to what is held out: 1" in text
    assert "--seed" not in text
    split("--ratio", "8:1:1")
    places = sources.samples.iter_by_key()
    train, test = (
        next(sample.key for sample in places if sample.split == split)
        for split in ("train", "test")
    )
    judge(sources, train, test, same=True)
    assert "another --seed" in split()


def test_confirmed_label_may_be_test(empty: Dataset) -> None:
    model = add_samples(empty, "model", 20, MODEL)
    add_samples(empty, "hand", 4, "person")
    split_dataset(empty)
    empty.journal.apply(
        "Confirm", [Choice(key, "label", "hana", "review") for key in model]
    )
    plan = split_dataset(empty, seed=1)
    assert plan.table["hana"] == {"train": 19, "val": 2, "test": 3}
    assert "unreviewed_labels" not in make_result(plan).to_json()


def test_split_that_lacks_reviews_says_so(empty: Dataset) -> None:
    model = add_samples(empty, "model", 20, MODEL)
    add_samples(empty, "hand", 3, "person")
    assert suggest_larger_test(empty, unseen=True) == [
        f"labeler split --ratio 8:1:1 {empty.option}"
    ]
    printed = run_labeler("split", "--seed", "3", "-d", empty.root).checked().stdout
    assert "because labels that no person has reviewed stay in train" in " ".join(
        printed.split()
    )
    assert "in train: 20" in printed
    commands = run_labeler("split", "-d", empty.root, "--json").json["next"]
    assert commands[-1] == f"labeler split --seed 4 {empty.option}"
    assert commands == suggest_larger_test(empty, unseen=True)
    # With all of them reviewed only more images would help.
    empty.journal.apply("Clear", [Choice(key, "clear") for key in model])
    result = run_labeler("split", "-d", empty.root, "--json").json
    assert "the classes have too few images" in result["uneven"][0]
    assert suggest_larger_test(empty, unseen=False) == result.get("next", []) == []


def test_few_groups_are_not_sent_to_their_own_split(empty: Dataset) -> None:
    add_groups(empty, [Group(f"g{n}", ("hana", "rei")[n % 2], 1) for n in range(6)])
    fields = {"classes": 2, "data": {"train": 6}}
    # Without a split, one would help.
    before = TrainedRun.from_run(empty, "r", fields).summary()
    assert before["next"][0] == f"labeler split --ratio 8:1:1 {empty.option}"

    run_labeler("split", "-d", empty.root).checked()
    words = TrainedRun.from_run(empty, "r", fields).summary()
    assert "label images of other scenes" in words["accuracy"]
    assert words["next"][0] == f"baseline train --folds 3 {empty.option}"
    assert not any("split" in command for command in words["next"])
    assert can_be_folded(empty, 3)
    assert not can_be_folded(empty, 7)


def test_unseen_label_in_old_split_is_moved_to_train(empty: Dataset) -> None:
    add_groups(empty, [Group(f"g{n}", ("hana", "rei")[n % 2], 1) for n in range(20)])
    split_dataset(empty)
    evaluated = [s.key for s in empty.samples.iter_in_splits() if s.split != "train"]
    empty.journal.apply("Clear", [Choice(evaluated[0], "clear")])
    empty.journal.apply("Accept", [Choice(evaluated[0], "label", "rei", MODEL)])
    assert evaluated[0] not in {s.key for s in empty.samples.iter_in_splits()}
    assert splits_by_sample(empty)[evaluated[0]] is None
    assert gather_status(empty).to_json()["samples"]["unreviewed_labels"] == 1
    DuplicateFinder(empty).search()
    assert next_step(empty).startswith("labeler split")
    split_dataset(empty)
    assert empty.samples.get(evaluated[0]).split == "train"
    assert "labeler split" not in next_step(empty)


@pytest.mark.parametrize("by_hand", [True, False])
def test_duplicate_inherits_unseen_label(empty: Dataset, by_hand: bool) -> None:
    (unseen,) = add_samples(empty, "one", 1, MODEL)
    (other,) = add_faces(empty, add_image(empty, "other"))
    if by_hand:
        empty.journal.apply("Label", [Choice(other, "label", "hana")])
    rows = Pairs(empty.db).get_ids([unseen, other])
    Pairs(empty.db).save_verdicts([PairVerdict(min(rows), max(rows), 0.0, 1.0, "same")])
    DuplicateFinder(empty).apply()
    (best,) = [s for s in empty.samples.iter_by_key() if s.kept]
    assert (best.key in get_unseen_labels(empty.db)) is not by_hand


def test_every_class_gets_the_same_number_of_test_images(empty: Dataset) -> None:
    add_groups(empty, [*singles(40), *singles(13, "rei"), *singles(8, "sora")])
    scenes = [Group(f"scene-{n}", "mio", 4) for n in range(6)]
    add_groups(empty, [*scenes, Group("only", "aya", 30)])
    command = ("split", "--test-per-class", "10", "--seed", "1", "-d", empty.root)
    result = run_labeler(*command, "--json").json
    splits = splits_by_sample(empty)
    assert {label: row["test"] for label, row in result["classes"].items()} == {
        "hana": 10,
        "rei": 10,
        "sora": 1,  # too small: by the ratio
        "mio": 12,  # scenes are not divided
        "aya": 0,  # else nothing would be left to train on
    }
    assert result["classes"]["hana"] == {"train": 27, "val": 3, "test": 10}
    assert result["classes_too_small_for_test"] == {"sora": 1}
    assert result["classes_with_other_test_size"] == {"aya": 0, "mio": 12}

    printed = run_labeler(*command).checked().stdout
    assert "classes too small for test:\n  sora: 1 in test\n" in printed
    # Deterministic, and new images do not enter test.
    add_groups(empty, singles(60)[40:])
    result = run_labeler("split", "--json", "-d", empty.root).json
    assert result["classes"]["hana"] == {"train": 44, "val": 6, "test": 10}
    assert splits.items() <= splits_by_sample(empty).items()
    settings = empty.samples.get_split_settings()
    assert settings == SplitSettings(seed=1, test_per_class=10)


def test_number_of_test_images_comes_from_settings_and_excludes_hold_out(
    tmp_path: Path,
) -> None:
    settings = Settings(split=SplitSettings("3:1:0", test_per_class=2))
    with Dataset.create(tmp_path / "own", settings) as dataset:
        add_groups(dataset, singles(10))
        root = dataset.root
    result = run_labeler("split", "--json", "-d", root).json
    assert result["classes"]["hana"] == {"train": 6, "val": 2, "test": 2}
    run_labeler("split", "--hold-out", "source=bing", "-d", root).refused(
        2, "test cannot be both", "use either --hold-out or --test-per-class"
    )
    run_labeler("split", "--test-per-class", "0", "-d", root).refused(
        2, "--test-per-class"
    )
