"""The templates of docs/extending.md, installed and used."""

import json
import re
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from drawn_dataset import fill
from PIL import Image, ImageDraw, ImageFilter
from plugin_packages import TEMPLATES, PluginPackages
from plugin_packages import packages as packages
from publisher import Publisher, serving
from tools_for_tests import Ran, build_wheels, picture, run_here, write_pictures

from gleanset import Dataset
from gleanset.settings import read_settings

KINDS = ("source", "detector", "preset", "export")
Run = Callable[..., Ran]


class CommonsSite(Publisher):
    """MediaWiki's API: two pages of results, and their images."""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        if path == "/robots.txt":
            return 404, {}, b""
        if path != "/w/api.php":
            return (
                200,
                {"Content-Type": "image/jpeg"},
                picture(int(re.sub(r"\D", "", path))),
            )
        query = {name: values[0] for name, values in parse_qs(self.query).items()}
        assert query["gsrsearch"] == "owl"
        first = 1 if "gsroffset" not in query else int(query["gsroffset"])
        pages = [self._page(number) for number in (first, first + 1)]
        more = (
            {"continue": {"gsroffset": 3, "continue": "gsroffset||"}}
            if first == 1
            else {}
        )
        answer = {"batchcomplete": True, **more, "query": {"pages": pages}}
        return 200, {}, json.dumps(answer).encode()

    def _page(self, number: int) -> dict[str, Any]:
        texts = {
            "Artist": f'<a href="//x">Ada {number}</a>',
            "LicenseShortName": "CC BY 4.0",
        }
        info = {
            "url": f"{self.url}/{number}.jpg",
            "descriptionurl": f"https://commons.example/wiki/File:{number}.jpg",
            "extmetadata": {name: {"value": text} for name, text in texts.items()},
        }
        return {"pageid": number, "title": f"File:{number}.jpg", "imageinfo": [info]}


def draw_person() -> Image.Image:
    """Draw a frontal face with soft edges, which the Haar cascade finds."""
    canvas = Image.new("RGB", (400, 300), (90, 110, 130))
    draw = ImageDraw.Draw(canvas)
    draw.ellipse((120, 50, 280, 260), (225, 185, 160))
    draw.ellipse((118, 30, 282, 110), (60, 40, 30))
    for eye in (165, 235):
        draw.ellipse((eye - 22, 128, eye + 22, 150), (120, 80, 65))
        draw.ellipse((eye - 16, 134, eye + 16, 148), (240, 240, 240))
        draw.ellipse((eye - 7, 134, eye + 7, 148), (30, 20, 20))
        draw.line((eye - 24, 120, eye + 24, 120), (50, 30, 20), 7)
    draw.polygon(((200, 145), (188, 190), (212, 190)), (240, 205, 180))
    draw.line((186, 192, 214, 192), (130, 85, 70), 5)
    draw.ellipse((170, 208, 230, 228), (160, 70, 70))
    return canvas.filter(ImageFilter.GaussianBlur(2))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return partial(run_here, cwd=tmp_path)


def test_source_template_imports_images_with_credit(
    packages: PluginPackages, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.add_template("source")
    module = packages.folder / "gleanset_commons.py"
    module.write_text(
        module.read_text(encoding="utf-8").replace("pace=1.0", "pace=0.0")
    )
    site = CommonsSite()
    options = ("-o", f"commons.endpoint={site.url}")
    with serving(site, monkeypatch):
        line = (
            "harvest.cli",
            "keyword",
            "owl",
            "--source",
            "commons",
            *options,
            "--json",
        )
        done = run(*line, "--allow-private", "-d", "owls")
        again = run(*line, "--allow-private", "-d", "owls")
    assert done.json["added"] == 4, done.stderr
    assert again.json.get("added", 0) == 0
    with Dataset.open(tmp_path / "owls") as dataset:
        rows = list(
            dataset.db.fetch_all("SELECT author, licence FROM origin ORDER BY author")
        )
    assert [tuple(row) for row in rows] == [
        (f"Ada {n}", "CC BY 4.0") for n in range(1, 5)
    ]
    [use] = read_settings(tmp_path / "owls").plugin
    assert (use.kind, use.name, use.made_by) == (
        "sources",
        "commons",
        "gleanset-commons 1.0",
    )


def test_detector_template_works_in_workers(
    packages: PluginPackages, run: Run, tmp_path: Path
) -> None:
    packages.add_template("detector")
    images = write_pictures(tmp_path / "pictures", 3, size=(320, 240))
    draw_person().save(images / "person.png")
    assert run("harvest.cli", "folder", str(images), "-d", "data").code == 0
    line = (
        "facecrop.cli",
        "run",
        "--detector",
        "haar:neighbors=3",
        "--json",
    )
    done = run(*line, "--workers", "2", "-d", "data")
    assert {"images": 4, "faces": 1, "rejected": 0}.items() <= done.json.items(), (
        done.stderr
    )
    with Dataset.open(tmp_path / "data") as dataset:
        [row] = dataset.db.fetch_all("SELECT DISTINCT detector, settings FROM scan")
    assert row["detector"] == "haar"
    assert (
        row["settings"] == "scale=1.1 neighbors=3 smallest=40 plugin=gleanset-haar==1.0"
    )
    assert run(*line, "-d", "data").json["images"] == 0


def test_failing_detector_plugin_is_named(
    packages: PluginPackages, run: Run, tmp_path: Path
) -> None:
    packages.add_template("detector")
    module = packages.folder / "gleanset_haar.py"
    text = module.read_text(encoding="utf-8")
    module.write_text(
        text.replace("search_tiles(self.name, pixels, self._find, 1920)", "1 / 0")
    )
    write_pictures(tmp_path, 2, size=(320, 240))
    assert run("harvest.cli", "folder", str(tmp_path), "-d", "data").code == 0
    done = run(
        "facecrop.cli", "run", "--detector", "haar", "-d", "data", "--json"
    ).checked()
    assert (done.json["rejected"], done.json["reasons"]) == (2, {"detector failed": 2})
    assert "Traceback" not in done.stderr
    with Dataset.open(tmp_path / "data") as dataset:
        rows = list(
            dataset.db.fetch_all("SELECT detail FROM rejection WHERE stage='facecrop'")
        )
    assert {row["detail"] for row in rows} == {
        "gleanset-haar 1.0: ZeroDivisionError: division by zero"
    }
    verbose = run("facecrop.cli", "run", "--detector", "haar", "-d", "data", "-vv")
    assert "in detect\n    return 1 / 0\n" in verbose.stderr


def test_preset_template_trains(
    packages: PluginPackages, run: Run, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    packages.add_template("preset")
    with Dataset.create(tmp_path / "data") as dataset:
        fill(dataset, 10)
    line = (
        "baseline.cli",
        "train",
        "--preset",
        "glance",
        "-o",
        "epochs=1",
        "-d",
        "data",
    )
    done = run(*line, "--json").checked()
    folder = tmp_path / "data" / "runs" / done.json["run"]
    settings = json.loads((folder / "settings.json").read_bytes())["settings"]
    assert (settings["preset"], settings["plugin"]) == ("glance", "gleanset-glance 1.0")
    assert run(*line, "--json").json["run"] == done.json["run"]
    assert (
        run("baseline.cli", "train", "--preset", "glance", "-o", "plugin=x", "-s").code
        == 2
    )


def test_export_template_writes_format(
    packages: PluginPackages, run: Run, tmp_path: Path
) -> None:
    packages.add_template("export")
    with Dataset.create(tmp_path / "data") as dataset:
        fill(dataset, 4)
    line = (
        "labeler.cli",
        "export",
        "out",
        "--format",
        "createml",
        "-d",
        "data",
        "--json",
    )
    assert run(*line).json["exported"] == 12
    rows = json.loads((tmp_path / "out" / "train.json").read_text(encoding="utf-8"))
    box = rows[0]["annotations"][0]["coordinates"]
    assert (tmp_path / "out" / rows[0]["image"]).is_file()
    assert (box["x"], box["y"]) == (box["width"] / 2, box["height"] / 2)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "- export: createml of gleanset-createml 1.0" in card
    marker = json.loads((tmp_path / "out" / ".gleanset-export.json").read_bytes())
    assert (marker["format"], marker["plugin"]) == ("createml", "gleanset-createml 1.0")
    assert run(*line).code == 0
    for root in ("data", "another"):
        result = run("labeler.cli", "import", "out", "-d", root).stderr
        assert "is a createml export, which has no class folders" in result, root


def test_failing_export_plugin_is_named(
    packages: PluginPackages, run: Run, tmp_path: Path
) -> None:
    packages.add_template("export")
    module = packages.folder / "gleanset_createml.py"
    module.write_text(
        module.read_text(encoding="utf-8").replace("items_by_split(items)", "1 / 0")
    )
    with Dataset.create(tmp_path / "data") as dataset:
        fill(dataset, 4)
    run("labeler.cli", "export", "out", "--format", "createml", "-d", "data").refused(
        3, "the export createml of gleanset-createml 1.0 failed: ZeroDivisionError"
    )
    assert not (tmp_path / "out").exists()


def test_doctor_lists_plugins(packages: PluginPackages, run: Run) -> None:
    for kind in KINDS:
        packages.add_template(kind)
    parts = {
        part["name"]: part
        for part in run("pipeline.cli", "doctor", "--json").json["parts"]
    }
    for name in ("commons", "haar", "glance", "createml"):
        assert parts[name]["ok"], parts[name]
        assert parts[name]["finding"] == f"from gleanset-{name} 1.0"


@pytest.mark.long
def test_pip_builds_templates(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    for kind in KINDS:
        build_wheels(TEMPLATES / kind, tmp_path)
    for wheel in tmp_path.glob("*.whl"):
        with zipfile.ZipFile(wheel) as packed:
            assert any(name.endswith("entry_points.txt") for name in packed.namelist())
    assert len(list(tmp_path.glob("*.whl"))) == len(KINDS)
