"""What is suspicious about the voxels of an image, in words; '' if nothing is."""

from __future__ import annotations

import numpy as np

#: A negative integer is strongly negative below this share of the type's range: -8192 of int16.
#: Air and CSF of images with an offset, of MP2RAGE or in Hounsfield units are above it.
STRONGLY_NEGATIVE = -1 / 8

#: If voxels overflowed, those below this share of the range did: -1024 of int16. Filters that ring
#: leave negative values closer to 0.
WRAPPED = -1 / 64

#: Steps between neighbours that adding the type's range must at least remove. Where bright tissue
#: overflowed, 0.03 to 0.2 of the steps are left (0.5 to 4 % of the voxels of 12 heads of four
#: scanners); in noise of both signs all of them.
LEFT_OF_STEPS = 0.5

#: Smallest share of overflowed voxels that is reported.
FEW_OVERFLOWED = 1e-5

#: A slice that differs from the next by so many times as much as two slices on each side do. At
#: most 1.58 in 183 heads of six data sets, in any direction. Found in 80 % of 30 trials where 8 mm
#: were missing, in 97 % where 15 mm and in all where 20 mm were.
JUMP = 1.75

#: Difference of slices half, a third or a quarter of the view apart, relative to that of
#: neighbours. At least 2.5 in the same heads, and 1.3 with slices of 5 mm or much noise; at most
#: 0.75 where slices are in the order even-odd or in that of three interleaves, 1 if shuffled.
APART = 1.05

#: With fewer slices than this, slices far apart are neighbours.
LEAST_SLICES = 24

#: A slice counts as part of the head if it holds this share of what full slices do.
_FULL = 0.25

#: A volume that was cut short and filled with zeros ends in the middle of a slice: up to there it
#: holds at least so much of what the slice before holds,
_ALIKE = 0.8
#: and beyond lies so much of the slice before. Where an object ends, one of the two is smaller:
#: never both in 183 heads, also masked and turned, and in brains without a skull.
_BEYOND = 0.2


def overflowed(stored: np.ndarray) -> np.ndarray | None:
    """Find bright voxels that were too large for their type and became negative.

    Programs that write small integers without scaling wrap what is beyond the largest one: 32768
    becomes -32768. Then bright tissue holds strongly negative voxels, and adding 65536 to them
    makes the image smooth again. Padding, one value throughout, is none.

    Parameters
    ----------
    stored : numpy.ndarray
        Shape (n, m, k), voxels as in the file, without slope and intercept.

    Returns
    -------
    numpy.ndarray or None
        bool, of the same shape: voxels that are too small by the range of their type; None if
        nothing overflowed.
    """
    if stored.dtype.kind != 'i' or stored.dtype.itemsize > 2:
        return None
    period = 2 ** (8 * stored.dtype.itemsize)
    negative = stored < STRONGLY_NEGATIVE * period
    count = int(np.count_nonzero(negative))
    if count < FEW_OVERFLOWED * stored.size or _one_value(stored[negative]):
        return None
    if _steps_left(stored, negative, period) > LEFT_OF_STEPS:
        return None
    return stored < WRAPPED * period


def _one_value(values: np.ndarray) -> bool:
    """Tell whether most values are the same, as padding is."""
    _, counts = np.unique(values, return_counts=True)
    return bool(counts.max() > len(values) / 2)


def _steps_left(stored: np.ndarray, negative: np.ndarray, period: int) -> float:
    """Return what adding the period leaves of the steps around strongly negative voxels."""
    before = after = 0
    for axis in range(stored.ndim):
        values, wraps = np.moveaxis(stored, axis, 0), np.moveaxis(negative, axis, 0)
        pairs = wraps[1:] != wraps[:-1]
        step = values[1:][pairs].astype(np.int64) - values[:-1][pairs]
        lifted = np.where(wraps[1:][pairs], step + period, step - period)
        before, after = before + np.abs(step).sum(), after + np.abs(lifted).sum()
    return after / max(before, 1)


def cut_by_zeros(stored: np.ndarray) -> str:
    """Find a volume whose last part was lost and is zero, as after a failed copy.

    Parameters
    ----------
    stored : numpy.ndarray
        Shape (n, m, k), voxels as in the file, the first axis fastest.

    Returns
    -------
    str
        A clause, or ''.
    """
    counts = np.atleast_1d(np.count_nonzero(stored, axis=(0, 1)))
    place = int(np.flatnonzero(counts)[-1]) if counts.any() else 0
    if not 0 < place < len(counts) - 1 or counts[place - 1] < _FULL * np.percentile(counts, 95):
        return ''
    last, before = (stored[:, :, k].ravel(order='F') != 0 for k in (place, place - 1))
    end = int(np.flatnonzero(last)[-1]) + 1
    beyond = before[end:].sum() / max(before.sum(), 1)
    alike = last[:end].sum() / max(before[:end].sum(), 1)
    if beyond < _BEYOND or alike < _ALIKE:
        return ''
    lost = 1 - (place + end / len(last)) / len(counts)
    return f'the last {lost:.0%} of the voxels are zeros that begin in the middle of a slice'


def slice_order(voxels: np.ndarray) -> str:
    """Find slices that are missing or in a wrong order, along any axis.

    Neighbouring slices of a head are alike. Where slices are missing, one step stands out from
    those around it; where they are mixed up, slices far apart are more alike than neighbours.
    Slices in reverse order are a mirrored head, which this cannot tell.

    Parameters
    ----------
    voxels : numpy.ndarray
        Shape (n, m, k), finite.

    Returns
    -------
    str
        A clause on the first axis found, or ''.
    """
    top = float(np.percentile(voxels[::3, ::3, ::3], 99))
    if top <= 0:
        return ''
    for axis, name in enumerate(('first', 'second', 'third')):
        # Every fourth voxel of a slice is enough; what is brighter than tissue would decide alone.
        slices = np.clip(np.moveaxis(voxels, axis, 0)[:, ::4, ::4], 0, top)
        # Only with what holds something: in a view with much padding, parts of it are the air at
        # both ends of the head, which is alike.
        filled = np.flatnonzero(slices.any(axis=(1, 2)))
        first = int(filled[0]) if len(filled) else 0
        slices = slices[first : filled[-1] + 1] if len(filled) else slices
        if len(slices) < LEAST_SLICES:
            continue
        steps = _differences(slices, 1)
        if _apart(slices) < APART * _median(steps):
            return (
                f'slices along the {name} axis are more like slices far away than like their '
                'neighbours, so their order is wrong; convert the DICOM files again (dcm2niix)'
            )
        ratio, place = _jump(steps)
        if ratio > JUMP:
            return (
                f'slices {first + place} and {first + place + 1} along the {name} axis (from 0) '
                f'differ {ratio:.1f} times as much as those around them, so slices are missing or '
                'in a wrong order, or the head moved; convert the DICOM files again (dcm2niix)'
            )
    return ''


def _differences(slices: np.ndarray, lag: int) -> np.ndarray:
    """Mean difference of slices `lag` apart, where both are above 0; NaN if that is little.

    Cut-out faces and brains are 0 around, and their edges would be steps.
    """
    one, other = slices[:-lag], slices[lag:]
    both = (one > 0) & (other > 0)
    count = np.count_nonzero(both, axis=(1, 2))
    total = np.abs(one - other).sum(axis=(1, 2), where=both)
    return np.where(count > _FULL * np.percentile(count, 95), total / np.maximum(count, 1), np.nan)


def _apart(slices: np.ndarray) -> float:
    """Smallest median difference of slices a half, third or quarter of the view apart."""
    lags = {lag for part in (2, 3, 4) for lag in (len(slices) // part, -(-len(slices) // part))}
    return min(_median(_differences(slices, lag)) for lag in lags)


def _median(values: np.ndarray) -> float:
    """Median of the finite values; infinite if there are none."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else np.inf


def _jump(steps: np.ndarray) -> tuple[float, int]:
    """Return the largest ratio of a step to those of two slices on each side, and its place."""
    padded = np.pad(steps, 2, constant_values=np.nan)
    around = np.stack([padded[shift : shift + len(steps)] for shift in (0, 1, 3, 4)])
    enough = np.isfinite(steps) & (np.isfinite(around).sum(axis=0) >= 3)
    largest = np.where(enough, np.nan_to_num(around).max(axis=0), np.inf)
    ratios = np.nan_to_num(steps) / np.maximum(largest, np.finfo(np.float32).tiny)
    place = int(ratios.argmax())
    return float(ratios[place]), place
