"""What is proposed for each sample that waits: a presort's word, its hint's, its neighbours'.

Sources are taken as independent and multiplied (naive Bayes); each gives what it does not say to
the other classes, and to somebody of no class, in equal parts. A class that a person refused for a
sample is not proposed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from gleanset.db.classes import class_name
from gleanset.errors import UsageError

HINT = 0.8
"""How often a hint is right, as long as nothing is known: queries find bystanders."""

MOST_SURE = 0.995
TOP = 3


class Opinion(NamedTuple):
    """What one source says of one sample: classes by name with their probabilities."""

    says: Mapping[str, float]


class Proposal(NamedTuple):
    """Classes with their probabilities, the likeliest first; empty where nobody knows."""

    top: tuple[tuple[str, float], ...] = ()

    @property
    def label(self) -> str | None:
        """The first proposal."""
        return self.top[0][0] if self.top else None

    @property
    def confidence(self) -> float:
        """How sure it is; 0 for none."""
        return self.top[0][1] if self.top else 0.0


NO_IDEA = Proposal()


def combined(
    opinions: Iterable[Opinion],
    classes: Sequence[str],
    refused: Iterable[str] = (),
    doubt: float = 1.0,
) -> Proposal:
    """One proposal of several opinions.

    `doubt` is how much more often proposals of this session were wrong than they said.
    """
    given = [opinion.says for opinion in opinions if opinion.says]
    names = set(classes).union(*given) if given else set()
    refused = set(refused)
    scores = {name: 1.0 for name in names if name not in refused}
    if not given or not scores:
        return NO_IDEA
    stranger = 1.0  # somebody of whom there is no class
    for says in given:
        rest = max(0.0, 1 - sum(says.values())) / (len(names) - len(says) + 1)
        stranger *= max(rest, 1e-6)
        for name in scores:
            scores[name] *= max(says.get(name, rest), 1e-6)
    total = sum(scores.values()) + stranger
    # What was refused takes its share of certainty with it: the rest is a guess again.
    kept = 1 - max((says.get(name, 0.0) for says in given for name in refused), default=0.0) * 0.5
    best = sorted(
        ((name, score / total) for name, score in scores.items()),
        key=lambda item: (-item[1], item[0]),
    )[:TOP]
    first = max(0.01, min(MOST_SURE, 1 - (1 - best[0][1] * kept) * doubt))
    # The others share what is left as they did before.
    part = (1 - first) / max(1 - best[0][1], 1e-6)
    others = ((name, min(first, share * part)) for name, share in best[1:])
    return Proposal(((best[0][0], first), *others))


def of_hint(hint: str | None) -> Opinion:
    """A hint as an opinion; none where it could not be the name of a class."""
    with suppress(UsageError):
        if hint is not None:
            return Opinion({class_name(hint): HINT})
    return Opinion({})


class Honesty:
    """How often proposals were wrong, against how often they said they would be."""

    START = 4.0

    def __init__(self) -> None:
        self.expected = 0.0
        self.wrong = 0.0

    def learn(self, expected: float, wrong: int) -> None:
        """A page was filed that expected so many wrong ones, and had so many."""
        self.expected += expected
        self.wrong += wrong

    @property
    def doubt(self) -> float:
        """What to multiply the chance of an error by."""
        return min(4.0, max(0.25, (self.wrong + self.START) / (self.expected + self.START)))


class Trust:
    """How much the neighbours' word is worth, from how often it was right when it was heard.

    It begins with less than it claims: what is left out in turn looks like its own class more
    than a new picture does.
    """

    RIGHT, CLAIMED = 6.0, 10.0

    def __init__(self) -> None:
        self._right = self.RIGHT
        self._claimed = self.CLAIMED

    def learn(self, claimed: float, *, right: bool) -> None:
        """Neighbours were so sure of a class, before trust was taken off."""
        self._right += right
        self._claimed += claimed / self.worth

    @property
    def worth(self) -> float:
        """What to multiply their confidence with."""
        return min(1.0, max(0.2, self._right / self._claimed))
