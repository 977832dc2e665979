"""Generate clips with known cuts, flashes, images and intros.

    python benchmarks/frames_clip.py film OUT.mp4        # 10 minutes 1080p (takes four minutes)
    python benchmarks/frames_clip.py short OUT.mp4       # 45 seconds of 320x180, for tests
    python benchmarks/frames_clip.py episodes A.mp4 B.mp4  # two with the same intro of 25 s
    python benchmarks/frames_clip.py vfr OUT.mkv         # variable frame rate, numbered frames

Options: `--seed N` and `--height H`. Each film's truth is written next to it as OUT.json: shots
with image and frames, cuts with time and kind, flashes, intros. The same seed gives the same film.
`frames_odd.py` has the other clips for tests: rotated, anamorphic, interlaced, stickers.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from frames_film import Film, Script, generate_film
from frames_odd import uneven
from frames_render import render

FILM = Script()
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


def film(path: Path, seed: int = 0, height: int = 1080) -> Film:
    """Generate the 10-minute film with 190 hard and 10 gradual cuts."""
    return make(replace(FILM, seed=seed), path, height)


def short(path: Path, seed: int = 0, height: int = 180) -> Film:
    """Generate 45 seconds with all kinds of cuts and flashes."""
    return make(replace(SHORT, seed=seed), path, height)


def episodes(first: Path, second: Path, seed: int = 0, height: int = 108) -> tuple[Film, Film]:
    """Generate two films that share only an intro of 25 seconds."""
    script = replace(EPISODE, seed=seed)
    own = script.pictures - script.opening_shots
    other = replace(script, first_picture=own, openings=(0.15,))
    # Both have the same intro shots, which depend on the seed alone.
    return make(script, first, height), make(other, second, height, "27")


def make(script: Script, path: Path, height: int, crf: str = "21") -> Film:
    """Render a script and write its truth next to it."""
    made = generate_film(script)
    encoder = ["-c:v", "libx264", "-preset", "veryfast", "-crf", crf, "-pix_fmt", "yuv420p"]
    render(made, height, path, encoder)
    path.with_suffix(".json").write_text(json.dumps(made.truth()), encoding="utf-8")
    return made


def main() -> None:
    """Generate the requested clip."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("kind", choices=["film", "short", "episodes", "vfr"])
    parser.add_argument("out", type=Path, nargs="+")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--height", type=int)
    arguments = parser.parse_args()
    height = arguments.height or (
        1080 if arguments.kind == "film" else 180 if arguments.kind == "short" else 108
    )
    if arguments.kind == "vfr":
        uneven(arguments.out[0])
    elif arguments.kind == "episodes":
        episodes(arguments.out[0], arguments.out[1], arguments.seed, height)
    else:
        {"film": film, "short": short}[arguments.kind](arguments.out[0], arguments.seed, height)


if __name__ == "__main__":
    main()
