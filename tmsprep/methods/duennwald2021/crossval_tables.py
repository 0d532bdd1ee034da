"""Columns of the tables of a cross-validation."""

from __future__ import annotations

from tmsprep.methods.duennwald2021.options import SEGMENTATIONS
from tmsprep.methods.learner import STATUSES
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
