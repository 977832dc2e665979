"""Where images come from, and how to cite a dataset: in lists, reports and exports."""

import csv
import json
from pathlib import Path

import pytest
from labelled_images import run_export, run_import, run_labeler
from tools_for_tests import run_here, write_pictures

from gleanset import Box, Dataset
from gleanset.db.journal import Choice
from gleanset.settings import Settings
from labeler.cropping import put_box
from labeler.export.descriptions import make_bibtex
from labeler.importing.job import read_licence_files
from labeler.splits.plan import apply_split, plan_split


def split(dataset: Dataset) -> None:
    apply_split(dataset, plan_split(dataset, dataset.settings.split))


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders of labelled images; the first has a licence file."""
    owls = write_pictures(tmp_path / "owls", [f"owl/{n}.jpg" for n in range(6)])
    write_pictures(tmp_path / "cats", [f"cat/{n}.jpg" for n in range(6)], first=10)
    (owls / "LICENSE.txt").write_text("Owls are free for all.\n")
    return owls, tmp_path / "cats"


@pytest.fixture
def imported(empty: Dataset, sets: tuple[Path, Path]) -> Dataset:
    owls, cats = sets
    assert run_import(empty, owls)["licence_files"] == ["LICENSE.txt"]
    result = run_import(empty, cats, name=" Cats of\n2026 ")
    assert (result["collections"], "licence_files" in result) == (
        ["Cats of 2026"],
        False,
    )
    split(empty)
    return empty


def test_imported_sets_keep_their_names(imported: Dataset, tmp_path: Path) -> None:
    listed = run_here("pipeline.cli", "list", "images", "-d", imported.root).stdout
    origins = [json.loads(line)["origins"][0] for line in listed.splitlines()]
    pairs = {(origin["source"], origin["collection"]) for origin in origins}
    assert pairs == {("import", "owls"), ("import", "Cats of 2026")}
    samples = run_here("pipeline.cli", "list", "samples", "-d", imported.root).stdout
    assert {json.loads(line)["collection"] for line in samples.splitlines()} == {
        "owls",
        "Cats of 2026",
    }
    shown = run_here("pipeline.cli", "status", "-d", imported.root).stdout
    assert "owls: 6" in shown
    assert "Cats of 2026: 6" in shown
    run_here("pipeline.cli", "report", "-d", imported.root).checked()
    page = (imported.root / "report.html").read_text(encoding="utf-8")
    assert '<span class="soft">imported set</span> <bdi>owls</bdi>' in page

    run_export(imported, tmp_path / "out")
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "| import (owls) | 6 | 50 % |" in card
    assert "| import (Cats of 2026) | 6 | 50 % |" in card
    croissant = json.loads(
        (tmp_path / "out/croissant.json").read_text(encoding="utf-8")
    )
    assert (
        croissant["rai:dataCollection"] == "import (Cats of 2026): 6, import (owls): 6"
    )
    with (tmp_path / "out/LICENSES.csv").open(encoding="utf-8", newline="") as file:
        assert {(row["label"], row["collection"]) for row in csv.DictReader(file)} == {
            ("owl", "owls"),
            ("cat", "Cats of 2026"),
        }


@pytest.mark.parametrize("format_", ["imagefolder", "webdataset", "coco"])
def test_exports_carry_the_licence_files_of_their_sets(
    imported: Dataset, tmp_path: Path, format_: str
) -> None:
    run_export(imported, tmp_path / "out", format=format_)
    text = (tmp_path / "out/SOURCE_LICENSES.txt").read_text(encoding="utf-8")
    assert text == "==== owls ====\n\nOwls are free for all.\n"
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "Imported sets with licence files: owls." in card
    # Without images of the set its licence says nothing.
    keys = [s.key for s in imported.samples.iter_by_key() if s.label == "owl"]
    imported.journal.apply("none", [Choice(key, "reject") for key in keys])
    run_export(imported, tmp_path / "out", format=format_)
    assert not (tmp_path / "out/SOURCE_LICENSES.txt").exists()


def test_sets_and_licences_reach_another_dataset(
    imported: Dataset, tmp_path: Path
) -> None:
    run_export(imported, tmp_path / "out")
    with Dataset.create(tmp_path / "other") as other:
        result = run_import(other, tmp_path / "out")
        assert result["collections"] == ["Cats of 2026", "owls"]
        assert (
            "Owls are free for all." in other.images.get_collection_licences()["owls"]
        )
    with Dataset.create(tmp_path / "merged") as merged:
        run_here("pipeline.cli", "merge", imported.root, "-d", merged.root).checked()
        assert merged.images.get_collection_licences() == {
            "owls": "Owls are free for all."
        }
        origins = [image.origins[0].collection for image in merged.images.iterate()]
        assert sorted(set(origins)) == ["Cats of 2026", "owls"]


def test_importing_again_names_the_set_of_an_earlier_version(
    empty: Dataset, sets: tuple[Path, Path]
) -> None:
    run_import(empty, sets[1])
    empty.db.execute("UPDATE origin SET collection=NULL")
    run_import(empty, sets[1])
    assert {image.origins[0].collection for image in empty.images.iterate()} == {"cats"}


def test_licence_files_are_recognized_by_name(tmp_path: Path) -> None:
    texts = (
        "LICENSE",
        "Licence.md",
        "COPYING",
        "FLOWERS_LICENSE.txt",
        "LICENSE-CC-BY-4.0.txt",
    )
    others = ("LICENSES.csv", "licensed.txt", "README.md", "copying machine.jpg.json")
    for name in (*texts, *others):
        (tmp_path / name).write_text(f"text of {name}\n")
    (tmp_path / "LICENSE.bin").write_bytes(b"\0\1")
    (tmp_path / "LICENSE.empty").write_text(" \n")
    (tmp_path / "licenses").mkdir()
    assert read_licence_files(tmp_path) == {
        name: f"text of {name}" for name in sorted(texts)
    }


def test_imported_boxes_were_not_drawn_by_hand(empty: Dataset, tmp_path: Path) -> None:
    write_pictures(tmp_path / "set/images", ["1.jpg", "2.jpg"])
    for number in (1, 2):
        (tmp_path / f"set/images/{number}.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    (tmp_path / "set/classes.txt").write_text("cat\n")
    run_import(empty, tmp_path / "set")
    image = next(empty.images.iterate())
    drawn = put_box(empty, image.sha256, Box(2, 2, 10, 10))
    empty.journal.apply("Label", [Choice(drawn.key, "label", "cat")])
    split(empty)
    run_export(empty, tmp_path / "out", format="coco")
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert "- 2 boxes imported with the images" in card
    assert "- 1 box drawn by hand" in card


def test_exports_say_how_to_cite_the_dataset(imported: Dataset, tmp_path: Path) -> None:
    words = ("--title", "Owls & cats, 100%", "--author", "Zoë Müller and A_B")
    root = imported.root
    run_here(
        "pipeline.cli", "init", *words, "--citation", "Müller, 2026", "-d", root
    ).checked()
    out = tmp_path / "out"
    for format_ in ("imagefolder", "webdataset", "coco"):
        run_labeler("export", out / format_, "--format", format_, "-d", root).checked()
        bibtex = (out / format_ / "CITATION.bib").read_text(encoding="utf-8")
        assert bibtex == (
            "@misc{dataset,\n"
            "  title = {{Owls \\& cats, 100\\%}},\n"
            "  author = {Zoë Müller and A\\_B},\n"
            "  note = {Müller, 2026},\n"
            "}\n"
        )
        card = (out / format_ / "README.md").read_text(encoding="utf-8")
        assert "# Owls & cats, 100%\n" in card
        assert "- Created by: Zoë Müller and A\\_B\n" in card
        assert f"## Citation\n\n```bibtex\n{bibtex}```" in card
        croissant = json.loads(
            (out / format_ / "croissant.json").read_text(encoding="utf-8")
        )
        assert [creator["name"] for creator in croissant["creator"]] == [
            "Zoë Müller",
            "A_B",
        ]
        assert (croissant["citeAs"], croissant["name"]) == (bibtex, "dataset")
    # Nothing is invented where nothing is said.
    with Dataset.create(tmp_path / "plain") as plain:
        assert make_bibtex(plain) == ""


def test_own_entry_of_bibtex_is_kept(tmp_path: Path) -> None:
    entry = "@article{m26,\n  title = {Owls},\n}"
    with Dataset.create(
        tmp_path / "a", Settings(citation=entry, title="Other")
    ) as dataset:
        assert make_bibtex(dataset) == f"{entry}\n"
