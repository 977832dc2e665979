"""What "unknown" is worth: pictures of classes that a run never met, by preset.

    python benchmarks/open_world.py WORK [--seeds 3] [--only transfer] [--tables]
    python benchmarks/open_world.py WORK --known [--seeds 40]

Of each set of real pictures every class is left out once, by networks trained on the others
(`baseline evaluate --open-set`), on several splits 7:1:2 by moment. The threshold is chosen on val
so that at most 5 % of known pictures are unknown. *By confidence* does the same with the
probability of the likeliest class in place of familiarity. Intervals are of 95 %: over classes for
strangers, over moments for known pictures, those of all splits together. With --known nobody is
left out: how often more of test is unknown than `evaluate --unknown-rate 5%` says of as many others
as val has. WORK keeps datasets,
features and `results.jsonl`, a line for each finished part: what was stopped goes on. Needs
gleanset[train] and the pictures in ../shared/data.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from kept_rows import KeptRows, Row
from labelled_tree import DATA, add_pictures, of_tree, split

from baseline.data import find_examples, prior_shift
from baseline.evaluation.decision_rule import DecisionRule
from baseline.evaluation.familiarity import choose_familiarity
from baseline.evaluation.metrics import sample_context
from baseline.evaluation.open_set import SeenPictures, open_set_result
from baseline.evaluation.report_metrics import calibration_on
from baseline.inference import outputs_familiarity, scale_of, split_outputs
from baseline.methods.registry import fit_method
from baseline.methods.training_data import TrainingData
from baseline.open_set import leave_classes_out
from baseline.settings import load_preset
from gleanset import Dataset

WANTED = 0.05
SETS = {
    "characters": "characters",
    "photos": "photos",
    "characters_fan10": "characters",
    "characters_shows5": "characters",
}
"""The sets, and the kind of augmentation. What is unfamiliar was chosen on the first two."""
PRESETS: dict[str, tuple[str, dict[str, str]]] = {
    "simple": ("simple", {}),
    "transfer": ("transfer", {}),
    "triplet": ("triplet", {}),
    "finetune, size=96, epochs=8": ("finetune", {"size": "96", "epochs": "8"}),
}


def one(work: Path, data: str, row: str, seed: int) -> Row:
    """All rounds on one split, as plain values."""
    preset, options = PRESETS[row]
    settings = load_preset(preset, options | {"seed": str(seed), "augment": SETS[data]})
    with Dataset.create(work / data) as dataset:
        if not dataset.images.count():
            add_pictures(dataset, of_tree(DATA / data))
        split(dataset, seed)
        started = time.process_time()
        rounds = list(leave_classes_out(dataset, find_examples(dataset), settings, WANTED))
    told = [[plain(part) for part in both] for both in rounds]
    return {"rounds": told, "seconds": round(time.process_time() - started, 1)}


def plain(seen: SeenPictures) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "familiarity": seen.familiarity.tolist(),
        "confidence": seen.confidence.tolist(),
        "unknown": seen.unknown.tolist(),
        "doubted": seen.doubted.tolist(),
        "cases": list(seen.cases),
    }


def seen_of(values: dict[str, Any]) -> SeenPictures:
    """Read it back."""
    return SeenPictures(
        np.array(values["familiarity"]),
        np.array(values["confidence"]),
        np.array(values["unknown"], bool),
        np.array(values["doubted"], bool),
        values["cases"],
    )


def known(work: Path, data: str, seed: int) -> Row:
    """What a run of **transfer** promises on one split, and the share of test that is unknown."""
    settings = load_preset("transfer", {"augment": SETS[data]})
    with Dataset.create(work / data) as dataset:
        if not dataset.images.count():
            add_pictures(dataset, of_tree(DATA / data))
        split(dataset, seed)
        examples = find_examples(dataset)
        material = TrainingData(dataset, examples, settings)
        net = fit_method(material, settings).net
        told = {part: split_outputs(net, material, part).unique() for part in examples.splits}
        samples = [sample for part in examples.splits.values() for sample in part]
        context = sample_context(dataset, samples, examples.moments)
    fitted = calibration_on(told["val"], context, prior_shift(examples, settings))
    offsets = dict(zip(examples.classes, fitted.offsets, strict=False))
    rule, scale = DecisionRule(fitted.temperature, offsets=offsets), scale_of(told["train"])
    val, test = (
        outputs_familiarity(told[part], examples.classes, rule, scale) for part in ("val", "test")
    )
    chosen = choose_familiarity(val, context.groups(told["val"].keys), WANTED)
    return chosen.to_json() | {"test": len(test), "found": float((test < chosen.below).mean())}


def known_table(done: KeptRows) -> Iterator[str]:
    """How often the bound is exceeded, by set."""
    yield (
        "| set | splits | val, test | unknown in test: mean | told: on average | at most "
        f"| exceeded |\n{'|---' * 7}|"
    )
    for data in SETS:
        rows = [done[key] for key in done if key.startswith(f"known/{data}/")]
        if rows:
            over = sum(row["found"] > row["at_most"] + 1e-9 for row in rows)
            mean = {name: np.mean([row[name] for row in rows]) for name in KNOWN}
            yield (
                f"| {data} | {len(rows)} | {mean['count']:.0f}, {mean['test']:.0f} "
                f"| {100 * mean['found']:.1f} % | {100 * mean['on_average']:.1f} % "
                f"| {100 * mean['at_most']:.1f} % | {over} ({100 * over / len(rows):.1f} %) |"
            )


KNOWN = ("count", "test", "found", "on_average", "at_most")


def table(done: KeptRows) -> Iterator[str]:
    """The table of docs/results.md."""
    yield (
        "| set | preset | strangers unknown | known unknown | AUROC "
        f"| by confidence: strangers | known | AUROC | CPU s |\n{'|---' * 9}|"
    )
    for data in SETS:
        for row in PRESETS:
            parts = [done[key] for key in done if key.startswith(f"{data}/{row}/")]
            if parts:
                yield line(data, row, parts)


def line(data: str, row: str, parts: list[Row]) -> str:
    """A row of it."""
    rounds = [(seen_of(a), seen_of(b)) for part in parts for a, b in part["rounds"]]
    found = open_set_result(WANTED, rounds)
    doubted = [np.concatenate([both[side].doubted for both in rounds]).mean() for side in (0, 1)]
    cells = [
        percent(found.strangers_unknown, found.strangers_interval),
        percent(found.known_unknown, found.known_interval),
        f"{found.auroc:.3f} ({found.auroc_interval.low:.2f} to {found.auroc_interval.high:.2f})"
        if found.auroc_interval
        else f"{found.auroc:.3f}",
        f"{100 * doubted[1]:.0f} %",
        f"{100 * doubted[0]:.1f} %",
        f"{found.auroc_by_confidence:.3f}",
        f"{np.median([part['seconds'] for part in parts]):.0f}",
    ]
    return f"| {data}, {found.classes} classes | {row} | {' | '.join(cells)} |"


def percent(share: float, interval: tuple[float, float] | None) -> str:
    """A share with its interval."""
    ends = "" if interval is None else f" ({100 * interval[0]:.0f} to {100 * interval[1]:.0f})"
    return f"{100 * share:.1f} %{ends}"


def main() -> None:
    """Do what is not done yet, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="parts whose name has this in it")
    parser.add_argument("--known", action="store_true", help="of known classes alone")
    parser.add_argument("--tables", action="store_true", help="compute nothing")
    given = parser.parse_args()
    # Worker processes would import this script, and torch with it, each time.
    vars(sys.modules["__main__"]).pop("__file__", None)
    done = KeptRows(given.work / "results.jsonl")
    if given.known:
        for seed, data in product(range(given.seeds), SETS):
            if (name := f"known/{data}/{seed}") not in done and not given.tables:
                done.keep(name, known(given.work, data, seed))
        print("\n".join(known_table(done)))
        return
    parts = [(d, p, s) for s in range(given.seeds) for d in SETS for p in PRESETS]
    for data, row, seed in parts if not given.tables else ():
        name = f"{data}/{row}/{seed}"
        if given.only in name and name not in done:
            done.keep(name, one(given.work, data, row, seed))
            print(line(data, row, [done[name]]), file=sys.stderr, flush=True)
    print("\n".join(table(done)))


if __name__ == "__main__":
    main()
