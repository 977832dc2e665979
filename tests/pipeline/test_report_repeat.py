"""The commands that a report prints: read by the real command lines they ask for what was done."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner
from test_report import add, fill, picture

from baseline.judge.run_figures import RunFigures
from baseline.settings import load_preset, preset_names
from facecrop.detectors import DetectorSpec
from facecrop.request import FaceSearch
from gleanset import Dataset
from gleanset.cli import key_values
from gleanset.db.fetches import VideoName
from gleanset.images.cut import CutSettings
from gleanset.records import Origin
from gleanset.settings import CropSettings, SplitSettings
from harvest.request import KeywordRequest
from harvest.video.options import SamplingTable
from labeler.splits.plan import apply_split, plan_split
from pipeline.report.commands import command_steps

MODULES = {"gleanset": "pipeline.cli"}


def parsed(command: str) -> tuple[str, dict[str, Any]]:
    """Program and subcommand, and what the real command line understands."""
    program, name, *words = shlex.split(command)
    found: click.Command = import_module(MODULES.get(program, f"{program}.cli")).commands
    assert isinstance(found, click.Group)
    return f"{program} {name}", found.commands[name].make_context(name, words).params


def printed(
    dataset: Dataset, program: str, metrics: RunFigures | None = None
) -> list[dict[str, Any]]:
    """What the printed commands of one program are understood as; all of them must parse."""
    understood = [parsed(step.command) for step in command_steps(dataset, metrics)]
    return [params for name, params in understood if name == program]


def test_every_printed_command_parses(dataset: Dataset) -> None:
    fill(dataset, ["owl", "it's $HOME"])
    add(dataset, picture(7), Origin("bing", "7", query="-rf", hint="-rf"))
    assert [parsed(step.command)[0] for step in command_steps(dataset, None)] == [
        "harvest keyword",
        "facecrop run",
        "labeler split",
        "gleanset status",
    ]


def cuts() -> Iterator[CutSettings]:
    yield CutSettings(0.3, False, False, False, 0)
    yield CutSettings(0.8, True, False, True, 0)
    yield CutSettings(0.3, False, True, True, 24)
    yield CutSettings(0.8, True, True, False, 24)


def scanned(dataset: Dataset, detector: str, settings: str, cut: str) -> None:
    (sha256,) = (image.sha256 for image in dataset.images.each())
    dataset.faces.record(sha256, detector, settings, [], cut=cut)


def asked(params: dict[str, Any], own: CropSettings) -> tuple[DetectorSpec, CutSettings]:
    request = FaceSearch(**{name: params[name] for name in FaceSearch.__struct_fields__})
    return request.spec(own), request.cutting(own)


@pytest.mark.parametrize(
    "own",
    [
        CropSettings(),
        CropSettings(
            detector="animeface",
            threshold=0.9,
            margin=1.5,
            square=True,
            pad=True,
            level=True,
            min_size=99,
        ),
    ],
)
def test_the_printed_cut_is_the_recorded_one(dataset: Dataset, own: CropSettings) -> None:
    add(dataset, picture(1), Origin("folder", "a", path="/pics/a.png"))
    dataset.settings = msgspec.structs.replace(dataset.settings, crop=own)
    for cut in cuts():
        scanned(dataset, "lbpcascade", "cascade=9376d30ac38d equalize=no threshold=0", str(cut))
        (params,) = printed(dataset, "facecrop run")
        assert asked(params, own)[1] == cut


@pytest.mark.parametrize("own", [CropSettings(), CropSettings(detector="animeface", threshold=0.8)])
def test_the_printed_detector_is_the_recorded_one(
    dataset: Dataset, shared_data: Path, own: CropSettings
) -> None:
    add(dataset, picture(1), Origin("folder", "a", path="/pics/a.png"))
    dataset.settings = msgspec.structs.replace(dataset.settings, crop=own)
    cascade = str(shared_data / "lbpcascade_animeface.xml")
    named = {"lbpcascade": {"cascade": cascade}}
    wanted = [DetectorSpec.of("whole"), DetectorSpec.of("animeface", threshold="0.9")]
    settings = {"equalize": "yes", "neighbors": "3", "scale": "1.05", "smallest": "24"}
    wanted.append(DetectorSpec.of("lbpcascade", cascade=cascade))
    for name, value in settings.items():
        wanted.append(DetectorSpec.of("lbpcascade", cascade=cascade, **{name: value}))
    wanted.append(DetectorSpec.of("lbpcascade", cascade=cascade, threshold="0.5", **settings))
    for spec in wanted:
        scanned(dataset, spec.name, spec.build().settings, "margin=0.3")
        (params,) = printed(dataset, "facecrop run")
        found = asked(params, own)[0]
        given = DetectorSpec.of(found.name, **dict(found.settings), **named.get(spec.name, {}))
        assert given.build().settings == spec.build().settings


def test_files_of_detectors_are_named_as_places(dataset: Dataset) -> None:
    add(dataset, picture(1), Origin("folder", "a", path="/pics/a.png"))
    scanned(dataset, "lbpcascade", "cascade=0123456789ab threshold=0", "margin=0.3")
    (params,) = printed(dataset, "facecrop run")
    assert (params["detector"], params["threshold"]) == ("lbpcascade:cascade=CASCADE", 0)
    told = "face=1 model=0123456789ab overlap=0.45 size=320x320 threshold=0.25"
    scanned(dataset, "onnx", told, "margin=0.3")
    (params,) = printed(dataset, "facecrop run")
    assert params["detector"] == "onnx:model=MODEL,face=1,size=320"


@pytest.mark.parametrize(
    "settings",
    [
        SplitSettings("6:3:1", seed=7),
        SplitSettings(counts="4:2:2", seed=3),
        SplitSettings(folds=4, fold=3, seed=1),
        SplitSettings("7:3:0", hold_out=("source=flickr",)),
        SplitSettings(most=("bing=75%",)),
    ],
)
def test_the_printed_split_is_the_recorded_one(
    dataset: Dataset, settings: SplitSettings, tmp_path: Path
) -> None:
    from labeler.cli import commands

    made = fill(dataset, ["owl", "cat"], each=12)
    for key, _ in made[::5]:
        sample = dataset.samples.get(key)
        assert sample is not None
        data = dataset.image_path(sample.image, "PNG").read_bytes()
        add(dataset, data, Origin("flickr", key))
    with dataset.db.write():
        dataset.samples.set_splits({}, "by hand")
    shutil.copytree(dataset.root, tmp_path / "again")
    apply_split(dataset, plan_split(dataset, settings))
    (step,) = (step for step in command_steps(dataset, None) if "labeler split" in step.command)
    words = shlex.split(step.command)[1:]
    ran = CliRunner().invoke(
        commands, [*words, "-d", str(tmp_path / "again")], catch_exceptions=False
    )
    assert ran.exit_code == 0
    with Dataset.open(tmp_path / "again") as other:
        assert other.samples.split_settings() == dataset.samples.split_settings()
        assert other.samples.fingerprint_of_splits() == dataset.samples.fingerprint_of_splits()


@pytest.mark.parametrize("preset", preset_names())
def test_the_printed_training_is_the_recorded_one(dataset: Dataset, preset: str) -> None:
    choices: dict[str, tuple[str, ...]] = {
        "size": ("64", "96"),
        "colour": ("grayscale", "rgb"),
        "balance": ("none", "sampling"),
        "blocks": ("8,16", "16,32,64"),
        "head": ("mlp", "logistic"),
        "strength": ("0.03", "0"),
        "learning_rate": ("0.00002", "0.5"),
        "weights": ("/my weights/x'y.safetensors", "none"),
    }
    known = load_preset(preset, {}).to_json()
    keys = [key for key in choices if key in known]
    for number in range(2):
        given = {key: choices[key][number] for key in keys}
        for idle in {"logistic": ["learning_rate"], "mlp": ["strength"]}.get(
            given.get("head", ""), []
        ):
            del given[idle]
        settings = load_preset(preset, given).to_json()
        metrics = RunFigures(["a"], settings, {})
        (params,) = printed(dataset, "baseline train", metrics)
        again = load_preset(params["preset"], key_values(params["options"], "epochs=10"))
        assert again.to_json() == settings


def test_what_came_after_a_run_is_asked_for_as_it_was(dataset: Dataset) -> None:
    before = load_preset("transfer", {"views": "2", "fit": "stretch"}).to_json()
    recorded = {key: value for key, value in before.items() if key != "fit"}
    (params,) = printed(dataset, "baseline train", RunFigures(["a"], recorded, {}))
    assert load_preset(params["preset"], key_values(params["options"], "")).to_json() == before


def test_printed_searches_ask_for_the_same_with_the_same_hints(dataset: Dataset) -> None:
    told = {
        ("bing", "owl", "owl"),
        ("bing", "-owl", "-owl"),
        ("bing", "barn owl", "owl"),
        ("flickr", "owl", "owl"),
        ("of before", "owl", "owl"),
    }
    for number, (source, query, hint) in enumerate(sorted(told, key=str)):
        add(dataset, picture(number), Origin(source, str(number), query=query, hint=hint))
    found = set()
    for params in printed(dataset, "harvest keyword"):
        given = {name: params[name] for name in ("keywords", "source", "input", "label")}
        for search in KeywordRequest(**given).searches():
            found |= {(s.name, q.text, q.hint) for s, q in search.asked}
    assert found == {one for one in told if one[0] != "of before"}


def test_printed_folders_lists_and_imports_are_what_was_taken(dataset: Dataset) -> None:
    origins = [
        Origin("folder", "1", path="/pics/owl/1.png", hint="owl"),
        Origin("folder", "2", path="/pics/2.png"),
        Origin("folder", "3", path="/pics/3.png", hint="cat"),
        Origin("archive", "abc:cat/4.png", path="/pics/pets.zip", hint="cat"),
        Origin("archive", "abc:5.png", path="/pics/pets.tar.gz", hint="pets"),
        Origin("archive", "abc:x/6.png", path="/pics/pets.zip", hint="dog"),
        Origin("urls", "7", url="https://a.example/7.png", hint="fox"),
        Origin("import", "/sorted/owl/8.png", path="/sorted/owl/8.png"),
    ]
    for number, origin in enumerate(origins):
        add(dataset, picture(number), origin)
    folders = {
        (str(*p["path"]), p["hints_from_folders"], p["label"])
        for p in printed(dataset, "harvest folder")
    }
    assert folders == {
        ("FOLDER", True, None),
        ("FOLDER", False, None),
        ("FOLDER", False, "cat"),
        ("ARCHIVE", True, None),
        ("ARCHIVE", False, "dog"),
    }
    assert [p["label"] for p in printed(dataset, "harvest urls")] == ["fox"]
    assert [p["path"] for p in printed(dataset, "labeler import")] == ["LABELLED"]
    assert not printed(dataset, "labeler accept hints")
    assert not printed(dataset, "labeler dedup")


@pytest.mark.parametrize("source", ["folder", "archive", "import"])
def test_groups_that_somebody_gave_are_said_with_the_command_that_took_them(
    dataset: Dataset, source: str
) -> None:
    add(dataset, picture(0), Origin(source, "a", path="/a.png", hint="cat"))
    add(dataset, picture(1), Origin(source, "b", path="/b.png", hint="dog", post="one"))
    words = [step.words for step in command_steps(dataset, None) if "take" in step.words]
    told = sorted("--group-by" in said for said in words)
    assert told == ([True] if source == "import" else [False, True])


def test_what_is_said_of_all_pictures_of_a_folder_is_printed_with_it(dataset: Dataset) -> None:
    given = {"author": "Ada O'Neil", "licence": "CC-BY-4.0", "page_url": "https://a.example/1"}
    for number in range(3):
        origin = Origin("folder", f"a{number}", path=f"/a/{number}.png", hint="cat", **given)
        add(dataset, picture(number), origin)
    for number, author in enumerate(("Ada", "Bob"), start=3):
        told = {"author": author, "licence": "my own"}
        origin = Origin("folder", f"b{number}", path=f"/b/{number}.png", hint="dog", **told)
        add(dataset, picture(number), origin)
    add(dataset, picture(5), Origin("folder", "c", path="/c/5.png"))
    said = {
        p["label"]: (p["author"], p["licence"], p["page"])
        for p in printed(dataset, "harvest folder")
    }
    assert said == {
        "cat": ("Ada O'Neil", "CC-BY-4.0", "https://a.example/1"),
        "dog": (None, "my own", None),
        None: (None, None, None),
    }


SAMPLING = set(SamplingTable.__struct_fields__)


def recorded(**wish: Any) -> str:
    return SamplingTable(**wish).sampling().settings


def test_printed_frames_ask_for_the_same_sampling(dataset: Dataset) -> None:
    samplings = {
        recorded(scenes=2, size="960x540", skip_similar="off"): (
            "-ep 1.mkv",
            None,
        ),
        recorded(around=("1:30",), within="4s", format="png"): (
            "ep2.mkv",
            "rin",
        ),
        recorded(every="2s", crop_bars=True): (
            "https://v.example/3",
            None,
        ),
    }
    for number, (settings, (name, hint)) in enumerate(samplings.items()):
        url = name if "://" in name else None
        video = VideoName(f"video{number}", "title" if url else name, url)
        dataset.videos.record(video, settings, 9.0, 1)
        add(
            dataset,
            picture(number),
            Origin("video", f"{number}@1", video=f"video{number}", time=1.0, hint=hint),
        )
    found = {
        recorded(**{name: value for name, value in p.items() if name in SAMPLING and value}): (
            *p["videos"],
            p["label"],
        )
        for p in printed(dataset, "harvest frames")
    }
    assert found == samplings


def test_printed_episodes_name_their_detector_and_where_its_file_was(dataset: Dataset) -> None:
    for number, found_by in enumerate(("onnx:model=0123456789ab,threshold=0.4", "ensemble:")):
        video = VideoName(f"video{number}", f"{number}.mkv", None)
        recorded = f"mode=seen every=0.5 skip_openings=yes asked={found_by};per_track=3"
        dataset.videos.record(video, recorded, 9.0, 1)
        place = Origin("video", f"{number}@1", video=f"video{number}", time=1.0)
        add(dataset, picture(number), place)
    (params,) = printed(dataset, "gleanset episodes")
    assert (params["detector"], params["per_track"]) == ("onnx:model=MODEL,threshold=0.4", 3)
