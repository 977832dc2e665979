"""Which samples a person asks for: traits of a sample and of where its image came from, as SQL."""

from __future__ import annotations

from dataclasses import dataclass

from gleanset.db.images import post_of
from gleanset.db.measures import QUALITY_COLUMNS, QualityFlag

NEIGHBOUR_SECONDS = 1.0
"""Frames of a video that are less apart than this are of one moment."""


@dataclass(frozen=True, slots=True)
class SampleFilter:
    """Which samples: every trait that is not None must hold.

    `min_size` is the shorter side in pixels; `text` is looked for in titles, queries, hints,
    authors, tags and paths, without regard to the case of ASCII letters. `proposal` is the class
    that the newest presort proposes first, '' for samples of which it knows none; `moment` is a
    sample (row), and asks for those of its image, scene, post, second or group of copies. `show`
    is that of the sample's class, or, while it has none, of the class that is proposed first.
    """

    label: str | None = None
    source: str | None = None
    video: str | None = None
    licence: str | None = None
    min_score: float | None = None
    min_size: int | None = None
    text: str | None = None
    proposal: str | None = None
    flag: QualityFlag | None = None
    moment: int | None = None
    show: str | None = None


ANYTHING = SampleFilter()


def filter_tests(chosen: SampleFilter) -> tuple[str, list[object]]:
    """Return SQL that begins with AND, and its values: tests on a sample `s` and its class `c`."""
    tests, values = [], list[object]()
    of_sample = {
        "c.name=?": chosen.label,
        "s.score>=?": chosen.min_score,
        "s.size>=?": chosen.min_size,
        _MOMENT: chosen.moment,
        _OF_SHOW: chosen.show,
    }
    for test, value in of_sample.items():
        if value is not None:
            tests.append(test)
            values += [value] * test.count("?")
    if chosen.proposal is not None:
        tests.append(_PROPOSED if chosen.proposal else f"NOT {_ANY_PROPOSED}")
        values += [chosen.proposal] if chosen.proposal else []
    if chosen.flag is not None:
        tests.append(f"EXISTS(SELECT 1 FROM ({_MEASURED}) WHERE {chosen.flag.test})")
    _add_origin(chosen, tests, values)
    return "".join(f" AND {test}" for test in tests), values


def _add_origin(chosen: SampleFilter, tests: list[str], values: list[object]) -> None:
    of_origin = {"source=?": chosen.source, "video=?": chosen.video, "licence=?": chosen.licence}
    given: dict[str, object] = {f"+{t}": value for t, value in of_origin.items() if value}
    if chosen.text:
        given[_TEXT] = f"%{_escaped(chosen.text)}%"
    if given:
        # The + keeps SQLite on the index by image: it is asked for one image at a time.
        tests.append(f"EXISTS(SELECT 1 FROM origin WHERE image=s.image AND {' AND '.join(given)})")
        values += given.values()


_NOW = "iif(v.merged_into=v.id, NULL, ifnull(v.merged_into, v.id))"
FIRST_PROPOSAL = (
    " LEFT JOIN proposal p ON p.sample=s.id AND p.rank=1 LEFT JOIN class v ON v.id=p.label "
    f"LEFT JOIN class w ON w.id={_NOW}"
)
"""SQL: joins the first proposal `p` of a sample `s`, and `w`, what its class is now."""

_ANY_PROPOSED = (
    "EXISTS(SELECT 1 FROM proposal p JOIN class v ON v.id=p.label JOIN class w ON "
    f"w.id={_NOW} WHERE p.sample=s.id AND p.rank=1)"
)
_PROPOSED = f"{_ANY_PROPOSED[:-1]} AND w.name=?)"
_OF_SHOW = (
    "iif(s.label IS NULL, (SELECT w.show FROM proposal p JOIN class v ON v.id=p.label "
    f"JOIN class w ON w.id={_NOW} WHERE p.sample=s.id AND p.rank=1), "
    "(SELECT show FROM class WHERE id=s.label))=?"
)
_MEASURED = f"SELECT {QUALITY_COLUMNS} FROM quality q WHERE q.sample=s.id"
_SAME_FRAME = f"b.scene=a.scene OR abs(b.time-a.time)<{NEIGHBOUR_SECONDS}"
_MOMENT = (
    "s.image IN (SELECT image FROM sample WHERE id=? "
    "UNION SELECT b.image FROM sample x JOIN origin a ON a.image=x.image JOIN origin b ON "
    f"b.video=a.video AND ({_SAME_FRAME}) WHERE x.id=? "
    "UNION SELECT b.image FROM sample x JOIN origin a ON a.image=x.image JOIN origin b ON "
    f"b.post=a.post AND {post_of('b')}={post_of('a')} WHERE x.id=? AND a.post IS NOT NULL "
    "UNION SELECT y.image FROM sample x JOIN sample y ON y.grp=x.grp WHERE x.id=?)"
)
_COLUMNS = ("title", "query", "hint", "author", "tags", "path", "video")
_TEXT = (
    "("
    + " || char(10) || ".join(f"ifnull({name}, '')" for name in _COLUMNS)
    + (") LIKE ? ESCAPE '\\'")
)


def _escaped(text: str) -> str:
    """Return a text in which LIKE finds no wildcards."""
    for letter in ("\\", "%", "_"):
        text = text.replace(letter, f"\\{letter}")
    return text
