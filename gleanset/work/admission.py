"""Whether nodes can work: all of them are asked, and those that cannot are told with the reason."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future

from gleanset.errors import InputUnusable
from gleanset.work.cluster_nodes import NodeAnswer, NodeCheck, NodeQuestion
from gleanset.work.machines import Machines, WorkerLost, last_line

SECONDS_TO_ANSWER = 90.0
"""So long a node may take to begin a process that looks around; a dead one is known by then."""
SECONDS_BETWEEN_QUESTIONS = 1.0


def troubles_of(
    nodes: Mapping[str, str], machines: Machines, check: NodeCheck
) -> dict[str, list[str]]:
    """Return by its address why a node cannot work; one that dies meanwhile is no trouble.

    `nodes` are names and addresses.
    """
    troubles: dict[str, list[str]] = {}
    with check.asking() as question:
        until = time.monotonic() + SECONDS_TO_ANSWER
        asked = {node: machines.ask(node, question) for node in nodes}
        for node, answer in asked.items():
            try:
                found = _answer_of(node, machines, question, answer, until)
                why = check.troubles(question, node, found) if found else []
            except Exception as error:
                # Without Gleanset it cannot even take the question in.
                why = [f"does not answer: {last_line(error)}"]
            if why:
                troubles[nodes[node]] = why
    return troubles


def _answer_of(
    node: str,
    machines: Machines,
    question: NodeQuestion,
    answer: Future[NodeAnswer],
    until: float,
) -> NodeAnswer | None:
    """Wait for what a node says, None where it is gone; one that just died is still listed."""
    while True:
        try:
            return answer.result(max(until - time.monotonic(), 0.0))
        except WorkerLost:
            if time.monotonic() > until:
                raise
        time.sleep(SECONDS_BETWEEN_QUESTIONS)
        if node not in machines.nodes():
            return None
        answer = machines.ask(node, question)


def unusable_nodes(troubles: Mapping[str, list[str]], number: int) -> InputUnusable:
    """Return the error that tells of each node, by its address, why it cannot work."""
    lines = [f"  {address}: {'; '.join(why)}" for address, why in sorted(troubles.items())]
    return InputUnusable(
        "\n".join((f"{len(troubles)} of {number} nodes cannot work on this dataset:", *lines)),
        "give every node the same folders under the same paths and the same versions, or take it "
        "out of the cluster there: ray stop",
    )
