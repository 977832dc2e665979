"""Script of a generated film: the image on screen at each time, cuts, flashes, intros.

`plan_film(Script(...))` returns a `Film`, a plain value determined by the seed, with the true
cuts and intros. `film_renderer.py` renders it as a video.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

CAMERA_MOVES = ("still", "talk", "talk", "pan", "still", "zoom", "talk", "still", "whip", "pan")
FLASHES = ("white", "white", "other", "black", "white", "negative")
MIN_SHOT_SECONDS = 0.7  # a flash is a single frame
FOCUS_SECONDS = 0.5  # duration of a focus pull


@dataclass(frozen=True)
class Script:
    """Amounts of everything in a film: `hard + gradual + 1` shots; times in seconds."""

    seconds: float
    fps: int
    images: int
    hard: int
    gradual: int
    flashes: int
    blurred: int
    intro: float  # duration each time it is shown
    intro_shots: int
    letterboxed: int
    black: int
    intros: tuple[float, ...]  # positions in the film, as shares of its shots
    first_image: int = 0
    seed: int = 0


@dataclass
class Shot:
    """Shot of `image` from frame `start` up to `end` of the film; None is black."""

    image: int | None
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

    def intros(self) -> list[list[float]]:
        """Return start and end of each showing of the intro, in seconds."""
        spans: list[list[float]] = []
        before = ""
        for shot in self.shots:
            if shot.part == "intro":
                if before != "intro":
                    spans.append([shot.start / self.script.fps, 0])
                spans[-1][1] = shot.end / self.script.fps
            before = shot.part
        return spans


def plan_film(script: Script) -> Film:
    """Choose shots, cuts and flashes at random, as many as the script says."""
    rng = np.random.default_rng([script.seed, 7])
    intro = _plan_intro(script, rng)
    shots = _plan_story(script, len(intro), rng)
    marks = [round(share * len(shots)) for share in script.intros]
    for place in reversed(marks):
        shots[place:place] = [Shot(**asdict(shot)) for shot in intro]
    _place_transitions(script, shots, rng)
    _insert_black_screens(script, shots, rng)
    start = 0
    for shot in shots:
        shot.start, start = start, start + shot.frames
    film = Film(script, shots, script.fps * 3 // 8 * 2)
    _place_flashes(film, rng)
    return film


def _plan_intro(script: Script, rng: np.random.Generator) -> list[Shot]:
    lengths = _draw_lengths(script.intro, script.intro_shots, script.fps, rng)
    moves = [CAMERA_MOVES[n % len(CAMERA_MOVES)] for n in range(script.intro_shots)]
    return [Shot(n, frames, "intro", moves[n]) for n, frames in enumerate(lengths)]


def _plan_story(script: Script, intro: int, rng: np.random.Generator) -> list[Shot]:
    """Show new images in order, and repeat some, as in a dialogue."""
    shows = len(script.intros)
    number = script.hard + script.gradual + 1 - shows * intro - script.black
    seconds = script.seconds - shows * script.intro - script.black
    order = _insert_repeats(list(range(intro, script.images)), number, rng)
    lengths = _draw_lengths(seconds, number, script.fps, rng)
    shots = [
        Shot(
            script.first_image * (p >= intro) + p,
            n,
            move=CAMERA_MOVES[i % len(CAMERA_MOVES)],
            grain=i // 12 % 3 == 1,
        )
        for i, (p, n) in enumerate(zip(order, lengths, strict=True))
    ]
    first = number // 3
    for shot in shots[first : first + script.letterboxed]:
        shot.letterbox = True
    long = [shot for shot in shots if shot.frames > 2 * script.fps]
    for n in rng.permutation(len(long))[: script.blurred]:
        long[n].blurred = round(FOCUS_SECONDS * script.fps)
    return shots


def _insert_repeats(new: list[int], number: int, rng: np.random.Generator) -> list[int]:
    order = list(new)
    while len(order) < number:
        place = int(rng.integers(3, len(order) + 1))
        repeated = order[place - int(rng.integers(2, 4))]
        if repeated not in order[place - 1 : place + 1]:
            order.insert(place, repeated)
    return order


def _draw_lengths(seconds: float, number: int, fps: int, rng: np.random.Generator) -> list[int]:
    """Draw the number of frames of each shot, log-normal as in films."""
    shares = rng.lognormal(0, 0.6, number)
    min_frames = MIN_SHOT_SECONDS * fps
    free = seconds * fps - number * min_frames
    frames = [int(min_frames + free * share) for share in shares / shares.sum()]
    frames[-1] += round(seconds * fps) - sum(frames)
    return frames


def _place_transitions(script: Script, shots: list[Shot], rng: np.random.Generator) -> None:
    """Place dissolves and fades between long shots of the story."""
    room = 1.5 * script.fps
    possible = [
        n
        for n in range(1, len(shots))
        if min(shots[n - 1].frames, shots[n].frames) > room
        and not shots[n].blurred
        and {shots[n - 1].part, shots[n].part} == {"story"}
    ]
    positions = rng.permutation(possible)[: script.gradual]
    if len(positions) < script.gradual:
        raise SystemExit("the script has too few long shots for its gradual cuts")
    for count, place in enumerate(positions):
        shots[place].into = "fade" if count % 3 == 1 else "dissolve"


def _insert_black_screens(script: Script, shots: list[Shot], rng: np.random.Generator) -> None:
    """Insert black screens of one second, with hard cuts around."""
    possible = [
        n
        for n in range(2, len(shots) - 1)
        if shots[n].into == "hard"
        and shots[n].part == shots[n - 1].part == "story"
        and shots[n].image != shots[n - 1].image
    ]
    places = sorted(int(n) for n in rng.permutation(possible)[: script.black])
    for place in reversed(places):
        shots.insert(place, Shot(None, script.fps))


def _place_flashes(film: Film, rng: np.random.Generator) -> None:
    """Place single-frame flashes in long shots, every fifth shortly after a cut."""
    fps = film.script.fps
    inner = [
        n
        for n in range(1, len(film.shots) - 1)
        if film.shots[n].frames > 1.5 * fps
        and film.shots[n].image is not None
        and film.shots[n].into == film.shots[n + 1].into == "hard"
        and not film.shots[n].blurred
        and film.shots[n].part == "story"
    ]
    for count, n in enumerate(rng.permutation(inner)[: film.script.flashes]):
        shot = film.shots[n]
        after = 8 if count % 5 == 4 else int(rng.integers(fps * 7 // 10, shot.frames - fps // 2))
        film.flashes[shot.start + after] = FLASHES[count % len(FLASHES)]
