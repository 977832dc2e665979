"""Repeated segments in films of shots, with hashes a few bits off and some entirely wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from harvest.video.intros import Fingerprint, RepeatedSegment, find_repeats

Shots = list[tuple[float, int]]
BLACK = 0


class Studio:
    """A generator of hashes; the same seed gives the same films."""

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(seed)

    def look(self) -> int:
        return self._rng.getrandbits(64)

    def shots(self, seconds: float, low: float = 1.0, high: float = 5.0) -> Shots:
        """Return shots of random length that fill this many seconds."""
        result: Shots = []
        while seconds > 0.001:
            length = min(self._rng.uniform(low, high), seconds)
            result.append((length, self.look()))
            seconds -= length
        return result

    def film(
        self,
        *parts: Shots,
        phase: float = 0.0,
        step: float = 1.0,
        noise: int = 3,
        wrong: float = 0.0,
    ) -> list[Fingerprint]:
        """Return hashes with up to `noise` wrong bits, or random (share `wrong`)."""
        result: list[Fingerprint] = []
        begin, time = 0.0, phase
        for length, value in (shot for part in parts for shot in part):
            while time < begin + length:
                result.append((time, self._seen(value, noise, wrong)))
                time += step
            begin += length
        return result

    def _seen(self, value: int, noise: int, wrong: float) -> int:
        if self._rng.random() < wrong:
            return self.look()
        for bit in self._rng.sample(range(64), self._rng.randint(0, noise)):
            value ^= 1 << bit
        return value


def length(shots: Shots) -> float:
    return sum(seconds for seconds, _ in shots)


def covers(repeat: RepeatedSegment, begin: float, end: float, slack: float = 2.0) -> bool:
    return abs(repeat.start - begin) <= slack and abs(repeat.end - end) <= slack


@pytest.fixture
def studio() -> Studio:
    return Studio()


def test_shared_opening_is_found_in_second_episode(studio: Studio) -> None:
    opening, cold = studio.shots(60), studio.shots(83.4)
    first = studio.film(opening, studio.shots(300))
    second = studio.film(cold, opening, studio.shots(300), phase=0.6)
    none, [result] = find_repeats([first, second])
    assert none == []
    assert covers(result, 83.4, 143.4)
    # It covers every hash of the intro, and not a second more.
    inside = [time for time, _ in second if result.start < time < result.end]
    assert min(inside) <= 84.4
    assert max(inside) >= 142.4


def test_repeats_at_different_positions(studio: Studio) -> None:
    opening, ending, preview = studio.shots(90), studio.shots(85), studio.shots(16)
    stories = [studio.shots(400) for _ in range(3)]
    episodes = [
        studio.film(opening, stories[0], ending, preview),
        studio.film(studio.shots(40), opening, stories[1], ending, preview, phase=0.3),
        studio.film(stories[2], ending, opening, preview, phase=0.7),
    ]
    first, second, third = find_repeats(episodes)
    assert first == []
    assert sum(segment.end - segment.start for segment in second) == pytest.approx(191, abs=7)
    assert sum(segment.end - segment.start for segment in third) == pytest.approx(191, abs=7)


def test_short_difference_does_not_split_repeat(studio: Studio) -> None:
    # Four seconds with the title of the episode.
    before, after = studio.shots(30), studio.shots(30)
    first, second = (
        studio.film(studio.shots(50), before, [(4.0, studio.look())], after, studio.shots(50))
        for _ in range(2)
    )
    _, [result] = find_repeats([first, second])
    assert covers(result, 50, 114)


STILLS: list[Sequence[int]] = [[BLACK], [2**64 - 1], [5, 2**40 - 1], [1, 2**20 - 1, 2**50 - 2**20]]


@pytest.mark.parametrize("looks", STILLS)
def test_stills_are_not_repeats(looks: Sequence[int]) -> None:
    turns = [(float(t), looks[t // 4 % len(looks)]) for t in range(600)]
    assert find_repeats([turns, turns]) == [[], []]
