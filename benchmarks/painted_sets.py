"""Draw two further sets of people in styles that no model of Gleanset was trained on.

    python benchmarks/painted_sets.py OUT

`gouache` has painted portraits with dark outlines on rough paper, `pencil` faint pencil drawings:
twelve people each, made by chance from the parts of `own_sets.py`, with 24 images in groups that
share scene, clothes and light. Images are the same at each run. Folders are those of
`own_sets.py`; OUT/painted_faces.json has the boxes. Nothing may be tuned to these sets.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from own_sets import (
    BACKS,
    FRONTS,
    GROUP_SIZES,
    LOBES,
    MARKS,
    Person,
    Portrait,
    save_with_face,
)
from PIL import Image

PEOPLE = 12
SKINS = ["#fdc", "#eb8", "#c96", "#a75", "#643", "#fe9"]
HAIRS = ["#223", "#c62", "#853", "#eca", "#889", "#a23", "#36a", "#d7b", "#eee", "#4a5"]
SEEDS = {"gouache": 811, "pencil": 812}

Pixels = np.ndarray[Any, Any]


def draw_people(seed: int) -> list[Any]:
    """Return people with parts, colors and sizes by chance."""
    random = np.random.default_rng(seed)
    extras = ["", "", *MARKS, "beard", "moustache", "band"]
    fronts = [*FRONTS, "bald"]
    backs = [*BACKS, *LOBES, "bald"]
    people = []
    for number in range(PEOPLE):
        person = Person(
            name=f"p{number:02}",
            skin=random.choice(SKINS).item(),
            hair=random.choice(HAIRS).item(),
            back=random.choice(backs).item(),
            front=random.choice(fronts).item(),
            width=round(random.uniform(0.74, 0.92), 2),
            jaw=round(random.uniform(0.05, 0.45), 2),
            eyes=random.choice(["oval", "almond", "lid"]).item(),
            brow=round(random.uniform(0.04, 0.13), 2),
            nose=round(random.uniform(0.7, 1.3), 2),
            extra=random.choice(extras).item(),
        )
        people.append(person)
    return people


def paint_gouache(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Return a drawing (BGR) with flat brush strokes, dark edges and the grain of paper."""
    painted = cv2.stylization(pixels, sigma_s=20, sigma_r=0.35)
    noise = random.normal(0, 26, painted.shape[:2]).astype(np.float32)
    grain = cv2.GaussianBlur(noise, (0, 0), 1.4)
    gray = cv2.cvtColor(painted, cv2.COLOR_BGR2GRAY)
    edges = cv2.Laplacian(cv2.GaussianBlur(gray, (0, 0), 1.2), cv2.CV_32F, ksize=3)
    shade = grain - 2 * np.clip(edges, -25, 25)
    return np.clip(painted + shade[..., None], 0, 255).astype(np.uint8)


def draw_pencil(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Return a drawing (BGR) as gray pencil lines on grained paper."""
    gray, _ = cv2.pencilSketch(pixels, sigma_s=30, sigma_r=0.08, shade_factor=0.06)
    noise = random.normal(0, 18, gray.shape).astype(np.float32)
    grained = gray + cv2.GaussianBlur(noise, (0, 0), 0.8)
    gray = np.clip(grained, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))


Painting = Callable[[Pixels, np.random.Generator], Pixels]
STYLES: dict[str, Painting] = {"gouache": paint_gouache, "pencil": draw_pencil}


def draw_set(out: Path, style: str) -> list[dict[str, Any]]:
    """Draw a set and the crops of its faces; return the annotations."""
    paint = STYLES[style]
    annotations = []
    sources = []
    for number, person in enumerate(draw_people(SEEDS[style])):
        groups = np.repeat(np.arange(len(GROUP_SIZES)), GROUP_SIZES).tolist()
        for index, group in enumerate(groups):
            seeds = [SEEDS[style], number, group]
            scene = np.random.default_rng(seeds)
            random = np.random.default_rng([*seeds, index])
            drawing, box = Portrait(person, False, scene, random).draw()
            pixels = cv2.cvtColor(np.asarray(drawing), cv2.COLOR_RGB2BGR)
            painted = paint(pixels, np.random.default_rng([*seeds, index, 7]))
            image = Image.fromarray(cv2.cvtColor(painted, cv2.COLOR_BGR2RGB))

            name = f"{person.name}/{style}_{index:02}.png"
            save_with_face(image, box, name, (out / style, out / f"{style}_faces"))
            annotations.append({"file": f"{style}/{name}", "boxes": [list(box)]})
            sources.append({"file": name, "source_image": f"{person.name} {group}"})

    for folder in (style, f"{style}_faces"):
        (out / folder / "sources.json").write_text(json.dumps(sources))
    return annotations


if __name__ == "__main__":
    out = Path(sys.argv[1])
    annotations = [row for style in STYLES for row in draw_set(out, style)]
    (out / "painted_faces.json").write_text(json.dumps(annotations))
