"""Queries read in pages use an index, so that each page costs the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drawn_patterns import CLASSES, patterns
from PIL import Image
from tools_for_tests import run_here

from gleanset.db.connection import Connection, Row
from pipeline.listing import KINDS

COMMANDS = (
    ("harvest.cli", "folder", "pictures", "--hints-from-folders", "--workers", "1"),
    ("facecrop.cli", "run", "--detector", "whole", "--workers", "1"),
    ("labeler.cli", "accept", "hints"),
    ("labeler.cli", "dedup", "--workers", "1"),
    ("labeler.cli", "quality"),
    ("labeler.cli", "split"),
    ("labeler.cli", "export", "out"),
    ("pipeline.cli", "verify"),
    ("pipeline.cli", "status"),
    *(("pipeline.cli", "list", kind) for kind in KINDS),
)


def draw(folder: Path) -> None:
    drawn = patterns((8,) * len(CLASSES), 0, 3)
    for number, (pixels, kind) in enumerate(zip(drawn.x, drawn.y, strict=True)):
        (folder / CLASSES[int(kind)]).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels.transpose(1, 2, 0))
        image.save(folder / CLASSES[int(kind)] / f"{number}.png")


def test_paged_queries_sort_by_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plans: dict[str, str] = {}
    pages = Connection.iter_pages

    def explain_and_iterate(
        db: Connection, sql: str, key: tuple[str, ...], values: tuple[Any, ...] = (), **rest: Any
    ) -> Iterator[list[Row]]:
        page = f"{sql} ORDER BY {', '.join(key)} LIMIT 1000"
        plans[sql] = " ".join(
            row["detail"] for row in db.fetch_all(f"EXPLAIN QUERY PLAN {page}", values)
        )
        return pages(db, sql, key, values, **rest)

    monkeypatch.setattr(Connection, "iter_pages", explain_and_iterate)
    draw(tmp_path / "pictures")
    for module, *words in COMMANDS:
        ran = run_here(module, *words, "-d", tmp_path / "dataset", cwd=tmp_path)
        assert ran.code == 0, (words, ran.stderr)
    assert len(plans) > 10
    assert [sql for sql, plan in plans.items() if "FOR ORDER BY" in plan] == []
