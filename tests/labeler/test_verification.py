"""Verification of possible copies, and the original among altered copies."""

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from duplicate_images import (
    COPIES,
    add_picture,
    drawing,
    encoded,
    prepare_image,
    search,
)
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps
from tools_for_tests import encode
from weak_copies import WEAK_COPIES, encode_weak_copy

from gleanset import Dataset
from gleanset.db.duplicates import Pairs, Relation
from gleanset.work.progress import NO_PROGRESS
from labeler.audit import POSSIBLE_COPY, collect_tree, find_leaks
from labeler.duplicates.finder import DuplicateFinder
from labeler.duplicates.originals import UnrankedCopies, find_originals
from labeler.duplicates.plan import DuplicatePlan, judge, keep_all
from labeler.duplicates.verification import Verdict, compare_images
from labeler.sample_pixels import SampleFile
from tools.sample.character import CAST, random_character
from tools.sample.scene import Scene, face_box, paint_scene, plan_scene

# Drawn search results are next to the tests of recipes.
sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))
from drawn_cases import drawn_case

LANCZOS = Image.Resampling.LANCZOS

# One drawn person; `expression` is what a cheap animation redraws.
SCENE = plan_scene([random_character(7100)], 7100, (480, 270))


@cache
def cel(**expression: object) -> Image.Image:
    """Return the face crop with another mouth, gaze or brow on the same drawing."""
    base = {
        "mouth": "smile",
        "gaze": (0.0, 0.0),
        "turn": (0.0, 0.0),
        "brow": 0.0,
    } | expression
    figure = SCENE.figures[0]
    changed = replace(figure, expression=replace(figure.expression, **base))  # type: ignore[arg-type]
    scene: Scene = replace(SCENE, figures=(changed,))
    return crop_face(scene)


def crop_face(scene: Scene) -> Image.Image:
    """Return the square crop of the only face."""
    box = face_box(scene.figures[0])
    side = round(1.4 * box.width)
    left, top = box.x + (box.width - side) // 2, box.y + (box.height - side) // 2
    return paint_scene(scene).crop((left, top, left + side, top + side))


def compare(a: Image.Image, b: Image.Image) -> Verdict:
    return compare_images(prepare_image(a), prepare_image(b))


def test_other_figures_of_one_style_are_not_copies() -> None:
    pairs = [(26, 36), (11, 75), (65, 44), (54, 12), (77, 58), (47, 46), (41, 43)]
    verdicts = [
        compare(drawn_case("cartoon", 1000 + a), drawn_case("cartoon", 1000 + b))
        for a, b in pairs
    ]
    assert [verdict.same for verdict in verdicts] == [False] * 7


def open_pairs(dataset: Dataset) -> int:
    return dataset.db.fetch_int("SELECT count(*) FROM pair WHERE verdict='open'")


@pytest.mark.parametrize(
    "expression",
    [{"mouth": "flat"}, {"mouth": "open"}, {"mouth": "grin"}, {"gaze": (1.3, 0.4)}],
)
def test_other_expression_is_not_a_copy(expression: dict[str, object]) -> None:
    verdict = compare(cel(), cel(**expression))
    assert not verdict.same, verdict


@pytest.mark.parametrize("kind", ["small", "squeezed", "mirror", "vivid"])
def test_copy_of_drawn_face_is_a_copy(kind: str) -> None:
    verdict = compare(cel(), COPIES[kind](cel()))
    assert verdict.same, verdict


def captioned(text: str) -> Image.Image:
    """Return a template with a caption."""
    picture = drawing(5).resize((640, 520))
    pen = ImageDraw.Draw(picture)
    pen.text(
        (320, 470),
        text,
        "white",
        font_size=44,
        anchor="mm",
        stroke_width=3,
        stroke_fill="black",
    )
    return picture


def test_other_caption_is_not_a_copy() -> None:
    assert not compare(
        captioned("ONE DOES NOT SIMPLY"), captioned("NOBODY EXPECTS THIS")
    ).same
    assert compare(
        captioned("ONE DOES NOT SIMPLY"),
        captioned("ONE DOES NOT SIMPLY").resize((400, 325)),
    ).same


def hue_turned(picture: Image.Image) -> Image.Image:
    """Turn all hues by 56 degrees, as an editor does."""
    hue, saturation, value = picture.convert("HSV").split()
    further = hue.point([(level + 40) % 256 for level in range(256)])
    return Image.merge("HSV", (further, saturation, value)).convert("RGB")


def test_flat_images_are_not_copies() -> None:
    """Blank pages, and drawings lost in their background."""
    white = Image.new("RGB", (256, 256), "white")
    black = Image.new("RGB", (200, 256))
    dot = Image.new("RGB", (256, 256), "white")
    ImageDraw.Draw(dot).ellipse((40, 40, 90, 90), "grey")
    for a, b in ((white, white.copy()), (white, black), (white, dot)):
        assert not compare(a, b).same
    assert compare(dot, dot.copy()).same


def text_window(seed: int) -> Image.Image:
    """Draw a window of text, which has hardly any keypoints at a small size."""
    random = np.random.default_rng(seed)
    picture = Image.new("RGB", (1280, 800), "white")
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, 1280, 70), fill=(40, 60, 90))
    words = (
        "open",
        "save",
        "image",
        "folder",
        "crop",
        "name",
        "size",
        "width",
        "model",
    )
    for row in range(9):
        line = " ".join(random.choice(words, 5))
        pen.text((60 + row % 2 * 560, 120 + 70 * row), line, "black", font_size=20)
    return picture


@pytest.mark.parametrize("kind", ["squeezed", "screenshot"])
def test_text_pages_are_aligned(kind: str) -> None:
    assert compare(text_window(1), COPIES[kind](text_window(1))).same
    assert not compare(text_window(1), COPIES[kind](text_window(2))).same


def make_ground(kind: str) -> Image.Image:
    """Return a frame of 1280 x 720 pixels that is plain, shaded, or has a fine texture."""
    if kind == "shaded":
        shade = Image.linear_gradient("L").resize((1280, 720))
        return Image.merge(
            "RGB", [shade.point([v * k // 6 for v in range(256)]) for k in (2, 1, 3)]
        )
    if kind == "paper":
        noise = np.random.default_rng(1).normal(225, 9, (720, 1280))
        return Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).convert("RGB")
    return Image.new("RGB", (1280, 720), kind)


def title(ground: str, text: str, size: int) -> Image.Image:
    image = make_ground(ground)
    ink = "black" if ground in ("white", "paper") else "white"
    ImageDraw.Draw(image).text((640, 360), text, ink, font_size=size, anchor="mm")
    return image


def logo(ground: str, shape: str) -> Image.Image:
    """Draw a red shape of 40 pixels, four times as large first."""
    layer = Image.new("L", (640, 640))
    box = (240, 240, 400, 400)
    getattr(ImageDraw.Draw(layer), shape)(box, fill=255)
    image = make_ground(ground)
    small = layer.resize((160, 160), LANCZOS)
    image.paste((200, 40, 50), (560, 280), small)
    return image


def slide(lines: int, seed: int = 0) -> Image.Image:
    """Draw a slide with a heading, of which one line after the other is shown."""
    image = make_ground("white")
    pen = ImageDraw.Draw(image)
    pen.text((640, 90), "Our plan for winter", "navy", font_size=44, anchor="mm")
    words = np.random.default_rng(seed).choice(
        ["open", "folder", "crop", "name", "model"], (4, 4)
    )
    for number, line in enumerate(words[:lines]):
        pen.text((160, 220 + 70 * number), " ".join(line), "black", font_size=28)
    return image


def code(seed: int) -> Image.Image:
    """Draw a square code of 25 x 25 modules."""
    modules = np.random.default_rng(seed).integers(0, 2, (25, 25)) * 255
    small = Image.fromarray(modules.astype(np.uint8))
    image = make_ground("white")
    image.paste(small.resize((100, 100), Image.Resampling.NEAREST), (590, 310))
    return image


GROUNDS = ("white", "black", "steelblue", "shaded", "paper")


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("size", [20, 40])
def test_other_words_on_a_plain_ground_are_not_copies(ground: str, size: int) -> None:
    cards = [
        title(ground, text, size)
        for text in ("hello world", "good night", "never stop")
    ]
    assert not any(compare(a, b).same for a, b in combinations(cards, 2))


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("size", [20, 40])
def test_other_digit_on_a_plain_ground_is_not_a_copy(ground: str, size: int) -> None:
    assert not compare(
        title(ground, "Episode 12", size), title(ground, "Episode 13", size)
    ).same


def test_logo_at_another_place_is_not_a_copy() -> None:
    moved = ImageChops.offset(logo("steelblue", "ellipse"), 400, 100)
    verdict = compare(logo("steelblue", "ellipse"), moved)
    assert (verdict.same, verdict.doubtful) == (False, False)


def test_other_amount_on_a_form_is_not_a_copy() -> None:
    forms = [make_ground("white"), make_ground("white")]
    for form, amount in zip(forms, ("118.00", "962.00"), strict=True):
        pen = ImageDraw.Draw(form)
        pen.text(
            (100, 100), "Invoice\nAcme Corporation\nTotal due", "black", font_size=40
        )
        pen.text((500, 190), amount, "black", font_size=40)
    assert not compare(*forms).same


@pytest.mark.parametrize("ground", GROUNDS)
def test_other_logo_on_a_plain_ground_is_not_a_copy(ground: str) -> None:
    assert not compare(logo(ground, "rectangle"), logo(ground, "ellipse")).same


def test_other_codes_and_slides_are_not_copies() -> None:
    assert not compare(code(1), code(2)).same
    assert not compare(slide(4, 1), slide(4, 2)).same
    # A slide with a line less is not a crop.
    assert not compare(slide(1), slide(2)).same


def page(seed: int, ground: str) -> Image.Image:
    """Draw lines of words on the left of a small page under the same heading."""
    image = Image.new("RGB", (420, 300), ground)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, 420, 48), "navy")
    pen.text((20, 14), "Quarterly report", "white", font_size=21)
    words = ["good", "hello", "signal", "ten", "light", "river", "seven", "stone"]
    for number, line in enumerate(np.random.default_rng(seed).choice(words, (4, 4))):
        pen.text((33, 75 + 45 * number), " ".join(line), "black", font_size=16)
    return image


@pytest.mark.parametrize("ground", ["white", "lightsteelblue"])
def test_lines_of_other_words_are_not_a_mirrored_copy(ground: str) -> None:
    pages = [page(seed, ground) for seed in (1, 2, 3)]
    assert not any(compare(a, b).same for a, b in combinations(pages, 2))
    assert compare(pages[0], ImageOps.mirror(pages[0])).same


def test_mirrored_title_is_a_copy() -> None:
    # The plain image agrees with it too, except for what is drawn.
    image = Image.new("RGB", (800, 1100), (240, 228, 200))
    ImageDraw.Draw(image).text(
        (400, 550), "ten winter part", "black", font_size=30, anchor="mm"
    )
    copy = Image.open(io.BytesIO(encoded(ImageOps.mirror(image), 85))).convert("RGB")
    verdict = compare(image, copy)
    assert verdict.same, verdict


@pytest.mark.parametrize(
    "kind", ["small", "squeezed", "mirror", "grey", "letterbox", "crop 5 %"]
)
@pytest.mark.parametrize("image", [title("black", "keep calm and go on", 40), slide(3)])
def test_copy_on_a_plain_ground_is_a_copy(image: Image.Image, kind: str) -> None:
    copy = Image.open(io.BytesIO(encoded(COPIES[kind](image), 60)))
    verdict = compare(image, copy.convert("RGB"))
    assert verdict.same, verdict


def foliage(seed: int) -> Image.Image:
    """Draw an even texture in several sizes and colors, as of leaves."""
    noise = np.random.default_rng(seed).normal(0, 1, (260, 320, 3))
    fine = 160 * cv2.GaussianBlur(noise, (0, 0), 1.5)
    coarse = 500 * cv2.GaussianBlur(noise, (0, 0), 20)
    return Image.fromarray(np.clip(120 + fine + coarse, 0, 255).astype(np.uint8))


def test_texture_of_a_photo_is_not_a_ground() -> None:
    copy = Image.open(io.BytesIO(encoded(COPIES["watermark"](foliage(1)), 85)))
    assert compare(foliage(1), copy.convert("RGB")).same


def test_photos_are_not_read_at_full_size() -> None:
    def read() -> Image.Image:
        raise AssertionError("the image at its full size is not needed")

    copies = (foliage(1), COPIES["crop 5 %"](foliage(1)))
    assert compare_images(*(prepare_image(copy, read) for copy in copies)).same


@pytest.fixture
def doubtful(dataset: Dataset) -> tuple[str, str]:
    """Return the keys of two samples whose pixels leave it open whether they are copies."""
    grey = [picture.convert("L") for picture in (cel(), hue_turned(cel()))]
    first, second = (
        add_picture(dataset, name, encoded(picture, 95))
        for name, picture in zip(("first", "second"), grey, strict=True)
    )
    return min(first, second), max(first, second)


def doubts(plan: DuplicatePlan) -> list[tuple[str, str]]:
    """Return the doubtful pairs, smaller key first."""
    return [
        (min(group.best_key, *group.others), max(group.best_key, *group.others))
        for group in plan.doubts
    ]


def test_doubtful_pair_waits_for_a_verdict(
    dataset: Dataset, doubtful: tuple[str, str]
) -> None:
    finder = DuplicateFinder(dataset, workers=1)
    assert finder.search() == (2, 1, 0, 0)
    plan = finder.plan()
    pairs = Pairs(dataset.db)
    assert (plan.sets, doubts(plan), plan.result().to_json()["doubtful"]) == (
        [],
        [doubtful],
        1,
    )
    assert finder.apply() == plan
    assert list(pairs.get_possible_duplicates().values()) == [
        True
    ]  # never in train and in test
    judge(dataset, *doubtful, same=True)
    settled = finder.plan()
    assert (settled.doubts, len(settled.sets)) == ([], 1)
    dataset.journal.undo()
    assert doubts(finder.plan()) == [doubtful]
    judge(dataset, *doubtful, same=False)
    assert (finder.plan().doubts, finder.plan().sets) == ([], [])
    assert list(pairs.get_possible_duplicates().values()) == [False]
    assert finder.search() == (0, 0, 0, 0)


def test_doubtful_pair_is_reported_once_per_set(
    dataset: Dataset, doubtful: tuple[str, str]
) -> None:
    add_picture(dataset, "again", encoded(cel().convert("L"), 60))
    finder = DuplicateFinder(dataset, workers=1)
    finder.search()
    plan = finder.plan()
    assert [len(group.others) for group in plan.sets] == [1]
    (doubt,) = doubts(plan)
    assert plan.sets[0].best_key in doubt
    finder.apply()
    before = finder.plan()
    keep_all(dataset, before.doubts)
    after = finder.plan()
    assert (after.doubts, after.places, after.sets) == ([], [], before.sets), (
        "the set stays"
    )


@pytest.mark.slow
def test_interrupted_search_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = []
    for name in ("undisturbed", "interrupted"):
        with Dataset.create(tmp_path / name) as dataset:
            for kind in ("small", "mirror", "grey"):
                add_picture(dataset, kind, encoded(COPIES[kind](drawing(300)), 80))
            finder = DuplicateFinder(dataset, workers=1)
            if name == "interrupted":
                with monkeypatch.context() as patch:
                    patch.setattr(
                        Pairs, "save_verdicts", Mock(side_effect=KeyboardInterrupt)
                    )
                    with pytest.raises(KeyboardInterrupt):
                        finder.search()
                assert open_pairs(dataset) > 0
            finder.search()
            assert open_pairs(dataset) == 0
            sets.append(
                [(group.best_key, group.others) for group in finder.plan().sets]
            )
    assert (len(sets[0]), sets[0]) == (1, sets[1])


Change = Callable[[Image.Image], Image.Image]


def add_sticker(share: float, left: float = 0.3, top: float = 0.25) -> Change:
    """Put a yellow face on an image, `share` of the shorter side wide."""

    def paste_sticker(picture: Image.Image) -> Image.Image:
        sticker = Image.new("RGBA", (200, 200))
        pen = ImageDraw.Draw(sticker)
        pen.ellipse(
            (2, 2, 197, 197), fill=(255, 204, 34), outline=(190, 130, 10), width=6
        )
        for x in (65, 135):
            pen.ellipse((x - 13, 60, x + 13, 95), fill=(90, 50, 20))
        pen.arc((45, 70, 155, 160), 20, 160, fill=(90, 50, 20), width=11)
        side = round(share * min(picture.size))
        small = sticker.resize((side, side))
        copy = picture.copy()
        copy.paste(small, (round(left * copy.width), round(top * copy.height)), small)
        return copy

    return paste_sticker


def write_over(opacity: float, *, tiled: bool = False) -> Change:
    """Write half-transparent letters over an image."""

    def draw_text(picture: Image.Image) -> Image.Image:
        side = 2 * max(picture.size)
        layer = Image.new("L", (side, side))
        pen = ImageDraw.Draw(layer)
        if tiled:
            for y in range(0, side, 60):
                pen.text(
                    (y % 90, y), "PROOF   " * 12, round(255 * opacity), font_size=22
                )
        else:
            at = side // 2, side // 2
            pen.text(at, "PROOF", round(255 * opacity), font_size=88, anchor="mm")
        layer = layer.rotate(35)
        left, top = (side - picture.width) // 2, (side - picture.height) // 2
        mask = layer.crop((left, top, left + picture.width, top + picture.height))
        return Image.composite(Image.new("RGB", picture.size, "white"), picture, mask)

    return draw_text


OVERLAYS = {
    "small sticker": add_sticker(0.18),
    "sticker": add_sticker(0.28),
    "large sticker at the rim": add_sticker(0.4, 0.69, 0.6),
    "veil": write_over(0.6),
    "tiles": write_over(0.65, tiled=True),
}


def test_overlaid_copies_are_possible_leaks(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
    (tmp_path / "test/other.jpg").write_bytes(encoded(drawing(100), 75))
    for seed, (kind, lay) in enumerate(OVERLAYS.items()):
        (tmp_path / f"train/{seed}.jpg").write_bytes(encoded(drawing(seed), 75))
        (tmp_path / f"test/{kind}.jpg").write_bytes(encoded(lay(drawing(seed)), 75))
    result = find_leaks(collect_tree(tmp_path), workers=1, progress=NO_PROGRESS)
    assert {(leak.a, leak.b, leak.kind) for leak in result.leaks} == {
        (f"train/{seed}.jpg", f"test/{kind}.jpg", POSSIBLE_COPY)
        for seed, kind in enumerate(OVERLAYS)
    }


@pytest.mark.parametrize("kind", [*WEAK_COPIES, "collage"])
def test_weak_copy_is_found(kind: str) -> None:
    data = encode_weak_copy(kind, drawing(8), 4, [drawing(seed) for seed in range(3)])
    verdict = compare(Image.open(io.BytesIO(data)).convert("RGB"), drawing(8))
    assert verdict.same or verdict.doubtful, verdict


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (add_sticker(0.28), add_sticker(0.28, 0.5, 0.5)),  # the same sticker, moved
        (
            lambda image: image,
            lambda image: add_sticker(0.2, 0.7, 0.7)(add_sticker(0.2, 0.1)(image)),
        ),
        (lambda image: image, add_sticker(0.85, 0.1, 0.1)),
        (write_over(0.9), write_over(0.9, tiled=True)),
    ],
)
def test_several_differences_are_not_an_overlay(first: Change, second: Change) -> None:
    verdict = compare(first(drawing(3)), second(drawing(3)))
    assert (verdict.same, verdict.doubtful) == (False, False), verdict


@pytest.mark.parametrize("expression", [{"mouth": "open"}, {"turn": (1.8, 0.6)}])
def test_redrawn_face_is_not_an_overlay(expression: dict[str, object]) -> None:
    verdict = compare(cel(mouth="grin"), cel(**{"mouth": "grin"} | expression))
    assert (verdict.same, verdict.doubtful) == (False, False), verdict


def test_faces_of_one_character_are_not_doubtful() -> None:
    # Doubtful pairs stay in one split: with many of them a character would be one group.
    scenes = [plan_scene(CAST[:1], seed, (480, 270)) for seed in range(8)]
    faces = [prepare_image(crop_face(scene)) for scene in scenes]
    verdicts = [compare_images(a, b) for a, b in combinations(faces, 2)]
    assert not any(verdict.same or verdict.doubtful for verdict in verdicts)


def painting(seed: int) -> Image.Image:
    """Draw shapes with soft shading in many colours."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(40, 215, (6, 8, 3), dtype=np.uint8))
    image = coarse.resize((384, 288), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for _ in range(50):
        x, y = (int(value) for value in random.integers(0, (340, 250)))
        wide, high = (int(value) for value in random.integers(10, 60, 2))
        colour = tuple(int(value) for value in random.integers(0, 255, 3))
        pen.ellipse((x, y, x + wide, y + high), colour, "black", 2)
    shade = Image.linear_gradient("L").resize(image.size)
    return Image.composite(image, ImageEnhance.Brightness(image).enhance(0.7), shade)


def add_grain(p: Image.Image) -> Image.Image:
    noise = np.random.default_rng(1).normal(0, 9, (p.height, p.width, 1))
    return Image.fromarray(np.clip(np.asarray(p) + noise, 0, 255).astype(np.uint8))


def add_coarse_noise(p: Image.Image) -> Image.Image:
    noise = np.random.default_rng(2).normal(60, 40, (p.height // 4, p.width // 4))
    rough = np.kron(noise, np.ones((4, 4)))[:, :, None]
    return Image.fromarray(np.clip(np.asarray(p) + rough, 0, 255).astype(np.uint8))


to_png = partial(encode, kind="PNG")
ALTERED_FILES: dict[str, Callable[[Image.Image], bytes]] = {
    "enlarged": lambda p: to_png(ImageOps.scale(p, 3 / 2, LANCZOS)),
    "enlarged and sharpened": lambda p: to_png(
        ImageOps.scale(p, 2, LANCZOS).filter(ImageFilter.UnsharpMask(2, 150, 0))
    ),
    "enlarged by whole pixels": lambda p: to_png(
        ImageOps.scale(p, 2, Image.Resampling.NEAREST)
    ),
    "smaller": lambda p: to_png(ImageOps.scale(p, 2 / 3, LANCZOS)),
    "JPEG": lambda p: encode(p, quality=95),
    "GIF": lambda p: encode(p.quantize(256), "GIF"),
    "palette": lambda p: to_png(p.quantize(256)),
    "cropped": lambda p: to_png(p.crop((0, 0, round(p.width * 0.8), p.height))),
    "cropped and enlarged": lambda p: to_png(
        ImageOps.scale(COPIES["crop 5 %"](p), 2, LANCZOS)
    ),
    "marked": lambda p: to_png(COPIES["watermark"](p)),
    "screenshot": lambda p: to_png(COPIES["screenshot"](p)),
    "grain": lambda p: to_png(add_grain(p)),
    "letterbox": lambda p: to_png(ImageOps.expand(p, (0, 40), "black")),
    "mirror": lambda p: to_png(ImageOps.mirror(p)),
    "dithered GIF": lambda p: encode(p.quantize(64, palette=p.quantize(64)), "GIF"),
    "marked and enlarged": lambda p: to_png(
        ImageOps.scale(COPIES["watermark"](p), 3, LANCZOS)
    ),
}


def originals(files: list[SampleFile]) -> list[int]:
    number = len(files)
    return find_originals(
        UnrankedCopies((*range(number),), (False,) * number, (*files,))
    )


def test_original_of_many_copies_is_found(tmp_path: Path) -> None:
    image = painting(8)
    for kind in (
        "enlarged",
        "enlarged and sharpened",
        "enlarged by whole pixels",
        "smaller",
    ):
        (tmp_path / kind).with_suffix(".png").write_bytes(ALTERED_FILES[kind](image))
    smaller = image.resize((image.width * 2 // 3, image.height * 2 // 3), LANCZOS)
    smaller.resize(image.size, LANCZOS).save(tmp_path / "enlarged to the size.png")
    for name in ("original.png", "same.bmp"):
        image.save(tmp_path / name)
    files = sorted(tmp_path.iterdir())
    found = [files[row].name for row in originals([SampleFile(file) for file in files])]
    assert found == ["original.png", "same.bmp"]


def test_many_copies_of_a_soft_original_are_not_enlarged(tmp_path: Path) -> None:
    """A blurred original looks enlarged from its only smaller copy, all but a clipped one."""
    image = painting(5).filter(ImageFilter.GaussianBlur(2))
    image.save(tmp_path / "original.png")
    files = [SampleFile(tmp_path / "original.png")]
    for quality in (98, 97, 96):
        image.save(tmp_path / f"{quality}.jpg", quality=quality)
        files.append(SampleFile(tmp_path / f"{quality}.jpg"))
    ImageEnhance.Brightness(image).enhance(2.5).save(tmp_path / "clipped.png")
    files.append(SampleFile(tmp_path / "clipped.png"))
    ImageOps.scale(image, 1 / 2, LANCZOS).save(tmp_path / "small.png")
    files.append(SampleFile(tmp_path / "small.png"))
    assert originals([files[0], files[-1]]) == [1]
    assert originals(files)[0] == 0


@pytest.mark.parametrize("factor", [1.5, 2, 3])
def test_enlarged_copy_with_mark_is_not_the_original(
    tmp_path: Path, factor: float
) -> None:
    image = painting(5)
    image.save(tmp_path / "original.png")
    pen = ImageDraw.Draw(copy := ImageOps.scale(image, factor, LANCZOS))
    middle = copy.width // 2, copy.height // 2
    pen.text(middle, "@me.com", fill="white", font_size=copy.width // 20, anchor="mm")
    copy.save(tmp_path / "marked.png")
    files = [SampleFile(tmp_path / name) for name in ("marked.png", "original.png")]
    assert originals(files) == [1]


def test_thumbnail_is_not_the_original(tmp_path: Path) -> None:
    large = painting(4).resize((800, 600), LANCZOS)
    large = ImageEnhance.Sharpness(add_grain(large)).enhance(1.5)
    large.save(tmp_path / "large.png")
    large.resize((64, 48), LANCZOS).save(tmp_path / "small.png")
    files = [SampleFile(tmp_path / name) for name in ("small.png", "large.png")]
    assert originals(files) == [1]


def test_tiny_copy_leaves_the_choice_to_the_others(tmp_path: Path) -> None:
    image = painting(8)
    ImageOps.scale(image, 2, LANCZOS).save(tmp_path / "enlarged.png")
    image.save(tmp_path / "original.png")
    image.resize((40, 32), LANCZOS).save(tmp_path / "tiny.png")
    names = ("enlarged.png", "original.png", "tiny.png")
    assert originals([SampleFile(tmp_path / name) for name in names]) == [1]
    tiny = [SampleFile(tmp_path / "tiny.png")] * 2
    assert originals(tiny) == [0, 1], "each may be the original"


def test_photo_enlarged_as_jpeg_is_not_the_original(
    tmp_path: Path, shared_data: Path
) -> None:
    file = shared_data / "photos" / "daisy" / "5673728_71b8cb57eb.jpg"
    photo = Image.open(file).convert("RGB")
    original = tmp_path / "original.jpg"
    photo.save(original, quality=92)
    for name, factor in (("large.jpg", 2.0), ("small.jpg", 0.5)):
        ImageOps.scale(photo, factor, LANCZOS).save(tmp_path / name, quality=90)
        files = [SampleFile(path) for path in (tmp_path / name, original)]
        assert originals(files) == [1]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_original_is_not_an_enlarged_squeezed_copy(tmp_path: Path, seed: int) -> None:
    image = painting(seed).resize((800, 600), LANCZOS)
    squeezed = COPIES["squeezed"](image)
    image.save(tmp_path / "original.jpg", quality=93)
    ImageEnhance.Brightness(image).enhance(1.3).save(tmp_path / "b.jpg", quality=85)
    squeezed.save(tmp_path / "squeezed.jpg", quality=85)
    names = ("original.jpg", "b.jpg", "squeezed.jpg")
    assert originals([SampleFile(tmp_path / name) for name in names])[0] == 0


@pytest.mark.slow
def test_original_is_best_copy(dataset: Dataset) -> None:
    names: dict[str, tuple[str, str]] = {}
    for seed, (kind, alter) in enumerate(ALTERED_FILES.items(), 1):
        original = painting(seed)
        files = [("copy", alter(original)), ("original", to_png(original))]
        # The copy comes first, except where only the order decides.
        for name, data in reversed(files) if kind == "mirror" else files:
            names[add_picture(dataset, f"{kind} {name}", data)] = (kind, name)
    sets = search(dataset).sets
    assert all(len({names[m.key][0] for m in group.members}) == 1 for group in sets)
    best_copies = dict(names[group.best_key] for group in sets)
    assert best_copies == dict.fromkeys(ALTERED_FILES, "original")


def show_on_phone(image: Image.Image) -> Image.Image:
    """Show an image enlarged between black bars, a status bar and buttons."""
    screen = Image.new("RGB", (1080, 2340))
    pen = ImageDraw.Draw(screen)
    pen.text((50, 40), "12:31", "white", font_size=36)
    pen.text((860, 40), "5G 84%", "white", font_size=36)
    for x in (270, 540, 810):
        pen.ellipse((x - 20, 2250, x + 20, 2290), outline="white", width=5)
    scaled = image.resize((1080, round(image.height * 1080 / image.width)), LANCZOS)
    screen.paste(scaled, (0, (2340 - scaled.height) // 2))
    return screen


def letterbox_enlarged(image: Image.Image) -> Image.Image:
    return ImageOps.expand(ImageOps.scale(image, 2, LANCZOS), (0, 120), "black")


@pytest.mark.parametrize("show", [show_on_phone, letterbox_enlarged])
def test_screens_and_borders_lose_to_the_image(
    dataset: Dataset, show: Callable[[Image.Image], Image.Image]
) -> None:
    image = painting(6)
    copy = add_picture(dataset, "copy", to_png(show(image)))
    original = add_picture(dataset, "original", encoded(image, 90))
    (copies,) = search(dataset).sets
    assert (copies.best_key, copies.others) == (original, (copy,))


def test_chosen_originals_are_stored(dataset: Dataset) -> None:
    image = painting(3)
    for name, data in (
        ("copy", ALTERED_FILES["enlarged"](image)),
        ("original", to_png(image)),
    ):
        add_picture(dataset, name, data)
    plan = search(dataset)
    (copies,) = plan.sets
    assert plan.unranked == []
    copy, original = sorted(member.id for member in copies.members)
    assert Pairs(dataset.db).get_better_copy(copy, original) == "second"
    assert (copies.members[0].id, Pairs(dataset.db).get_human_verdicts()) == (
        original,
        {},
    )


@pytest.mark.parametrize("change", [lambda p: p, add_coarse_noise])
def test_screenshot_border_is_a_frame(change: Change) -> None:
    image = change(painting(3))
    whole = prepare_image(image)
    shot = compare_images(whole, prepare_image(COPIES["screenshot"](image)))
    crop = compare_images(prepare_image(COPIES["crop 5 %"](image)), whole)
    assert shot.relation & Relation.MORE_B
    assert shot.relation & Relation.FRAMED_B
    assert crop.relation & Relation.MORE_B
    assert not crop.relation & Relation.FRAMED_B
