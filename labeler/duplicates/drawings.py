"""What is drawn on a plain ground: does it differ, although the images as a whole agree?

On a title card, a slide or a logo the ground is most of the image, and small type is lost at the
size at which images are compared. So what is drawn is compared alone, from the pixels of the files,
and with it the ground beyond the trimmed borders: a slide with one line less is not a crop. The
ground is what most places look like: one color, a gradient, or a texture that both images have.

Most pairs are photographs and scenes without a ground, and are done after the first look at what
was aligned already. Of the others, most copies are done without a finer alignment.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from gleanset.arrays import BoolArray, Float32Array, Float64Array, Pixels
from labeler.duplicates.alignment import (
    RELIABLE_POINTS,
    Alignment,
    CommonPart,
    crop_common_part,
    estimate_alignment,
    refine_alignment,
    warp,
)
from labeler.duplicates.filters import (
    NOISE_VARIANCE,
    blur,
    dilate_mask,
    measure_smooth_slopes,
    slice_with_margin,
)
from labeler.duplicates.hashes import TrimmedImage, find_points
from labeler.duplicates.motions import invert_motion, join_motions, move_points
from labeler.duplicates.prepared_image import FineImage, PreparedImage

# In an image with a ground, the upper quartile of the slopes is not much steeper than the median:
# by a factor and in grey values per pixel. Photographs and scenes have slopes of all kinds.
_MAX_GROUND_FACTOR = 1.6
_MAX_GROUND_SLOPE = 1.0
# At 256 pixels per side, paper with a strong grain has a median of 1.5; evenly textured photographs
# have 3 and more.
_MAX_GROUND_MEDIAN = 2.5
# How far the slopes of drawings are above those of the ground, in distances between the median and
# the upper quartile and in grey values per pixel.
_MIN_DISTANCES = 3.0
_MIN_DRAWN_SLOPE = 1.5
# An image of which less than this part is left after trimming may have such a ground around it.
_MAX_TRIMMED_PART = 0.6
# Of two images with a ground, one has at least this part in common with the other, as a crop has.
_MIN_CONTAINED_PART = 0.85
# Pixels per side of the frame in which drawings are found, of its slopes that are sorted, and of
# what is drawn.
_FRAME_SIDE = 1024
_SORTED_SIDE = 256
_DRAWN_SIDE = 640
# Parts of the frame: the margin around drawings, and the rim of which it is not certain what it
# shows.
_MARGIN = 0.02
_RIM = 0.01
# Standard deviation of a neighbourhood, about a letter, in windows of two pixels, and the part of
# the usual contrast from which something is drawn there in both images.
_NEIGHBOURHOOD_SIGMA = 4.0
_MIN_CONTRAST = 0.5
# Without a plain ground, copies at 256 pixels per side have less than this change in common; pages
# of text and tables have more.
_MAX_COARSE_CHANGE = 0.15
# Parts of what is drawn: added to one image or replaced in both of two copies, and replaced in
# images that are certainly different. Of one place in both, copies lack up to 0.06, and cards with
# another digit 0.36 or more.
_MAX_DRAWN_CHANGE = 0.2
_MAX_REDRAWN = 0.1
_DIFFERENTLY_DRAWN = 0.3
_MAX_REDRAWN_PLACE = 0.3


class DrawnChange(NamedTuple):
    """The parts (0..1) of what is drawn in a and in b that the other image lacks.

    `redrawn` is the largest part of one place, such as a digit, that each lacks of the other; it is
    measured where the others are small.
    """

    lost_a: float = 0.0
    lost_b: float = 0.0
    redrawn: float = 0.0

    @property
    def mutual_loss(self) -> float:
        """The part that each of the two images lacks of the other."""
        return min(self.lost_a, self.lost_b)

    @property
    def is_small(self) -> bool:
        """Whether two copies may differ so much."""
        return (
            self.mutual_loss <= _MAX_REDRAWN
            and self.redrawn <= _MAX_REDRAWN_PLACE
            and max(self.lost_a, self.lost_b) < _MAX_DRAWN_CHANGE
        )

    @property
    def is_certain(self) -> bool:
        """Whether images that differ so much are certainly not copies."""
        return self.mutual_loss >= _DIFFERENTLY_DRAWN


_Measure = Callable[[CommonPart, BoolArray], DrawnChange]


def measure_drawn_change(
    a: PreparedImage, b: PreparedImage, alignment: Alignment, common: CommonPart
) -> DrawnChange:
    """Compare what is drawn in two aligned images; zero where photographs and scenes agree.

    `alignment` maps b to a, `common` is the part that both show.
    """
    # Trimming removed a ground of one color, too: look for it in the whole images.
    is_trimmed = min(a.trimmed.filled, b.trimmed.filled) <= _MAX_TRIMMED_PART
    if is_trimmed:
        common = _crop_untrimmed(a.trimmed, b.trimmed, alignment.matrix) or common

    is_gentle = min(a.median_slope, b.median_slope) < _MAX_GROUND_MEDIAN
    has_ground = (is_trimmed or is_gentle) and _find_drawn(common) is not None
    # Of pairs without a ground, only those that differ are read again at full size.
    if not has_ground:
        change = measure_replaced(common, common.mask)
        if change.mutual_loss < _MAX_COARSE_CHANGE:
            return DrawnChange()

    return _compare_fine(
        a.read_fine(),
        b.read_fine(),
        alignment,
        has_ground,
    )


def _crop_untrimmed(
    a: TrimmedImage, b: TrimmedImage, matrix: Float64Array
) -> CommonPart | None:
    """Crop the part that two images both show, with their uniform borders.

    `matrix` maps the trimmed b to the trimmed a.
    """
    motion = matrix.copy()
    motion[:, 2] += (a.left, a.top)
    motion[:, 2] -= matrix[:, :2] @ (b.left, b.top)
    return crop_common_part(a.whole, b.whole, motion)


def _find_drawn(common: CommonPart) -> BoolArray | None:
    """Return the places that are drawn on in either image; None without a plain ground."""
    slopes = np.maximum(
        measure_smooth_slopes(common.a), measure_smooth_slopes(common.b)
    )
    # Only what both images show, without the rim.
    rim = max(1, round(_RIM * max(slopes.shape)))
    inner = np.zeros(slopes.shape, np.bool_)
    inner[rim:-rim, rim:-rim] = common.mask[rim:-rim, rim:-rim]

    # Every few pixels are enough for quantiles, and sorting all of them takes longer.
    step = max(1, max(slopes.shape) // _SORTED_SIDE)
    sparse = (slice(None, None, step), slice(None, None, step))
    some_slopes = slopes[sparse][inner[sparse]]
    if not some_slopes.size:
        return None

    median, upper = np.quantile(some_slopes, (0.5, 0.75))
    if upper > _MAX_GROUND_FACTOR * median + _MAX_GROUND_SLOPE:
        return None

    # Steeper than the ground by several times the distance of its quartile from its median.
    limit = upper + _MIN_DISTANCES * (upper - median) + _MIN_DRAWN_SLOPE
    return np.asarray(inner & (slopes > limit))


class _FinePair(NamedTuple):
    """Two images at full size, in grey or one of their channels; `motion` maps b to a."""

    a: Pixels
    b: Pixels
    motion: Float64Array

    def crop_part(
        self, frame: CommonPart, rows: slice, columns: slice
    ) -> CommonPart | None:
        """Crop what both show in rows and columns of a frame, which is smaller than they are."""
        height, width = frame.a[rows, columns].shape
        x = columns.start
        y = rows.start
        corners = move_points(
            [(x, y), (x + width, y + height)],
            frame.to_a,
        )
        (left, top), (right, bottom) = np.maximum(np.rint(corners), 0).astype(int)

        motion = self.motion.copy()
        motion[:, 2] -= (left, top)
        return crop_common_part(
            self.a[top:bottom, left:right], self.b, motion, _DRAWN_SIDE
        )


def _compare_fine(
    a: FineImage, b: FineImage, alignment: Alignment, has_ground: bool
) -> DrawnChange:
    """Compare what is drawn in two images at full size.

    `alignment` maps b to a, both at the small size and trimmed.
    """
    # From b at full size to its small version, to that of a, and to a at full size.
    motion = join_motions(invert_motion(b.motion), alignment.matrix)
    motion = join_motions(motion, a.motion)
    is_aligned = alignment.points >= RELIABLE_POINTS

    # First in grey; then in each channel, until something is drawn in it. A pair unpacks to both
    # images and the motion.
    for version_a, version_b in zip(a.versions(), b.versions(), strict=True):
        pair = _FinePair(version_a, version_b, motion)
        frame = crop_common_part(*pair, _FRAME_SIDE)
        if frame is None:
            break

        drawn = _find_drawn(frame) if has_ground else None
        if drawn is None:
            # All is compared, and what only one image has may be a mark or a caption.
            part = crop_common_part(*pair, _DRAWN_SIDE) or frame
            return _compare_places(part, part.mask, measure_replaced, is_aligned)

        # Nothing is drawn in this version.
        if not drawn.any():
            continue
        if max(frame.part_a, frame.part_b) < _MIN_CONTAINED_PART:
            return DrawnChange(redrawn=1.0)  # at another place of the ground
        return _compare_drawings(pair, frame, drawn, is_aligned)
    return DrawnChange()


def _compare_drawings(
    pair: _FinePair, frame: CommonPart, drawn: BoolArray, is_aligned: bool
) -> DrawnChange:
    """Compare the rectangle around all that is drawn, which may need a higher resolution."""
    left, top, width, height = cv2.boundingRect(drawn.astype(np.uint8))
    margin = round(_MARGIN * max(drawn.shape))
    rows = slice_with_margin(top, height, margin)
    columns = slice_with_margin(left, width, margin)
    part = pair.crop_part(frame, rows, columns)
    if part is None:
        return DrawnChange()

    places = _resize_mask(drawn[rows, columns], part.a.shape) > 0
    return _compare_places(
        part,
        dilate_mask(places, 1),
        _measure_change,
        is_aligned,
    )


def _resize_mask(mask: BoolArray, shape: tuple[int, ...]) -> Pixels:
    """Scale a mask to a shape (height, width): 0 or 1."""
    size = shape[::-1]
    scaled = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return scaled.astype(np.uint8)


def _compare_places(
    part: CommonPart, places: BoolArray, measure: _Measure, is_aligned: bool
) -> DrawnChange:
    """Compare some places, with finer alignments until the change is small.

    Otherwise return the change by the alignment with which the images have the most in common.
    """
    changes = list[DrawnChange]()
    for aligned_part in _align_more_finely(part, is_aligned):
        change = measure(aligned_part, places)
        if change.is_small:
            return change
        changes.append(change)
    return min(changes, key=lambda change: change.mutual_loss)


def _align_more_finely(part: CommonPart, is_aligned: bool) -> Iterator[CommonPart]:
    """Yield a part as it is, then with b moved: by brightness, by points if not `is_aligned`."""
    yield part
    yield refine_alignment(part)
    # A cropped copy may have been aligned by its frame, which is not that of the whole image. If
    # points had aligned it, finding them again saves no pair and takes long (docs/experiments.md).
    if not is_aligned:
        points_a = find_points(part.a, _DRAWN_SIDE)
        points_b = find_points(part.b, _DRAWN_SIDE)
        alignment = estimate_alignment(points_a, points_b)
        if alignment is not None:
            moved = warp(
                part.b,
                alignment.matrix,
                part.a.shape[::-1],
            )
            yield replace(part, b=moved)


class _Contrasts(NamedTuple):
    """The contrast of each window in a and in b, and the part that the other does not explain."""

    a: Float32Array
    b: Float32Array
    unexplained: Float32Array

    def measure_lost(self) -> DrawnChange:
        """Return the part of the contrast of each image that the other lacks."""
        return DrawnChange(
            self._measure_unexplained(self.a),
            self._measure_unexplained(self.b),
        )

    def _measure_unexplained(self, contrast: Float32Array) -> float:
        unexplained = (contrast * self.unexplained).sum()
        return float(unexplained / max(1.0, float(contrast.sum())))


def _measure_contrasts(part: CommonPart, places: BoolArray) -> _Contrasts:
    """Measure the contrast in some places; elsewhere it is zero."""
    windows = part.windows
    inside = _resize_mask(places, windows.unexplained.shape)

    def measure(variance: Float32Array) -> Float32Array:
        """Return the standard deviation beyond that of noise."""
        deviation = np.sqrt(np.maximum(variance - NOISE_VARIANCE, 0))
        return np.asarray(deviation * inside, np.float32)

    return _Contrasts(
        measure(windows.variance_a),
        measure(windows.variance_b),
        windows.unexplained,
    )


def measure_replaced(part: CommonPart, places: BoolArray) -> DrawnChange:
    """Return what both images lack of each other in some places, as the loss of both."""
    replaced = _measure_contrasts(part, places).measure_lost().mutual_loss
    return DrawnChange(replaced, replaced)


def _measure_change(part: CommonPart, places: BoolArray) -> DrawnChange:
    """Return what differs in some places, by the brightness of small windows."""
    contrasts = _measure_contrasts(part, places)
    change = contrasts.measure_lost()
    if not change.is_small:
        return change

    # Little changed in all, but perhaps one digit: compare each neighbourhood.
    nearby_a = blur(contrasts.a, _NEIGHBOURHOOD_SIGMA)
    nearby_b = blur(contrasts.b, _NEIGHBOURHOOD_SIGMA)
    unexplained_a = blur(contrasts.a * contrasts.unexplained, _NEIGHBOURHOOD_SIGMA)
    unexplained_b = blur(contrasts.b * contrasts.unexplained, _NEIGHBOURHOOD_SIGMA)
    lost_a = unexplained_a / np.maximum(nearby_a, 1e-3)
    lost_b = unexplained_b / np.maximum(nearby_b, 1e-3)

    # Where both images have something drawn: elsewhere it may be a mark of one of them.
    drawn = (contrasts.a > 0) | (contrasts.b > 0)
    usual = np.median(np.maximum(nearby_a, nearby_b)[drawn]) if drawn.any() else 1
    in_both = drawn & (np.minimum(nearby_a, nearby_b) > _MIN_CONTRAST * usual)
    redrawn = np.minimum(lost_a, lost_b)[in_both].max(initial=0)
    return change._replace(redrawn=float(redrawn))
