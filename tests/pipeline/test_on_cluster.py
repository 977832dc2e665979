"""A whole recipe on a cluster of which nodes die and join: the same catalogue, row for row."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from ray_nodes import NEEDS_RAY, RayCluster, ray_cluster
from test_kill import DATASETS, KINDS, exported, finish, listing, recipe, site, start, stray_files
from tools_for_tests import command, eventually, run_cli

from gleanset import Dataset
from pipeline.sample_site import SampleSite

__all__ = ["recipe", "site"]


@NEEDS_RAY
@pytest.mark.long
def test_a_recipe_gives_the_same_rows_whatever_runs_it(
    tmp_path: Path, recipe: Path, site: SampleSite
) -> None:
    first = min((recipe.parent / "pictures" / "sora").glob("*.jpg"))
    Image.open(first).save(first.with_name("again.jpg"), quality=80)
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
        cluster.add()
        finish(process)
    expected, found = listing(tmp_path / "here"), listing(tmp_path / "there")
    for kind in KINDS:
        assert found[kind] == expected[kind], kind
    assert len(found["faces"]) > 20
    assert all(found[kind] for kind in ("groups", "rejections"))
    assert exported(tmp_path / "there") == exported(tmp_path / "here")
    assert stray_files(tmp_path / "there") == []


@pytest.fixture(scope="module")
def two() -> Iterator[RayCluster]:
    with ray_cluster(1, 1) as cluster:
        yield cluster


def gathered(root: Path) -> Path:
    ran = run_cli("harvest.cli", "folder", DATASETS / "sample" / "pictures", "-d", root)
    assert ran.code == 0, ran.stderr
    return root


def searched(root: Path) -> int:
    with Dataset.open(root) as dataset:
        return dataset.images.count() - dataset.images.count_fresh()


@NEEDS_RAY
@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_is_ended_goes_on_with_the_next(
    tmp_path: Path, two: RayCluster, how: signal.Signals
) -> None:
    words = ["run", "--detector", "drawnface", "--json", "-d"]
    here = run_cli("facecrop.cli", *words, gathered(tmp_path / "here"), timeout=300)
    root = gathered(tmp_path / "there")
    line = command("facecrop.cli", *words, root, "--on", two.address)
    broken = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert eventually(lambda: searched(root) > 5, 120)
    broken.send_signal(how)
    said = broken.communicate(timeout=60)
    if how == signal.SIGINT:
        assert broken.returncode == 130
        assert b"Traceback" not in said[1]
        assert b"interrupted; what was done is kept" in said[1]
    assert said[0] == b""
    before = searched(root)
    ran = run_cli("facecrop.cli", *words, root, "--on", two.address, timeout=300)
    assert ran.code == 0, ran.stderr
    # Results are printed, and nothing of Ray's.
    assert len(ran.stdout.splitlines()) == 1
    assert 0 < ran.json["images"] == here.json["images"] - before
    assert listing(root) == listing(tmp_path / "here")
    assert stray_files(root) == []
