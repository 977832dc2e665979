"""The `[web]` table: what the page shows and which run it serves; texts of the page."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.request import urlopen

import msgspec
import pytest
from color_model import CLASSES, write_model
from filled import RUN, make_patterns
from server_helpers import make_facts, solid_image
from shared_folder import make_shared_folder
from tools_for_tests import command, run_here

import baseline
from baseline.data.runs import hash_model_files, is_export_current
from gleanset import Dataset
from gleanset.errors import InputUnusable, RecipeError, UsageError
from gleanset.files.store import hash_bytes
from gleanset.settings import WebSettings, read_settings
from gleanset.web.page_files import SHARED_PAGE
from gleanset.work.progress import NO_PROGRESS, Progress
from webapp.computations import Upload
from webapp.exports import export_if_outdated, find_served_file
from webapp.loaded_model import load_model
from webapp.page_files import PAGE
from webapp.recognizer import predict_values
from webapp.settings import ServeSettings, page_settings


def predict_color(
    settings: ServeSettings, web: WebSettings, colour: str
) -> dict[str, Any]:
    """Return what a server with such a page answers for an image of one color."""
    loaded = load_model(msgspec.structs.replace(settings, web=web))
    upload = Upload("a.png", solid_image(colour))
    [response] = predict_values(loaded, [[upload]], settings.limits)
    return response["images"][0]["parts"][0]


def test_only_listed_classes_are_shown(settings: ServeSettings) -> None:
    web = WebSettings(classes=["red", "blue"])
    facts = make_facts(msgspec.structs.replace(settings, web=web))
    assert (
        tuple(facts.page["classes"]) == tuple(facts.device["shown"]) == ("blue", "red")
    )
    for colour, answer in (("red", "red"), ("blue", "blue"), ("lime", None)):
        result = predict_color(settings, web, colour)
        full_result = predict_color(settings, WebSettings(), colour)
        assert result["answer"] == answer
        # Probabilities do not change: they sum to less than 1 without the others.
        others = [one for one in full_result["predictions"] if one["label"] != "green"]
        assert result["predictions"] == others
    with pytest.raises(UsageError, match="not a class of the model: 'mauve'"):
        predict_color(settings, WebSettings(classes=["mauve", "red"]), "red")


def test_unknown_threshold(settings: ServeSettings) -> None:
    grey = "#808078"
    unrestricted = predict_color(settings, WebSettings(), grey)
    assert unrestricted["best"] is not None
    sure = unrestricted["predictions"][0]["confidence"]
    web = WebSettings(unknown_below=sure + 0.01)
    assert predict_color(settings, web, grey)["best"] is None
    assert predict_color(settings, web, "red")["answer"] == "red"
    facts = make_facts(msgspec.structs.replace(settings, web=web))
    assert facts.device["unknown_below"] == sure + 0.01
    # The page's threshold replaces that of the run, even if it is lower.
    web = WebSettings(unknown_below=sure - 0.01)
    assert predict_color(settings, web, grey)["best"] is not None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("titel = 'x'", "did you mean 'title'"),
        ("languages = ['en', 'de']", "allowed: en, zh, ja"),
        ("unknown_below = 60", "web.unknown_below"),
        ("classes = 'meme'", "web.classes"),
        (f"title = '{'x' * 201}'", "web.title"),
    ],
)
def test_invalid_table_raises_error(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "dataset.toml").write_text(f"[web]\n{line}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="line 2") as caught:
        read_settings(tmp_path)
    assert message in str(caught.value)


def test_folder_name_is_not_a_title(dataset: Dataset) -> None:
    titles = {"": None, f"name = '{dataset.root.name}'": None, "name = 'Owls'": "Owls"}
    titles["name = 'Owls'\n[web]\ntitle = 'Which owl?'"] = "Which owl?"
    for text, title in titles.items():
        (dataset.root / "dataset.toml").write_text(f"contact = 'me'\n{text}\n")
        assert page_settings(dataset.root) == WebSettings(title=title, contact="me")


@pytest.fixture
def runs(dataset: Dataset) -> Dataset:
    """Return a dataset with three exported runs of two presets."""
    for number, preset in enumerate(("finetune", "mobile", "finetune"), start=1):
        run = dataset.runs.start(
            f"{number}-{preset}", "baseline", {"preset": preset, "n": number}
        )
        dataset.runs.finish(run.id, "done", {})
        write_model(dataset.root / "runs" / run.id / "served.onnx")
    return dataset


def test_argument_or_table_chooses_run_or_preset(runs: Dataset) -> None:
    chosen = {None: "3-finetune", "mobile": "2-mobile", "1-finetune": "1-finetune"}
    for setting, run in chosen.items():
        assert (
            find_served_file(runs.root, None, setting, NO_PROGRESS).parent.name == run
        )
    assert (
        find_served_file(runs.root, "3-finetune", "mobile", NO_PROGRESS).parent.name
        == "3-finetune"
    )
    with pytest.raises(InputUnusable, match="no finished run transfer"):
        find_served_file(runs.root, None, "transfer", NO_PROGRESS)


@pytest.fixture
def trained_root(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """Return a copy of a dataset with a trained run."""
    made = make_shared_folder(tmp_path_factory, "patterns", make_patterns) / "dataset"
    return Path(shutil.copytree(made, tmp_path / "dataset"))


def test_outdated_file_is_not_served(tmp_path: Path) -> None:
    (run := tmp_path / "run").mkdir()
    (run / "settings.json").write_text("{}")
    write_model(run / "served.onnx", run_sha256=hash_model_files(run))
    copy = shutil.copytree(run, tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(copy / "served.onnx", (0, 0))
    assert export_if_outdated(copy, NO_PROGRESS) == copy / "served.onnx", (
        "times of copies do not count"
    )
    assert not is_export_current(copy / "missing.onnx", copy)
    (copy / "answers.json").write_text("{}")
    assert not is_export_current(copy / "served.onnx", copy)


@pytest.mark.long
def test_run_is_exported_on_first_use(trained_root: Path) -> None:
    with patch.object(Progress, "say") as say:
        file = find_served_file(trained_root, None, None, Progress(quiet=True))
    [[[line], _]] = say.call_args_list
    assert line.startswith(f"exporting {RUN} to ONNX (")
    folder = trained_root / "runs" / RUN
    assert file == folder.resolve() / "served.onnx"
    pictures = sorted((trained_root / "images").glob("*/*.png"))[:20]
    first, second = (
        baseline.load(path).predict_images(pictures) for path in (folder, file)
    )
    assert [a.label for a in first] == [a.label for a in second]
    about = msgspec.json.decode((folder / "served.onnx.json").read_bytes())
    # There are too few images to evaluate int8.
    assert about["precision"] == "fp32"
    assert is_export_current(file, folder)


@pytest.mark.slow
def test_one_of_two_servers_exports(trained_root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from webapp.exports import export_if_outdated;"
        "from gleanset.work.progress import NO_PROGRESS;"
        "print(export_if_outdated(Path(sys.argv[1]), NO_PROGRESS).stat().st_ino)"
    )
    line = [sys.executable, "-c", code, trained_root / "runs" / RUN]
    processes = [
        subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    files = {process.communicate(timeout=280)[0] for process in processes}
    assert len(files) == 1, "the second process replaced the file of the first"
    assert "\n" in files.pop()


def test_replaced_model_is_served_as_announced(
    trained_root: Path, tmp_path: Path
) -> None:
    file = write_model(tmp_path / "model.onnx")
    line = command("webapp.cli", "serve", file, "--port", "0", "-d", trained_root)
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().strip()
            write_model(file, ("apple", "green", "red"))
            with urlopen(f"{address}api/v1/model.json", timeout=60) as response:
                announced = msgspec.json.decode(response.read())
            with urlopen(f"{address}api/v1/model.onnx", timeout=60) as response:
                assert hash_bytes(response.read()) == announced["sha256"]
            assert announced["classes"] == [*CLASSES]
        finally:
            server.terminate()
            server.wait(60)


WORDS = (PAGE / "js" / "catalogue.js").read_text(encoding="utf-8")
LANGUAGES = ("zh", "ja")


def translations(language: str) -> dict[str, str]:
    block = re.search(rf"^  {language}: \{{(.*?)^  \}},", WORDS, re.S | re.M)
    return dict(re.findall(r'"((?:[^"\\]|\\.)*)": "((?:[^"\\]|\\.)*)"', block.group(1)))


def used_texts() -> set[str]:
    result = set[str]()
    scripts = (*PAGE.glob("js/*.js"), *SHARED_PAGE.glob("js/*.js"))
    for path in [*PAGE.glob("*.html"), *scripts]:
        text = path.read_text(encoding="utf-8")
        result |= set(re.findall(r'data-words="([^"]+)"', text))
        result |= set(re.findall(r'(?:words|translated)\(\s*"([^"]+)"', text))
    return result


def test_all_texts_are_translated() -> None:
    used = used_texts()
    for language in LANGUAGES:
        results = translations(language)
        assert set(results) == used, language
        for text, result in results.items():
            names = re.findall(r"\{\w+\}", text)
            assert sorted(re.findall(r"\{\w+\}", result)) == sorted(names), text


def test_service_worker_caches_all_scripts() -> None:
    cached = set(re.findall(r'"(\w+)"', (PAGE / "sw.js").read_text(encoding="utf-8")))
    shared = {path.stem for path in (SHARED_PAGE / "js").glob("*.js")}
    own = {path.stem for path in (PAGE / "js").glob("*.js")}
    assert not shared & own
    scripts = shared | own
    assert scripts - cached == {"api_page", "admin", "snippets"}


@pytest.mark.parametrize("token", ["the same for everyone", "short"])
def test_administrator_needs_a_token_of_its_own(
    two_class_dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
) -> None:
    monkeypatch.setenv("GLEANSET_WEB_TOKEN", "the same for everyone")
    monkeypatch.setenv("GLEANSET_ADMIN_TOKEN", token)
    model = write_model(tmp_path / "colours.onnx")
    words = ("webapp.cli", "serve", str(model), "--admin", "--port", "0")
    refused = run_here(*words, "-d", two_class_dataset.root)
    assert (refused.code, "of its own" in refused.stderr) == (2, True)
