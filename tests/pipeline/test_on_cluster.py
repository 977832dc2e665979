"""A whole recipe on a cluster of which nodes die and join: the same catalogue, row for row."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray_nodes import NEEDS_RAY, ray_cluster
from test_kill import KINDS, exported, finish, listing, recipe, site, start, stray_files
from tools_for_tests import eventually

from pipeline.sample.site import SampleSite

__all__ = ["recipe", "site"]


@NEEDS_RAY
@pytest.mark.long
def test_a_recipe_gives_the_same_rows_whatever_runs_it(
    tmp_path: Path, recipe: Path, site: SampleSite
) -> None:
    here = recipe.with_name("here.toml")
    here.write_text(recipe.read_text().replace("[[folder]]", "dedup = true\n[[folder]]", 1))
    finish(start(here, tmp_path / "here", site))
    with ray_cluster(1, 1, 1) as cluster:
        there = recipe.with_name("there.toml")
        there.write_text(f'{here.read_text()}\n[work]\non = "{cluster.address}"\n')
        process = start(there, tmp_path / "there", site)
        # Once in the middle of something, whatever that is.
        assert eventually(lambda: any((tmp_path / "there" / "images").glob("*/*")), 60)
        cluster.nodes[-1].kill()
        cluster.begin()
        finish(process)
    expected, found = listing(tmp_path / "here"), listing(tmp_path / "there")
    for kind in KINDS:
        assert found[kind] == expected[kind], kind
    assert len(found["faces"]) > 20
    assert found["groups"]
    assert found["rejections"]
    assert exported(tmp_path / "there") == exported(tmp_path / "here")
    assert stray_files(tmp_path / "there") == []
