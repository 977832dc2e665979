"""`gleanset status` and `gleanset init`: counts; name, description and contact."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from catalogue_rows import add_image, add_sample
from tools_for_tests import run_here, write_pictures

from gleanset import Dataset, Origin, Rejection
from gleanset.db.journal import Choice
from gleanset.errors import UsageError
from gleanset.html.thumbnails import Thumbnails
from labeler.export.descriptions import CardFacts, format_card
from labeler.export.options import ExportOptions
from labeler.qt.views.statistics import count_by_split
from labeler.sorting.session import SortingSession
from pipeline.report.page import gather_classes, write_report
from pipeline.status import gather_status


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Dataset]:
    with Dataset.create(tmp_path / "my dataset") as dataset:
        yield dataset


def test_status_of_empty_dataset(empty: Dataset) -> None:
    result = gather_status(empty).to_json()
    assert str(result.pop("next")).startswith("harvest folder")
    assert result == {
        "dataset": str(empty.root),
        "images": 0,
        "faces": 0,
        "samples": {},
        "labels": {},
        "splits": {},
        "decisions": 0,
        "origins": {},
        "rejections": {},
        "runs": 0,
        "reports": {"waiting": 0, "of_them_removals": 0, "accepted_since_training": 0},
    }


def test_unknown_settings_are_refused_with_known_ones(empty: Dataset) -> None:
    with (empty.root / "dataset.toml").open("a") as file:
        file.write("target = 300\n[split]\nfolds = 5\nseed = 7\n")
    done = run_here("pipeline.cli", "status", "-d", empty.root)
    done.refused(3, "line 2: unknown key 'target'; known keys: author, citation")
    assert "line 4: unknown key 'folds'; known keys: hold_out, ratio" in done.stderr


def test_deleted_settings_are_replaced_by_defaults_with_a_warning(
    empty: Dataset,
) -> None:
    root = empty.root
    settings = empty.root / "dataset.toml"
    command = f"gleanset init -d '{root}'"
    settings.unlink()
    done = run_here("pipeline.cli", "status", "-d", root).checked()
    assert "dataset.toml is missing: default settings are used" in done.stderr
    assert command in done.stderr.replace("\n", " ")
    # Also a command that may create a dataset says so, and writes nothing that hides it.
    photos = write_pictures(root.parent / "photos", 1)
    done = run_here("harvest.cli", "folder", photos, "-d", root).checked()
    assert "dataset.toml is missing" in done.stderr
    assert not settings.exists()
    for words in (
        ("pipeline.cli", "run", "sample", "--simulate", "-d", root),
        ("webapp.cli", "serve", "-d", root),
        ("webapp.cli", "export", photos / "page", "-d", root),
    ):
        assert "dataset.toml is missing" in run_here(*words).stderr, words
    settings.write_text("\n")
    done = run_here("pipeline.cli", "status", "-d", root).checked()
    assert "dataset.toml is empty: default settings are used" in done.stderr
    done = run_here("pipeline.cli", *shlex.split(command)[1:]).checked()
    assert done.stderr == ""
    assert (
        run_here("pipeline.cli", "status", "-d", root, "--json").checked().stderr == ""
    )


@pytest.mark.parametrize(
    ("content", "what", "hint"),
    [
        (b"caf\xe9", "cannot read", "save it as UTF-8"),
        (None, "cannot read", "check the name"),
    ],
)
def test_unreadable_settings_are_refused(
    empty: Dataset, content: bytes | None, what: str, hint: str
) -> None:
    settings = empty.root / "dataset.toml"
    settings.unlink()
    if content is None:
        settings.mkdir()
    else:
        settings.write_bytes(content)
    run_here("pipeline.cli", "status", "-d", empty.root).refused(
        3, what, str(settings), hint
    )
    settings.rmdir() if content is None else settings.unlink()


def test_missing_catalogue_is_named_with_its_latest_snapshot(tmp_path: Path) -> None:
    root = tmp_path / "ds"
    Dataset.create(root).close()
    run_here("pipeline.cli", "snapshot", "first", "-d", root).checked()
    with Dataset.open(root) as dataset:
        for number in range(100):
            dataset.rejections.add(Rejection("urls", str(number), "empty"))
        # The log that a killed command leaves.
        log = (root / "catalog.sqlite-wal").read_bytes()
    (root / "catalog.sqlite-wal").write_bytes(log)
    (root / "catalog.sqlite").unlink()
    done = run_here("pipeline.cli", "status", "-d", root)
    copy_command = f"cp {root}/snapshots/first.sqlite {root}/catalog.sqlite"
    done.refused(3, f"the catalogue is missing: {root}/catalog.sqlite", copy_command)
    command = done.stderr.partition("back: ")[2]
    subprocess.run(["sh", "-c", command], check=True)
    run_here("pipeline.cli", "status", "-d", root).checked()
    with Dataset.open(root) as dataset:
        assert not list(dataset.rejections.iterate()), "the log is not applied to it"


def test_lost_catalogue_is_not_replaced_by_an_empty_one(
    empty: Dataset, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    write_pictures(tree / "hana", 1, 2)
    root = empty.root
    run_here("labeler.cli", "import", tree, "-d", root).checked()
    empty.close()
    for file in root.glob("catalog.sqlite*"):
        file.unlink()

    for words in (("labeler.cli", "import", tree), ("pipeline.cli", "init")):
        run_here(*words, "-d", root).refused(
            3,
            f"the catalogue is missing: {root}/catalog.sqlite",
            "put a copy of it back",
        )
    assert not list(root.glob("catalog.sqlite*"))


def test_status_counts(empty: Dataset) -> None:
    keys = [
        add_sample(empty, n, Origin("folder", f"{n}", hint="hana")) for n in range(4)
    ]
    add_image(empty, 0, Origin("bing", "x", query="hana rose", hint="hana"))
    empty.journal.apply("Label", [Choice(key, "label", "hana") for key in keys[:2]])
    empty.journal.apply("Reject", [Choice(keys[2], "reject")])
    empty.samples.set_splits({keys[0]: ("a", "train"), keys[1]: ("b", "test")})
    empty.rejections.add(Rejection("facecrop", "x", "truncated"))
    empty.rejections.add(Rejection("facecrop", "y", "truncated"))
    printed = run_here("pipeline.cli", "status", "-d", empty.root).checked().stdout
    assert "rejected files:" in printed
    assert (
        printed.index("images:")
        < printed.index("rejected files:")
        < printed.index("next:")
    )
    result = gather_status(empty).to_json()
    del result["next"], result["dataset"]
    assert [*result["splits"]] == ["train", "test"]
    listing_command = str(result.pop("rejections_are_listed_by"))
    assert (
        listing_command == f"gleanset list rejections -d {shlex.quote(str(empty.root))}"
    )
    assert result == {
        "images": 4,
        "faces": 4,
        "samples": {"labelled": 2, "queue": 1, "rejected": 1},
        "labels": {"hana": 2},
        "splits": {"train": {"hana": 1}, "test": {"hana": 1}},
        "decisions": 3,
        "origins": {"bing": {"hana rose": 1}, "folder": {"hana": 4}},
        "rejections": {"facecrop": {"truncated": 2}},
        "runs": 0,
        "reports": {"waiting": 0, "of_them_removals": 0, "accepted_since_training": 0},
    }


def test_commands_agree_on_class_counts(empty: Dataset) -> None:
    keys = [add_sample(empty, number) for number in range(9)]
    empty.journal.apply("Label", [Choice(key, "label", "hana") for key in keys[:6]])
    empty.journal.apply("Label", [Choice(key, "label", "rei") for key in keys[6:8]])
    empty.samples.set_splits({key: (key, "train") for key in keys[:8]})
    empty.db.execute("UPDATE sample SET kept=0 WHERE key IN (?,?)", keys[:2])
    result = gather_status(empty).to_json()
    assert result["labels"] == {"hana": 4, "rei": 2}
    assert result["samples"] == {"labelled": 6, "queue": 1, "set_aside": 2}
    assert result["splits"] == {"train": {"hana": 4, "rei": 2}}
    listed = run_here("labeler.cli", "classes", "list", "-d", empty.root, "-j").json[
        "classes"
    ]
    assert {row["name"]: row["samples"] for row in listed} == result["labels"]
    rows: Any = gather_classes(empty, Thumbnails(empty))["rows"]
    assert {row.name: row.total for row in rows} == result["labels"]
    labelled, _ = count_by_split(SortingSession(empty))
    assert {name: parts["train"] for name, parts in labelled.items()} == result[
        "labels"
    ]


def test_samples_of_an_undone_import_are_named_as_by_undo(
    empty: Dataset, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "in", ("cat/1.png", "owl/2.png"))
    for words in (("import", tmp_path / "in"), ("undo",)):
        run_here("labeler.cli", *words, "-d", empty.root).checked()
    assert gather_status(empty).summary()["samples"] == {"not in the dataset": 2}


def init(root: Path, *words: str) -> None:
    run_here("pipeline.cli", "init", "-d", root, *words).checked()


def make_card(dataset: Dataset) -> str:
    """Return the card of an export of one image."""
    facts = CardFacts(ExportOptions(format="imagefolder"))
    facts.items = facts.images = facts.counts["owl", "train"] = facts.licences[
        "unknown"
    ] = 1
    return format_card(dataset, facts)


def settings(root: Path) -> tuple[str | None, str | None, str | None]:
    with Dataset.open(root) as dataset:
        stored_settings = dataset.settings
        return (
            stored_settings.name,
            stored_settings.description,
            stored_settings.contact,
        )


def test_name_description_and_contact_are_stored(tmp_path: Path) -> None:
    root = tmp_path / "owls"
    words = (
        "--name",
        "Owls & <b>",
        "--description",
        "Owls of\none wood.",
        "--contact",
        "me@x.org",
    )
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


def test_settings_of_the_user_are_not_written_to_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "gleanset").mkdir()
    user_file = tmp_path / "gleanset" / "settings.toml"
    user_file.write_text('contact = "me@private"\n[net]\ndelay = 3.0\n')
    root = tmp_path / "owls"
    init(root)
    with (root / "dataset.toml").open("a") as file:
        file.write("# Mine.\n[crop]\nmargin = 0.5 # as before\n")
    init(root, "--name", "Owls")
    text = (root / "dataset.toml").read_text()
    assert "# Mine.\n[crop]\nmargin = 0.5 # as before\n" in text
    assert 'name = "Owls"' in text
    assert "private" not in text
    assert "delay" not in text
    assert settings(root) == ("Owls", None, "me@private")


def test_folder_is_positional_argument(tmp_path: Path) -> None:
    done = run_here("pipeline.cli", "init", "mydata", "--json", cwd=tmp_path)
    assert done.json["dataset"] == str(tmp_path / "mydata")
    assert (tmp_path / "mydata" / "dataset.toml").is_file()
    twice = run_here("pipeline.cli", "init", "a", "-d", "b", cwd=tmp_path)
    assert (twice.code, (tmp_path / "a").exists(), (tmp_path / "b").exists()) == (
        2,
        False,
        False,
    )


def test_default_name_is_folder_name(tmp_path: Path) -> None:
    root = tmp_path / "owls"
    init(root)
    assert settings(root) == (None, None, None)
    with Dataset.open(root) as dataset:
        card = make_card(dataset)
    assert "\n# owls\n" in card
    assert "Contact" not in card


def test_too_long_text_is_rejected(tmp_path: Path) -> None:
    run_here(
        "pipeline.cli", "init", "--contact", "x" * 201, "-d", tmp_path / "a"
    ).refused(UsageError.exit_code, "text too long")
    assert settings(tmp_path / "a") == (None, None, None)
