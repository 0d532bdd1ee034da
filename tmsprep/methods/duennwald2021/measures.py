"""Volume and contrast ratios of the locus coeruleus, against a reference region in the pons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from nibabel.affines import apply_affine

from tmsprep.tables import Column, column

# The paper does not give the size and the position of the reference region.

#: Radius of the ball in which the reference is measured: 268 mm3, some 600 voxels of 0.75 mm.
RADIUS_MM = 4.0

#: From the middle between the two points to that of the ball. The locus coeruleus lies in the
#: dorsal tegmentum and the pons extends some 20 mm anterior to it, so that the ball keeps clear of
#: it, of the fourth ventricle behind it, and of the cistern in front of the pons.
ANTERIOR_MM = 10.0

#: From one locus coeruleus to the midline, where the other is missing; published coordinates are
#: 3 to 6 mm.
HALF_SEPARATION_MM = 5.0

#: Share of the ball that must lie in the field of view.
MIN_COVERED = 0.5


#: Status of one side of a segmentation, with its meaning.
SEGMENTATION_STATUSES = {
    'ok': 'segmented and measured',
    'check_points': 'segmented and measured, but a localised point, by which the reference region '
    'is placed, carries a warning in the table of targets',
    'no_reference': 'segmented, but without contrast: the points place no reference region, or it '
    'lies outside the image',
    'empty': 'no voxel was labelled: nothing was seen on this side',
    'no_network': 'the weights hold no network that segments',
    'failed': 'the segmentation failed; see the report',
}

#: Columns of numbers, before those of the reference region's place.
MEASURES = ('volume_mm3', 'cr_median', 'cr_maximum', 'reference_median')

_PLACE = ('reference_x', 'reference_y', 'reference_z')

_RATIO = 'over the median signal of the reference region; 1 is no contrast'

#: Columns of the table of one segmentation.
SEGMENTATION_COLUMNS: dict[str, Column] = {
    'status': column('What is known about this side', **SEGMENTATION_STATUSES),
    'volume_mm3': column('Volume of the labelled voxels', 'mm^3'),
    'cr_median': column(f'Median signal of the labelled voxels {_RATIO}'),
    'cr_maximum': column(f'Largest signal of the labelled voxels {_RATIO}'),
    'reference_median': column('Median signal of the reference region'),
    **{name: column(f'{name[-1]} of the middle of the reference region', 'mm') for name in _PLACE},
}


class ContrastRatios(NamedTuple):
    """Median and maximum over the voxels of one region, each over the reference's median."""

    median: float
    maximum: float


def reference_region(
    shape: tuple[int, int, int], affine: np.ndarray, points_mm: np.ndarray
) -> np.ndarray:
    """Ball in the pons whose position follows from the two loci coerulei.

    Its middle lies `ANTERIOR_MM` in front of the middle between the two points. "In front" is the
    scanner's anterior, made perpendicular to the line from left to right point, so that a turned
    or tilted head turns the ball with it. Studies draw this region by hand in the pons.

    With one point missing, the other one is reflected at a midline that is taken to run
    `HALF_SEPARATION_MM` medial of it, in the scanner's left-right direction.

    Parameters
    ----------
    shape : tuple of int
        Shape of the volume.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    points_mm : numpy.ndarray
        Shape (2, 3), mm, RAS+: left, right; NaN where missing.

    Returns
    -------
    numpy.ndarray
        Boolean, of `shape`. Empty if both points are missing, if they coincide or lie one
        behind the other, or if less than `MIN_COVERED` of the ball is in the field of view: the
        contrast ratios are then NaN.
    """
    region = np.zeros(shape, bool)
    middle = reference_centre(points_mm)
    if not np.isfinite(middle).all():
        return region
    inverse = np.linalg.inv(affine)
    at = apply_affine(inverse, middle)
    # The box around the ball, as far as the volume reaches.
    reach = RADIUS_MM * np.linalg.norm(inverse[:3, :3], axis=1)
    low = np.clip(np.ceil(at - reach), 0, shape).astype(int)
    high = np.clip(np.floor(at + reach) + 1, 0, shape).astype(int)
    box = tuple(map(slice, low, high))
    offsets = np.moveaxis(np.mgrid[box], 0, -1) - at  # (n, m, k, 3) voxels
    region[box] = np.linalg.norm(offsets @ affine[:3, :3].T, axis=-1) <= RADIUS_MM
    covered = np.count_nonzero(region) * abs(np.linalg.det(affine[:3, :3]))
    whole = 4 / 3 * np.pi * RADIUS_MM**3
    return region if covered >= MIN_COVERED * whole else np.zeros(shape, bool)


def reference_centre(points_mm: np.ndarray) -> np.ndarray:
    """Middle of the `reference_region`, shape (3,), mm, RAS+; NaN if there is no region."""
    left, right = _both(np.asarray(points_mm, dtype=float))
    across = right - left
    if not across.any():
        return np.full(3, np.nan)
    anterior = np.array([0.0, 1.0, 0.0])
    forward = anterior - across * (anterior @ across) / (across @ across)
    length = np.linalg.norm(forward)
    # A line within 30 degrees of the scanner's anterior does not run from left to right.
    if not length > 0.5:
        return np.full(3, np.nan)
    return (left + right) / 2 + ANTERIOR_MM * forward / length


def contrast_ratios(
    intensities: np.ndarray, region: np.ndarray, reference: np.ndarray
) -> ContrastRatios:
    """Signal of the locus coeruleus over that of the pons.

    ``S_LC / S_reference``: 1 is no contrast. The median and the maximum over the region are the
    two "popular LC biomarkers" of Duennwald et al. 2021, section 2.3. The literature also has
    ``(S_LC - S_reference) / S_reference`` (Clewett et al. 2016), which is this less 1, so that
    correlations and ICC are the same. The reference is the median of its region, which a vessel
    hardly changes.

    Parameters
    ----------
    intensities : numpy.ndarray
        Shape (n, m, k), from the scanner or corrected for the coil's bias: a ratio of
        percentile-normalised intensities, whose 0 is not that of the signal, is meaningless.
    region : numpy.ndarray
        Of the same shape; nonzero is the locus coeruleus of one side.
    reference : numpy.ndarray
        Boolean, of the same shape; see `reference_region`.

    Returns
    -------
    ContrastRatios
        `median` and `maximum`; NaN if a region is empty or the reference's signal is not
        positive.
    """
    inside = intensities[np.asarray(region) != 0]
    outside = intensities[np.asarray(reference) != 0]
    base = float(np.median(outside)) if len(outside) else float('nan')
    if not len(inside) or not base > 0:
        return ContrastRatios(float('nan'), float('nan'))
    return ContrastRatios(float(np.median(inside)) / base, float(inside.max()) / base)


def volume_mm3(region: np.ndarray, affine: np.ndarray) -> float:
    """Volume of the voxels of a mask that are not 0, in mm3; 0 if there are none.

    Parameters
    ----------
    region : numpy.ndarray
        Shape (n, m, k).
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm.
    """
    return float(np.count_nonzero(region) * abs(np.linalg.det(affine[:3, :3])))


def _both(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left and right point, a missing one replaced by the mirror image of the other."""
    left, right = points
    across = np.array([2 * HALF_SEPARATION_MM, 0.0, 0.0])
    if np.isnan(left).any():
        left = right - across
    elif np.isnan(right).any():
        right = left + across
    return left, right


def measure_segmentation(
    labels: np.ndarray,
    intensities: np.ndarray,
    affine: np.ndarray,
    points_mm: np.ndarray,
    point_statuses: Sequence[str],
) -> list[dict[str, Any]]:
    """Measure both sides against the reference region in the pons.

    Parameters
    ----------
    labels : numpy.ndarray
        Shape (n, m, k): 1 left, 2 right.
    intensities : numpy.ndarray
        Intensities from the scanner, of the same shape; see `contrast_ratios`.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm.
    points_mm : numpy.ndarray
        Shape (2, 3), localised points, mm, RAS+: left, right; NaN where missing.
    point_statuses : sequence of str
        Status of both points, see `status.PAIR_STATUSES`.

    Returns
    -------
    list of dict
        For left and right: 'status' of `SEGMENTATION_STATUSES`, `MEASURES`, and 'reference_x',
        'reference_y', 'reference_z', the middle of the reference region in mm. NaN is missing.
    """
    reference = reference_region(labels.shape, affine, points_mm)
    base, middle = float('nan'), np.full(3, np.nan)
    if reference.any():
        base, middle = float(np.median(intensities[reference])), reference_centre(points_mm)
    rows = []
    for number in (1, 2):
        region = labels == number
        ratios = contrast_ratios(intensities, region, reference)
        numbers = (volume_mm3(region, affine), ratios.median, ratios.maximum, base)
        rows.append(
            {
                'status': _status(region, ratios.median, point_statuses),
                **dict(zip(MEASURES, numbers, strict=True)),
                **dict(zip(_PLACE, middle.tolist(), strict=True)),
            }
        )
    return rows


def missing_measures(status: str) -> list[dict[str, Any]]:
    """Return rows of `measure_segmentation` without numbers, for both sides."""
    return [{'status': status, **dict.fromkeys((*MEASURES, *_PLACE), float('nan'))}] * 2


def _status(region: np.ndarray, ratio: float, point_statuses: Sequence[str]) -> str:
    if not region.any():
        return 'empty'
    if np.isnan(ratio):
        return 'no_reference'
    return 'ok' if all(status == 'ok' for status in point_statuses) else 'check_points'
