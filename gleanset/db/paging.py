"""Keyset paging over samples: the SQL of one page, equally quick at any depth.

A page begins after a position, never at an offset. Each query walks one index in its own
order and stops after a page; which index depends on the trait that narrows most.
"""

from __future__ import annotations

from dataclasses import dataclass

Position = tuple[float | int, ...]

# The origin's traits that have an index, the narrowest first.
ORIGIN_TRAITS = ("video", "hint", "licence", "source")


@dataclass(frozen=True, slots=True)
class Where:
    """Which samples: every trait that is not None must hold.

    `source`, `video`, `licence` and `hint` are those of one of the image's origins;
    `min_score` asks for the detector's score and orders by it, surest first.
    """

    label: str | None = None
    status: str | None = None
    split: str | None = None
    source: str | None = None
    video: str | None = None
    licence: str | None = None
    hint: str | None = None
    min_score: float | None = None


EVERYTHING = Where()


IN_USE = "s.kept AND s.status<>'retired'"
SET_ASIDE = "NOT s.kept AND s.status<>'retired'"
"""SQL: a sample `s` is found still and was not set aside as a copy."""


def page_query(
    where: Where, class_id: int | None, after: Position | None
) -> tuple[str, list[object]]:
    """SQL and values that give `id, image, score` of samples; append a LIMIT.

    Its ORDER BY is the outermost: as a subquery it would have no order that can be relied on.
    """
    tests, values = _own_tests(where, class_id)
    origin = {t: getattr(where, t) for t in ORIGIN_TRAITS if getattr(where, t) is not None}
    if where.min_score is not None:
        return _by_score(where.min_score, tests, values, origin, after)
    if origin and class_id is None:
        return _by_origin(tests, values, origin, after)
    _add_origin_test(tests, values, origin)
    if after is not None:
        _add_position(tests, values, "s.image", after)
    return (
        f"SELECT s.id, s.image, s.score FROM sample s{_all(tests)} ORDER BY s.image, s.id",
        values,
    )


def _own_tests(where: Where, class_id: int | None) -> tuple[list[str], list[object]]:
    traits = {"label": class_id, "status": where.status, "split": where.split}
    given = {name: value for name, value in traits.items() if value is not None}
    return [f"s.{name}=?" for name in given], list(given.values())


def _by_score(
    least: float,
    tests: list[str],
    values: list[object],
    origin: dict[str, object],
    after: Position | None,
) -> tuple[str, list[object]]:
    _add_origin_test(tests, values, origin)
    tests.append("s.score>=?")
    values.append(least)
    if after is not None:
        tests.append("(s.score, s.image, s.id)<(?,?,?)")
        values += after
    order = "s.score DESC, s.image DESC, s.id DESC"
    return (
        f"SELECT s.id, s.image, s.score FROM sample s{_all(tests)} ORDER BY {order}",
        values,
    )


def _by_origin(
    tests: list[str],
    values: list[object],
    origin: dict[str, object],
    after: Position | None,
) -> tuple[str, list[object]]:
    first = " AND ".join(f"p.{name}=o.{name}" for name in origin)
    tests = [
        *(f"o.{name}=?" for name in origin),
        # An image found twice by one source is still shown once.
        f"NOT EXISTS(SELECT 1 FROM origin p WHERE p.image=o.image AND p.id<o.id AND {first})",
        *tests,
    ]
    values = [*origin.values(), *values]
    if after is not None:
        _add_position(tests, values, "o.image", after)
    # CROSS JOIN keeps SQLite from turning the join round: the origin's index gives the order.
    return (
        "SELECT s.id, s.image, s.score FROM origin o CROSS JOIN sample s ON s.image=o.image"
        f"{_all(tests)} ORDER BY o.image, s.id",
        values,
    )


def _add_origin_test(tests: list[str], values: list[object], origin: dict[str, object]) -> None:
    if origin:
        # The + keeps SQLite on the index by image: it is asked for one image at a time.
        inner = " AND ".join(f"+{name}=?" for name in origin)
        tests.append(f"EXISTS(SELECT 1 FROM origin WHERE image=s.image AND {inner})")
        values += origin.values()


def _add_position(tests: list[str], values: list[object], image: str, after: Position) -> None:
    """After (image, id). Not as a row value: across two tables that could use no index."""
    tests.append(f"{image}>=? AND ({image}>? OR s.id>?)")
    values += (after[0], after[0], after[1])


def _all(tests: list[str]) -> str:
    return f" WHERE {' AND '.join(tests)}" if tests else ""
