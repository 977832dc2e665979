"""The page of `webapp serve` in a real Chromium: its faces, its answers, its time and its weight.

    python benchmarks/web_page.py WORK [--seeds 5] [--only speed]

Two sets of real pictures become datasets as people make them: `harvest folder
--hints-from-folders`, `facecrop run`, `labeler accept-hints`, and for each seed `labeler split`,
`baseline train --preset transfer`. The page finds faces in all pictures, with its own modules; the
server finds them with the detector of the run, animeface. Judged are pictures that a run has not
learnt from: those of its test, and those without exactly one face, which have no label. Of several
faces the largest answers; a picture in which none was found is wrong. Intervals are of 95 %, over
moments. How boxes of one detector become those of another one was fitted on `characters` and
`faces`, without a picture of `characters_shows5`.

WORK keeps datasets, runs and `results.jsonl`, a line for each finished part: what was stopped goes
on. The last line is JSON. Needs gleanset[train,onnx,web], playwright, chromium, the parts of the
page and the pictures in ../shared/data.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from kept_rows import KeptRows, Row
from labelled_tree import DATA, SUFFIXES
from web_browser import boxes_found, chromium, judged, opened
from web_page_speed import speed_of
from web_throughput import serving

from baseline import load
from baseline.evaluation.intervals import difference_interval, share_interval
from baseline.runs import finished_run
from facecrop.annotations import read_annotations
from facecrop.compare import CRITERIA, MatchTally, match_faces, sum_tallies
from facecrop.detectors import detector_named
from facecrop.detectors.tiling import overlap
from gleanset import Dataset
from gleanset.files.store import sha256_of
from gleanset.images.decode import decode
from gleanset.moments import moments_of
from gleanset.records import Box, Face
from webapp.box_styles import style_between
from webapp.exports import exported
from webapp.recognizer import Upload, answers_to
from webapp.served import LoadedModel
from webapp.settings import RequestLimits

SETS = ("characters_shows5", "characters")
"""Whole pictures, some with bystanders or without a face; and faces with what is around them."""
PORT = 8741
ADDRESS = f"http://127.0.0.1:{PORT}/"
FOUND_BY = "drawnface"
LEARNT_FROM = "animeface"
SERVERS = (LEARNT_FROM, FOUND_BY)
"""Detectors of the server that the page's faces are compared with: that of the run, and its own."""
TRUTH = DATA / "faces" / "faces.json"
Boxes = list[list[int]]


def pictures(name: str) -> list[Path]:
    """The pictures of a set, by class."""
    return sorted(path for path in (DATA / name).glob("*/*") if path.suffix.lower() in SUFFIXES)


def command(room: str, *words: object, root: Path) -> None:
    """Run one of our commands on the dataset."""
    line = [sys.executable, "-m", room, *map(str, words), "-q", "-d", str(root)]
    subprocess.run(line, check=True)


def make_dataset(root: Path) -> None:
    """Faces with labels, as the README makes them."""
    Dataset.create(root).close()
    command("harvest", "folder", DATA / root.name, "--hints-from-folders", root=root)
    command("facecrop", "run", root=root)
    command("labeler", "accept-hints", root=root)


def trained(root: Path, seed: int) -> Row:
    """Train on one split: the run, and the pictures that it has not learnt from, with moments."""
    if not (root / "dataset.toml").exists():
        make_dataset(root)
    command("labeler", "split", "--ratio", "7:1:2", "--seed", seed, root=root)
    command("baseline", "train", "--preset", "transfer", "-o", f"seed={seed}", root=root)
    with Dataset.open(root) as dataset:
        run, folder = finished_run(dataset, None)
        exported(folder)
        samples = list(dataset.samples.each())
        moments = moments_of(dataset.db)
        learnt = {one.image for one in samples if one.split in ("train", "val")}
        moment = {one.image: moments.get(one.key, one.image) for one in samples}
    judged = [p for p in pictures(root.name) if sha256_of(p.read_bytes()) not in learnt]
    return {
        "run": run,
        "pictures": [str(one.relative_to(DATA)) for one in judged],
        "moments": [moment.get(h := sha256_of(one.read_bytes()), h) for one in judged],
    }


def in_browser(model: Path, files: Sequence[Path], wanted: str) -> Row:
    """The boxes of the page for a run whose faces the detector `wanted` has found."""
    style = style_between(FOUND_BY, wanted)
    with serving(serve(model), PORT), chromium() as browser:
        return {"boxes": boxes_found(opened(browser, ADDRESS), files, style)}


def same_boxes(model: Path, boxes: dict[str, Boxes]) -> Row:
    """What device and server say of the faces that the page has found."""
    there = {name: found for name, found in boxes.items() if found}
    with serving(serve(model), PORT), chromium() as browser:
        page = opened(browser, ADDRESS)
        return {"told": judged(page, [DATA / name for name in there], list(there.values()))}


def serve(model: Path) -> list[str]:
    """The command that serves a model."""
    line = [sys.executable, "-m", "webapp", "serve", str(model), "--port", str(PORT)]
    return [*line, "--workers", "1", "--per-minute", "1000000"]


def by_server(files: Iterable[Path], name: str) -> Row:
    """The boxes that a detector of the server finds, with scores."""
    detector = detector_named(name)
    found = (detector.detect(np.asarray(decode(one.read_bytes()).pixels)) for one in files)
    return {"boxes": [[list(face.box) for face in sorted(faces, key=surest)] for faces in found]}


def surest(face: Face) -> float:
    """The key by which the surest face comes first."""
    return -face.score


def agreement(browser: Sequence[Boxes], server: Sequence[Boxes]) -> dict[str, Any]:
    """How many of the faces of either the other one has, from an intersection over union of .5."""
    return {
        "of_the_servers": found_by(browser, server),
        "of_the_browsers": found_by(server, browser),
    }


def found_by(some: Sequence[Boxes], faces: Sequence[Boxes]) -> dict[str, Any]:
    """The share of `faces` that lie on one of `some`; a picture is a moment."""
    rows = [
        (any(overlap(Box(*face), Box(*other)) >= 0.5 for other in others), number)
        for number, (others, boxes) in enumerate(zip(some, faces, strict=True))
        for face in boxes
    ]
    return share_of([hit for hit, _ in rows], [number for _, number in rows])


def share_of(hits: Sequence[bool], groups: Sequence[object]) -> dict[str, Any]:
    """A share with its number of cases and interval."""
    found = share_interval(np.array(hits, bool), np.array(groups))
    ends = [round(found.low, 4), round(found.high, 4)]
    return {"share": round(float(np.mean(hits)), 4), "n": len(hits), "interval": ends}


def truth(found: Sequence[Boxes]) -> dict[str, Any]:
    """Precision and recall of boxes, surest first, against faces that people have marked."""
    told: dict[str, Any] = {}
    for criterion in CRITERIA:
        tallies: list[MatchTally] = []
        for boxes, one in zip(found, read_annotations(TRUTH), strict=True):
            faces = [Face(FOUND_BY, Box(*b), 1 - n / 1000) for n, b in enumerate(boxes)]
            tallies.append(match_faces(faces, one.boxes, criterion))
        told[criterion.name] = {
            "precision": rate([(t.found, t.found + t.false) for t in tallies]),
            "recall": rate([(t.found, t.faces) for t in tallies]),
            "f1": round(sum_tallies(tallies).f1, 3),
        }
    return told


def rate(parts: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Hits of cases in each picture as a share; a picture is a moment."""
    rows = [
        (case < hits, number) for number, (hits, all_) in enumerate(parts) for case in range(all_)
    ]
    return share_of([hit for hit, _ in rows], [number for _, number in rows])


def answered(file: Path, row: Row, browser: dict[str, Boxes], server: dict[str, Boxes]) -> Row:
    """The likeliest class of each picture, by the page's boxes and by those of the server."""
    network = load(file)
    model = LoadedModel(file.parent.name, network, file, network.classes)
    told: dict[str, list[str]] = defaultdict(list)
    for name in row["pictures"]:
        data = (DATA / name).read_bytes()
        told["browser"].append(largest(model, name, data, browser[name]))
        told["server"].append(largest(model, name, data, server[name]))
    return {key: row[key] for key in ("pictures", "moments")} | told


def largest(model: LoadedModel, name: str, data: bytes, boxes: Boxes) -> str:
    """The likeliest class of the largest face; "" where there is none."""
    if not boxes:
        return ""
    box = Box(*max(boxes, key=lambda box: box[2] * box[3]))
    (told,) = answers_to(model, [Upload(name, data, (box,))], RequestLimits())["pictures"]
    best: str = told["parts"][0]["predictions"][0]["label"]
    return best


def top_1(rows: Sequence[Row]) -> dict[str, Any]:
    """Top-1 of both over all splits, and what the page loses, also where both have found a face."""
    told = [
        (Path(name).parent.name, ours, theirs, moment)
        for row in rows
        for name, moment, ours, theirs in zip(
            row["pictures"], row["moments"], row["browser"], row["server"], strict=True
        )
    ]
    # The page asks the server, and looks itself where that sees no face.
    page = [(name, theirs or ours, theirs, moment) for name, ours, theirs, moment in told]
    both = [one for one in told if one[1] and one[2]]
    server = [one for one in told if one[2]]
    return {
        "all": paired(told),
        "as_the_page_does": paired(page),
        "the_server_found_a_face": paired(server),
        "both_found_a_face": paired(both),
    }


def paired(told: Sequence[tuple[str, str, str, str]]) -> dict[str, Any]:
    """Top-1 by either's boxes, and the gain of the page's in points."""
    moments = [moment for *_, moment in told]
    ours, theirs = ([one[n] == one[0] for one in told] for n in (1, 2))
    gain = difference_interval(np.subtract(ours, theirs, dtype=float), np.array(moments))
    return {
        "browser": share_of(ours, moments),
        "server": share_of(theirs, moments),
        "points": round(100 * float(np.mean(ours) - np.mean(theirs)), 2),
        "points_interval": [round(100 * gain.low, 2), round(100 * gain.high, 2)],
        "moments": len(set(moments)),
    }


def same_crops(told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How often device and server say the same of identical crops, and how far they are apart."""
    same, apart, groups = [], 0.0, []
    for number, one in enumerate(told):
        for device, server in zip(one["device"], one["server"], strict=True):
            same.append(device["predictions"][0]["label"] == server["predictions"][0]["label"])
            sure = {p["label"]: p["confidence"] for p in server["predictions"]}
            ours = {p["label"]: p["confidence"] for p in device["predictions"]}
            apart = max(apart, *(abs(sure[name] - ours[name]) for name in sure if name in ours))
            groups.append(number)
    return share_of(same, groups) | {"largest_difference": apart}


class PageMeasurement:
    """All parts that are measured, in their order; each is made from those before it."""

    def __init__(self, work: Path, seeds: int, done: KeptRows) -> None:
        self.work, self.seeds, self.done = work, range(seeds), done
        self.files = {name: pictures(name) for name in SETS}
        self.files["faces"] = [one.path for one in read_annotations(TRUTH)]

    def parts(self) -> Iterator[tuple[str, Callable[[], Row]]]:
        """Yield the name of each part, and what makes it."""
        for name, seed in itertools.product(SETS, self.seeds):
            yield f"run/{name}/{seed}", partial(trained, self.work / name, seed)
        for name, wanted in itertools.product(self.files, SERVERS):
            yield f"server/{name}/{wanted}", partial(by_server, self.files[name], wanted)
            yield f"browser/{name}/{wanted}", partial(self.by_browser, name, wanted)
        for name in SETS:
            yield f"device/{name}", partial(self.by_device, name)
        for name, seed in itertools.product(SETS, self.seeds):
            yield f"answers/{name}/{seed}", partial(self.answers, name, seed)
        yield "speed", lambda: speed_of(serve(self.model()), PORT, self.work)

    def model(self, name: str = SETS[0], seed: int = 0) -> Path:
        """The exported file of a run."""
        part = f"run/{name}/{seed}"
        if part not in self.done:
            raise SystemExit(f"{self.work} has no run yet: begin with --only {part}")
        run = self.done[part]["run"]
        return self.work / name / "runs" / run / "served.onnx"

    def known(self, name: str, side: str = "browser") -> dict[str, Boxes]:
        """The boxes of each picture that one side has found for a run."""
        boxes = self.done[f"{side}/{name}/{LEARNT_FROM}"]["boxes"]
        names = [str(one.relative_to(DATA)) for one in self.files[name]]
        return dict(zip(names, boxes, strict=True))

    def by_browser(self, name: str, wanted: str) -> Row:
        """The page's boxes, for a run whose faces the detector `wanted` has found."""
        return in_browser(self.model(), self.files[name], wanted)

    def by_device(self, name: str) -> Row:
        """What device and server say of the page's boxes."""
        return same_boxes(self.model(name), self.known(name))

    def answers(self, name: str, seed: int) -> Row:
        """What a run says of pictures that it has not learnt from, by both ways to find faces."""
        row = self.done[f"run/{name}/{seed}"]
        return answered(self.model(name, seed), row, self.known(name), self.known(name, "server"))


def figures(done: KeptRows, seeds: int) -> dict[str, Any]:
    """All that was measured."""
    told: dict[str, Any] = {}
    for wanted in SERVERS:
        for name in (*SETS, "faces"):
            ours, theirs = (
                done[f"{side}/{name}/{wanted}"]["boxes"] for side in ("browser", "server")
            )
            told[f"agreement/{name}/{wanted}"] = agreement(ours, theirs)
        for side in ("browser", "server"):
            told[f"truth/{side}/{wanted}"] = truth(done[f"{side}/faces/{wanted}"]["boxes"])
    for name in SETS:
        told[f"top_1/{name}"] = top_1([done[f"answers/{name}/{seed}"] for seed in range(seeds)])
        device = done[f"device/{name}"]["told"]
        told[f"same_crops/{name}"] = same_crops(device)
        told[f"device_ms_a_face/{name}"] = round(median(one["ms"] for one in device), 1)
    return told | {"speed": {k: v for k, v in done["speed"].items() if k != "part"}}


def main() -> None:
    """Measure what was not measured yet, and print all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="", help="measure parts whose name has this in it")
    given = parser.parse_args()
    # Worker processes would import this script each time.
    vars(sys.modules["__main__"]).pop("__file__", None)
    done = KeptRows(given.work / "results.jsonl")
    parts = dict(PageMeasurement(given.work, given.seeds, done).parts())
    for part, made in parts.items():
        if given.only in part and part not in done:
            done.keep(part, made())
    if parts.keys() <= done.keys():
        print(json.dumps(figures(done, given.seeds)))


if __name__ == "__main__":
    main()
