"""`gleanset init` stores name, description and contact, which cards and reports show."""

from __future__ import annotations

from pathlib import Path

from tools_for_tests import run_here

from gleanset import Dataset
from gleanset.errors import UsageError
from labeler.export.card import CardFacts, dataset_card
from labeler.export.options import ExportOptions
from pipeline.report import write_report


def init(root: Path, *words: str) -> None:
    ran = run_here("pipeline.cli", "init", "-d", root, *words)
    assert ran.code == 0, ran.stderr


def make_card(dataset: Dataset) -> str:
    """Return the card of an export of one image."""
    facts = CardFacts(ExportOptions(format="imagefolder"))
    facts.items = facts.images = facts.counts["owl", "train"] = facts.licences["unknown"] = 1
    return dataset_card(dataset, facts)


def settings(root: Path) -> tuple[str | None, str | None, str | None]:
    with Dataset.open(root) as dataset:
        stored_settings = dataset.settings
        return stored_settings.name, stored_settings.description, stored_settings.contact


def test_name_description_and_contact_are_stored(tmp_path: Path) -> None:
    root = tmp_path / "owls"
    words = ("--name", "Owls & <b>", "--description", "Owls of\none wood.", "--contact", "me@x.org")
    init(root, *words)
    assert settings(root) == ("Owls & <b>", "Owls of one wood.", "me@x.org")
    with Dataset.open(root) as dataset:
        card = make_card(dataset)
        page = write_report(dataset).read_text()
    assert "Owls of one wood." in card
    assert card.rstrip().endswith("me@x.org")
    assert "<b>" not in card.split("---")[2]
    assert "Owls of one wood." in page
    assert "me@x.org" in page
    assert "Owls &amp; &lt;b&gt;" in page


def test_folder_is_positional_argument(tmp_path: Path) -> None:
    done = run_here("pipeline.cli", "init", "mydata", "--json", cwd=tmp_path)
    assert done.json["dataset"] == str(tmp_path / "mydata")
    assert (tmp_path / "mydata" / "dataset.toml").is_file()
    twice = run_here("pipeline.cli", "init", "a", "-d", "b", cwd=tmp_path)
    assert (twice.code, (tmp_path / "a").exists(), (tmp_path / "b").exists()) == (2, False, False)


def test_default_name_is_folder_name(tmp_path: Path) -> None:
    root = tmp_path / "owls"
    init(root)
    assert settings(root) == (None, None, None)
    with Dataset.open(root) as dataset:
        card = make_card(dataset)
    assert "\n# owls\n" in card
    assert "Contact" not in card


def test_too_long_text_is_rejected(tmp_path: Path) -> None:
    done = run_here("pipeline.cli", "init", "--contact", "x" * 201, "-d", tmp_path / "a")
    assert done.code == UsageError.exit_code
    assert "text too long" in done.stderr
    assert settings(tmp_path / "a") == (None, None, None)
