"""Quality of the embeddings that compare faces, on real labelled sets not used for training.

    python benchmarks/embedding_quality.py WORK [--splits 30] [--set NAME=FOLDER ...]
    python benchmarks/embedding_quality.py WORK --table      # only from stored results

In each set, one, three, five, ten or four fifths of a class's images are labelled, in whole groups;
the labels of the others are predicted by the nearest neighbor (nn) and by the models of the window
and of prelabelling (ridge, self-training; whitened is an idea of docs/experiments.md), scored by
mean recall over classes. Without labels the images are clustered as in a new window and as
`gleanset list clusters` lists them, on a random four fifths of the groups: adjusted Rand index, F1
over pairs, and purity. `plain` are raw descriptors, `descriptor` adds the identity embedding, as
the window compares before prelabeling, and `prelabel` are the vectors of prelabeling. WORK keeps a
line for each split, so that an interrupted run can continue. A FOLDER has one folder per class, and
optionally `sources.json` (benchmarks/labelled_tree.py).
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from labelled_tree import iter_tree, open_set, parse_sets
from result_file import ResultFile, Row
from scipy import stats

from baseline.data.pixels import read_crop
from baseline.data.samples import pixel_sources
from baseline.features.features import FeatureSpec
from baseline.features.texture import get_prior_weights, has_drawings
from baseline.prelabel.prelabeling import compute_components, weight_components
from baseline.settings import Transfer, load_preset
from curation.similarity.class_learning import SelfTraining
from curation.similarity.clustering import cluster_rows
from curation.similarity.descriptor import DescriptorSpace, compute_descriptor
from curation.similarity.ridge import Ridge, TrainingRows
from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.records import Sample
from gleanset.work.progress import Progress
from labeler.sorting.page_layout import MEAN_CLUSTER_SIZE

SETS = ("characters", "characters_fan10", "characters_shows5", "photos")
SIZES = (1, 3, 5, 10)
MODELS = ("nn", "ridge", "self-training", "whitened")
TRAIN_SHARE = 0.8

ROUNDS = 5
SHRINKAGE = 2.0
"""Added to the covariance within classes, relative to the mean variance of a dimension."""
UNLABELLED_WEIGHT = 0.5
"""Weight of an unlabelled image; a labelled one has 1."""
SHARPNESS = 8.0
"""Score that the median image gains over its mean class."""

Rows = np.ndarray[Any, np.dtype[np.float32]]


class LabelledSet(NamedTuple):
    """Images of a set: class `names`, group numbers (`groups`), vectors by variant."""

    names: np.ndarray
    groups: np.ndarray
    vectors: Mapping[str, Rows]


def read_set(work: Path, name: str, folder: Path) -> LabelledSet:
    """Return a set with its vectors; create the dataset the first time."""
    with open_set(work / name, iter_tree(folder)) as dataset:
        samples = list(dataset.samples.iter_by_key())
        groups = assign_split_groups(dataset.db, [sample.key for sample in samples])
        sources = pixel_sources(dataset, samples)
        stored = [
            compute_descriptor(np.asarray(read_crop(source).convert("RGB")))
            for source in sources
        ]
        photos = not has_drawings(dataset, samples, Progress())
        vectors = {
            "plain": DescriptorSpace(stored, photos=True).get_vectors(stored)[0],
            "descriptor": DescriptorSpace(stored, photos).get_vectors(stored)[0],
            "prelabel": _compute_prelabel_vectors(dataset, samples),
        }
    keys = [groups[sample.key] for sample in samples]
    return LabelledSet(
        np.array([str(sample.label) for sample in samples]),
        np.unique(keys, return_inverse=True)[1],
        vectors,
    )


def _compute_prelabel_vectors(dataset: Dataset, samples: Sequence[Sample]) -> Rows:
    settings = load_preset("transfer", {})
    assert isinstance(settings, Transfer)
    spec = FeatureSpec.from_settings(settings, views=0)
    result = compute_components(dataset, samples, spec, Progress())
    prior = get_prior_weights(result.parts, dataset, samples, Progress())
    return weight_components(result.components, result.parts, prior.weights)


def draw_split(
    names: np.ndarray, groups: np.ndarray, size: int, seed: int
) -> np.ndarray | None:
    """Choose at most `size` labelled images per class, in whole groups.

    None if fewer than two classes have at least three images more, or small enough groups.
    """
    counts = Counter(names.tolist())
    large = {name for name, count in counts.items() if count >= size + 3}
    if len(large) < 2:
        return None
    is_labelled = np.zeros(len(names), np.bool_)
    labels: Counter[str] = Counter()
    for group in np.random.default_rng(seed).permutation(groups.max() + 1).tolist():
        members = np.flatnonzero(groups == group)
        added = Counter(names[members].tolist())
        if set(added) <= large and all(
            labels[name] + n <= size for name, n in added.items()
        ):
            is_labelled[members] = True
            labels.update(added)
    return is_labelled if len(labels) >= 2 else None


def measure_recall(
    names: np.ndarray, vectors: Rows, is_labelled: np.ndarray
) -> list[float]:
    """Return the mean recall of nearest neighbor, ridge, self-training and whitened means."""
    is_tested = ~is_labelled & np.isin(names, names[is_labelled])
    train, test = vectors[is_labelled], vectors[is_tested]
    nearest = names[is_labelled][(test @ train.T).argmax(axis=1)]
    classes, y = np.unique(names[is_labelled], return_inverse=True)
    trusted, by_hint = np.ones(len(y), np.bool_), np.zeros(len(y), np.bool_)
    labelled = np.flatnonzero(is_labelled)
    order = np.arange(len(y))
    rows = TrainingRows(labelled, y, order, trusted, len(classes), by_hint)
    ridge = classes[Ridge.fit(train, rows).score(test).argmax(axis=1)]
    likeliest = SelfTraining.create(vectors, rows).predict(vectors)
    self_training = classes[likeliest[is_tested]]
    whitened = classes[refine_whitened(vectors, rows, likeliest)[is_tested]]
    predictions = nearest, ridge, self_training, whitened
    return [_mean_recall(names[is_tested], predicted) for predicted in predictions]


def refine_whitened(
    vectors: Rows, training: TrainingRows, likeliest: np.ndarray
) -> np.ndarray:
    """Return class numbers (N) by means in a space whitened by the covariance within classes.

    Means and covariance are fitted several times to labels and predictions for all images, at first
    the `likeliest` (N).
    """
    labelled = training.rows
    one_hot = np.eye(training.classes)
    centered = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, lengths, axes = np.linalg.svd(centered, full_matrices=False)
    rows = centered @ axes[:200].T
    ridge = SHRINKAGE * np.square(lengths[:200]).mean() / len(rows)
    weights = np.full(len(rows), UNLABELLED_WEIGHT)
    weights[labelled] = 1
    shares = one_hot[likeliest]
    for _ in range(ROUNDS + 1):
        shares[labelled] = one_hot[training.y]
        members = shares * weights[:, None]
        counts = np.maximum(members.sum(axis=0), 1e-9)
        means = members.T @ rows / counts[:, None]
        within = (rows * weights[:, None]).T @ rows - (
            means * counts[:, None]
        ).T @ means
        covariance = within / weights.sum() + ridge * np.eye(rows.shape[1])
        factor = np.linalg.cholesky(covariance)
        white = np.linalg.solve(factor, rows.T).T
        white_means = np.linalg.solve(factor, means.T).T
        scores = white @ white_means.T - np.square(white_means).sum(axis=1) / 2
        gaps = scores.max(axis=1) - scores.mean(axis=1)
        powers = np.exp(
            SHARPNESS * (scores - scores.max(axis=1, keepdims=True)) / np.median(gaps)
        )
        shares = powers / powers.sum(axis=1, keepdims=True)
    return np.asarray(scores.argmax(axis=1))


def _mean_recall(names: np.ndarray, predicted: np.ndarray) -> float:
    return float(
        np.mean(
            [(predicted[names == name] == name).mean() for name in np.unique(names)]
        )
    )


def cluster_quality(names: np.ndarray, clusters: Sequence[Sequence[int]]) -> Row:
    """Return adjusted Rand index, pair F1 and purity of clusters."""
    contents = [Counter(names[cluster].tolist()) for cluster in clusters]
    true_pairs = sum(_count_pairs(counts.values()) for counts in contents)
    cluster_pairs = _count_pairs(map(len, clusters))
    class_pairs = _count_pairs(Counter(names.tolist()).values())
    chance = cluster_pairs * class_pairs / (len(names) * (len(names) - 1) / 2)
    return {
        "ari": (true_pairs - chance) / ((cluster_pairs + class_pairs) / 2 - chance),
        "f1": 2 * true_pairs / (cluster_pairs + class_pairs),
        "purity": sum(max(counts.values()) for counts in contents) / len(names),
    }


def _count_pairs(sizes: Iterable[int]) -> float:
    return sum(size * (size - 1) / 2 for size in sizes)


def measure_split(labelled_set: LabelledSet, variant: str, seed: int) -> Row:
    """Return the metrics of one split."""
    names = labelled_set.names
    groups = labelled_set.groups
    vectors = labelled_set.vectors[variant]
    row: Row = {}
    train = (np.random.default_rng(seed).random(groups.max() + 1) < TRAIN_SHARE)[groups]
    splits = {size: draw_split(names, groups, size, seed) for size in SIZES} | {
        "all": train
    }
    for size, is_labelled in splits.items():
        if is_labelled is not None:
            recalls = measure_recall(names, vectors, is_labelled)
            row |= {
                f"{model}{size}": value
                for model, value in zip(MODELS, recalls, strict=True)
            }
    count = int(train.sum()) // MEAN_CLUSTER_SIZE
    window = cluster_quality(names[train], cluster_rows(vectors[train], count))
    listed = cluster_quality(names[train], cluster_rows(vectors[train]))
    return row | window | {f"listed {name}": value for name, value in listed.items()}


def format_interval(values: Sequence[float]) -> str:
    """Format the mean and the half width of its 95% interval."""
    half_width = (
        stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
        if len(values) > 1
        else np.nan
    )
    return f"{np.mean(values):.3f} ± {half_width:.3f}"


def format_table(rows: Mapping[str, Row]) -> Iterator[str]:
    """Yield the rows of a Markdown table for all sets and variants."""
    columns = [f"{model}{size}" for model in MODELS for size in (*SIZES, "all")]
    columns += ["ari", "f1", "purity", "listed ari", "listed f1", "listed purity"]
    yield f"| set | compared by | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 2) + "|"
    splits_by_variant: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for part, row in rows.items():
        name, variant, _ = part.split("/")
        splits_by_variant[name, variant].append(row)
    for (name, variant), splits in splits_by_variant.items():
        cells = [
            format_interval(values)
            if (values := [r[column] for r in splits if column in r])
            else "-"
            for column in columns
        ]
        yield f"| {name} | {variant} | {' | '.join(cells)} |"


def main() -> None:
    """Measure the missing splits, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--splits", type=int, default=30)
    parser.add_argument("--table", action="store_true")
    sets = parse_sets(parser, SETS)
    arguments = parser.parse_args()
    results = ResultFile(arguments.work / "embedding_quality.jsonl")
    for name, folder in sets.items():
        if arguments.table:
            break
        labelled_set = read_set(arguments.work, name, folder)
        for variant in labelled_set.vectors:
            for seed in range(arguments.splits):
                if (part := f"{name}/{variant}/{seed}") not in results:
                    results.add(part, measure_split(labelled_set, variant, seed))
    print("\n".join(format_table(results)))


if __name__ == "__main__":
    main()
