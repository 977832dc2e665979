"""The settings and weights of the detector ensemble, by cross-validation over sources.

    python benchmarks/detectors_calibrate.py --faces DIR [--cascade FILE] [--photos DIR]
        [--votes FILE]

`DIR/faces.json` has the annotated pictures (docs/detectors.md tells the format); `--photos` is
a folder of photographs without drawn faces, one source more. `--votes` keeps what the members
found, so that another try takes a minute. A source is a show (what stands before the first
`_` of a file's name). For each source in turn the settings are chosen and the weights fitted
on the other sources only, and the source is scored with them: those are the figures
printed first. Last come the settings and weights from all sources, for
`facecrop/detectors/votes.py`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facecrop.annotations import read_annotations
from facecrop.compare import CRITERIA, MatchTally, match_faces
from facecrop.detectors.ensemble import Ensemble
from facecrop.detectors.tiling import FloatBox
from facecrop.detectors.votes import (
    EnsembleCalibration,
    FaceCandidate,
    FaceVote,
    cascade_votes,
    group_votes,
)
from gleanset.images.decode import decode
from gleanset.records import Box, Face

SIZES = (1.0, 0.7, 0.5, 0.35)
CHOICES = [(0.7, 0.5), (0.7, 0.5, 0.35), (1.0,), (1.0, 0.5), (1.0, 0.7, 0.5), SIZES]
"""Quickest first: of choices that are level the first is taken."""

LEVEL = 0.005
"""Differences of the mean F1 that say nothing."""

NETWORK_SIZES = (0, 512, 640)
"""How large our own network sees a picture; 0 is without it."""

THRESHOLDS = (0.25, 0.3, 0.35, 0.4, 0.5)

PHOTO = "photo"
PHOTOS = 80
NOT_LEARNT = ("cat", "dog")
"""The photographs that took no part in the training of our own network."""

LEAST_WINDOWS = 2
"""A single window of the cascade, and nothing else, is nothing to learn from."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Picture:
    """One picture: its source, the true boxes, and the votes of all sizes and cascades."""

    source: str
    truth: list[Box]
    votes: dict[str, list[FaceVote]]


class Row(NamedTuple):
    """One candidate of a picture; whether its centre lies in a true face."""

    picture: Picture
    candidate: FaceCandidate
    face: bool


def pictures(faces: Path, photos: Path | None, cascade: str) -> list[Picture]:
    """Search everything once, at every size and with both kinds of grey."""
    searcher = Ensemble(cascade=cascade)
    found = []
    for entry in read_annotations(faces):
        found.append(Picture(entry.kind, entry.boxes, votes(searcher, entry.path)))
        print(".", end="", flush=True)
    for path in sampled(photos):
        found.append(Picture(PHOTO, [], votes(searcher, path)))
        print(".", end="", flush=True)
    print()
    return found


def sampled(photos: Path | None) -> list[Path]:
    """Some photographs of which our own network saw none, the same in every run."""
    kinds = [photos / kind for kind in NOT_LEARNT] if photos else []
    files = sorted(file for kind in kinds for file in kind.glob("*.jpg"))
    return random.Random(0).sample(files, min(PHOTOS, len(files)))


def votes(searcher: Ensemble, path: Path) -> dict[str, list[FaceVote]]:
    """What each member finds in a picture of at most 1920 pixels, in its pixels."""
    part = np.asarray(decode(path.read_bytes()).pixels)
    found = {f"{size:g}": list(searcher.at(part, size)) for size in SIZES}
    for size in NETWORK_SIZES:
        found[f"network {size}"] = searcher.network_votes(part, size) if size else []
    for equalize in (False, True):
        windows = searcher.cascade.windows(part, 1.1, equalize=equalize)
        found[f"cascade {equalize}"] = cascade_votes(windows)
    return found


def plans() -> list[EnsembleCalibration]:
    """All settings that are to be fitted and compared."""
    return [
        EnsembleCalibration(
            0, sizes, (0.0,) * len(sizes), 0.0, 0.0, 0.0, size, 0.5, equalize=equalize
        )
        for sizes in CHOICES
        for size in NETWORK_SIZES
        for equalize in (False, True)
    ]


def rows(all_pictures: Sequence[Picture], settings: EnsembleCalibration) -> list[Row]:
    """The candidates that these settings would give."""
    found = []
    for picture in all_pictures:
        chosen = [vote for size in settings.sizes for vote in picture.votes[f"{size:g}"]]
        chosen += picture.votes[f"network {settings.network_size}"]
        chosen += picture.votes[f"cascade {settings.equalize}"]
        found += [Row(picture, c, _is_face(c, picture.truth)) for c in group_votes(chosen)]
    return found


@dataclass(frozen=True)
class Trial:
    """Pictures of some sources, and what every choice of settings finds in them."""

    pictures: list[Picture]
    rows: dict[EnsembleCalibration, list[Row]]

    @classmethod
    def of(cls, all_pictures: list[Picture]) -> Trial:
        """Group the votes once for every choice."""
        return cls(all_pictures, {one: rows(all_pictures, one) for one in plans()})

    @property
    def sources(self) -> list[str]:
        """The sources in a fixed order."""
        return sorted({picture.source for picture in self.pictures})

    def only(self, source: str, *, without: bool = False) -> Trial:
        """Return the part of one source, or all `without` it."""
        return Trial(
            [one for one in self.pictures if (one.source == source) != without],
            {
                plan: [row for row in data if (row.picture.source == source) != without]
                for plan, data in self.rows.items()
            },
        )


def fitted(data: Sequence[Row], settings: EnsembleCalibration) -> EnsembleCalibration:
    """Logistic regression with a penalty of half the sum of squared weights (Newton)."""
    known = [row for row in data if _worth(row.candidate)]
    values = np.array([(*settings.features(row.candidate), 1.0) for row in known])
    truth = np.array([row.face for row in known], float)
    penalty = np.diag([1.0] * (values.shape[1] - 1) + [1e-3])
    weights: Numbers = np.zeros(values.shape[1])
    for _ in range(30):
        sure = 1 / (1 + np.exp(-values @ weights))
        slope = values.T @ (sure - truth) + penalty @ weights
        bend = (values.T * (sure * (1 - sure))) @ values + penalty
        weights -= np.linalg.solve(bend, slope)
    *sizes, cascade, network, bias = (round(float(weight), 2) for weight in weights)
    return replace(
        settings, version=3, weights=tuple(sizes), cascade=cascade, network=network, bias=bias
    )


def judged(
    mine: Trial, by: EnsembleCalibration, plan: EnsembleCalibration, threshold: float
) -> dict[str, Counter[str]]:
    """True and false finds by criterion."""
    faces: dict[int, list[Face]] = {}
    for row in mine.rows[plan]:
        chance = by.probability(row.candidate)
        if chance >= threshold:
            box = Box(*(round(edge) for edge in row.candidate.rect))
            faces.setdefault(id(row.picture), []).append(Face("ensemble", box, chance))
    total: dict[str, Counter[str]] = {}
    for criterion in CRITERIA:
        total[criterion.name] = Counter()
        for picture in mine.pictures:
            tally: MatchTally = match_faces(faces.get(id(picture), []), picture.truth, criterion)
            total[criterion.name].update(found=tally.hits, false=tally.false)
    return total


def held_out(trial: Trial, plan: EnsembleCalibration) -> dict[float, dict[str, Counter[str]]]:
    """By threshold what the weights of the other sources do on each source, all together."""
    result = {least: {one.name: Counter[str]() for one in CRITERIA} for least in THRESHOLDS}
    for source in trial.sources:
        mine = trial.only(source)
        model = fitted(trial.only(source, without=True).rows[plan], plan)
        for least, sums in result.items():
            for name, counts in judged(mine, model, plan, least).items():
                sums[name].update(counts)
    return result


def chosen(trial: Trial, *, say: bool = False) -> tuple[EnsembleCalibration, float, float]:
    """The quickest settings that are level with the best by held-out F1 (mean of the criteria).

    With their threshold and that F1.
    """
    scored = []
    for plan in trial.rows:
        for threshold, result in held_out(trial, plan).items():
            scored.append((mean_f1(trial.pictures, result), plan, threshold))
            if say:
                print(
                    f"  {scored[-1][0]:.3f} {plan.sizes} network {plan.network_size} "
                    f"equalize={plan.equalize} from {threshold}"
                )
    least = max(value for value, _, _ in scored) - LEVEL
    value, best, threshold = next(one for one in scored if one[0] >= least)
    return best, threshold, value


def mean_f1(all_pictures: Sequence[Picture], result: dict[str, Counter[str]]) -> float:
    """F1 over all pictures, mean of the criteria."""
    faces = sum(len(picture.truth) for picture in all_pictures)
    values = [
        2 * counts["found"] / max(faces + counts["found"] + counts["false"], 1)
        for counts in result.values()
    ]
    return sum(values) / len(values)


def nested(trial: Trial) -> None:
    """Settings, threshold and weights chosen without the source on which they are scored."""
    total = {criterion.name: Counter[str]() for criterion in CRITERIA}
    for source in trial.sources:
        others, mine = trial.only(source, without=True), trial.only(source)
        plan, threshold, value = chosen(others)
        model = fitted(others.rows[plan], plan)
        faces = sum(len(picture.truth) for picture in mine.pictures)
        line = [
            f"{source:<10} {faces:>3} faces; {plan.sizes} network {plan.network_size} "
            f"equalize={plan.equalize} from {threshold}"
        ]
        for name, counts in judged(mine, model, plan, threshold).items():
            line.append(f"{name}: {counts['found']} found {counts['false']} false")
            if source != PHOTO:
                total[name].update(counts)
        print("; ".join(line), f"(F1 of the others {value:.3f})", flush=True)
    print(
        "all annotated pictures:",
        {n: round(mean_f1(trial.pictures, {n: c}), 3) for n, c in total.items()},
    )


def main() -> None:
    """Read or make the votes, print the honest figures, then the final weights."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--faces", type=Path, required=True)
    options.add_argument("--photos", type=Path)
    options.add_argument("--cascade", default="")
    options.add_argument("--votes", type=Path)
    given = options.parse_args()
    if given.votes and given.votes.exists():
        data = _loaded(given.votes)
    else:
        data = pictures(given.faces / "faces.json", given.photos, given.cascade)
    if given.votes:
        given.votes.write_text(json.dumps([_plain(picture) for picture in data]))
    trial = Trial.of(data)
    print("everything chosen without the source on which it is scored:")
    nested(trial)
    print("held-out mean F1 of every choice (weights alone left out):")
    best, threshold, _ = chosen(trial, say=True)
    final = replace(fitted(trial.rows[best], best), threshold=threshold)
    print("from all sources:", final)


def _is_face(candidate: FaceCandidate, truth: Sequence[Box]) -> bool:
    x = candidate.rect.x + candidate.rect.width / 2
    y = candidate.rect.y + candidate.rect.height / 2
    return any(b.x <= x <= b.x + b.width and b.y <= y <= b.y + b.height for b in truth)


def _worth(candidate: FaceCandidate) -> bool:
    return len({vote.member for vote in candidate.votes}) > 1 or (
        candidate.votes[0].member != "lbpcascade" or candidate.votes[0].strength >= LEAST_WINDOWS
    )


def _plain(picture: Picture) -> dict[str, object]:
    kept = {name: [vote[:3] for vote in found] for name, found in picture.votes.items()}
    return {"source": picture.source, "truth": picture.truth, "votes": kept}


def _loaded(path: Path) -> list[Picture]:
    return [
        Picture(
            one["source"],
            [Box(*box) for box in one["truth"]],
            {
                n: [FaceVote(m, FloatBox(*r), s) for m, r, s in found]
                for n, found in one["votes"].items()
            },
        )
        for one in json.loads(path.read_text())
    ]


if __name__ == "__main__":
    main()
