"""Tests of accepting confident predictions."""

from __future__ import annotations

import numpy as np
import pytest
from labeler_makers import add_faces, add_image
from tools_for_tests import run_here

from curation.similarity.vectors import VECTORS_FACT, make_sample_vector_name, save_vectors
from gleanset import Dataset
from gleanset.db.journal import MODEL, Choice
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals
from gleanset.errors import InputUnusable, UsageError
from gleanset.records import Region
from labeler.acceptance import NO_REJECTED_SAMPLES, OTHER_CLASSES, accept_proposals
from pipeline.listing import list_records


@pytest.fixture
def predicted(empty: Dataset) -> list[str]:
    """Predict four samples as hana (.99, .97, .6, and .99 but labelled), two as rei (.96)."""
    keys = [add_faces(empty, add_image(empty, name), [0])[0] for name in "abcdef"]
    empty.journal.apply("Classes", [Choice(keys[0], "label", n) for n in ("hana", "rei")])
    empty.journal.apply("Classes", [Choice(keys[0], "label", "hana")])
    empty.journal.apply("Back", [Choice(keys[0], "clear")])
    empty.journal.apply("Rei", [Choice(keys[3], "label", "rei")])
    labels = ("hana", "hana", "hana", "hana", "rei", "rei")
    confidences = (0.99, 0.97, 0.6, 0.99, 0.96, 0.96)
    other = Proposal("other", 0.01)
    predictions = [
        PrelabelledSample(key, n, (Proposal(label, confidence), other), outlier=0.5)
        for n, (key, label, confidence) in enumerate(zip(keys, labels, confidences, strict=True))
    ]
    Proposals(empty.db).replace(predictions, {})
    return keys


def test_confident_pending_predictions_are_accepted(empty: Dataset, predicted: list[str]) -> None:
    before = empty.journal.count()
    simulated = accept_proposals(empty, 0.95, (), simulate=True).result()
    assert empty.journal.count() == before
    done = accept_proposals(empty, 0.95, ())
    assert done.result() == simulated
    assert done.result() == {
        "accepted": 4,
        "likely_wrong": 0.1,
        "left_in_queue": 1,
        "labels": {"hana": 2, "rei": 2},
        "left": {"not sure enough": 1},
        "note": NO_REJECTED_SAMPLES,
    }
    assert done.likely_wrong == pytest.approx(0.01 + 0.03 + 0.04 + 0.04)
    new = list(empty.journal.iterate())[before:]
    assert {(decision.provenance, decision.action) for decision in new} == {(MODEL, "label")}
    assert {decision.step for decision in new} == {new[0].step}
    assert new[0].name == "Accept 4 predictions"
    empty.journal.undo()
    labels = {sample.key: sample.label for sample in empty.samples.iter_by_key()}
    assert labels == dict.fromkeys(predicted) | {predicted[3]: "rei"}


def test_out_of_distribution_samples_stay_pending(empty: Dataset) -> None:
    keys = [add_faces(empty, add_image(empty, str(n)), [0])[0] for n in range(24)]
    *labelled, similar, unknown = keys
    empty.journal.apply("Hana", [Choice(key, "label", "hana") for key in labelled])
    rng, axes = np.random.default_rng(0), np.eye(8, dtype=np.float32)
    rows = {key: axes[0] + rng.normal(0, 0.1, 8).astype(np.float32) for key in keys}
    rows |= {similar: axes[0], unknown: axes[0] + 2 * axes[1]}
    samples = list(empty.samples.iter_by_key())
    names = [make_sample_vector_name(s.key, Region(s.box, s.angle)) for s in samples]
    vectors = np.stack([rows[s.key] / np.linalg.norm(rows[s.key]) for s in samples])
    name = save_vectors(empty, names, vectors)
    top = (Proposal("hana", 0.99),)
    prelabelled = [PrelabelledSample(key, n, top) for n, key in enumerate((similar, unknown))]
    Proposals(empty.db).replace(prelabelled, {VECTORS_FACT: name})
    plan = accept_proposals(empty, 0.95, ())
    assert [choice.sample for choice in plan.choices] == [similar]
    assert plan.left_out == {"unlike the labelled images of its class": 1}
    assert plan.result()["note"] == NO_REJECTED_SAMPLES
    empty.journal.apply("Reject", [Choice(unknown, "reject")])
    empty.journal.apply("Back", [Choice(similar, "clear")])
    assert accept_proposals(empty, 0.95, ()).result()["note"] == OTHER_CLASSES


def test_accept_one_class_by_former_name(empty: Dataset, predicted: list[str]) -> None:
    with empty.db.transaction():
        empty.classes.rename(empty.journal.apply("Rename", []), "rei", "ayanami rei")
    plan = accept_proposals(empty, 0.5, ["rei"])
    assert plan.result()["labels"] == {"ayanami rei": 2}
    assert plan.left_out == {"of another class": 3}
    with pytest.raises(UsageError, match="there is no class 'nobody'"):
        accept_proposals(empty, 0.5, ["nobody"])


def test_predictions_older_than_a_class_raise_error(empty: Dataset, predicted: list[str]) -> None:
    predictions = list(Proposals(empty.db).iterate())
    Proposals(empty.db).replace(predictions, {"known": ["hana"]})  # rei is a newer class
    with pytest.raises(InputUnusable, match="older than the class rei") as raised:
        accept_proposals(empty, 0.95, ())
    assert f"baseline prelabel -d {empty.root}" in str(raised.value)
    Proposals(empty.db).replace(predictions, {"known": ["hana", "rei"]})
    assert len(accept_proposals(empty, 0.95, ()).choices) == 4


def test_list_predictions_with_alternatives(empty: Dataset, predicted: list[str]) -> None:
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
