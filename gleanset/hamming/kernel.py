"""The compiled inner loop of the search for near hashes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gleanset.compiled import compiled

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


@compiled
def bits(value: np.uint64) -> np.int64:
    """Return the number of set bits (Hacker's Delight, 2nd edition, figure 5-2)."""
    value = value - ((value >> np.uint64(1)) & np.uint64(0x5555555555555555))
    low = np.uint64(0x3333333333333333)
    value = (value & low) + ((value >> np.uint64(2)) & low)
    value = (value + (value >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((value * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def found_before(apart: np.uint64, band: int, limits: Numbers) -> bool:
    """Return whether an earlier band has shown this pair already, so that each comes once."""
    for earlier in range(band):
        part = (apart >> np.uint64(16 * earlier)) & np.uint64(0xFFFF)
        if bits(part) <= limits[earlier]:
            return True
    return False


@compiled
def compare(  # noqa: C901 (one loop: numba compiles it as a whole)
    left: Hashes,
    left_starts: Numbers,
    right: Hashes,
    right_starts: Numbers,
    masks: Numbers,
    same: bool,
    distance: int,
    band: int,
    limits: Numbers,
    place: Numbers,
    out: Numbers,
) -> int:
    """Compare the buckets of `left` with those of `right` whose keys differ by one of `masks`.

    `left` and `right` are sorted by their key, bucket `k` is `[starts[k], starts[k + 1])`. With
    `same` both are one list and each pair is compared once. Writes rows (position in left,
    position in right, distance) into `out`; when a row of comparisons might not fit it stops.
    `place` = (key, mask, left position) says where to begin and, after, where to go on; its
    key is the number of keys when all is done. Returns how many rows were written.
    """
    keys = len(left_starts) - 1
    rows = 0
    for key in range(place[0], keys):
        begin, end = left_starts[key], left_starts[key + 1]
        if begin == end:
            continue
        for number in range(place[1] if key == place[0] else 0, len(masks)):
            other = key ^ masks[number]
            if same and other < key:
                continue
            first, last = right_starts[other], right_starts[other + 1]
            if first == last:
                continue
            resumed = key == place[0] and number == place[1]
            for x in range(max(begin, place[2]) if resumed else begin, end):
                y0 = x + 1 if same and other == key else first
                if rows + last - y0 > len(out):
                    place[0], place[1], place[2] = key, number, x
                    return rows
                for y in range(y0, last):
                    apart = left[x] ^ right[y]
                    count = bits(apart)
                    if count <= distance and not found_before(apart, band, limits):
                        out[rows, 0], out[rows, 1], out[rows, 2] = x, y, count
                        rows += 1
    place[0] = keys
    return rows


@compiled
def probe(
    left: Hashes,
    orders: Numbers,
    starts: Numbers,
    right: Hashes,
    masks: Numbers,
    ends: Numbers,
    distance: int,
    limits: Numbers,
    place: Numbers,
    out: Numbers,
) -> int:
    """Look each hash of `right` up in an index over `left`; for a short left and a long right.

    `orders` (bands x n) are the positions of `left` by the key of each band, `starts` (bands x
    65537) where the keys begin. The masks of band `k` are `masks[ends[k]:ends[k + 1]]`. Writes
    rows as `compare` does, begins at `place[0]` in `right` and says there where to go on.
    """
    rows = 0
    for y in range(place[0], len(right)):
        if rows + len(left) > len(out):
            place[0] = y
            return rows
        for band in range(len(ends) - 1):
            key = np.int64((right[y] >> np.uint64(16 * band)) & np.uint64(0xFFFF))
            for number in range(ends[band], ends[band + 1]):
                other = key ^ masks[number]
                for at in range(starts[band, other], starts[band, other + 1]):
                    x = orders[band, at]
                    apart = left[x] ^ right[y]
                    count = bits(apart)
                    if count <= distance and not found_before(apart, band, limits):
                        out[rows, 0], out[rows, 1], out[rows, 2] = x, y, count
                        rows += 1
    place[0] = len(right)
    return rows


@compiled
def key_of(value: np.uint64, cut: Numbers) -> np.uint64:
    """Return the two bands of a hash that `cut` says, side by side.

    `cut` = (shift, mask) of the lower band, then of the higher one where it comes to lie.
    """
    low = (value >> np.uint64(cut[0])) & np.uint64(cut[1])
    return low | ((value >> np.uint64(cut[2])) & np.uint64(cut[3]))


@compiled
def first_two(apart: np.uint64, bands: Numbers, one: int, other: int) -> bool:
    """Return whether `one` and `other` are the first two bands that are equal, of a pair that
    differs in the bits `apart`; so each pair comes once. `bands` are rows of (shift, mask)."""
    for band in range(other):
        part = (apart >> np.uint64(bands[band, 0])) & np.uint64(bands[band, 1])
        if (part == np.uint64(0)) != (band == one):
            return False
    part = (apart >> np.uint64(bands[other, 0])) & np.uint64(bands[other, 1])
    return bool(part == np.uint64(0))


@compiled
def put_in_order(
    hashes: Hashes, cut: Numbers, starts: npt.NDArray[np.int32], order: npt.NDArray[np.int32]
) -> None:
    """Sort positions by key, by counting: key `k` is at `order[starts[k]:starts[k + 1]]`."""
    starts[:] = 0
    for x in range(len(hashes)):
        starts[np.int64(key_of(hashes[x], cut)) + 1] += 1
    for key in range(1, len(starts)):
        starts[key] += starts[key - 1]
    # Each start moves on to its end as it is filled, which is where the next one began.
    for x in range(len(hashes)):
        mine = np.int64(key_of(hashes[x], cut))
        order[starts[mine]] = x
        starts[mine] += 1
    for key in range(len(starts) - 1, 0, -1):
        starts[key] = starts[key - 1]
    starts[0] = 0


@compiled
def meet(
    hashes: Hashes,
    order: npt.NDArray[np.int32],
    starts: npt.NDArray[np.int32],
    bands: Numbers,
    one: int,
    other: int,
    distance: int,
    place: Numbers,
    out: Numbers,
) -> int:
    """Compare all hashes of one list that have the bands `one` and `other` in common.

    `hashes` are in the order of their keys and `order` has their positions. `place` = (key, x)
    says where to begin and, when a row of comparisons might not fit into `out`, where to go on.
    """
    rows = 0
    for key in range(place[0], len(starts) - 1):
        last = starts[key + 1]
        for x in range(max(starts[key], place[1]), last):
            if rows + last - x > len(out):
                place[0], place[1] = key, x
                return rows
            for y in range(x + 1, last):
                apart = hashes[x] ^ hashes[y]
                count = bits(apart)
                if count <= distance and first_two(apart, bands, one, other):
                    out[rows, 0], out[rows, 1], out[rows, 2] = order[x], order[y], count
                    rows += 1
    place[0] = len(starts) - 1
    return rows


@compiled
def occurring(
    right: Hashes, there: Hashes, cut: Numbers, waiting: npt.NDArray[np.int32]
) -> np.int64:
    """Write the positions in `right` whose keys occur into `waiting`; return how many these are.

    `there` has a bit for each key that occurs. Few do, and no branch depends on which: guessing
    wrong would take the processor longer than looking up.
    """
    # Plain numbers: an array might change under what is written, and is read each time.
    low_shift, low_mask = np.uint64(cut[0]), np.uint64(cut[1])
    high_shift, high_mask = np.uint64(cut[2]), np.uint64(cut[3])
    number = np.int64(0)
    for y in range(len(right)):
        key = ((right[y] >> low_shift) & low_mask) | ((right[y] >> high_shift) & high_mask)
        waiting[number] = y
        word = there[np.int64(key >> np.uint64(6))]
        number += np.int64((word >> (key & np.uint64(63))) & np.uint64(1))
    return number


@compiled
def buckets(
    right: Hashes,
    waiting: npt.NDArray[np.int32],
    there: Hashes,
    ranks: npt.NDArray[np.int32],
    begins: npt.NDArray[np.int32],
    cut: Numbers,
) -> npt.NDArray[np.int32]:
    """Return where the keys of those that are `waiting` begin and end, n x 2.

    `ranks` says how many keys occur before each 64 of them, `begins` where each that occurs begins.
    """
    found = np.empty((len(waiting), 2), np.int32)
    for number in range(len(waiting)):
        key = key_of(right[waiting[number]], cut)
        place, bit = np.int64(key >> np.uint64(6)), np.uint64(1) << (key & np.uint64(63))
        rank = ranks[place] + bits(there[place] & (bit - np.uint64(1)))
        found[number, 0], found[number, 1] = begins[rank], begins[rank + 1]
    return found


@compiled
def compare_buckets(
    left: Hashes,
    order: npt.NDArray[np.int32],
    right: Hashes,
    waiting: npt.NDArray[np.int32],
    found: npt.NDArray[np.int32],
    bands: Numbers,
    one: int,
    other: int,
    distance: int,
    most: int,
    hits: Numbers,
    place: Numbers,
    out: Numbers,
) -> int:
    """Compare those of `right` that are `waiting` with their buckets of `left`, from `buckets`.

    `left` are the hashes in the order of their keys and `order` has their positions. What one of
    them meets beyond `most` times (counted in `hits`) is left out. Begins at `place[0]` of those
    waiting and, when a row of comparisons might not fit into `out`, says there where to go on.
    """
    rows = 0
    for number in range(place[0], len(waiting)):
        begin, end = found[number, 0], found[number, 1]
        if rows + end - begin > len(out):
            place[0] = number
            return rows
        y = waiting[number]
        for at in range(begin, end):
            apart = left[at] ^ right[y]
            count = bits(apart)
            if count > distance or not first_two(apart, bands, one, other):
                continue
            x = order[at]
            if hits[x] < most:
                hits[x] += 1
                out[rows, 0], out[rows, 1], out[rows, 2] = x, y, count
                rows += 1
    place[0] = len(waiting)
    return rows
