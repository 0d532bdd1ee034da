"""Points and segmentations of one image, compared with those of a rater, and their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tmsprep.evaluation.masks import dice, false_discovery_rate
from tmsprep.methods.duennwald2021.measures import contrast_ratios, reference_region, volume_mm3
from tmsprep.methods.duennwald2021.options import SEGMENTATIONS
from tmsprep.methods.learner import STATUSES
from tmsprep.protocols import Protocol
from tmsprep.tables import COLUMNS, Column, column

#: Statuses of a segmentation, with their meaning.
SEGMENT_STATUSES = {
    'ok': 'something was labelled and something was drawn on this side',
    'empty': 'nothing was labelled on this side, though the rater drew something',
    'nothing_drawn': 'the rater drew nothing on this side',
    'no_mask': 'there is no mask of this image',
    'failed': 'the image could not be used, or a training diverged',
}


def _measured(prefix: str, what: str) -> dict[str, Column]:
    return {
        f'{prefix}volume_mm3': column(f'Volume of {what}', 'mm^3'),
        f'{prefix}cr_median': column(f'Median intensity in {what} over the reference in the pons'),
        f'{prefix}cr_maximum': column(
            f'Maximum intensity in {what} over the reference in the pons'
        ),
    }


_TESTED: dict[str, Column] = {
    'image': COLUMNS['image'],
    'participant': column('The participant who was tested'),
    'fold': column('Number of the fold whose networks were used, from 1'),
}

#: Columns of the table of points, in order.
POINTS: dict[str, Column] = {
    **_TESTED,
    'augmentation': {
        **column('How the localizer was trained'),
        'Levels': {
            'with': 'on images rotated, shifted and scaled at random',
            'without': 'on images as they are',
        },
    },
    **{name: COLUMNS[name] for name in ('label', 'x', 'y', 'z')},
    'status': column('What is known about the point', **STATUSES),
    **{f'reference_{axis}': COLUMNS[f'reference_{axis}'] for axis in 'xyz'},
}

#: Columns of the table of segmentations, in order.
SEGMENTATION: dict[str, Column] = {
    **_TESTED,
    'method': column('How it was segmented', **SEGMENTATIONS),
    'hemisphere': COLUMNS['hemisphere'],
    'status': column('What is known about the segmentation', **SEGMENT_STATUSES),
    'dice': column("Dice similarity with the rater's mask; n/a if both are empty"),
    'fdr': column(
        "Share of the labelled voxels that are not in the rater's mask; n/a if none are"
    ),
    **_measured('', 'what was labelled'),
    **_measured('manual_', 'what the rater drew'),
    'seconds': column('Time for both sides; for lpp with the localisation', 's'),
}

#: Columns of the table of folds.
FOLDS: dict[str, Column] = {
    'participant': column('The participant'),
    'role': column("Number of the fold that the participant validates, or 'held out'"),
}

#: Columns of the table of trainings, in order.
TRAININGS: dict[str, Column] = {
    'network': column('localizer or segmenter'),
    'augmentation': column('As in the table of points; the segmenter always has random patches'),
    'fold': column('Number of the fold, from 1'),
    'epochs': column('Epochs trained'),
    'best_epoch': column('The epoch that was kept, by the loss in the validation set'),
    'loss': column('Mean loss of that epoch: mm for the localizer'),
    'validation': column('Loss in the validation set after that epoch'),
    'training_images': column('Images of the training set'),
    'validation_images': column('Images of the validation set'),
    'seconds': column('Time of the training; of its last part, if it was interrupted', 's'),
}

#: Columns that hold words.
WORDS = {
    *('image', 'participant', 'augmentation', 'label', 'method', 'hemisphere', 'status', 'role')
}


def as_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, Column]) -> pd.DataFrame:
    """Make a table of rows that may lack values; what is not text becomes a number."""
    table = pd.DataFrame(rows, columns=list(columns))
    numbers = [name for name in columns if name not in WORDS]
    return table.astype(dict.fromkeys(numbers, np.float64))


def point_rows(
    protocol: Protocol, points: np.ndarray, reference: np.ndarray
) -> list[dict[str, Any]]:
    """Put localised points next to those of a rater: one row per target.

    Parameters
    ----------
    protocol : Protocol
        The targets, left then right.
    points, reference : numpy.ndarray
        Shape (2, 3), mm, RAS+, NaN where missing.
    """
    rows = []
    for label, point, truth in zip(protocol.labels, points, reference, strict=True):
        status = 'ok' if np.isfinite(truth).all() else 'no_reference'
        rows.append(
            {
                'label': label,
                **dict(zip('xyz', point.tolist(), strict=True)),
                'status': status if np.isfinite(point).all() else 'failed',
                **{
                    f'reference_{axis}': at for axis, at in zip('xyz', truth.tolist(), strict=True)
                },
            }
        )
    return rows


def segment_rows(
    protocol: Protocol,
    labels: np.ndarray,
    manual: np.ndarray | None,
    affine: np.ndarray,
    intensities: np.ndarray | None,
    reference: np.ndarray,
) -> Iterator[dict[str, Any]]:
    """Compare a segmentation with the mask of a rater: one row per side.

    Parameters
    ----------
    protocol : Protocol
        The targets, left then right.
    labels, manual : numpy.ndarray
        Shape (n, m, k): 1 left, 2 right; `manual` is None without a mask.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+.
    intensities : numpy.ndarray or None
        Intensities of the scanner on the same grid; None leaves out the ratios of the mask.
    reference : numpy.ndarray
        Shape (2, 3), mm, RAS+: points of the rater, which place the reference region of the mask.
        The points that the method found are not used here: neither helps the other.
    """
    for number, target in enumerate(protocol.targets, start=1):
        found = labels == number
        row: dict[str, Any] = {
            'hemisphere': target.hemisphere,
            'status': 'ok' if found.any() else 'empty',
        }
        if manual is None:
            yield row | {'status': 'no_mask'}
            continue
        drawn = manual == number
        if not drawn.any():
            row['status'] = 'nothing_drawn'
        row |= {'dice': dice(found, drawn), 'fdr': false_discovery_rate(found, drawn)}
        if intensities is None:
            row['manual_volume_mm3'] = volume_mm3(drawn, affine)
        else:
            row |= side_measures('manual_', drawn, intensities, affine, reference)
        yield row


def side_measures(
    prefix: str,
    region: np.ndarray,
    intensities: np.ndarray,
    affine: np.ndarray,
    points: np.ndarray,
) -> dict[str, float]:
    """Volume and contrast ratios of one side; `points`, mm, place the reference region."""
    ratios = contrast_ratios(intensities, region, reference_region(region.shape, affine, points))
    return {
        f'{prefix}volume_mm3': volume_mm3(region, affine),
        f'{prefix}cr_median': ratios.median,
        f'{prefix}cr_maximum': ratios.maximum,
    }
