"""Splits: no group straddles, the ratio is kept, and what is placed stays placed."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from labeler_makers import Group, add_faces, add_groups, add_image, label, plain

from gleanset import Dataset, Origin
from gleanset.db.classes import Placements
from gleanset.db.duplicates import Pairs
from gleanset.db.images import VideoName
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable, UsageError
from gleanset.settings import Settings, SplitSettings
from labeler.splits.plan import SplitPlan, apply_split, plan_split
from labeler.splits.split_spec import parse_ratio

Labeler = Callable[..., subprocess.CompletedProcess[str]]
CLASSES = ("hana", "rei", "sora")


def do_split(dataset: Dataset, ratio: str = "8:1:1", seed: int = 0) -> SplitPlan:
    plan = plan_split(dataset, SplitSettings(ratio, seed))
    apply_split(dataset, plan)
    return plan


def do(dataset: Dataset, **wish: object) -> SplitPlan:
    """Split by other settings than the defaults."""
    plan = plan_split(dataset, SplitSettings(**wish))  # type: ignore[arg-type]
    apply_split(dataset, plan)
    return plan


def splits(dataset: Dataset) -> dict[str, str | None]:
    return {sample.key: sample.split for sample in dataset.samples.iter_by_key()}


def singles(number: int, name: str = "hana") -> list[Group]:
    return [Group(f"{name}-{n}", name, 1) for n in range(number)]


def test_only_labelled_samples_are_split_and_others_lose_theirs(empty: Dataset) -> None:
    add_groups(empty, singles(10))
    waiting = add_faces(empty, add_image(empty, "waiting"))[0]
    do_split(empty)
    assert splits(empty)[waiting] is None
    gone = next(key for key, split in splits(empty).items() if split)
    empty.journal.apply("Reject", [Choice(gone, "reject")])
    plan = do_split(empty)
    sample = empty.samples.get(gone)
    assert sample is not None
    assert (sample.split, sample.split_group) == (None, None)
    assert plan.groups == 9


def tie_two(dataset: Dataset, one: str, other: str) -> str:
    """A new labelled picture that was found in the posts of two samples; its key."""
    post = {image.sha256: image.origins[0].post for image in dataset.images.iterate()}
    samples = [dataset.samples.get(key) for key in (one, other)]
    posts = [post[sample.image] for sample in samples if sample]
    image = add_image(
        dataset,
        f"ties {one} {other}",
        Origin("site", f"x{one}", post=posts[0]),
        Origin("site", f"y{other}", post=posts[1]),
    )
    (key,) = add_faces(dataset, image)
    label(dataset, key, "hana")
    return key


def place_of(dataset: Dataset) -> dict[str | None, str]:
    """One sample of each split."""
    return {sample.split: sample.key for sample in dataset.samples.iter_by_key()}


@pytest.mark.parametrize(("strong", "weak"), [("test", "train"), ("test", "val"), ("val", "train")])
def test_where_a_picture_ties_two_splits_the_weaker_side_is_left_out(
    empty: Dataset, strong: str, weak: str
) -> None:
    add_groups(empty, singles(20))
    do_split(empty)
    place, before = place_of(empty), splits(empty)
    key = tie_two(empty, place[strong], place[weak])
    plan = do_split(empty)
    after = splits(empty)
    assert plan.tied == 1
    assert plan.result()["groups_tied_since"] == 1
    assert plan.result()["left_out"] == {f"tied to {strong}": 1}
    assert plan.result()["tied"] == [f"{place[weak]}: tied to {strong}"]
    assert after[key] == after[place[strong]] == strong
    assert after[place[weak]] is None
    assert {k for k in before if before[k] != after[k]} == {place[weak]}
    assert do_split(empty).tied == 0
    assert splits(empty) == after


def test_what_was_left_out_comes_back_to_train_alone(empty: Dataset) -> None:
    add_groups(empty, singles(20))
    do_split(empty)
    place = place_of(empty)
    key = tie_two(empty, place["test"], place["train"])
    do_split(empty)
    empty.journal.apply("Reject", [Choice(key, "reject")])
    do_split(empty)
    assert splits(empty)[place["train"]] == "train"
    assert splits(empty)[place["test"]] == "test"


def test_counts_of_each_class(empty: Dataset) -> None:
    add_groups(empty, [*singles(50), *singles(10, "rei")])
    plan = do(empty, counts="20:5:5")
    assert plan.table["hana"] == {"train": 20, "val": 5, "test": 5}
    assert sum(plan.table["rei"].values()) == 10
    assert plan.table["rei"]["train"] in (6, 7)
    assert Counter(plan.left_out.values()) == {"more than was asked for": 20}
    before = splits(empty)
    assert do(empty, counts="20:5:5").splits == plan.splits
    assert splits(empty) == before


def test_the_rest_is_train_but_a_small_class_keeps_half(empty: Dataset) -> None:
    add_groups(empty, [*singles(50), *singles(10, "rei")])
    plan = do(empty, counts="rest:5:5")
    assert plan.table["hana"] == {"train": 40, "val": 5, "test": 5}
    assert plan.table["rei"]["train"] == 5
    assert not plan.left_out


def test_folds_are_whole_equal_and_take_turns_as_test(empty: Dataset) -> None:
    add_groups(empty, [*singles(40), Group("scene", "hana", 5)])
    tests: list[str] = []
    for fold in range(1, 6):
        plan = do(empty, folds=5, fold=fold)
        assert Counter(plan.folds.values()) == dict.fromkeys(range(1, 6), 9)
        assert plan.by_fold == {"hana": dict.fromkeys("12345", 9)}
        assert plan.table["hana"] == {"train": 27, "val": 9, "test": 9}
        tests += [key for key, split in splits(empty).items() if split == "test"]
        read = {s.key: s.fold for s in empty.samples.iter_by_key()}
        assert read == plan.folds
    assert len(tests) == len(set(tests)) == 45
    do_split(empty)
    assert {s.fold for s in empty.samples.iter_by_key()} == {None}


@pytest.fixture
def sources(empty: Dataset) -> Dataset:
    """Thirty pictures of a film in two episodes, twenty of a site, one that both have."""
    names = [("video", f"film{n}", n) for n in range(30)] + [
        ("pixiv", f"art{n}", n) for n in range(20)
    ]
    for source, name, number in names:
        video = {"video": f"{number % 2}" * 64, "scene": number, "time": 9.0 * number}
        origin = Origin(source, name, **(video if source == "video" else {}))  # type: ignore[arg-type]
        (key,) = add_faces(empty, add_image(empty, name, origin))
        label(empty, key, "hana" if number % 3 else "rei")
    both = add_image(
        empty,
        "both",
        Origin("pixiv", "b"),
        Origin("video", "b", video="1" * 64, scene=40, time=999.0),
    )
    label(empty, add_faces(empty, both)[0], "hana")
    for episode in "01":
        empty.videos.record(VideoName(episode * 64, f"[Sub] episode {episode}.mkv"), "", 1.0, 15)
    return empty


def from_source(dataset: Dataset) -> dict[str, set[str]]:
    of = {image.sha256: {o.source for o in image.origins} for image in dataset.images.iterate()}
    return {s.key: of[s.image] for s in dataset.samples.iter_by_key()}


def test_a_source_that_is_held_out_is_all_of_test(sources: Dataset) -> None:
    plan = do(sources, hold_out=("source=pixiv",))
    of = from_source(sources)
    for key, split in splits(sources).items():
        assert (split == "test") == ("pixiv" in of[key])
    assert sum(row["test"] for row in plan.table.values()) == 21
    assert sum(row["val"] for row in plan.table.values()) in (3, 4)


def test_an_episode_is_held_out_and_what_hangs_on_it_left_out(sources: Dataset) -> None:
    of = from_source(sources)
    other = next(s for s in sources.samples.iter_by_key() if of[s.key] == {"pixiv"})
    image = next(i for i in sources.images.iterate() if i.origins[0].video == "1" * 64)
    inside = next(s for s in sources.samples.iter_by_key() if s.image == image.sha256)
    rows = Pairs(sources.db).get_ids([other.key, inside.key])
    with sources.db.transaction():
        step = sources.journal.apply("same", [])
        Placements(sources.db).record_verdict(step, rows[0], rows[1], "same")
    for name in ("[Sub] episode 1.mkv", "[Sub] episode 1", "1" * 64):
        plan = do(sources, hold_out=[f"video={name}"])
        assert plan.left_out == {other.key: "tied to what is held out"}
        assert sum(row["test"] for row in plan.table.values()) == 16


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"counts": "20:5"}, "100:20:20"),
        ({"counts": "0:5:5"}, "100:20:20"),
        ({"counts": "a:b:c"}, "100:20:20"),
        ({"folds": 1}, "2 to 100"),
        ({"folds": -3}, "2 to 100"),
        ({"folds": 3, "fold": 4}, "use 1 to 3"),
        ({"fold": 2}, "--folds 5"),
        ({"folds": 3, "hold_out": ["source=bing"]}, "leave out --hold-out"),
        ({"folds": 3, "counts": "1:1:1"}, "leave out --counts"),
        ({"hold_out": ["pixiv"]}, "source=pixiv"),
        ({"hold_out": ["source=nowhere"]}, "known: site"),
        ({"hold_out": ["video=nothing"]}, "known: none"),
    ],
)
def test_wishes_that_make_no_sense_name_the_mend(
    empty: Dataset, wish: dict[str, object], says: str
) -> None:
    add_groups(empty, singles(3))
    with pytest.raises(UsageError, match=says):
        do(empty, **wish)
    assert set(splits(empty).values()) == {None}


def test_holding_everything_out_is_refused(empty: Dataset) -> None:
    add_groups(empty, singles(3))
    with pytest.raises(InputUnusable, match="everything is held out"):
        do(empty, hold_out=("source=site",))


def test_the_plan_says_how_close_it_came(empty: Dataset) -> None:
    add_groups(empty, [Group("scene", "hana", 9), *singles(1), *singles(10, "rei")])
    result = plan_split(empty, SplitSettings()).result()
    assert result["closeness"] == {
        "hana": {"asked": "8:1:1", "got": "9:0:1", "largest_deviation": 1.0},
        "rei": {"asked": "8:1:1", "got": "8:1:1", "largest_deviation": 0.0},
    }
    assert result["not_searched_for_duplicates"] == 20


def test_settings_of_every_kind_are_kept_as_options(sources: Dataset) -> None:
    """As the report prints them: a command that gives the same split again."""
    hold = ["video=[Sub] episode 1.mkv"]
    first = do(sources, hold_out=hold, seed=4)
    words = sources.samples.get_split_settings()
    assert words == ("ratio=8:1:1 seed=4 'hold-out=video=[Sub] episode 1.mkv'")
    assert do(sources, hold_out=hold, seed=4).splits == first.splits


@pytest.mark.slow
def test_the_command_simulates_and_splits(empty: Dataset, labeler: Labeler) -> None:
    add_groups(empty, singles(10))
    before = plain(empty)
    simulated = labeler("split", "-s", "--json", "-d", empty.root)
    assert plain(empty) == before
    done = labeler("split", "--json", "-d", empty.root)
    assert json.loads(done.stdout) == json.loads(simulated.stdout)
    assert json.loads(done.stdout)["train"] == 8
    assert Counter(splits(empty).values()) == {"train": 8, "val": 1, "test": 1}
    assert labeler("split", "--ratio", "8:1", "-d", empty.root).returncode == 2
    assert labeler("split", "--ratio", "8:1:1", "--folds", "3", "-d", empty.root).returncode == 2
    folds = labeler("split", "--folds", "5", "--fold", "2", "--json", "-d", empty.root)
    assert json.loads(folds.stdout)["test"] == 2


def test_settings_of_the_dataset_are_the_defaults(tmp_path: Path, labeler: Labeler) -> None:
    own = SplitSettings(counts="3:1:1")
    with Dataset.create(tmp_path / "own", Settings(split=own)) as dataset:
        add_groups(dataset, singles(10))
        root = dataset.root
    file = root / "dataset.toml"
    text = file.read_text(encoding="utf-8")
    assert "[split]" in text
    # An earlier version knew a largest share of a source.
    file.write_text(text.replace("[split]", '[split]\nmost = ["pixiv=20%"]'), encoding="utf-8")
    result = json.loads(labeler("split", "--json", "-d", root).stdout)
    assert (result["train"], result["test"], result["left_out"]) == (
        3,
        1,
        {"more than was asked for": 5},
    )
    result = json.loads(labeler("split", "--ratio", "6:2:2", "--json", "-d", root).stdout)
    assert (result["train"], result["test"]) == (6, 2)


def test_more_folds_than_groups_are_refused(empty: Dataset) -> None:
    add_groups(empty, [Group(f"scene-{n}", CLASSES[n % 2], 4) for n in range(3)])
    with pytest.raises(UsageError, match="2 of 5 folds would be empty") as refused:
        plan_split(empty, SplitSettings(folds=5))
    assert "--folds 3" in refused.value.fix
    assert not plan_split(empty, SplitSettings(folds=3)).empty


def test_an_empty_split_and_small_test_classes_are_reported(empty: Dataset) -> None:
    add_groups(empty, [Group("one", "hana", 6)])
    result = plan_split(empty, SplitSettings("6:2:2")).result()
    why = "the images are of 1 group that must stay together"
    assert result["empty"] == [f"val: {why}", f"test: {why}"]
    assert "empty" not in plan_split(empty, SplitSettings("1:0:0")).result()
    add_groups(empty, [Group(f"more-{n}", "hana", 5) for n in range(6)])
    add_groups(empty, [Group(f"rei-{n}", "rei", 1) for n in range(10)])
    result = plan_split(empty, SplitSettings("8:1:1")).result()
    assert "empty" not in result
    few = result["few_test_images"]
    assert isinstance(few, list)
    assert few[1:] == ["rei: 1"]


@pytest.mark.parametrize(("text", "hint"), [("75:25", "75:0:25"), ("8", "8:1:1"), ("a:b", "8:1:1")])
def test_a_ratio_of_two_parts_says_how_to_write_it(text: str, hint: str) -> None:
    with pytest.raises(UsageError, match="not a ratio") as refused:
        parse_ratio(text)
    assert hint in refused.value.fix
