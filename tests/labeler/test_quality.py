"""Quality measures and flags, label issues, and the vectors of pages."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from labeler_makers import add_faces, add_image, label
from labelled_images import picture, put
from PIL import Image, ImageDraw, ImageFilter
from tools_for_tests import encode, run_here

from baseline.prelabel.prelabeling import save_vectors
from curation.similarity.descriptor import WIDTH
from curation.similarity.spaces import SimilaritySpaces
from curation.similarity.vectors import VECTORS_FACT, make_sample_vector_name
from gleanset import Box, Dataset, Face
from gleanset.arrays import Float32Array
from gleanset.db.duplicates import Pairs
from gleanset.db.proposals import Proposals
from gleanset.db.regions import FLAGS, QualityMeasures, flags_of
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.db.sorting import SampleFeatures, SortingQueue
from gleanset.db.views import NO_FILTER
from gleanset.records import FaceCrop, Region
from gleanset.work.progress import NO_PROGRESS
from labeler.quality.assessment import assess_quality, measure_edge_blur
from labeler.quality.due_samples import VERSION
from labeler.review import list_doubtful, load_review_page
from labeler.sorting.pages import Pages
from labeler.sorting.session import SortingSession
from pipeline.listing import list_records


def test_list_and_review_show_same_label_issues(empty: Dataset) -> None:
    keys = [put(empty, encode(picture(n)), f"r{n}", label="rei")[0] for n in range(6)]
    put(empty, encode(picture(60)), "hana", label="hana")
    margins = [0.2, 0.9, -0.01, 0.4]
    issues = [
        LabelIssue(key, "rei", "hana", 0.5, margin, "run", margin > 0.3)
        for key, margin in zip(keys, margins, strict=False)
    ]
    LabelIssues(empty.db).replace(issues)
    ranked = [keys[1], keys[3], keys[0], keys[2]]
    assert [
        line["sample"] for line in list_records(empty, "label-issues", ())
    ] == ranked
    page = load_review_page(empty, "label-issues", NO_FILTER)
    rows = Pairs(empty.db).get_ids(ranked)
    assert list(page.ids) == rows
    assert {suggested.confidence for suggested in page.suggestions.values()} == {0.5}


LIMITS = {flag.name: flag.threshold for flag in FLAGS}


def face(seed: int = 0, size: int = 160) -> Image.Image:
    """Draw a flat face, which has few but sharp edges."""
    random = np.random.default_rng(seed)
    skin, hair, eyes = (
        tuple(int(v) for v in random.integers(60, 250, 3)) for _ in range(3)
    )
    big = Image.new("RGB", (size * 3, size * 3), "#f2efe8")
    draw = ImageDraw.Draw(big)
    s = size * 3
    draw.ellipse((s * 0.1, s * 0.05, s * 0.9, s * 0.9), hair)
    draw.ellipse((s * 0.2, s * 0.25, s * 0.8, s * 0.95), skin, "black", s // 80)
    for x in (0.36, 0.64):
        draw.ellipse(
            (s * (x - 0.07), s * 0.5, s * (x + 0.07), s * 0.66), eyes, "black", s // 60
        )
    draw.arc((s * 0.42, s * 0.7, s * 0.58, s * 0.82), 10, 170, "black", s // 90)
    return big.resize((size, size), Image.Resampling.LANCZOS)


def tiles(seed: int) -> Image.Image:
    """Draw an image full of edges."""
    small = np.random.default_rng(seed).integers(0, 256, (20, 20), dtype=np.uint8)
    return Image.fromarray(small).resize((160, 160), Image.Resampling.NEAREST)


def soft(image: Image.Image, radius: float = 2) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def test_blur_of_flat_art() -> None:
    for seed in range(5):
        sharp = face(seed)
        assert measure_edge_blur(sharp) < LIMITS["blurred"] - 0.1
        assert measure_edge_blur(soft(sharp, 3)) >= LIMITS["blurred"]
        pale = Image.blend(sharp, Image.new("RGB", sharp.size, "white"), 0.9)
        assert measure_edge_blur(pale) < LIMITS["blurred"] - 0.1
        assert measure_edge_blur(soft(tiles(seed))) >= LIMITS["blurred"]


def test_blurred_background_is_not_blur() -> None:
    scene = soft(picture(3, (400, 300)), 6)
    scene.paste(face(1), (120, 70))
    assert measure_edge_blur(scene) < LIMITS["blurred"]
    assert measure_edge_blur(Image.new("RGB", (90, 90), "grey")) == 1.0


@pytest.mark.parametrize("pattern", ["characters/*/*.jpg", "photos/*/*.jpg"])
def test_blur_of_real_images(shared_data: Path, pattern: str) -> None:
    sharp = [
        Image.open(path).convert("RGB")
        for path in sorted(shared_data.glob(pattern))[::12]
    ]
    for image in sharp:
        image.thumbnail((512, 512))
    assert sum(measure_edge_blur(image) >= LIMITS["blurred"] for image in sharp) <= 1
    assert (
        sum(measure_edge_blur(soft(image)) < LIMITS["blurred"] for image in sharp) <= 1
    )


def fill(dataset: Dataset) -> dict[str, str]:
    """Add three faces of one class and an image for each flag; return keys."""
    keys = {
        f"face{n}": put(dataset, encode(face(1, 150 + n)), f"{n}")[0] for n in range(3)
    }
    odd = {
        "blurred": soft(face(2), 4),
        "black": Image.new("RGB", (90, 90), (9, 9, 9)),
        "white": Image.new("RGB", (90, 90), "white"),
        "tiny": face(3, 40),
    }
    for name, image in odd.items():
        (keys[name],) = put(dataset, encode(image), name, label="odd")
    return keys


def flags(dataset: Dataset, keys: Iterable[str]) -> dict[str, list[str]]:
    result = QualityMeasures(dataset.db).get_many(list(keys))
    return {key: flags_of(quality) for key, quality in result.items()}


@pytest.mark.slow
def test_quality_command_and_list_flags(empty: Dataset) -> None:
    keys = fill(empty)
    command = ("labeler.cli", "quality", "-d", empty.root, "--workers", "1", "--json")
    assert [line["flags"] for line in list_records(empty, "samples", ())] == [[]] * len(
        keys
    )
    result = run_here(*command).json
    assert (result["measured"], result["failed"], result["samples"]) == (
        len(keys),
        0,
        len(keys),
    )
    assert set(result["flags"]) == set(LIMITS)
    for name in LIMITS:
        listed = [
            line["id"] for line in list_records(empty, "samples", (f"flags={name}",))
        ]
        assert keys[name] in listed, name
        assert len(listed) == result["flags"][name]
        assert not {key for n, key in keys.items() if n.startswith("face")} & set(
            listed
        ), name
    odd = {
        line["id"]: line["blur"]
        for line in list_records(empty, "samples", ("label=odd",))
    }
    assert odd[keys["blurred"]] >= LIMITS["blurred"]
    assert run_here(*command).json == result | {"measured": 0}


def test_only_changed_samples_are_measured(empty: Dataset) -> None:
    keys = fill(empty)
    assert assess_quality(empty, workers=1, progress=NO_PROGRESS).measured == len(keys)
    (sample,) = (s for s in empty.samples.iter_by_key() if s.key == keys["blurred"])
    assert flags(empty, [sample.key]) == {sample.key: ["blurred"]}
    part = FaceCrop(
        Face("whole", sample.box, 0.9), sample.key, Box(0, 0, 60, 30), 1, 1.0
    )
    empty.faces.replace(sample.image, "whole", "anew", [part])
    assert not flags(empty, [sample.key])
    put(empty, encode(face(11)), "new")
    assert QualityMeasures(empty.db).count_missing(VERSION) == 2
    assert assess_quality(empty, workers=1, progress=NO_PROGRESS).measured == 2
    (again,) = QualityMeasures(empty.db).get_many([sample.key]).values()
    assert again.size == 30


def test_broken_file_is_rejected_until_repaired(empty: Dataset) -> None:
    good, bad = (put(empty, encode(face(n)), str(n))[0] for n in (1, 2))
    sample = empty.samples.get(bad)
    path = empty.image_path(sample.image, "JPEG")
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:300])
    result = assess_quality(empty, workers=1, progress=NO_PROGRESS)
    assert (result.measured, result.failed) == (1, 1)
    assert set(QualityMeasures(empty.db).get_many([good, bad])) == {good}
    (rejection,) = empty.rejections.iterate()
    assert (rejection.stage, rejection.item, rejection.reason) == (
        "quality",
        bad,
        "truncated",
    )
    path.write_bytes(data)
    assert assess_quality(empty, workers=1, progress=NO_PROGRESS).measured == 1
    assert not list(empty.rejections.iterate())


def pending_samples(dataset: Dataset) -> list[SampleFeatures]:
    queue = SortingQueue(dataset.db)
    return queue.get_features(queue.list_waiting(1000))


def faces(dataset: Dataset, number: int) -> list[SampleFeatures]:
    for name in range(number):
        add_faces(dataset, add_image(dataset, f"{name}"))
    return pending_samples(dataset)


def prelabelled(
    dataset: Dataset, samples: list[SampleFeatures], rows: Float32Array
) -> None:
    """Store these vectors as a prelabel does."""
    names = [make_sample_vector_name(sample.key, sample.region) for sample in samples]
    space = save_vectors(dataset, names, rows)
    Proposals(dataset.db).replace([], {VECTORS_FACT: space, "known": []})


def unit(rows: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Float32Array:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def two_kinds(number: int, seed: int = 0) -> Float32Array:
    """Return vectors of two kinds, alternating."""
    dice = np.random.default_rng(seed)
    centres = dice.normal(size=(2, 8))
    return unit(centres[np.arange(number) % 2] + 0.05 * dice.normal(size=(number, 8)))


def test_prelabel_vectors_need_enough_coverage(empty: Dataset) -> None:
    samples = faces(empty, 20)
    spaces = SimilaritySpaces(empty)
    vectors, has_vector = spaces.choose_space(samples)(samples)
    assert vectors.shape == (20, WIDTH)
    assert not has_vector.any()  # no descriptors, no prelabel
    rows = two_kinds(20)
    prelabelled(empty, samples, rows)
    vectors, has_vector = spaces.choose_space(samples)(samples)
    assert has_vector.all()
    assert np.array_equal(vectors, rows)
    # A new sample counts as unmeasured.
    add_faces(empty, add_image(empty, "new"))
    vectors, has_vector = spaces.choose_space(pending_samples(empty))(
        pending_samples(empty)
    )
    assert has_vector.tolist() == [True] * 20 + [False]
    assert not vectors[-1].any()
    # So does a re-cropped sample: the prelabel saw other pixels.
    recut = [
        samples[0]._replace(region=Region(samples[0].region.box, 9.0)),
        *samples[1:],
    ]
    assert spaces.choose_space(recut)(recut)[1].tolist() == [False] + [True] * 19
    for name in range(5):
        add_faces(empty, add_image(empty, f"more {name}"))
    descriptors, _ = spaces.choose_space(pending_samples(empty))(pending_samples(empty))
    assert descriptors.shape == (26, WIDTH)


def test_doubtful_labels_of_many_classes_are_listed(empty: Dataset) -> None:
    samples = faces(empty, 160)
    dice = np.random.default_rng(3)
    centres = dice.normal(size=(40, 48))
    rows = centres[np.arange(160) % 40] + 0.9 * dice.normal(size=(160, 48))
    prelabelled(empty, samples, unit(rows))
    for number, sample in enumerate(samples):
        label(empty, sample.key, f"class {number % 40}")
    label(empty, samples[80].key, "class 7")
    assert list_doubtful(empty)[0].id == samples[80].id
    assert list_doubtful(empty)[0].other == "class 0"
    assert (list_doubtful(empty)[0].value or 1) < 0.4, "the share of one class of forty"


def test_newer_prelabel_replaces_vectors(empty: Dataset) -> None:
    samples = faces(empty, 12)
    spaces = SimilaritySpaces(empty)
    for seed in (1, 2):
        prelabelled(empty, samples, two_kinds(12, seed))
        vectors, _ = spaces.choose_space(samples)(samples)
        assert np.array_equal(vectors, two_kinds(12, seed))
    Proposals(empty.db).replace([], {VECTORS_FACT: "gone"})
    assert spaces.choose_space(samples)(samples)[0].shape == (12, WIDTH)


def test_pages_use_prelabel_vectors(empty: Dataset) -> None:
    samples = faces(empty, 30)
    prelabelled(empty, samples, two_kinds(30))
    for number in range(12):
        label(empty, samples[number].key, ("Miku", "Mio")[number % 2])
    pages = Pages(SortingSession(empty))
    page = pages.next()
    kinds = {
        sample.id: ("Miku", "Mio")[number % 2] for number, sample in enumerate(samples)
    }
    assert len(page.rows) == 18
    assert all(tile.prediction.label == kinds[tile.rows[0]] for tile in page.tiles)
    near = pages.predictor.find_nearest(samples[20].id)
    assert near
    assert {row % 2 for row in near} == {samples[20].id % 2}
    assert samples[4].id not in pages.predictor.find_nearest(samples[4].id)
