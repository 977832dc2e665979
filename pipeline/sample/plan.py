"""What the sample consists of, as plain values: its pictures, and what the site lists.

File names and addresses are hashes of seeds, so that nothing but a look at the picture
(or `truth.json`) tells who is on it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from hashlib import sha256

from pipeline.sample.character import CAST
from pipeline.sample.listing import Listing, Result

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

# Which faults each keyword's results hold; every kind occurs at least once.
_FAULTS = (
    ("missing", "page"),
    ("cut", "forbidden"),
    ("empty", "missing", "dropped"),
    ("page", "cut", "forbidden"),
)


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture to draw: its file name, its seed, and who is on it, the main person first."""

    file: str
    seed: int
    names: tuple[str, ...]


def plan_pictures() -> list[Picture]:
    """`SOLO` pictures of each character alone, and `PAIRS` with a bystander."""
    pictures = []
    for index, who in enumerate(CAST):
        others = [CAST[(index + step) % len(CAST)].name for step in range(1, PAIRS + 1)]
        casts = [(who.name,)] * SOLO + [(who.name, other) for other in others]
        for number, names in enumerate(casts):
            seed = 1000 * (index + 1) + number
            pictures.append(Picture(_hash("picture", seed) + ".jpg", seed, names))
    return pictures


def plan_listing(pictures: list[Picture]) -> Listing:
    """What the site answers to each character's name, in order."""
    own = {who.name: [_result(p) for p in pictures if p.names[0] == who.name] for who in CAST}
    listing: Listing = {}
    for index, (name, results) in enumerate(own.items()):
        neighbour = own[CAST[(index + 1) % len(CAST)].name]
        found = [*results, *_near_copies(results), *_exact_copies(results[8:10])]
        found += _exact_copies(neighbour[5:6])  # the same bytes, elsewhere, for another keyword
        found += [neighbour[3], neighbour[SOLO]]  # the very same address under two keywords
        found += [_broken(results[12 + i], fault) for i, fault in enumerate(_FAULTS[index])]
        random.Random(f"order {name}").shuffle(found)  # noqa: S311 - drawing, not secrecy
        listing[name] = found
    return listing


def _result(picture: Picture) -> Result:
    dice = random.Random(f"result {picture.seed}")  # noqa: S311 - drawing, not secrecy
    host = dice.choice(("host-a", "host-b"))
    ending = dice.choice((".jpg", ".jpg", ".jpg", ".jpeg", "", ".jpg?w=640&v=2"))
    return Result(
        picture=picture.file,
        path=f"/{host}/media/{_hash('address', picture.seed)}{ending}",
        title=dice.choice(_TITLES).format(picture.names[0].capitalize()),
        page=f"/{host}/post/{dice.randrange(10_000, 99_999)}",
        author=dice.choice(_AUTHORS),
    )


def _near_copies(results: list[Result]) -> list[Result]:
    """Smaller and coarser copies of a few pictures."""
    smaller = [_elsewhere(result, "resized") for result in results[0:3]]
    return smaller + [_elsewhere(result, "reencoded") for result in results[2:5]]


def _exact_copies(results: list[Result]) -> list[Result]:
    """The same bytes at the other host."""
    return [_elsewhere(result, "plain") for result in results]


def _elsewhere(result: Result, variant: str) -> Result:
    host = "host-b" if result.path.startswith("/host-a") else "host-a"
    address = _hash(variant, result.path)
    page = f"/{host}/post/{int(address[:6], 16)}"
    path = f"/{host}/reposts/{address}.jpg"
    return replace(result, path=path, page=page, author="repostbot", variant=variant)


def _broken(result: Result, fault: str) -> Result:
    broken = _elsewhere(result, "plain")
    path = broken.path.replace("reposts", "old").replace(".jpg", f"{fault[0]}.jpg")
    return replace(broken, path=path, fault=fault)


def _hash(*parts: object) -> str:
    return sha256(" ".join(map(str, parts)).encode()).hexdigest()[:16]
