"""Evidence for grouping without a catalogue, and a brute-force grouping to compare with."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from labeler_makers import hash64

from gleanset.db.samples import GroupEvidence
from labeler.splits.plan import SplitPlan

CLASSES = ("hana", "rei", "sora")


def tie(
    key: str,
    *,
    label: str | None = "hana",
    image: str = "",
    phash: int | None = None,
    video: str | None = None,
    scene: int | None = None,
    time: float | None = None,
    post: str | None = None,
    group: str | None = None,
    track: str | None = None,
    source: str = "site",
) -> GroupEvidence:
    """Make a sample that shares no group unless arguments say so."""
    look = hash64(key) if phash is None else phash
    place = hash64(image or f"image of {key}")
    return GroupEvidence(
        hash64(key),
        key,
        label,
        None,
        None,
        place,
        look,
        group,
        source,
        video,
        scene,
        time,
        post,
        track,
    )


def random_ties(random: Random, prefix: str = "a", most: int = 24) -> list[GroupEvidence]:
    """Make samples with all kinds of ties, also across prefixes."""
    result = []
    for number in range(random.randint(1, most)):
        key = f"{prefix}{number:03}"
        copy = random.random() < 0.1
        evidence = {
            "label": None if copy else random.choice(CLASSES),
            "group": f"g{random.randrange(4)}" if copy or random.random() < 0.1 else None,
            "post": f"p{random.randrange(30)}" if random.random() < 0.3 else None,
            "track": f"t{random.randrange(12)}" if random.random() < 0.2 else None,
            "image": f"i{random.randrange(60)}" if random.random() < 0.3 else "",
            "phash": random.choice([0b11, 0xFF, 0b1010]) << 8 * random.randrange(5)
            if random.random() < 0.1
            else None,
            "source": random.choice(("bing", "pixiv", "video")),
        }
        if random.random() < 0.3:
            evidence |= {
                "video": random.choice("vw"),
                "time": (time := random.randrange(200) / 4),
                "scene": int(time // 6.25),
            }
        origins = [tie(key, **evidence)]  # type: ignore[arg-type]
        if random.random() < 0.1:
            origins.append(origins[0]._replace(post=f"p{random.randrange(30)}", source="bing"))
        result += origins
    return result


def tied(a: GroupEvidence, b: GroupEvidence) -> bool:
    """Return whether two rows alone put their samples into one group."""
    return (
        a.image == b.image
        or (a.group is not None and a.group == b.group)
        or (a.post is not None and a.post == b.post)
        or (a.track is not None and a.track == b.track)
        or (a.phash ^ b.phash).bit_count() <= 6
        or (a.video is not None and a.video == b.video and a.scene == b.scene)
    )


def components(ties: Iterable[GroupEvidence]) -> list[set[str]]:
    """Return the groups of labelled samples, found pair by pair."""
    rows = list(ties)
    of: dict[str, set[str]] = {row.key: {row.key} for row in rows}
    for number, a in enumerate(rows):
        for b in rows[:number]:
            if of[a.key] is not of[b.key] and tied(a, b):
                of[a.key] |= of[b.key]
                for key in of[b.key]:
                    of[key] = of[a.key]
    labelled = {row.key for row in rows if row.label}
    result = {id(group): group & labelled for group in of.values()}
    return [group for group in result.values() if group]


def applied(ties: Iterable[GroupEvidence], plan: SplitPlan) -> list[GroupEvidence]:
    """Return the rows as they are read after the plan was written."""
    return [
        row._replace(
            split_group=plan.splits.get(row.key, (None, None))[0],
            split=plan.splits.get(row.key, (None, None))[1],
        )
        for row in ties
    ]
