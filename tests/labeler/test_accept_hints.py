"""Weak labels, predictions, classes and their names; planning the import of dropped files."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labeler_makers import add_faces, add_image, label, sample_states
from tools_for_tests import run_here, write_pictures

from baseline.prelabel.prelabeling import (
    PrelabelReport,
    describe_suggestions,
    save_vectors,
)
from curation.similarity.vectors import VECTORS_FACT, make_sample_vector_name
from gleanset import Dataset, Origin
from gleanset.db.classes import list_aliases
from gleanset.db.journal import MODEL, Choice
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals
from gleanset.db.sorting import SampleTiles, SortingQueue
from gleanset.errors import InputUnusable, UsageError
from gleanset.records import Region
from labeler.acceptance import (
    NO_REJECTED_SAMPLES,
    OTHER_CLASSES,
    accept_hints,
    accept_proposals,
    plan_hints,
)
from labeler.classes import ClassEditor
from labeler.cli import check_typo
from labeler.sorting.import_plan import (
    import_commands,
    search_commands,
    sort_paths,
)
from labeler.sorting.name_matching import (
    KnownName,
    complete_name,
    fold_name,
    list_known_names,
    match_exact_name,
)
from labeler.sorting.predictions import Predictor
from labeler.sorting.session import SortingSession
from pipeline.listing import list_records


def accept(dataset: Dataset) -> dict[str, object]:
    return accept_hints(dataset).result().to_json()


def hinted(
    dataset: Dataset, name: str, *hints: str | None, faces: int = 1
) -> list[str]:
    """Add an image with these weak labels and some faces; return sample keys."""
    origins = [
        Origin("folder", f"{name}-{n}", hint=hint) for n, hint in enumerate(hints)
    ]
    image = add_image(dataset, name, *origins)
    return add_faces(dataset, image, [30 * n for n in range(faces)])


@pytest.mark.parametrize(
    ("hints", "faces", "reason"),
    [
        (("hana",), 2, "several faces"),
        (("hana", "rei"), 1, "disputed weak label"),
        (("hana", "rei"), 2, "disputed weak label"),
        ((None,), 1, "no weak label"),
        (("a/b",), 1, "weak label is not a class name"),
        ((".hidden",), 1, "weak label is not a class name"),
        (("x" * 101,), 1, "weak label is not a class name"),
    ],
)
def test_ambiguous_weak_labels_stay_pending(
    empty: Dataset, hints: tuple[str | None, ...], faces: int, reason: str
) -> None:
    keys = hinted(empty, "a", *hints, faces=faces)
    result = accept(empty)
    assert (result["accepted"], result["left"]) == (0, {reason: faces})
    assert result["left_in_queue"] == faces
    assert {s.key: s.status for s in empty.samples.iter_by_key()} == dict.fromkeys(
        keys, "queue"
    )
    assert (empty.journal.count(), empty.classes.list_names()) == (0, [])


def test_disputed_weak_labels_come_with_a_command(empty: Dataset) -> None:
    (key,) = hinted(empty, "a", "hana", "rei")
    hinted(empty, "b", None)
    hinted(empty, "c", "hana", faces=2)
    result = accept_hints(empty).result()
    command = f"gleanset list samples --where disputed=true {empty.option}"
    assert command in str(result.summary())
    assert command in str(result.brief()), "a recipe prints it, too"
    assert [
        line["id"] for line in list_records(empty, "samples", ("disputed=true",))
    ] == [key]


def test_human_decisions_are_not_overwritten(empty: Dataset) -> None:
    (labelled,) = hinted(empty, "a", "hana")
    (rejected,) = hinted(empty, "b", "hana")
    label(empty, labelled, "rei")
    empty.journal.apply("Reject", [Choice(rejected, "reject")])
    before = sample_states(empty)
    assert (accept(empty)["accepted"], sample_states(empty)) == (0, before)


def test_weak_labels_in_other_case_are_one_class(empty: Dataset) -> None:
    keys = [*hinted(empty, "a", "Hana"), *hinted(empty, "b", "hana")]
    [(name, number)] = accept(empty)["labels"].items()
    assert number == 2
    assert list(empty.classes) == [name]
    assert {empty.samples.get(key).label for key in keys} == {name}
    # Nothing disputes them: the other spelling is an alias.
    assert accept(empty)["left_in_queue"] == 0
    (later,) = hinted(empty, "c", "HANA")
    assert accept(empty)["labels"] == {name: 1}
    assert empty.samples.get(later).label == name

    # A deleted class does not come back beside one of the same name.
    ClassEditor(empty).rename(name, "x")
    ClassEditor(empty).delete("x")
    label(empty, later, "X")
    label(empty, keys[0], "x")
    assert list(empty.classes) == ["X"]


def test_accept_is_one_undoable_step(empty: Dataset) -> None:
    keys = [*hinted(empty, "a", "hana"), *hinted(empty, "b", "rei")]
    hinted(empty, "c", "rei", faces=2)
    before = sample_states(empty)
    labels = {"hana": 1, "rei": 1}
    left = {"several faces": 2}
    assert accept(empty) == {
        "accepted": 2,
        "left_in_queue": 2,
        "labels": labels,
        "left": left,
    }
    decisions = list(empty.journal.iterate())
    assert {(d.sample, d.value, d.provenance) for d in decisions} == {
        (keys[0], "hana", "hint"),
        (keys[1], "rei", "hint"),
    }
    assert len({decision.step for decision in decisions}) == 1
    undone = empty.journal.undo()
    assert (undone.restored, undone.changed_since) == (2, 0)
    assert sample_states(empty) == before
    with pytest.raises(UsageError, match="nothing to undo"):
        empty.journal.undo()


def test_dropped_weak_labels_stay_dropped(tmp_path: Path) -> None:
    write_pictures(tmp_path / "p", ("hana/a.jpg", "Downloads/b.jpg", "Downloads/c.jpg"))
    root = ("-d", tmp_path / "d")
    harvest = ("folder", tmp_path / "p", "--hints-from-folders", *root, "--json")
    assert run_here("harvest.cli", *harvest).json["hints"] == {
        "Downloads": 2,
        "hana": 1,
    }
    dropped = run_here("labeler.cli", "hints", "drop", "Downloads", *root, "--json")
    assert dropped.json == {"dropped_from_images": 2}
    run_here("harvest.cli", *harvest)
    with Dataset.open(tmp_path / "d") as dataset:
        origins = [
            origin for image in dataset.images.iterate() for origin in image.origins
        ]
        assert sorted(str(origin.hint) for origin in origins) == [
            "None",
            "None",
            "hana",
        ]
    run_here("labeler.cli", "hints", "drop", "Downloads", *root).refused(
        UsageError.exit_code, "hana"
    )


@pytest.fixture
def predicted(empty: Dataset) -> list[str]:
    """Predict four samples as hana (.99, .97, .6, and .99 but labelled), two as rei (.96)."""
    keys = [add_faces(empty, add_image(empty, name), [0])[0] for name in "abcdef"]
    empty.journal.apply(
        "Classes", [Choice(keys[0], "label", n) for n in ("hana", "rei")]
    )
    empty.journal.apply("Classes", [Choice(keys[0], "label", "hana")])
    empty.journal.apply("Back", [Choice(keys[0], "clear")])
    empty.journal.apply("Rei", [Choice(keys[3], "label", "rei")])
    labels = ("hana", "hana", "hana", "hana", "rei", "rei")
    confidences = (0.99, 0.97, 0.6, 0.99, 0.96, 0.96)
    other = Proposal("other", 0.01)
    predictions = [
        PrelabelledSample(key, n, (Proposal(label, confidence), other), outlier=0.5)
        for n, (key, label, confidence) in enumerate(
            zip(keys, labels, confidences, strict=True)
        )
    ]
    Proposals(empty.db).replace(predictions, {})
    return keys


def test_confident_pending_predictions_are_accepted(
    empty: Dataset, predicted: list[str]
) -> None:
    add_faces(empty, add_image(empty, "collected later"), [0])
    before = empty.journal.count()
    simulated = accept_proposals(empty, 0.95, (), simulate=True).result().to_json()
    assert empty.journal.count() == before
    done = accept_proposals(empty, 0.95, ())
    assert done.result().to_json() == simulated
    assert done.result().to_json() == {
        "accepted": 4,
        "likely_wrong": 0.1,
        "left_in_queue": 2,
        "labels": {"hana": 2, "rei": 2},
        "left": {"confidence below --above": 1, "without a prediction": 1},
        "note": NO_REJECTED_SAMPLES,
    }
    assert done.likely_wrong == pytest.approx(0.01 + 0.03 + 0.04 + 0.04)
    new = list(empty.journal.iterate())[before:]
    assert {(decision.provenance, decision.action) for decision in new} == {
        (MODEL, "label")
    }
    assert {decision.step for decision in new} == {new[0].step}
    assert new[0].name == "Accept 4 predictions"
    empty.journal.undo()
    labels = {sample.key: sample.label for sample in empty.samples.iter_by_key()}
    assert labels == dict.fromkeys(labels) | {predicted[3]: "rei"}


def test_out_of_distribution_samples_stay_pending(empty: Dataset) -> None:
    keys = [add_faces(empty, add_image(empty, str(n)), [0])[0] for n in range(24)]
    *labelled, similar, unknown = keys
    empty.journal.apply("Hana", [Choice(key, "label", "hana") for key in labelled])
    rng = np.random.default_rng(0)
    axes = np.eye(8, dtype=np.float32)
    rows = {key: axes[0] + rng.normal(0, 0.1, 8).astype(np.float32) for key in keys}
    rows |= {similar: axes[0], unknown: axes[0] + 2 * axes[1]}
    samples = list(empty.samples.iter_by_key())
    names = [make_sample_vector_name(s.key, Region(s.box, s.angle)) for s in samples]
    vectors = np.stack([rows[s.key] / np.linalg.norm(rows[s.key]) for s in samples])
    name = save_vectors(empty, names, vectors)
    top = (Proposal("hana", 0.99),)
    facts = dict.fromkeys(("rejected", "of_other_classes", "given_together"), 0)
    facts |= {
        "samples": 24,
        "labelled": 22,
        "classes": 1,
        "held_out": 2,
        "accuracy": 1.0,
    }
    accept_command = f"labeler accept predictions --above 0.95 {empty.option}"
    for suggested, text in (
        (
            (unknown,),
            "0 at 95% or more; left out: 1 unlike the labelled images of the class",
        ),
        ((similar, unknown), "1 at 95% or more, about 0.0 errors; left out: 1 unlike"),
    ):
        prelabelled = [
            PrelabelledSample(key, n, top) for n, key in enumerate(suggested)
        ]
        Proposals(empty.db).replace(prelabelled, {VECTORS_FACT: name})
        report = PrelabelReport(prelabel=1, facts=facts, label_next=[], seconds={})
        describe_suggestions(empty, report)
        summary = report.summary()
        assert summary["confident"].startswith(text)
        assert (accept_command in summary["next"]) == (similar in suggested)
    accuracy = "100.0% (2 of 22 labelled samples; others"
    assert summary["out-of-fold accuracy"].startswith(accuracy)
    assert summary["suggestions"] == "2/2 samples, about 0 errors among 1 known class"
    plan = accept_proposals(empty, 0.95, ())
    assert [choice.sample for choice in plan.choices] == [similar]
    assert plan.left_out == {"unlike the labelled images of its class": 1}
    assert plan.result().to_json()["note"] == NO_REJECTED_SAMPLES
    empty.journal.apply("Reject", [Choice(unknown, "reject")])
    empty.journal.apply("Back", [Choice(similar, "clear")])
    assert accept_proposals(empty, 0.95, ()).result().to_json()["note"] == OTHER_CLASSES


def test_accept_one_class_by_former_name(empty: Dataset, predicted: list[str]) -> None:
    with empty.db.transaction():
        empty.classes.rename(empty.journal.apply("Rename", []), "rei", "ayanami rei")
    plan = accept_proposals(empty, 0.5, ["rei"])
    assert plan.result().to_json()["labels"] == {"ayanami rei": 2}
    assert plan.left_out == {"of another class": 3}
    with pytest.raises(UsageError, match="there is no class 'nobody'"):
        accept_proposals(empty, 0.5, ["nobody"])


def test_predictions_older_than_a_class_raise_error(
    empty: Dataset, predicted: list[str]
) -> None:
    predictions = list(Proposals(empty.db).iterate())
    # Rei is a newer class.
    Proposals(empty.db).replace(predictions, {"known": ["hana"]})
    moved = shutil.copytree(empty.root, empty.root.with_name("my dataset"))
    with Dataset.open(moved) as dataset:
        with pytest.raises(InputUnusable, match="older than the class rei") as raised:
            accept_proposals(dataset, 0.95, ())
        assert f"baseline prelabel -d '{moved}'" in str(raised.value)
    Proposals(empty.db).replace(predictions, {"known": ["hana", "rei"]})
    assert len(accept_proposals(empty, 0.95, ()).choices) == 4


def test_list_predictions_with_alternatives(
    empty: Dataset, predicted: list[str]
) -> None:
    pending = list_records(empty, "predictions", ("waits=true",))
    lines = [line for line in pending if line["confidence"] >= 0.97]
    assert {line["sample"] for line in lines} == set(predicted[:2])
    assert all(line["label"] == "hana" and line["others"] == [] for line in lines)
    (rei,) = list_records(empty, "predictions", ("status=labelled",))
    assert rei == {
        "sample": predicted[3],
        "status": "labelled",
        "waits": False,
        "label": "hana",
        "confidence": 0.99,
        "others": [],
        "position": 3,
        "cluster": None,
        "outlier": 0.5,
    }


def test_accept_predictions_command(empty: Dataset, predicted: list[str]) -> None:
    options = ("--above", "0.98", "--class", "hana", "--json", "-d", empty.root)
    command = ("labeler.cli", "accept", "predictions", *options)
    assert run_here(*command, "--simulate").json["accepted"] == 1
    assert run_here(*command).json["labels"] == {"hana": 1}
    assert run_here(*command).json["accepted"] == 0


def test_window_suggests_weak_labels_of_single_faces(empty: Dataset) -> None:
    hinted(empty, "a", "hana")
    hinted(empty, "b", "rei", faces=2)
    session = SortingSession(empty)
    queue = SortingQueue(empty.db)
    predictor = Predictor(session)
    samples = queue.get_features(queue.list_waiting(10))
    space = predictor.spaces.choose_space(samples)
    predictions = predictor.predict(
        samples, [], space, session.tiles.get_counts().classes
    )
    assert sorted(prediction.label or "" for prediction in predictions) == [
        "",
        "",
        "hana",
    ]


def labelled(dataset: Dataset, **numbers: int) -> None:
    for name, number in numbers.items():
        for at in range(number):
            (key,) = add_faces(dataset, add_image(dataset, f"{name}-{at}"), [0])
            dataset.journal.apply("Label", [Choice(key, "label", name)])


def counted(dataset: Dataset) -> dict[str, int]:
    result = dict.fromkeys(dataset.classes.list_names(), 0)
    for sample in dataset.samples.iter_by_key():
        if sample.label is not None:
            result[sample.label] += 1
    return result


def test_each_class_edit_is_one_undo_step(empty: Dataset) -> None:
    labelled(empty, hana=2, rei=1)
    editor = ClassEditor(empty)
    before = counted(empty)
    for edit, after in (
        (lambda: editor.add("asuka"), {"asuka": 0, "hana": 2, "rei": 1}),
        (lambda: editor.rename("hana", "Hana M"), {"Hana M": 2, "rei": 1}),
        (lambda: editor.merge("rei", "hana"), {"hana": 3}),
        (lambda: editor.delete("hana"), {"rei": 1}),
    ):
        edit()
        assert counted(empty) == after
        empty.journal.undo()
        assert (counted(empty), list_aliases(empty.db)) == (before, {})


def test_alias_resolves_to_class(empty: Dataset) -> None:
    labelled(empty, miku=1)
    editor = ClassEditor(empty)
    editor.add_alias("初音ミク", "miku")
    assert list_aliases(empty.db) == {"miku": ["初音ミク"]}
    hinted(empty, "a", "初音ミク")
    assert accept_hints(empty).result().to_json()["labels"] == {"miku": 1}
    editor.rename("初音ミク", "Hatsune Miku")
    hinted(empty, "two names of it", "Hatsune Miku", "miku")
    assert accept_hints(empty).result().to_json()["labels"] == {"Hatsune Miku": 1}
    assert counted(empty) == {"Hatsune Miku": 3}
    editor.remove_alias("初音ミク")
    assert list_aliases(empty.db) == {}
    hinted(empty, "b", "初音ミク")
    assert plan_hints(empty).result().to_json()["labels"] == {"初音ミク": 1}


def test_alias_may_contain_reserved_characters(empty: Dataset) -> None:
    labelled(empty, rezero=1)
    editor = ClassEditor(empty)
    editor.add_alias("Re:Zero", "rezero")
    hinted(empty, "a", "Re:Zero")
    assert accept_hints(empty).result().to_json()["labels"] == {"rezero": 1}
    # A class may not have such a name, even without the alias.
    editor.remove_alias("Re:Zero")
    for name in ("Re:Zero", "a:b"):
        with pytest.raises(UsageError, match="is not a class name"):
            editor.add(name)
        with pytest.raises(UsageError, match="is not a class name"):
            empty.classes.resolve(name)


def test_invalid_class_edits_raise_error(empty: Dataset) -> None:
    labelled(empty, hana=1, rei=1)
    editor = ClassEditor(empty)
    before = empty.journal.count()
    for edit, error in (
        (lambda: editor.add_alias("rei", "hana"), "'rei' is already a class"),
        (lambda: editor.add_alias("x", "nobody"), "there is no class 'nobody'"),
        (lambda: editor.remove_alias("hana"), "'hana' is not an alias"),
        (lambda: editor.remove_alias("nobody"), "'nobody' is not an alias"),
        (lambda: editor.delete("nobody"), "there is no class 'nobody'"),
        (lambda: editor.add("HANA"), "there is a class 'hana' already"),
        (lambda: editor.rename("rei", "Hana"), "there is a class 'hana' already"),
    ):
        with pytest.raises(UsageError, match=error):
            edit()
        assert (counted(empty), empty.journal.count()) == (
            {"hana": 1, "rei": 1},
            before,
        )


def test_classes_command(empty: Dataset) -> None:
    labelled(empty, hana=1, hanna=2)

    def run(*words: str) -> Any:
        return (
            run_here("labeler.cli", "classes", *words, "--json", "-d", empty.root)
            .checked()
            .json
        )

    assert run("merge", "hanna", "hana")["moved"] == 2
    run("add", "asuka")
    run("add", "hana", "--alias", "はな")
    run("add", "rei", "--alias", "Ayanami")
    run("delete", "Ayanami")
    run("add", "rei", "--alias", "零")
    run("add", "misato")
    run("delete", "misato")
    run("rename", "asuka", "Asuka")
    result = {row["name"]: row for row in run("list")["classes"]}
    assert set(result) == {"hana", "Asuka", "rei"}
    row = {"name": "hana", "samples": 3, "aliases": ["hanna", "はな"]}
    assert result["hana"] == row | {"key": result["hana"]["key"]}
    assert result["rei"]["aliases"] == ["零"]
    assert len({row["key"] for row in result.values()}) == 3
    delete = ("labeler.cli", "classes", "delete", "-d", empty.root)
    run_here(*delete, "asuka").refused(
        2, "'asuka' is a former name of 'Asuka'", "delete Asuka -d"
    )
    run("merge", "Asuka", "rei")
    run_here(*delete, "asuka").refused(2, "former name of 'Asuka'", "delete Asuka -d")
    run("delete", "Asuka")
    run("delete", "asuka")  # still a name of rei until now
    run("delete", " はな ")
    run("rename", "hana", "hanako")
    assert run("delete", "hanako")["back_in_queue"] == 3, (
        "an alias takes no class along"
    )
    for name in ("asuka", "Asuka", "hana", "hanako"):
        run_here(*delete, name).refused(
            2, f"there is no class {name!r}", "labeler classes list"
        )


@pytest.mark.damages("most images have no file")
def test_commands_print_the_class_of_a_former_name(empty: Dataset) -> None:
    labelled(empty, nene=1)
    (key,) = hinted(empty, "a", "nene")
    at = ("-d", str(empty.root))

    def run(*words: str) -> dict[str, Any]:
        return run_here("labeler.cli", *words, "--json", *at).checked().json

    assert run("classes", "rename", "nene", "yun")["done"] == "Rename nene to yun"
    create = f"labeler classes add nene -d {empty.root}"
    note = {"alias": "nene is a former name of yun", "to_make_it_a_class": create}
    pages = write_pictures(empty.root.parent / "folders", ["nene/1.png"])
    for words in (
        ("label", "nene", key),
        ("accept", "hints"),
        ("import", str(pages)),
        ("label", "nene", key),
    ):
        result = run(*words)
        assert result | note == result, words
        run("undo")
    assert run("label", "nene", key)["class"] == "yun"
    assert counted(empty) == {"yun": 2}
    done = run("classes", "add", "nene")
    assert done["alias"] == "nene was another name of yun until now"
    result = run("label", "nene", key)
    assert (result["class"], result["decided"], "alias" in result) == ("nene", 1, False)
    lines = run_here("labeler.cli", "label", "nene", key, *at).stdout.splitlines()
    status = f"  gleanset status -d {empty.root}"
    assert lines == ["class: nene", "labelled: 1, step: 14", "next:", status]


def test_undo_restores_a_former_name(empty: Dataset) -> None:
    labelled(empty, nene=1)
    (key,) = sample_states(empty)
    editor = ClassEditor(empty)
    names = partial(list_aliases, empty.db, with_former_names=True)
    editor.rename("nene", "yun")
    editor.add("nene")
    assert (names(), empty.journal.undo().operation.kind) == ({}, "new-class")
    assert (names(), counted(empty)) == ({"yun": ["nene"]}, {"yun": 1})
    assert (empty.journal.undo().operation.kind, counted(empty)) == (
        "rename-class",
        {"nene": 1},
    )
    empty.journal.undo(SampleTiles(empty.db).list_steps()[-1].id)
    redo = empty.journal.undo(SampleTiles(empty.db).list_steps()[-3].id)
    assert (redo.operation.kind, names(), counted(empty)) == (
        "undo",
        {},
        {"yun": 1, "nene": 0},
    )
    # Out of order: a class that has got samples since is not merged again.
    label(empty, key, "nene")
    empty.journal.undo(SampleTiles(empty.db).list_steps()[-2].id)
    assert counted(empty) == {"yun": 0, "nene": 1}
    editor.rename("yun", "nene2")
    editor.rename("nene", "yun")
    empty.journal.undo()
    assert empty.classes.resolve("yun") == "nene2", (
        "not of the class whose renaming was undone"
    )
    empty.journal.undo()
    assert empty.classes.resolve("nene2") == "nene2", (
        "the name of an undone renaming is free"
    )


def test_deleted_class_leaves_splits_until_undo(empty: Dataset) -> None:
    labelled(empty, hana=3, rei=3)
    keys = [sample.key for sample in empty.samples.iter_by_key()]
    empty.samples.set_splits({key: (key, "test") for key in keys})
    before = {sample.key: sample for sample in empty.samples.iter_by_key()}
    root = ("-d", empty.root, "--json")
    done = run_here("labeler.cli", "classes", "delete", "hana", *root)
    assert done.json["back_in_queue"] == 3, done.stderr
    for sample in empty.samples.iter_by_key():
        placed = (sample.split, sample.split_group)
        assert placed == (
            ("test", sample.key) if sample.label == "rei" else (None, None)
        )
    assert run_here("labeler.cli", "undo", *root).code == 0
    assert {sample.key: sample for sample in empty.samples.iter_by_key()} == before


@pytest.fixture
def keys(empty: Dataset) -> list[str]:
    return add_faces(empty, add_image(empty, "a"), (0, 30, 60))


def run_label(dataset: Dataset, *words: str) -> int:
    return run_here("labeler.cli", "label", *words, "-d", dataset.root).code


def test_label_reject_and_undo(empty: Dataset, keys: list[str]) -> None:
    assert run_label(empty, "hana", *keys[:2]) == 0
    assert run_label(empty, "--reject", keys[2]) == 0
    states = {s.key: (s.status, s.label) for s in empty.samples.iter_by_key()}
    assert states[keys[0]] == states[keys[1]] == ("labelled", "hana")
    assert states[keys[2]] == ("rejected", None)
    assert "Reject 1" in run_here("labeler.cli", "undo", "-d", empty.root).stdout
    assert "Label 2 as hana" in run_here("labeler.cli", "undo", "-d", empty.root).stdout
    assert {s.status for s in empty.samples.iter_by_key()} == {"queue"}


@pytest.mark.parametrize(
    ("known", "refused", "accepted"),
    [
        ("yun", ("yn", "un", "yuun", "ynu", "YN"), ("yu", "yuna2", "yen", "y", "rin")),
        ("rin", ("rn", "irn"), ("rei", "ren", "ri", "mio")),
        ("零子", (), ("零", "子", "一子")),
    ],
)
def test_typos_of_short_names_are_refused(
    empty: Dataset, known: str, refused: tuple[str, ...], accepted: tuple[str, ...]
) -> None:
    ClassEditor(empty).add(known)
    for name in refused:
        with pytest.raises(UsageError, match="did you mean"):
            check_typo(empty, name)
    for name in accepted:
        check_typo(empty, name)


def test_misspelt_class_raises_error(empty: Dataset, keys: list[str]) -> None:
    assert run_label(empty, "hatsune_miku", keys[0]) == 0
    run_here(
        "labeler.cli", "label", "hatsune_mikuu", keys[1], "-d", empty.root
    ).refused(2, "did you mean 'hatsune_miku'?", "labeler classes add hatsune_mikuu")
    assert empty.classes.list_names() == ["hatsune_miku"]
    assert run_label(empty, "rei", keys[1]) == 0, "unlike other names"
    for words in (("rei", "--alias", "reii"), ("hatsune_mikuu",)):
        assert (
            run_here("labeler.cli", "classes", "add", *words, "-d", empty.root).code
            == 0
        )
    assert run_label(empty, "reii", keys[1]) == 0
    assert run_label(empty, "hatsune_mikuu", keys[2]) == 0
    assert empty.classes.list_names() == ["hatsune_miku", "hatsune_mikuu", "rei"]


def test_known_names_with_aliases_and_weak_labels(empty: Dataset) -> None:
    for number, hint in enumerate(("rin", "rin", "hana/..", "aoi")):
        add_image(empty, f"picture-{number}", Origin("folder", f"{number}", hint=hint))
    session = SortingSession(empty)
    session.add_class("Miku")
    session.add_class("初音ミク")
    session.rename_class("初音ミク", "Miku")
    assert list_known_names(empty) == [
        KnownName("Miku", "Miku"),
        KnownName("初音ミク", "Miku"),
        KnownName("rin", "rin"),
        KnownName("aoi", "aoi"),
    ]


def test_completion_ignores_width_case_and_kana() -> None:
    names = [
        KnownName(n, n) for n in ("Suzukaze Aoba", "アスナ", "Asuka", "Réne", "aoi")
    ]

    def complete(typed: str) -> list[str]:
        return [name.text for name in complete_name(typed, names)]

    assert complete("suz") == complete("ＳＵＺ") == ["Suzukaze Aoba"]
    assert complete("あす") == complete("ｱｽ") == ["アスナ"]
    assert (complete("ao"), complete("ren")) == (["aoi", "Suzukaze Aoba"], ["Réne"])
    assert complete("") == complete("?") == complete("xyz") == []
    assert match_exact_name("ａｏｉ", names).label == "aoi"
    assert match_exact_name("new", names) is None is match_exact_name("??", names)
    assert fold_name("Ｍｉｋｕ_01") == fold_name("miku 01") == "miku01"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("タイキ", "ダイキ"),
        ("はな", "ばな"),
        ("はる", "ぱる"),
        ("ﾀｲｷ", "ﾀﾞｲｷ"),
        ("कमल", "कमला"),
        ("दिन", "दान"),
        ("ปี", "ปู"),
        ("שָׁם", "שֵׁם"),
        ("தமிழ்", "தமழ"),
    ],
)
def test_combining_marks_distinguish_names(first: str, second: str) -> None:
    assert fold_name(first) != fold_name(second)
    names = [KnownName(second, second)]
    assert match_exact_name(first, names) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Réne", "rene"),
        ("Άννα", "αννα"),
        ("Ёлка", "елка"),
        ("だいき", "ﾀﾞｲｷ"),
        ("ダイキ", "\u30bf\u3099イキ"),
        ("葛\U000e0100城", "葛城"),
        ("Nguyễn", "nguyen"),
    ],
)
def test_fold_name_ignores_accents_and_width(first: str, second: str) -> None:
    assert fold_name(first) == fold_name(second)


def test_combining_marks_in_completion() -> None:
    names = [KnownName(name, name) for name in ("ダイキ", "タイキ", "कमला", "हिल")]
    assert [name.text for name in complete_name("タ", names)] == ["タイキ"]
    assert [name.text for name in complete_name("タイキ", names)] == ["タイキ"]
    assert complete_name("ल", names) == [], "a mark does not end a word"


ROOT = Path("/d")
ROOT_OPTION = ["-d", str(ROOT.absolute())]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Make a folder of faces, a video, an archive and a text file."""
    write_pictures(tmp_path / "hana", 3)
    (tmp_path / "episode.mkv").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "old.zip").write_bytes(b"PK")
    return tmp_path


def test_sort_paths_by_kind(mixed: Path) -> None:
    names = ("hana", "hana/0.jpg", "old.zip", "episode.mkv", "notes.txt", "hana")
    dropped = sort_paths([mixed / name for name in names])
    assert dropped.folders == (mixed / "hana",)
    assert dropped.files == (mixed / "hana" / "0.jpg", mixed / "old.zip")
    assert dropped.videos == (mixed / "episode.mkv",)
    assert not sort_paths([mixed / "notes.txt", mixed / "nothing"])


def test_import_commands(mixed: Path) -> None:
    names = ("hana", "hana/0.jpg", "episode.mkv")
    dropped = sort_paths([mixed / name for name in names])
    hana, image, video = (str(mixed / name) for name in names)
    assert import_commands(
        ROOT, dropped, hints=True, video_folders=(mixed / "hana",)
    ) == [
        ["harvest", "folder", hana, "--hints-from-folders", *ROOT_OPTION],
        ["harvest", "folder", image, *ROOT_OPTION],
        ["gleanset", "episodes", hana, video, *ROOT_OPTION],
        ["facecrop", "run", "--new", *ROOT_OPTION],
    ]
    assert import_commands(
        ROOT, dropped, whole_images=True, hints=True, label="rei"
    ) == [
        ["harvest", "folder", hana, "--label", "rei", *ROOT_OPTION],
        ["harvest", "folder", image, "--label", "rei", *ROOT_OPTION],
        ["harvest", "frames", video, "--label", "rei", *ROOT_OPTION],
        ["facecrop", "run", "--new", "--detector", "whole", *ROOT_OPTION],
    ]


def test_search_commands() -> None:
    options = ["--limit", "12", "--source", "flickr", *ROOT_OPTION]
    assert search_commands(ROOT, "-rin", "flickr", 12, whole_images=True) == [
        ["harvest", "keyword", " -rin", *options],
        ["facecrop", "run", "--new", "--detector", "whole", *ROOT_OPTION],
    ]
