"""Stretches that recur in films made of shots, each look a few bits off, some wholly wrong."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest

from harvest.video.openings import Fingerprint, RepeatedStretch, find_repeats, snapped

Shots = list[tuple[float, int]]
BLACK = 0


class Studio:
    """Draws looks; the same seed gives the same films."""

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(seed)

    def look(self) -> int:
        return self._rng.getrandbits(64)

    def shots(self, seconds: float, low: float = 1.0, high: float = 5.0) -> Shots:
        """Shots of random length that fill so many seconds."""
        found: Shots = []
        while seconds > 0.001:
            length = min(self._rng.uniform(low, high), seconds)
            found.append((length, self.look()))
            seconds -= length
        return found

    def film(
        self,
        *parts: Shots,
        phase: float = 0.0,
        step: float = 1.0,
        noise: int = 3,
        wrong: float = 0.0,
    ) -> list[Fingerprint]:
        """A look each `step` seconds, `noise` bits off at most, a share of them `wrong`."""
        found: list[Fingerprint] = []
        begin, time = 0.0, phase
        for length, value in (shot for part in parts for shot in part):
            while time < begin + length:
                found.append((time, self._seen(value, noise, wrong)))
                time += step
            begin += length
        return found

    def _seen(self, value: int, noise: int, wrong: float) -> int:
        if self._rng.random() < wrong:
            return self.look()
        for bit in self._rng.sample(range(64), self._rng.randint(0, noise)):
            value ^= 1 << bit
        return value


def length(shots: Shots) -> float:
    return sum(seconds for seconds, _ in shots)


def faster(shots: Shots, factor: float) -> Shots:
    return [(seconds / factor, value) for seconds, value in shots]


def covers(repeat: RepeatedStretch, begin: float, end: float, slack: float = 2.0) -> bool:
    return abs(repeat.start - begin) <= slack and abs(repeat.end - end) <= slack


@pytest.fixture
def studio() -> Studio:
    return Studio()


def test_a_shared_opening_is_a_repeat_in_the_second_episode_alone(studio: Studio) -> None:
    opening, cold = studio.shots(60), studio.shots(83.4)
    first = studio.film(opening, studio.shots(300))
    second = studio.film(cold, opening, studio.shots(300), phase=0.6)
    none, [found] = find_repeats([first, second])
    assert none == []
    assert covers(found, 83.4, 143.4)
    assert found.of_video == 0
    assert found.of_start == pytest.approx(0, abs=2)
    # Every look of the opening lies inside, with no second of it left over.
    inside = [time for time, _ in second if found.start < time < found.end]
    assert min(inside) <= 84.4
    assert max(inside) >= 142.4


def test_one_episode_shows_it_twice(studio: Studio) -> None:
    opening = studio.shots(45)
    [[found]] = find_repeats([studio.film(opening, studio.shots(200), opening)])
    assert covers(found, 245, 290)
    assert found.of_video == 0


def test_opening_ending_and_preview_at_other_places_each(studio: Studio) -> None:
    opening, ending, preview = studio.shots(90), studio.shots(85), studio.shots(16)
    stories = [studio.shots(400) for _ in range(3)]
    episodes = [
        studio.film(opening, stories[0], ending, preview),
        studio.film(studio.shots(40), opening, stories[1], ending, preview, phase=0.3),
        studio.film(stories[2], ending, opening, preview, phase=0.7),
    ]
    first, second, third = find_repeats(episodes)
    assert first == []
    assert sum(one.end - one.start for one in second) == pytest.approx(191, abs=7)
    assert sum(one.end - one.start for one in third) == pytest.approx(191, abs=7)
    assert {one.of_video for one in second + third} == {0}


def test_looks_that_differ_do_not_break_a_stretch(studio: Studio) -> None:
    # One look of six is another one: a title over it, a motion hit at another phase.
    opening = studio.shots(90)
    first = studio.film(opening, studio.shots(100), wrong=0.08)
    second = studio.film(studio.shots(50), opening, studio.shots(100), phase=0.5, wrong=0.08)
    _, found = find_repeats([first, second])
    assert sum(one.end - one.start for one in found) >= 85
    assert all(one.start >= 48 and one.end <= 142 for one in found)


def test_another_frame_rate_bends_the_stretch(studio: Studio) -> None:
    # 23.976 frames a second played at 25.
    opening = studio.shots(90)
    first = studio.film(opening, studio.shots(200))
    second = studio.film(studio.shots(31), faster(opening, 25 / 23.976), studio.shots(200))
    _, found = find_repeats([first, second])
    assert sum(one.end - one.start for one in found) == pytest.approx(86.3, abs=5)


def test_what_is_too_short_is_none(studio: Studio) -> None:
    card = studio.shots(10, high=2)
    first = studio.film(card, studio.shots(100))
    second = studio.film(studio.shots(100), card, studio.shots(50))
    assert find_repeats([first, second]) == [[], []]


def test_a_card_in_the_middle_that_differs_is_a_part_of_it(studio: Studio) -> None:
    # Four seconds with the name of the episode.
    before, after = studio.shots(30), studio.shots(30)
    first, second = (
        studio.film(studio.shots(50), before, [(4.0, studio.look())], after, studio.shots(50))
        for _ in range(2)
    )
    _, [found] = find_repeats([first, second])
    assert covers(found, 50, 114)


def test_nothing_in_common_is_nothing(studio: Studio) -> None:
    films = [studio.film(studio.shots(300)) for _ in range(3)]
    assert find_repeats(films) == [[], [], []]
    assert find_repeats([]) == []
    assert find_repeats([[], [(0.0, 1)]]) == [[], []]


STILLS: list[Sequence[int]] = [[BLACK], [2**64 - 1], [5, 2**40 - 1], [1, 2**20 - 1, 2**50 - 2**20]]


@pytest.mark.parametrize("looks", STILLS)
def test_black_stills_and_shots_in_turn_are_no_opening(looks: Sequence[int]) -> None:
    turns = [(float(t), looks[t // 4 % len(looks)]) for t in range(600)]
    assert find_repeats([turns, turns]) == [[], []]


def test_black_around_and_inside_does_no_harm(studio: Studio) -> None:
    black: Shots = [(40, BLACK)]
    halves = studio.shots(30), studio.shots(30)
    opening = [*halves[0], (4.0, BLACK), *halves[1]]
    first = studio.film(black, opening, studio.shots(100), black, studio.shots(50))
    second = studio.film(black, studio.shots(100), opening, studio.shots(50), phase=0.4)
    _, found = find_repeats([first, second])
    assert len(found) == 1
    assert covers(found[0], 140, 204, slack=3)


@pytest.mark.parametrize("step", [0.25, 2.0])
def test_looks_may_be_denser_or_sparser(studio: Studio, step: float) -> None:
    opening = studio.shots(60)
    first = studio.film(opening, studio.shots(100), step=step)
    second = studio.film(studio.shots(70), opening, studio.shots(100), step=step, phase=step / 3)
    _, found = find_repeats([first, second])
    assert sum(one.end - one.start for one in found) == pytest.approx(60, abs=2 * step + 3)


def test_each_stretch_is_kept_where_it_was_shown_first(studio: Studio) -> None:
    opening = studio.shots(60)
    films = [studio.film(studio.shots(100), opening, phase=n / 5) for n in range(5)]
    repeats = find_repeats(films)
    assert repeats[0] == []
    for found in repeats[1:]:
        assert [one.of_video for one in found] == [0]
        assert covers(found[0], 100, 160)


def test_stretches_are_in_order_and_apart(studio: Studio) -> None:
    one, other = studio.shots(40), studio.shots(40)
    first = studio.film(one, studio.shots(30), other)
    second = studio.film(other, one, studio.shots(30), one, phase=0.5)
    _, found = find_repeats([first, second])
    assert sum(r.end - r.start for r in found) == pytest.approx(120, abs=8)
    for before, after in pairwise(found):
        assert before.end <= after.start


def test_ends_snap_to_the_cuts_near_them() -> None:
    one = RepeatedStretch(351.0, 388.0, 0, 28.0)
    [found] = snapped([one], [388.33, 352.33, 300.0, 370.0], within=1.5)
    assert found.start < 352.33 < found.start + 0.001
    assert found.end == 388.33
    assert snapped([one], [], within=1.5) == [one]
    assert snapped([one], [340.0, 395.0], within=1.5) == [one]
