"""What a model is sure of becomes labels by command, marked as the model's, in one step."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
from labeler_makers import add_faces, add_image

from curation.similarity.vectors import VECTORS_FACT, make_sample_vector_name, save_vectors
from gleanset import Dataset
from gleanset.db.journal import MODEL, Choice
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals
from gleanset.errors import InputUnusable, UsageError
from gleanset.records import Region
from labeler.acceptance import NO_REJECTED_SAMPLES, OTHER_CLASSES, accept_proposals
from pipeline.listing import list_records

Labeler = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def proposed(empty: Dataset) -> list[str]:
    """Six samples: four proposed as hana (.99, .97, .6, and .99 but decided), two as rei (.96)."""
    keys = [add_faces(empty, add_image(empty, name), [0])[0] for name in "abcdef"]
    empty.journal.apply("Classes", [Choice(keys[0], "label", n) for n in ("hana", "rei")])
    empty.journal.apply("Classes", [Choice(keys[0], "label", "hana")])
    empty.journal.apply("Back", [Choice(keys[0], "clear")])
    empty.journal.apply("Rei", [Choice(keys[3], "label", "rei")])
    message = [("hana", 0.99), ("hana", 0.97), ("hana", 0.6), ("hana", 0.99), ("rei", 0.96)]
    Proposals(empty.db).replace(
        [
            PrelabelledSample(
                key, place, (Proposal(label, sure), Proposal("other", 0.01)), outlier=0.5
            )
            for place, (key, (label, sure)) in enumerate(
                zip(keys, [*message, message[4]], strict=True)
            )
        ],
        {},
    )
    return keys


def test_confident_pending_predictions_are_accepted(empty: Dataset, proposed: list[str]) -> None:
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
    assert {(one.provenance, one.action) for one in new} == {(MODEL, "label")}
    assert {one.step for one in new} == {new[0].step}
    assert new[0].name == "Accept 4 predictions"
    decided = empty.samples.get(proposed[3])
    assert decided is not None
    assert decided.label == "rei"
    empty.journal.undo()
    labels = [empty.samples.get(key) for key in proposed]
    assert [label.label for label in labels if label] == [None, None, None, "rei", None, None]


def test_out_of_distribution_samples_stay_pending(empty: Dataset) -> None:
    keys = [add_faces(empty, add_image(empty, str(n)), [0])[0] for n in range(24)]
    *labelled, alike, stranger = keys
    empty.journal.apply("Hana", [Choice(key, "label", "hana") for key in labelled])
    rng, middle = np.random.default_rng(0), np.eye(8, dtype=np.float32)
    rows = {key: middle[0] + rng.normal(0, 0.1, 8).astype(np.float32) for key in keys}
    rows |= {alike: middle[0], stranger: middle[0] + 2 * middle[1]}
    samples = [sample for sample in empty.samples.iter_by_key() if sample.key in rows]
    name = save_vectors(
        empty,
        [make_sample_vector_name(one.key, Region(one.box, one.angle)) for one in samples],
        np.stack([rows[one.key] / np.linalg.norm(rows[one.key]) for one in samples]),
    )
    sure = (Proposal("hana", 0.99),)
    prelabelled = [PrelabelledSample(key, n, sure) for n, key in enumerate((alike, stranger))]
    Proposals(empty.db).replace(prelabelled, {VECTORS_FACT: name})
    plan = accept_proposals(empty, 0.95, ())
    assert [choice.sample for choice in plan.choices] == [alike]
    assert plan.left_out == {"unlike the labelled images of its class": 1}
    assert plan.result()["note"] == NO_REJECTED_SAMPLES
    empty.journal.apply("Reject", [Choice(stranger, "reject")])
    empty.journal.apply("Back", [Choice(alike, "clear")])
    assert accept_proposals(empty, 0.95, ()).result()["note"] == OTHER_CLASSES


def test_accept_one_class_by_former_name(empty: Dataset, proposed: list[str]) -> None:
    with empty.db.transaction():
        empty.classes.rename(empty.journal.apply("Rename", []), "rei", "ayanami rei")
    plan = accept_proposals(empty, 0.5, ["rei"])
    assert plan.result()["labels"] == {"ayanami rei": 2}
    assert plan.left_out == {"of another class": 3}
    with pytest.raises(UsageError, match="there is no class 'nobody'"):
        accept_proposals(empty, 0.5, ["nobody"])


def test_predictions_older_than_a_class_raise_error(empty: Dataset, proposed: list[str]) -> None:
    standings = list(Proposals(empty.db).iterate())
    Proposals(empty.db).replace(standings, {"known": ["hana"]})  # rei was named since
    with pytest.raises(InputUnusable, match="older than the class rei") as refused:
        accept_proposals(empty, 0.95, ())
    assert f"baseline prelabel -d {empty.root}" in str(refused.value)
    Proposals(empty.db).replace(standings, {"known": ["hana", "rei"]})
    assert len(accept_proposals(empty, 0.95, ()).choices) == 4


def test_list_predictions_with_alternatives(empty: Dataset, proposed: list[str]) -> None:
    waiting = list_records(empty, "predictions", ("waits=true",))
    lines = [line for line in waiting if line["confidence"] >= 0.97]
    assert {line["sample"] for line in lines} == set(proposed[:2])
    assert all(line["label"] == "hana" and line["others"] == [] for line in lines)
    (rei,) = list_records(empty, "predictions", ("status=labelled",))
    assert rei == {
        "sample": proposed[3],
        "status": "labelled",
        "waits": False,
        "label": "hana",
        "confidence": 0.99,
        "others": [],
        "position": 3,
        "cluster": None,
        "outlier": 0.5,
    }


def test_accept_predictions_command(empty: Dataset, proposed: list[str], labeler: Labeler) -> None:
    words = (
        "accept",
        "predictions",
        "--above",
        "0.98",
        "--class",
        "hana",
        "--json",
        "-d",
        empty.root,
    )
    simulated = labeler(*words, "--simulate")
    assert json.loads(simulated.stdout)["accepted"] == 1, simulated.stderr
    assert json.loads(labeler(*words).stdout)["labels"] == {"hana": 1}
    assert json.loads(labeler(*words).stdout)["accepted"] == 0
