"""Quality of the embeddings that compare faces, on real labelled sets not used for training.

    python benchmarks/likeness.py WORK [--splits 30] [--set NAME=FOLDER ...]
    python benchmarks/likeness.py WORK --table      # only from stored results

In each set, three, five, ten or four fifths of the images per class are labelled, in whole groups;
the labels of the others are predicted by the nearest neighbor (nn) and by the models of the window
and of prelabelling (ridge, proposed), scored by mean recall over classes. Without labels the images
are clustered as in a new window and as `gleanset list clusters` lists them, on a random four fifths
of the groups: adjusted Rand index, F1 over pairs, and purity. `plain` are raw descriptors,
`descriptor` adds the identity embedding, as the window compares before prelabeling, and `prelabel`
are the vectors of prelabeling. WORK keeps a line for each split, so that an interrupted run can
continue. A FOLDER has one folder per class, and optionally `sources.json`
(benchmarks/labelled_tree.py).
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from labelled_tree import DATA, import_images, iter_tree
from result_file import ResultFile, Row
from scipy import stats

from baseline.data.pixels import read_crop
from baseline.data.samples import pixel_sources
from baseline.features.features import FeatureSpec
from baseline.features.texture import get_prior_weights, has_drawings
from baseline.prelabel.prelabeling import compute_components, weight_components
from baseline.settings import Transfer, load_preset
from curation.similarity.class_learning import Ridge, SelfTraining, TrainingRows
from curation.similarity.clustering import cluster_rows
from curation.similarity.descriptor import DescriptorSpace, compute_descriptor
from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.records import Sample
from gleanset.work.progress import Progress
from labeler.sorting.clusters import MEAN_CLUSTER_SIZE

SETS = ("characters", "characters_fan10", "characters_shows5", "photos")
SIZES = (3, 5, 10)
KINDS = ("nn", "ridge", "proposed")
KEPT = 0.8

Rows = np.ndarray[Any, np.dtype[np.float32]]


class LabelledSet(NamedTuple):
    """Images of a set: class `names`, group numbers (`groups`), vectors by variant."""

    names: np.ndarray
    groups: np.ndarray
    vectors: Mapping[str, Rows]


def read_set(work: Path, name: str, folder: Path) -> LabelledSet:
    """Return a set with its vectors; create the dataset the first time."""
    with Dataset.create(work / name) as dataset:
        if not dataset.images.count():
            import_images(dataset, iter_tree(folder))
        samples = list(dataset.samples.iter_by_key())
        groups = assign_split_groups(dataset.db, [sample.key for sample in samples])
        sources = pixel_sources(dataset, samples)
        stored = [
            compute_descriptor(np.asarray(read_crop(source).convert("RGB"))) for source in sources
        ]
        photos = not has_drawings(dataset, samples, Progress())
        vectors = {
            "plain": DescriptorSpace(stored, photos=True).get_vectors(stored)[0],
            "descriptor": DescriptorSpace(stored, photos).get_vectors(stored)[0],
            "prelabel": _prelabelled(dataset, samples),
        }
    keys = [groups[sample.key] for sample in samples]
    return LabelledSet(
        np.array([str(sample.label) for sample in samples]),
        np.unique(keys, return_inverse=True)[1],
        vectors,
    )


def _prelabelled(dataset: Dataset, samples: Sequence[Sample]) -> Rows:
    settings = load_preset("transfer", {})
    assert isinstance(settings, Transfer)
    found = compute_components(
        dataset, samples, FeatureSpec.from_settings(settings, views=0), Progress()
    )
    expected = get_prior_weights(found.parts, dataset, samples, Progress())
    return weight_components(found.components, found.parts, expected.weights)


def draw_split(names: np.ndarray, groups: np.ndarray, size: int, seed: int) -> np.ndarray | None:
    """Choose at most `size` labelled images per class, in whole groups.

    None if fewer than two classes have at least three images more.
    """
    there = Counter(names.tolist())
    large = {name for name, count in there.items() if count >= size + 3}
    if len(large) < 2:
        return None
    named = np.zeros(len(names), np.bool_)
    have: Counter[str] = Counter()
    for group in np.random.default_rng(seed).permutation(groups.max() + 1).tolist():
        mine = np.flatnonzero(groups == group)
        more = Counter(names[mine].tolist())
        if set(more) <= large and all(have[name] + n <= size for name, n in more.items()):
            named[mine] = True
            have.update(more)
    return named


def measure_recall(names: np.ndarray, vectors: Rows, named: np.ndarray) -> list[float]:
    """Return the mean recall of nearest neighbor, ridge and self-training."""
    arguments = ~named & np.isin(names, names[named])
    nearest = names[named][(vectors[arguments] @ vectors[named].T).argmax(axis=1)]
    classes, y = np.unique(names[named], return_inverse=True)
    seen = np.ones(len(y), np.bool_)
    taught = TrainingRows(np.flatnonzero(named), y, np.arange(len(y)), seen, len(classes))
    scores = Ridge.fitted(vectors[named], taught).scores(vectors[arguments])
    numbers = (
        scores.argmax(axis=1),
        SelfTraining.create(vectors, taught).likeliest(vectors[arguments]),
    )
    answers = nearest, *(classes[number] for number in numbers)
    return [_mean_recall(names[arguments], answer) for answer in answers]


def _mean_recall(names: np.ndarray, answers: np.ndarray) -> float:
    return float(np.mean([(answers[names == name] == name).mean() for name in np.unique(names)]))


def cluster_quality(names: np.ndarray, clusters: Sequence[Sequence[int]]) -> Row:
    """Return adjusted Rand index, pair F1 and purity of clusters."""
    pairs = [Counter(names[cluster].tolist()) for cluster in clusters]
    both = sum(n * (n - 1) / 2 for counts in pairs for n in counts.values())
    joined = sum(len(cluster) * (len(cluster) - 1) / 2 for cluster in clusters)
    alike = sum(n * (n - 1) / 2 for n in Counter(names.tolist()).values())
    chance = joined * alike / (len(names) * (len(names) - 1) / 2)
    return {
        "ari": (both - chance) / ((joined + alike) / 2 - chance),
        "f1": 2 * both / (joined + alike),
        "purity": sum(max(counts.values()) for counts in pairs) / len(names),
    }


def measure_split(pictures: LabelledSet, variant: str, seed: int) -> Row:
    """Return the metrics of one split."""
    names, groups, vectors = pictures.names, pictures.groups, pictures.vectors[variant]
    row: Row = {}
    some = (np.random.default_rng(seed).random(groups.max() + 1) < KEPT)[groups]
    parts = {size: draw_split(names, groups, size, seed) for size in SIZES} | {"all": some}
    for size, named in parts.items():
        if named is not None:
            shares = measure_recall(names, vectors, named)
            row |= {f"{kind}{size}": right for kind, right in zip(KINDS, shares, strict=True)}
    several = int(some.sum()) // MEAN_CLUSTER_SIZE
    window = cluster_quality(names[some], cluster_rows(vectors[some], several))
    listed = cluster_quality(names[some], cluster_rows(vectors[some]))
    return row | window | {f"listed {name}": value for name, value in listed.items()}


def format_interval(values: Sequence[float]) -> str:
    """Format the mean and the half width of its 95% interval."""
    wide = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1) if len(values) > 1 else np.nan
    return f"{np.mean(values):.3f} ± {wide:.3f}"


def format_table(rows: Mapping[str, Row]) -> Iterator[str]:
    """Yield the rows of a Markdown table for all sets and variants."""
    columns = [f"{kind}{size}" for kind in KINDS for size in (*SIZES, "all")]
    columns += ["ari", "f1", "purity", "listed ari", "listed f1", "listed purity"]
    yield f"| set | compared by | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 2) + "|"
    together: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for part, row in rows.items():
        name, variant, _ = part.split("/")
        together[name, variant].append(row)
    for (name, variant), splits in together.items():
        cells = [
            format_interval([row[column] for row in splits]) if column in splits[0] else "-"
            for column in columns
        ]
        yield f"| {name} | {variant} | {' | '.join(cells)} |"


def main() -> None:
    """Measure the missing splits, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--splits", type=int, default=30)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    done = ResultFile(arguments.work / "likeness.jsonl")
    sets = {name: Path(folder) for name, folder in (one.split("=", 1) for one in arguments.set)}
    for name, folder in (sets or {name: DATA / name for name in SETS}).items():
        if arguments.table:
            break
        pictures = read_set(arguments.work, name, folder)
        for variant in pictures.vectors:
            for seed in range(arguments.splits):
                if (part := f"{name}/{variant}/{seed}") not in done:
                    done.keep(part, measure_split(pictures, variant, seed))
    print("\n".join(format_table(done)))


if __name__ == "__main__":
    main()
