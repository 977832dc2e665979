"""Older catalogues: what pixels called the same before the close look is looked at once more."""

from __future__ import annotations

from pathlib import Path

import pytest

from gleanset import Dataset
from gleanset.db.connection import Connection
from gleanset.db.duplicates import Pairs
from gleanset.db.migrations import MIGRATIONS


@pytest.mark.damages("rows of an older catalogue, without origins")
def test_what_was_the_same_before_the_close_look_is_looked_at_again(tmp_path: Path) -> None:
    names = [name for name, _ in MIGRATIONS]
    before = MIGRATIONS[: names.index("0012-look-again")]
    old = Connection(tmp_path / "catalog.sqlite", create=True, migrations=before)
    with old.write():
        for row in range(1, 5):
            old.run(
                "INSERT INTO image(sha256,format,bytes,width,height,frames,orientation,phash,"
                "sharpness) VALUES(?,'PNG',1,1,1,1,1,0,0)",
                (f"{row:064x}",),
            )
            old.run(
                "INSERT INTO sample(key,image,detector,x,y,w,h,phash,sharpness) "
                "VALUES(?,?,'whole',0,0,1,1,0,0)",
                (f"{row:032x}", row),
            )
        for a, b, kind, verdict in (
            (1, 2, "pixels", "same"),
            (1, 3, "pixels", "not"),
            (1, 4, "pixels", "same"),
            (1, 4, "person", "not"),
            (2, 3, "person", "same"),
        ):
            old.run(
                "INSERT INTO pair(a,b,kind,distance,verdict) VALUES(?,?,?,1,?)",
                (a, b, kind, verdict),
            )
    old.close()
    (tmp_path / "dataset.toml").touch()
    with Dataset.open(tmp_path) as new:
        pairs = Pairs(new.db)
        assert pairs.unseen() == [(1, 2)]
        assert pairs.by_person() == {(1, 4): False, (2, 3): True}
        assert pairs.tied() == {(1, 2): True, (1, 4): False, (2, 3): True}
