"""Verification of candidates: do two images show the same, by their pixels?

The images are aligned by their common points, which compensates for crops, borders, scale, rotation
and mirroring. Then edges are compared in small windows. A copy keeps its edges: they may be fainter
(recolored, re-encoded) and some may be added (a watermark, a border), but none are replaced. With
another expression of the same face, or the next frame of a video, there are windows in which each
image lacks edges of the other. If only a mouth or a pupil differs these windows are few, so what
passes is compared line by line, and on a plain ground what is drawn is compared alone.
"""

from functools import lru_cache, partial
from typing import NamedTuple

from PIL import Image

from gleanset.db.duplicates import DOUBTFUL, NOT_SAME, SAME, Pair, PairVerdict, Relation
from labeler.duplicates.alignment import (
    GRID_SIDE,
    MAX_ASPECT_DIFFERENCE,
    MAX_SQUEEZED_DIFFERENCE,
    Alignment,
    CommonPart,
    crop_common_part,
    estimate_alignment,
    fit_frames,
    is_framed,
    refine_alignment,
)
from labeler.duplicates.differences import (
    StrongestChange,
    find_strongest_change,
    measure_replaced_windows,
)
from labeler.duplicates.doubtful_copies import MIN_INLIERS, is_overlaid, is_photograph
from labeler.duplicates.drawings import measure_drawn_change, measure_replaced
from labeler.duplicates.duplicate_sets import MIN_SHARED_PART
from labeler.duplicates.hashes import GREY_SIDE, to_grey
from labeler.duplicates.motions import invert_motion
from labeler.duplicates.prepared_image import PreparedImage
from labeler.sample_pixels import SampleFile, read_pixels

# Limits of replaced windows (per mille of the common part): of a copy, of a doubtful pair, and of
# two frames of one video, which are never re-encoded or watermarked copies of each other.
MAX_REPLACED = 8.0
MAX_REPLACED_DOUBTFUL = 12.0
MAX_REPLACED_IN_VIDEO = 0.5
# The strongest local change of a copy at 256 pixels per side, and how it scales with the grid:
# a smaller one has fewer pixels per line and less noise.
MAX_CHANGE = 1.4
CHANGE_SCALE_POWER = 1.9
# Up to this multiple of it a pair is doubtful.
DOUBTFUL_FACTOR = 3.0
# Below this part of it, refining the alignment does not help.
_MIN_REFINED_CHANGE = 0.2
# The common part is at least this part of one of the two images.
MIN_CONTAINED_PART = 0.85
# The part of the contrast that each image may lack of the other: copies have up to 0.16, doubtful
# pairs 0.38, nearly all other drawings of one style 0.5 and more.
_MAX_LOST_CONTRAST = 0.45
# An image that has less than this part in common shows more than the other.
_MIN_WHOLE_PART = 0.95
# Copies with less than this part of the limits are practically equal.
_EQUAL_FACTOR = 0.5
# Cosine of 16 x 16 pixels from which frames are compared, and squeezed ones too.
_MIN_FRAME_SIMILARITY = 0.8
_MIN_SQUEEZED_SIMILARITY = 0.95
# Standard deviation of grey values below which an image is flat, except for JPEG noise.
_MAX_FLAT_DEVIATION = 1.0
# Pixels per side at which drawings on a plain ground are compared again.
_MAX_FINE_SIDE = 2048
# Prepared images per worker, some 0.35 MB each.
_CACHED_IMAGES = 256
# Images at their full size, some 12 MB each: a set is compared image by image.
_CACHED_FINE_IMAGES = 8


class FilePair(NamedTuple):
    """Two files to compare in a worker process; `rows` are the samples' rows.

    `one_film`: both are frames of one video.
    """

    rows: Pair
    a: SampleFile
    b: SampleFile
    one_film: bool = False


class Verdict(NamedTuple):
    """The result of a comparison.

    `changed` is the per mille of windows with replaced edges, `overlap` the part of the larger
    image that both show (0..1), `points` the number of agreeing points. `aligned`: at most a detail
    is different. About a `doubtful` pair a person has to decide. `relation` is set for copies.
    """

    same: bool = False
    changed: float = 1000.0
    overlap: float = 0.0
    mirrored: bool = False
    points: int = 0
    aligned: bool = False
    doubtful: bool = False
    relation: Relation = Relation(0)

    @property
    def outcome(self) -> str:
        """The verdict as it is stored."""
        if self.same:
            return SAME
        return DOUBTFUL if self.doubtful else NOT_SAME

    def to_store(self, rows: Pair) -> PairVerdict:
        """Return the verdict on two samples (rows) for the catalogue."""
        return PairVerdict(
            *rows, self.changed, self.overlap, self.outcome, self.relation
        )


class _Pair(NamedTuple):
    """Two images to compare; `mirrored`: b is a mirror image; `one_film` as in `FilePair`."""

    a: PreparedImage
    b: PreparedImage
    mirrored: bool = False
    one_film: bool = False


def compare_images(
    a: PreparedImage, b: PreparedImage, *, one_film: bool = False
) -> Verdict:
    """Compare two images; in frames of one film nothing may have moved.

    Uniform images are never copies: blank pages, drawings hidden by their background.
    """
    # Blank images all look the same, whatever they are of.
    if min(a.grey.std(), b.grey.std()) < _MAX_FLAT_DEVIATION:
        return Verdict()
    # A photograph of a screen or page has many agreeing points, but different edges.
    verdict = _compare_orientations(_Pair(a, b, one_film=one_film))
    if verdict.same or verdict.doubtful or one_film or verdict.points < MIN_INLIERS:
        return verdict
    return verdict._replace(doubtful=is_photograph(a, b) or is_photograph(b, a))


def compare_files(pair: FilePair) -> Verdict:
    """Compare two samples; runs in a worker process. Raises `Unreadable`.

    The content, not the order, determines which one is warped onto the other.
    """
    first, second = sorted(
        (pair.a, pair.b), key=lambda file: (str(file.path), file.region or ())
    )

    verdict = compare_images(
        _prepare_file(first), _prepare_file(second), one_film=pair.one_film
    )
    if first is pair.a:
        return verdict
    return verdict._replace(relation=verdict.relation.swap())


@lru_cache(maxsize=_CACHED_IMAGES)
def _prepare_file(file: SampleFile) -> PreparedImage:
    grey = to_grey(read_pixels(file, GREY_SIDE, "L"))
    return PreparedImage(grey, partial(_read_fine, file))


@lru_cache(maxsize=_CACHED_FINE_IMAGES)
def _read_fine(file: SampleFile) -> Image.Image:
    return read_pixels(file, _MAX_FINE_SIDE, "RGB")


def _compare_orientations(pair: _Pair) -> Verdict:
    """Compare a with b, and with b mirrored unless the plain alignment is right.

    Most copies show the whole image: they are compared by their frames first, without points.
    """
    frames = _compare_frames(pair)
    if frames.same:
        return frames

    # If the mirrored frames agree but for a detail, only the mirror image is compared by points.
    plain = Verdict()
    if not (frames.mirrored and frames.aligned):
        plain = _compare_by_points(pair, frames)
        if plain.aligned or pair.one_film:
            return plain

    # Frontal faces match their mirror image too, so both are compared (docs/experiments.md).
    mirrored_pair = _Pair(pair.a, pair.b.mirror_image, mirrored=True)
    flipped = _compare_by_points(mirrored_pair, frames)
    return max(
        plain,
        flipped,
        key=lambda verdict: (verdict.same, verdict.doubtful, verdict.points),
    )


def _compare_frames(pair: _Pair) -> Verdict:
    """Compare by frames if they are similar, mirrored if that is more similar."""
    a = pair.a
    b = pair.b
    # Cosines: the tiny images have mean 0 and norm 1. No frame of a film is mirrored.
    plain = float((a.tiny * b.tiny).sum())
    flipped = float((a.tiny * b.tiny[:, ::-1]).sum())
    mirrored = flipped > plain and not pair.one_film
    similarity = flipped if mirrored else plain
    if similarity < _MIN_FRAME_SIMILARITY:
        return Verdict()

    max_difference = MAX_ASPECT_DIFFERENCE
    if similarity > _MIN_SQUEEZED_SIMILARITY:
        max_difference = MAX_SQUEEZED_DIFFERENCE
    alignment = fit_frames(a.grey, b.grey, max_difference)
    if alignment is None:
        return Verdict()

    if mirrored:
        pair = pair._replace(b=b.mirror_image, mirrored=True)
    return _compare_aligned(pair, alignment)


def _compare_by_points(pair: _Pair, frames: Verdict) -> Verdict:
    """Compare by points; return the better one of this verdict and that by frames."""
    verdict = Verdict()
    alignment = estimate_alignment(pair.a.points, pair.b.points)
    if alignment is not None:
        verdict = _compare_aligned(pair, alignment)
    # The frames may have been compared in the other orientation.
    if frames.mirrored != pair.mirrored:
        return verdict
    return min(
        verdict,
        frames,
        key=lambda verdict: (not verdict.same, not verdict.doubtful, verdict.changed),
    )


def _compare_aligned(pair: _Pair, alignment: Alignment) -> Verdict:
    """Compare two images by the motion that maps b to a."""
    common = crop_common_part(pair.a.grey, pair.b.grey, alignment.matrix)
    if common is None or max(common.part_a, common.part_b) < MIN_CONTAINED_PART:
        return Verdict(points=alignment.points)
    verdict = _compare_common_part(pair, alignment, common)
    if not verdict.same:
        return verdict

    # The common part has at most 256 pixels per side, too few for small type: look again.
    change = measure_drawn_change(pair.a, pair.b, alignment, common)
    if change.is_small:
        return verdict

    is_doubtful = not change.is_certain
    return verdict._replace(
        same=False, doubtful=is_doubtful, aligned=is_doubtful, relation=Relation(0)
    )


def _compare_common_part(
    pair: _Pair, alignment: Alignment, common: CommonPart
) -> Verdict:
    """Compare the edges of the common part, the coarse ones first.

    A pair that is neither a copy nor certainly different is doubtful; frames of one film never are.
    """
    one_film = pair.one_film
    not_same = Verdict(
        overlap=round(float(min(common.part_a, common.part_b)), 3),
        mirrored=pair.mirrored,
        points=alignment.points,
    )
    # Most pairs that are not copies end here, because comparing edges takes longer.
    lost = measure_replaced(common, common.mask).mutual_loss
    if lost > _MAX_LOST_CONTRAST:
        return not_same._replace(changed=round(1000 * lost, 2))
    replaced = measure_replaced_windows(common)
    not_same = not_same._replace(changed=round(replaced, 2))

    # What was trimmed from one image counts as common: of a text page, it is more than what a crop
    # loses.
    part_a = common.part_a / pair.b.trimmed.filled
    part_b = common.part_b / pair.a.trimmed.filled
    if min(part_a, part_b) < MIN_SHARED_PART:
        frames = Relation.FRAMED_A | Relation.FRAMED_B
        # One image may be pasted into the other, a collage: a person decides.
        has_frame = bool(_find_extents(pair, alignment, common) & frames)
        in_collage = has_frame and not one_film and replaced <= MAX_REPLACED_DOUBTFUL
        return not_same._replace(doubtful=in_collage, aligned=in_collage)

    max_replaced = MAX_REPLACED_IN_VIDEO if one_film else MAX_REPLACED_DOUBTFUL
    if replaced > max_replaced:
        doubtful = not one_film and is_overlaid(common)
        return not_same._replace(doubtful=doubtful, aligned=doubtful)

    change = _measure_change(common)
    is_close = replaced <= MAX_REPLACED
    if change.strength > 1 or not is_close:
        # Doubtful if only one of the two limits is exceeded: that of the strongest change by less
        # than its factor, or that of the windows.
        max_strength = DOUBTFUL_FACTOR if is_close else 1
        is_weak = change.strength <= max_strength
        doubtful = not one_film and (is_weak or is_overlaid(common))
        return not_same._replace(doubtful=doubtful, aligned=doubtful or is_close)

    relation = _find_extents(pair, alignment, common) | change.marks
    if max(change.strength, replaced / MAX_REPLACED) > _EQUAL_FACTOR:
        relation |= Relation.CHANGED
    if pair.mirrored:
        relation |= Relation.MIRRORED
    return not_same._replace(same=True, aligned=True, relation=relation)


def _find_extents(pair: _Pair, alignment: Alignment, common: CommonPart) -> Relation:
    """Return which image shows more than the other, and whether that is a frame around it."""
    a = pair.a.grey
    b = pair.b.grey
    relation = Relation(0)
    if common.part_a < _MIN_WHOLE_PART:
        relation |= Relation.MORE_A
        if is_framed(a, b, alignment.matrix):
            relation |= Relation.FRAMED_A

    if common.part_b < _MIN_WHOLE_PART:
        relation |= Relation.MORE_B
        if is_framed(b, a, invert_motion(alignment.matrix)):
            relation |= Relation.FRAMED_B
    return relation


def _measure_change(common: CommonPart) -> StrongestChange:
    """Return the strongest local change, 1 being the limit of a copy.

    The alignment is refined if there seems to be a change.
    """
    limit = float(MAX_CHANGE * (max(common.a.shape) / GRID_SIDE) ** CHANGE_SCALE_POWER)
    change = find_strongest_change(common)
    if change.strength > _MIN_REFINED_CHANGE * limit:
        change = find_strongest_change(refine_alignment(common))
    return change._replace(strength=change.strength / limit)
