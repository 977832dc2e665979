"""Draw the whole committed sample: `python -m tools.sample.make datasets/sample`.

Writes images, an episode, `site.json` (`plan_listing`) and `truth.json`: the faces on each image
and the shots of the episode. The output is reproducible. File names and URLs are hashes of seeds,
so that only the image itself (or `truth.json`) reveals which characters it shows.
"""

import argparse
import json
import random
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from PIL import Image

from gleanset.records import Box
from pipeline.demo import FILE, SearchResult, SiteListing, to_json
from tools.sample.character import CAST, Expression
from tools.sample.clip_ffmpeg import SHOTS, clip_frames, write_clip
from tools.sample.scene import Figure, Scene, draw_scene, face_box, paint_scene

SOLO = 30
"""Images of each character alone."""
PAIRS = 2
"""Images of each character with another one."""

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
class PlannedImage:
    """Image to draw: file name, seed, and names of the characters, the main one first."""

    file: str
    seed: int
    names: tuple[str, ...]


def plan_images() -> list[PlannedImage]:
    """Plan `SOLO` + `PAIRS` images of each character."""
    images = []
    for index, character in enumerate(CAST):
        others = [CAST[(index + step) % len(CAST)].name for step in range(1, PAIRS + 1)]
        casts = [(character.name,)] * SOLO + [
            (character.name, other) for other in others
        ]
        for number, names in enumerate(casts):
            seed = 1000 * (index + 1) + number
            images.append(PlannedImage(_hash("picture", seed) + ".jpg", seed, names))
    return images


def plan_listing(images: list[PlannedImage]) -> SiteListing:
    """Plan the site's ordered search results for each character's name."""
    own = {
        character.name: [
            _make_result(p) for p in images if p.names[0] == character.name
        ]
        for character in CAST
    }
    listing: SiteListing = {}
    for index, (name, results) in enumerate(own.items()):
        neighbour = own[CAST[(index + 1) % len(CAST)].name]
        entries = [*results, *(_repost(result, "resized") for result in results[:3])]
        entries += [_repost(result, "reencoded") for result in results[2:5]]
        entries += [
            _repost(result, "plain") for result in results[8:10]
        ]  # same bytes, other host
        entries.append(_repost(neighbour[5], "plain"))  # the same under another keyword
        entries += [
            neighbour[3],
            neighbour[SOLO],
        ]  # the same address under two keywords
        entries += [
            _break_result(results[12 + i], fault)
            for i, fault in enumerate(_FAULTS[index])
        ]
        random.Random(f"order {name}").shuffle(entries)  # noqa: S311 - drawing, not secrecy
        listing[name] = entries
    return listing


def _make_result(plan: PlannedImage) -> SearchResult:
    rng = random.Random(f"result {plan.seed}")  # noqa: S311 - drawing, not secrecy
    host = rng.choice(("host-a", "host-b"))
    ending = rng.choice((".jpg", ".jpg", ".jpg", ".jpeg", "", ".jpg?w=640&v=2"))
    return SearchResult(
        picture=plan.file,
        path=f"/{host}/media/{_hash('address', plan.seed)}{ending}",
        title=rng.choice(_TITLES).format(plan.names[0].capitalize()),
        page=f"/{host}/post/{rng.randrange(10_000, 99_999)}",
    )


def _repost(result: SearchResult, variant: str) -> SearchResult:
    """Return a copy of the result on the other host."""
    host = "host-b" if result.path.startswith("/host-a") else "host-a"
    address = _hash(variant, result.path)
    page = f"/{host}/post/{int(address[:6], 16)}"
    path = f"/{host}/reposts/{address}.jpg"
    return replace(result, path=path, page=page, variant=variant)


def _break_result(result: SearchResult, fault: str) -> SearchResult:
    broken = _repost(result, "plain")
    path = broken.path.replace("reposts", "old").replace(".jpg", f"{fault[0]}.jpg")
    return replace(broken, path=path, fault=fault)


def _hash(*parts: object) -> str:
    return sha256(" ".join(map(str, parts)).encode()).hexdigest()[:16]


_JPEG_QUALITY = 82


def draw_image(plan: PlannedImage) -> tuple[Image.Image, list[Box]]:
    """Draw a planned image; return it with the true face boxes."""
    cast = {character.name: character for character in CAST}
    return draw_scene([cast[name] for name in plan.names], plan.seed)


def make_sample(folder: Path) -> None:
    """Write the whole sample into `folder`."""
    images = plan_images()
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    truth: dict[str, list[dict[str, object]]] = {}
    for plan in images:
        image, boxes = draw_image(plan)
        path = folder / "pictures" / plan.file
        image.save(path, quality=_JPEG_QUALITY, optimize=True)
        truth[plan.file] = [
            {"character": name, "box": list(box)}
            for name, box in zip(plan.names, boxes, strict=True)
        ]
    (folder / FILE).write_text(to_json(plan_listing(images)), encoding="utf-8")
    (folder / "truth.json").write_text(_format_truth(truth), encoding="utf-8")
    write_clip(clip_frames(), folder / "episode.mp4")


def draw_selftest() -> tuple[Image.Image, Box]:
    """Draw the 200 x 200 pixel face of the detectors' self-test."""
    figure = Figure(CAST[0], 25, 22, 150, 0, Expression())
    scene = Scene((200, 200), "hills", 1, (1.0, 1.0, 1.0), (figure,))
    return paint_scene(scene), face_box(figure)


def _format_truth(faces_by_file: dict[str, list[dict[str, object]]]) -> str:
    """Format `truth.json` with one line per image and per shot."""
    shots = []
    start = 0.0
    for index, shot in enumerate(SHOTS):
        first = SHOTS.index(shot)
        end = start + shot.seconds
        repeated = first if first < index else None
        shots.append(
            {"start": start, "end": end, "characters": shot.names, "repeats": repeated}
        )
        start = end
    lines = ",\n".join(
        f'  "{file}": {json.dumps(faces)}' for file, faces in faces_by_file.items()
    )
    rows = ",\n".join(f"  {json.dumps(shot)}" for shot in shots)
    return f'{{"pictures": {{\n{lines}\n }},\n "shots": [\n{rows}\n ]}}\n'


def main() -> None:
    """Write the sample, and the self-test's face if requested."""
    parser = argparse.ArgumentParser(description="Draw the sample dataset.")
    parser.add_argument(
        "folder", type=Path, help="output folder, for example datasets/sample"
    )
    parser.add_argument(
        "--selftest", type=Path, help="also write the detectors' self-test face"
    )
    arguments = parser.parse_args()
    make_sample(arguments.folder)
    if arguments.selftest:
        image, _ = draw_selftest()
        image.quantize(128).save(arguments.selftest, optimize=True)


if __name__ == "__main__":
    main()
