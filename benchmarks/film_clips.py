"""Clips with known cuts, flashes, images and intros, for tests; the same seed gives the same clip.

`unusual_clips.py` has other clips: rotated, anamorphic, interlaced, of variable frame rate.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from film_renderer import render
from film_script import Film, Script, plan_film

SHORT = Script(
    seconds=45,
    fps=12,
    images=13,
    hard=19,
    gradual=2,
    flashes=4,
    blurred=2,
    intro=6,
    intro_shots=4,
    letterboxed=3,
    black=1,
    intros=(0.1, 0.7),
)
EPISODE = Script(
    seconds=50,
    fps=8,
    images=16,
    hard=17,
    gradual=1,
    flashes=1,
    blurred=1,
    intro=25,
    intro_shots=8,
    letterboxed=0,
    black=1,
    intros=(0.5,),
)


def write_short_clip(path: Path) -> Film:
    """Generate 45 seconds with all kinds of cuts and flashes."""
    return render(plan_film(SHORT), path, 180)


def write_episodes(first: Path, second: Path) -> tuple[Film, Film]:
    """Generate two films that share only an intro of 25 seconds."""
    story_images = EPISODE.images - EPISODE.intro_shots
    other = replace(EPISODE, first_image=story_images, intros=(0.15,))
    # Both have the same intro shots, which depend on the seed alone.
    return render(plan_film(EPISODE), first, 108), render(plan_film(other), second, 108, "27")
