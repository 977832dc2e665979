"""Draw the whole committed sample: `python -m tools.sample.make datasets/sample`.

Writes images, an episode, `site.json` (`plan_listing`) and `truth.json`: the faces on each image
and the shots of the episode. The output is reproducible. File names and addresses are hashes of
seeds, so that only the image itself (or `truth.json`) reveals who is on it.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from PIL import Image

from gleanset.records import Box
from pipeline.sample_site import FILE, SearchResult, SiteListing, to_json
from tools.sample.character import CAST, Expression
from tools.sample.clip_ffmpeg import SHOTS, clip_frames, write_clip
from tools.sample.scene import Figure, Scene, draw_scene, face_box, paint_scene

SOLO = 30
PAIRS = 2

_AUTHORS = ("inkpot", "moth & lamp", "paperplane", "nine_crayons", "Büro Wolke")
_TITLES = (
    "{} in the afternoon",
    "{} - quick sketch",
    "{} wallpaper 640x360",
    "My fanart of {}",
    'cute "{}" screenshot',
    "{} <3",
    "Best of {}, part 2",
)

# Faults among the results of each keyword; every kind occurs at least once.
_FAULTS = (
    ("missing", "page"),
    ("cut", "forbidden"),
    ("empty", "missing", "dropped"),
    ("page", "cut", "forbidden"),
)


@dataclass(frozen=True, slots=True)
class DrawnPicture:
    """Image to draw: file name, seed, and names of the characters, the main one first."""

    file: str
    seed: int
    names: tuple[str, ...]


def plan_pictures() -> list[DrawnPicture]:
    """Plan `SOLO` images of each character alone and `PAIRS` with another one."""
    pictures = []
    for index, who in enumerate(CAST):
        others = [CAST[(index + step) % len(CAST)].name for step in range(1, PAIRS + 1)]
        casts = [(who.name,)] * SOLO + [(who.name, other) for other in others]
        for number, names in enumerate(casts):
            seed = 1000 * (index + 1) + number
            pictures.append(DrawnPicture(_hash("picture", seed) + ".jpg", seed, names))
    return pictures


def plan_listing(pictures: list[DrawnPicture]) -> SiteListing:
    """Plan the site's ordered search results for each character's name."""
    own = {who.name: [_result(p) for p in pictures if p.names[0] == who.name] for who in CAST}
    listing: SiteListing = {}
    for index, (name, results) in enumerate(own.items()):
        neighbour = own[CAST[(index + 1) % len(CAST)].name]
        entries = [*results, *_near_copies(results), *_exact_copies(results[8:10])]
        entries += _exact_copies(neighbour[5:6])  # same bytes, other address, other keyword
        entries += [neighbour[3], neighbour[SOLO]]  # the same address under two keywords
        entries += [_broken(results[12 + i], fault) for i, fault in enumerate(_FAULTS[index])]
        random.Random(f"order {name}").shuffle(entries)  # noqa: S311 - drawing, not secrecy
        listing[name] = entries
    return listing


def _result(picture: DrawnPicture) -> SearchResult:
    dice = random.Random(f"result {picture.seed}")  # noqa: S311 - drawing, not secrecy
    host = dice.choice(("host-a", "host-b"))
    ending = dice.choice((".jpg", ".jpg", ".jpg", ".jpeg", "", ".jpg?w=640&v=2"))
    return SearchResult(
        picture=picture.file,
        path=f"/{host}/media/{_hash('address', picture.seed)}{ending}",
        title=dice.choice(_TITLES).format(picture.names[0].capitalize()),
        page=f"/{host}/post/{dice.randrange(10_000, 99_999)}",
        author=dice.choice(_AUTHORS),
    )


def _near_copies(results: list[SearchResult]) -> list[SearchResult]:
    """Return smaller and re-encoded copies of a few images."""
    smaller = [_elsewhere(result, "resized") for result in results[0:3]]
    return smaller + [_elsewhere(result, "reencoded") for result in results[2:5]]


def _exact_copies(results: list[SearchResult]) -> list[SearchResult]:
    """Return copies with the same bytes on the other host."""
    return [_elsewhere(result, "plain") for result in results]


def _elsewhere(result: SearchResult, variant: str) -> SearchResult:
    host = "host-b" if result.path.startswith("/host-a") else "host-a"
    address = _hash(variant, result.path)
    page = f"/{host}/post/{int(address[:6], 16)}"
    path = f"/{host}/reposts/{address}.jpg"
    return replace(result, path=path, page=page, author="repostbot", variant=variant)


def _broken(result: SearchResult, fault: str) -> SearchResult:
    broken = _elsewhere(result, "plain")
    path = broken.path.replace("reposts", "old").replace(".jpg", f"{fault[0]}.jpg")
    return replace(broken, path=path, fault=fault)


def _hash(*parts: object) -> str:
    return sha256(" ".join(map(str, parts)).encode()).hexdigest()[:16]


_QUALITY = 82


def draw_picture(picture: DrawnPicture) -> tuple[Image.Image, list[Box]]:
    """Draw a planned image; return it with the true face boxes."""
    cast = {who.name: who for who in CAST}
    return draw_scene([cast[name] for name in picture.names], picture.seed)


def make_sample(folder: Path) -> None:
    """Write the whole sample into `folder`."""
    pictures = plan_pictures()
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    truth = {}
    for picture in pictures:
        image, boxes = draw_picture(picture)
        path = folder / "pictures" / picture.file
        image.save(path, quality=_QUALITY, optimize=True)
        truth[picture.file] = _faces(picture, boxes)
    (folder / FILE).write_text(to_json(plan_listing(pictures)), encoding="utf-8")
    (folder / "truth.json").write_text(_truth(truth), encoding="utf-8")
    write_clip(clip_frames(), folder / "episode.mp4")


def draw_selftest() -> tuple[Image.Image, Box]:
    """Draw the 200 x 200 pixel face of the detectors' self-test."""
    figure = Figure(CAST[0], 25, 22, 150, 0, Expression())
    scene = Scene((200, 200), "hills", 1, (1.0, 1.0, 1.0), (figure,))
    return paint_scene(scene), face_box(figure)


def _faces(picture: DrawnPicture, boxes: list[Box]) -> list[dict[str, object]]:
    return [
        {"character": name, "box": list(box)}
        for name, box in zip(picture.names, boxes, strict=True)
    ]


def _truth(pictures: dict[str, list[dict[str, object]]]) -> str:
    """Format `truth.json` with one line per image and per shot."""
    shots, start = [], 0.0
    for index, shot in enumerate(SHOTS):
        first, end = SHOTS.index(shot), start + shot.seconds
        again = first if first < index else None
        shots.append({"start": start, "end": end, "characters": shot.names, "repeats": again})
        start = end
    lines = ",\n".join(f'  "{file}": {json.dumps(faces)}' for file, faces in pictures.items())
    rows = ",\n".join(f"  {json.dumps(shot)}" for shot in shots)
    return f'{{"pictures": {{\n{lines}\n }},\n "shots": [\n{rows}\n ]}}\n'


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Draw the sample dataset.")
    parser.add_argument("folder", type=Path, help="output folder, for example datasets/sample")
    parser.add_argument("--selftest", type=Path, help="also write the detectors' self-test face")
    arguments = parser.parse_args()
    make_sample(arguments.folder)
    if arguments.selftest:
        image, _ = draw_selftest()
        image.quantize(128).save(arguments.selftest, optimize=True)


if __name__ == "__main__":
    main()
