"""Backgrounds of many kinds."""

import math
import random

import cv2
import numpy as np
from brush import Canvas, Colour, curve, mix, polygon
from eyes import INK, WHITE, vivid


def any_colour(rng: random.Random) -> Colour:
    """Return a random color of any hue, saturation and brightness."""
    return vivid(rng, (0.0, 0.9), (0.08, 1.0))


def paint_backdrop(
    canvas: Canvas, rng: random.Random, photos: list[Canvas], share: float
) -> None:
    """Paint a random background, with probability `share` one of `photos`."""
    kinds = [_gradient, _flat, _noise, _shapes, _stripes, _room, _town, _hills, _spots]
    if photos and rng.random() < share:
        _photo(canvas, rng, photos)
        return
    rng.choice(kinds)(canvas, rng)
    if rng.random() < 0.25:
        amount = np.random.default_rng(rng.getrandbits(32)).normal(
            0, rng.uniform(3, 14), canvas.shape
        )
        canvas[:] = np.clip(canvas + amount, 0, 255).astype(np.uint8)


def _photo(canvas: Canvas, rng: random.Random, photos: list[Canvas]) -> None:
    photo = rng.choice(photos)
    height, width = canvas.shape[:2]
    min_scale = max(width / photo.shape[1], height / photo.shape[0])
    scale = min_scale * rng.uniform(1.0, 1.6)
    large = cv2.resize(
        photo,
        None,
        fx=scale,
        fy=scale,
        interpolation=cv2.INTER_AREA if scale < 1 else 1,
    )
    top = rng.randint(0, max(large.shape[0] - height, 0))
    left = rng.randint(0, max(large.shape[1] - width, 0))
    part = large[top : top + height, left : left + width]
    canvas[:] = cv2.resize(part, (width, height))
    if rng.random() < 0.5:
        canvas[:] = canvas[:, ::-1].copy()


def _flat(canvas: Canvas, rng: random.Random) -> None:
    canvas[:] = rng.choice((any_colour(rng), WHITE))


def _gradient(canvas: Canvas, rng: random.Random) -> None:
    height, width = canvas.shape[:2]
    turn = rng.uniform(0, 2 * math.pi)
    x = np.arange(width, dtype=np.float32) / width
    y = np.arange(height, dtype=np.float32) / height
    share = np.clip(
        0.5 + (x[None] - 0.5) * math.cos(turn) + (y[:, None] - 0.5) * math.sin(turn),
        0,
        1,
    )[..., None]
    first, last = (
        np.array(any_colour(rng), np.float32),
        np.array(any_colour(rng), np.float32),
    )
    canvas[:] = (first + (last - first) * share).astype(np.uint8)


def _noise(canvas: Canvas, rng: random.Random) -> None:
    noise_rng = np.random.default_rng(rng.getrandbits(32))
    height, width = canvas.shape[:2]
    total = np.zeros(canvas.shape, np.float32)
    for power in range(rng.randint(1, 5)):
        cells = 2 ** (power + 1)
        small = noise_rng.normal(0, 1, (cells, cells, rng.choice((1, 3)))).astype(
            np.float32
        )
        grown = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        total += grown.reshape(height, width, -1) / (power + 1)
    middle = np.array(any_colour(rng), np.float32)
    canvas[:] = np.clip(middle + total * rng.uniform(10, 60), 0, 255).astype(np.uint8)


def _shapes(canvas: Canvas, rng: random.Random) -> None:
    _gradient(canvas, rng)
    height, width = canvas.shape[:2]
    for _ in range(rng.randint(4, 40)):
        colour = any_colour(rng)
        x = rng.uniform(0, width)
        y = rng.uniform(0, height)
        size = math.exp(rng.uniform(1.5, 5))
        kind = rng.random()
        if kind < 0.3:
            cv2.ellipse(
                canvas,
                (int(x), int(y)),
                (int(size / 2), int(size * rng.uniform(0.2, 0.6))),
                rng.uniform(0, 180),
                0,
                360,
                colour,
                -1,
                cv2.LINE_AA,
            )
        elif kind < 0.7:
            corners = [
                (x + rng.gauss(0, size / 2), y + rng.gauss(0, size / 2))
                for _ in range(rng.randint(3, 6))
            ]
            cv2.fillPoly(canvas, [np.array(corners, np.int32)], colour, cv2.LINE_AA)
        else:
            end = (int(x + rng.gauss(0, size)), int(y + rng.gauss(0, size)))
            cv2.line(
                canvas, (int(x), int(y)), end, colour, rng.randint(1, 8), cv2.LINE_AA
            )


def _stripes(canvas: Canvas, rng: random.Random) -> None:
    height, width = canvas.shape[:2]
    x = np.arange(width, dtype=np.float32)[None]
    y = np.arange(height, dtype=np.float32)[:, None]
    turn = rng.choice((0.0, math.pi / 2, rng.uniform(0, 3)))
    step = math.exp(rng.uniform(2, 4.6))
    wave = ((x * math.cos(turn) + y * math.sin(turn)) / step) % 2 < rng.uniform(
        0.3, 1.7
    )
    if rng.random() < 0.4:
        wave = wave ^ (((y * math.cos(turn) - x * math.sin(turn)) / step) % 2 < 1)
    first = any_colour(rng)
    last = any_colour(rng)
    last = mix(first, last, rng.uniform(0.15, 1))
    canvas[:] = np.where(wave[..., None], first, last).astype(np.uint8)


def _room(canvas: Canvas, rng: random.Random) -> None:
    height, width = canvas.shape[:2]
    canvas[:] = any_colour(rng)
    edge = any_colour(rng) if rng.random() < 0.5 else INK
    floor = int(height * rng.uniform(0.55, 0.9))
    canvas[floor:] = any_colour(rng)
    for _ in range(rng.randint(1, 6)):
        w = int(width * rng.uniform(0.1, 0.4))
        h = int(height * rng.uniform(0.1, 0.5))
        x = rng.randint(-w // 2, width)
        y = rng.randint(-h // 2, floor)
        cv2.rectangle(canvas, (x, y), (x + w, y + h), any_colour(rng), -1)
        cv2.rectangle(canvas, (x, y), (x + w, y + h), edge, rng.randint(1, 5))
        kind = rng.random()
        if kind < 0.3:
            cv2.line(canvas, (x + w // 2, y), (x + w // 2, y + h), edge, 2)
            cv2.line(canvas, (x, y + h // 2), (x + w, y + h // 2), edge, 2)
        elif kind < 0.6:
            for step in range(x + 4, x + w - 6, rng.randint(6, 16)):
                cv2.rectangle(
                    canvas,
                    (step, y + rng.randint(2, max(h // 2, 3))),
                    (step + 5, y + h),
                    any_colour(rng),
                    -1,
                )
        elif kind < 0.8:
            for side in (1, 3):
                cv2.circle(
                    canvas,
                    (x + w * side // 4, y + h // 4),
                    max(h // 12, 1),
                    any_colour(rng),
                    -1,
                    cv2.LINE_AA,
                )


def _town(canvas: Canvas, rng: random.Random) -> None:
    _gradient(canvas, rng)
    height, width = canvas.shape[:2]
    x = -10
    while x < width:
        w = rng.randint(20, 120)
        top = int(height * rng.uniform(0.1, 0.8))
        wall = any_colour(rng)
        cv2.rectangle(canvas, (x, top), (x + w, height), wall, -1)
        if rng.random() < 0.4:
            cv2.fillPoly(
                canvas,
                [
                    np.array(
                        [(x - 5, top), (x + w // 2, top - w // 2), (x + w + 5, top)],
                        np.int32,
                    )
                ],
                any_colour(rng),
                cv2.LINE_AA,
            )
        pane = any_colour(rng)
        step = rng.randint(10, 30)
        for left in range(x + 5, x + w - step // 2, step):
            for row in range(top + 6, height, int(step * 1.4)):
                if rng.random() < 0.8:
                    cv2.rectangle(
                        canvas,
                        (left, row),
                        (left + step // 2, row + step // 2),
                        pane,
                        -1,
                    )
        x += w + rng.randint(-5, 20)


def _hills(canvas: Canvas, rng: random.Random) -> None:
    _gradient(canvas, rng)
    height, width = canvas.shape[:2]
    for _ in range(rng.randint(0, 5)):
        x = rng.randint(0, width)
        y = rng.randint(0, height // 2)
        r = rng.randint(8, 40)
        for dx, part in ((0, 1.0), (-1.0, 0.7), (1.1, 0.75)):
            cv2.ellipse(
                canvas,
                (int(x + dx * r), y),
                (int(r * part), int(r * part * 0.7)),
                0,
                0,
                360,
                mix(WHITE, any_colour(rng), 0.1),
                -1,
                cv2.LINE_AA,
            )
    for level in (0.5, 0.65, 0.8):
        ridge = [
            (width * i / 5, height * (level + rng.uniform(-0.12, 0.12)))
            for i in range(6)
        ]
        shape = np.concatenate([curve(ridge), polygon((width, height), (0, height))])
        cv2.fillPoly(canvas, [shape.astype(np.int32)], any_colour(rng), cv2.LINE_AA)
    for _ in range(rng.randint(0, 6)):
        x = rng.randint(0, width)
        y = int(height * rng.uniform(0.4, 1))
        r = rng.randint(8, 50)
        cv2.rectangle(canvas, (x - r // 8, y), (x + r // 8, y + r), (90, 60, 40), -1)
        cv2.circle(
            canvas, (x, y), r, vivid(rng, (0.4, 0.8), (0.2, 0.7)), -1, cv2.LINE_AA
        )


def _spots(canvas: Canvas, rng: random.Random) -> None:
    _gradient(canvas, rng)
    height, width = canvas.shape[:2]
    for _ in range(rng.randint(5, 40)):
        layer = any_colour(rng)
        place = (rng.randint(0, width), rng.randint(0, height))
        cv2.circle(canvas, place, rng.randint(3, 40), layer, -1, cv2.LINE_AA)
    if rng.random() < 0.6:
        canvas[:] = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(1, 6))
