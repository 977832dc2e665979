"""Clips with known cuts, flashes, images and intros, for tests; the same seed gives the same clip.

`frames_odd.py` has other clips: rotated, anamorphic, interlaced, of variable frame rate.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from frames_film import Film, Script, generate_film
from frames_render import render

SHORT = Script(
    seconds=45,
    fps=12,
    pictures=13,
    hard=19,
    gradual=2,
    flashes=4,
    blurred=2,
    opening=6,
    opening_shots=4,
    letterboxed=3,
    black=1,
    openings=(0.1, 0.7),
)
EPISODE = Script(
    seconds=50,
    fps=8,
    pictures=16,
    hard=17,
    gradual=1,
    flashes=1,
    blurred=1,
    opening=25,
    opening_shots=8,
    letterboxed=0,
    black=1,
    openings=(0.5,),
)


def write_short_clip(path: Path, seed: int = 0, height: int = 180) -> Film:
    """Generate 45 seconds with all kinds of cuts and flashes."""
    return render_script(replace(SHORT, seed=seed), path, height)


def write_episodes(
    first: Path, second: Path, seed: int = 0, height: int = 108
) -> tuple[Film, Film]:
    """Generate two films that share only an intro of 25 seconds."""
    script = replace(EPISODE, seed=seed)
    own = script.pictures - script.opening_shots
    other = replace(script, first_picture=own, openings=(0.15,))
    # Both have the same intro shots, which depend on the seed alone.
    return render_script(script, first, height), render_script(other, second, height, "27")


def render_script(script: Script, path: Path, height: int, crf: str = "21") -> Film:
    """Render a script."""
    film = generate_film(script)
    encoder = ["-c:v", "libx264", "-preset", "veryfast", "-crf", crf, "-pix_fmt", "yuv420p"]
    render(film, height, path, encoder)
    return film
