"""Draws the whole committed sample: `python -m pipeline.sample.make datasets/sample`.

Pictures, an episode, `site.json` (see `listing`) and `truth.json`: who is where on each
picture, and the shots of the episode. Drawn twice, it is the same twice.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image

from gleanset.records import Box
from pipeline.sample.character import CAST, Expression
from pipeline.sample.clip_ffmpeg import SHOTS, clip_frames, write_clip
from pipeline.sample.drawing import Figure, Scene, draw_scene, face_box, paint_scene
from pipeline.sample.listing import FILE, to_json
from pipeline.sample.plan import Picture, plan_listing, plan_pictures

_QUALITY = 82


def draw_picture(picture: Picture) -> tuple[Image.Image, list[Box]]:
    """One picture of the plan and the true face boxes of the people on it."""
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
    """One plain face of 200 x 200 pixels for the detectors' self-test, and its true box."""
    figure = Figure(CAST[0], 25, 22, 150, 0, Expression())
    scene = Scene((200, 200), "hills", 1, (1.0, 1.0, 1.0), (figure,))
    return paint_scene(scene), face_box(figure)


def _faces(picture: Picture, boxes: list[Box]) -> list[dict[str, object]]:
    return [
        {"character": name, "box": list(box)}
        for name, box in zip(picture.names, boxes, strict=True)
    ]


def _truth(pictures: dict[str, list[dict[str, object]]]) -> str:
    """`truth.json`; a line for each picture and each shot."""
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
    """The command line of this module."""
    parser = argparse.ArgumentParser(description="Draw the sample dataset.")
    parser.add_argument("folder", type=Path, help="where to, for example datasets/sample")
    parser.add_argument("--selftest", type=Path, help="also write the detectors' self-test face")
    given = parser.parse_args()
    make_sample(given.folder)
    if given.selftest:
        image, _ = draw_selftest()
        image.quantize(128).save(given.selftest, optimize=True)


if __name__ == "__main__":
    main()
