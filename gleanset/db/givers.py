"""How each sample came by the label it has: the provenance of the decision in force."""

from __future__ import annotations

from collections import defaultdict

from gleanset.db.connection import Connection

PERSON = "person"


def provenances(db: Connection) -> dict[str, str]:
    """The provenance of every label by sample key, as the journal has it ('person', 'hint', …).

    A label that an undo brought back has the provenance it had before. One that a person has
    looked at again, and found right, is 'person'.
    """
    given: dict[str, str] = {}
    before: dict[str, dict[int, str]] = defaultdict(dict)
    for key, label, provenance in db.rows(
        "SELECT s.key, d.value, d.provenance FROM decision d JOIN sample s ON s.id=d.sample "
        "WHERE s.status='labelled' AND d.action='label' ORDER BY d.id"
    ):
        if provenance == "undo":
            provenance = before[key].get(label, provenance)
        before[key][label] = given[key] = provenance
    for (key,) in db.rows(
        "SELECT s.key FROM checked c JOIN sample s ON s.id=c.sample "
        "WHERE c.held AND c.label=s.label AND s.status='labelled'"
    ):
        given[key] = PERSON
    return given
