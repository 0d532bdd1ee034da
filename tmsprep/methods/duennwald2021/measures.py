"""Volume and contrast of a segmented left and right locus coeruleus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tmsprep.methods.duennwald2021.contrast import (
    contrast_ratios,
    reference_centre,
    reference_region,
    volume_mm3,
)
from tmsprep.tables import Column, column

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
