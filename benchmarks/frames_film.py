"""Script of a generated film: the image on screen at each time, cuts, flashes, intros.

`write(Script(...))` returns a `Film`, a plain value determined by the seed; `Film.truth()` is its
ground truth as JSON values. `frames_render.py` renders it as a video.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

MOVES = ("still", "talk", "talk", "pan", "still", "zoom", "talk", "still", "whip", "pan")
FLASHES = ("white", "white", "other", "black", "white", "negative")
SHORTEST = 0.7  # seconds; a flash is a single frame, a shot at least this long
BLURRED = 0.5  # seconds that a camera needs to focus


@dataclass(frozen=True)
class Script:
    """Amounts of everything in a film: `hard + gradual + 1` shots; times in seconds."""

    seed: int = 0
    seconds: float = 600
    fps: int = 24
    pictures: int = 130
    hard: int = 190
    gradual: int = 10
    flashes: int = 12
    blurred: int = 14
    opening: float = 36  # duration each time it is shown
    opening_shots: int = 14
    letterboxed: int = 12
    black: int = 2
    first_picture: int = 0
    openings: tuple[float, ...] = (0.06, 0.6)  # positions in the film, as shares of its shots


@dataclass
class Shot:
    """Shot of `picture` from frame `start` up to `end` of the film; None is black."""

    picture: int | None
    frames: int
    part: str = "story"
    move: str = "still"
    into: str = "hard"  # transition into the shot: hard, dissolve or fade through black
    letterbox: bool = False
    grain: bool = False
    blurred: int = 0  # out-of-focus frames at its start
    start: int = 0

    @property
    def end(self) -> int:
        """The first frame after this shot."""
        return self.start + self.frames


@dataclass
class Film:
    """Shots in order, and the frames that are flashes."""

    script: Script
    shots: list[Shot]
    gradual: int  # frames of a dissolve or fade; even
    flashes: dict[int, str] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """The number of frames."""
        return self.shots[-1].end

    def cuts(self) -> list[dict[str, Any]]:
        """Return time in seconds and kind of each cut."""
        fps = self.script.fps
        return [{"time": shot.start / fps, "kind": shot.into} for shot in self.shots[1:]]

    def openings(self) -> list[list[float]]:
        """Return start and end of each showing of the intro, in seconds."""
        spans: list[list[float]] = []
        before = ""
        for shot in self.shots:
            if shot.part == "opening":
                if before != "opening":
                    spans.append([shot.start / self.script.fps, 0])
                spans[-1][1] = shot.end / self.script.fps
            before = shot.part
        return spans


def generate_film(script: Script) -> Film:
    """Generate the film of a script."""
    rng = np.random.default_rng([script.seed, 7])
    opening = _opening(script, rng)
    shots = _story(script, len(opening), rng)
    marks = [round(share * len(shots)) for share in script.openings]
    for place in reversed(marks):
        shots[place:place] = [Shot(**asdict(shot)) for shot in opening]
    _gradual(script, shots, rng)
    _black(script, shots, rng)
    start = 0
    for shot in shots:
        shot.start, start = start, start + shot.frames
    film = Film(script, shots, script.fps * 3 // 8 * 2)
    _flash(film, rng)
    return film


def _opening(script: Script, rng: np.random.Generator) -> list[Shot]:
    if not script.opening:
        return []
    lengths = _lengths(script.opening, script.opening_shots, script.fps, rng)
    moves = [MOVES[n % len(MOVES)] for n in range(script.opening_shots)]
    return [Shot(n, frames, "opening", moves[n]) for n, frames in enumerate(lengths)]


def _story(script: Script, opening: int, rng: np.random.Generator) -> list[Shot]:
    """Show new images in order, and repeat some, as in a dialogue."""
    shows = len(script.openings)
    number = script.hard + script.gradual + 1 - shows * opening - script.black
    seconds = script.seconds - shows * script.opening * bool(opening) - script.black
    order = _with_repeats(list(range(opening, script.pictures)), number, rng)
    lengths = _lengths(seconds, number, script.fps, rng)
    shots = [
        Shot(
            script.first_picture * (p >= opening) + p,
            n,
            move=MOVES[i % len(MOVES)],
            grain=i // 12 % 3 == 1,
        )
        for i, (p, n) in enumerate(zip(order, lengths, strict=True))
    ]
    first = number // 3
    for shot in shots[first : first + script.letterboxed]:
        shot.letterbox = True
    long = [shot for shot in shots if shot.frames > 2 * script.fps]
    for n in rng.permutation(len(long))[: script.blurred]:
        long[n].blurred = round(BLURRED * script.fps)
    return shots


def _with_repeats(new: list[int], number: int, rng: np.random.Generator) -> list[int]:
    order = list(new)
    while len(order) < number:
        place = int(rng.integers(3, len(order) + 1))
        shown = order[place - int(rng.integers(2, 4))]
        if shown not in order[place - 1 : place + 1]:
            order.insert(place, shown)
    return order


def _lengths(seconds: float, number: int, fps: int, rng: np.random.Generator) -> list[int]:
    """Draw the number of frames of each shot, log-normal as in films."""
    shares = rng.lognormal(0, 0.6, number)
    least = SHORTEST * fps
    free = seconds * fps - number * least
    frames = [int(least + free * share) for share in shares / shares.sum()]
    frames[-1] += round(seconds * fps) - sum(frames)
    return frames


def _gradual(script: Script, shots: list[Shot], rng: np.random.Generator) -> None:
    """Place dissolves and fades between long shots of the story."""
    room = 1.5 * script.fps
    possible = [
        n
        for n in range(1, len(shots))
        if min(shots[n - 1].frames, shots[n].frames) > room
        and not shots[n].blurred
        and {shots[n - 1].part, shots[n].part} == {"story"}
    ]
    chosen = rng.permutation(possible)[: script.gradual]
    if len(chosen) < script.gradual:
        raise SystemExit("the script has too few long shots for its gradual cuts")
    for count, place in enumerate(chosen):
        shots[place].into = "fade" if count % 3 == 1 else "dissolve"


def _black(script: Script, shots: list[Shot], rng: np.random.Generator) -> None:
    """Insert black screens of one second, with hard cuts around."""
    possible = [
        n
        for n in range(2, len(shots) - 1)
        if shots[n].into == "hard"
        and shots[n].part == shots[n - 1].part == "story"
        and shots[n].picture != shots[n - 1].picture
    ]
    places = sorted(int(n) for n in rng.permutation(possible)[: script.black])
    for place in reversed(places):
        shots.insert(place, Shot(None, script.fps))


def _flash(film: Film, rng: np.random.Generator) -> None:
    """Place single-frame flashes in long shots, every fifth shortly after a cut."""
    fps = film.script.fps
    inner = [
        n
        for n in range(1, len(film.shots) - 1)
        if film.shots[n].frames > 1.5 * fps
        and film.shots[n].picture is not None
        and film.shots[n].into == film.shots[n + 1].into == "hard"
        and not film.shots[n].blurred
        and film.shots[n].part == "story"
    ]
    for count, n in enumerate(rng.permutation(inner)[: film.script.flashes]):
        shot = film.shots[n]
        after = 8 if count % 5 == 4 else int(rng.integers(fps * 7 // 10, shot.frames - fps // 2))
        film.flashes[shot.start + after] = FLASHES[count % len(FLASHES)]
