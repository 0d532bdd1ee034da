"""The files of a cross-validation of the locus coeruleus, each with a sidecar."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tmsprep import __version__
from tmsprep.atomic import write_text
from tmsprep.disclaimer import DISCLAIMER
from tmsprep.formats.targets_tsv import write_table

POINT_STATUSES = {
    'ok': 'localised, and there is a reference',
    'no_reference': 'localised, but the rater has no point on this side',
    'failed': 'not localised: the image could not be used, or nobody in training has the target',
}
SEGMENT_STATUSES = {
    'ok': 'something was labelled and something was drawn on this side',
    'empty': 'nothing was labelled on this side, though the rater drew something',
    'nothing_drawn': 'the rater drew nothing on this side',
    'no_mask': 'there is no mask of this image',
    'failed': 'the image could not be used',
}
"""Closed vocabularies of the status columns."""

METHODS = {
    'npp': 'sliding window, a label where its probability is over 0.5',
    'pp': 'the same with post-processing',
    'lpp': "one patch at the localizer's points",
}


def _of(description: str, units: str = '') -> dict[str, Any]:
    return {'Description': description, **({'Units': units} if units else {})}


def _measured(prefix: str, what: str) -> dict[str, dict[str, Any]]:
    return {
        f'{prefix}volume_mm3': _of(f'Volume of {what}', 'mm^3'),
        f'{prefix}cr_median': _of(f'Median intensity in {what} over the reference in the pons'),
        f'{prefix}cr_maximum': _of(f'Maximum intensity in {what} over the reference in the pons'),
    }


_WHO = {
    'image': _of('Name of the image without its suffix'),
    'participant': _of('The participant who was tested'),
    'fold': _of('Number of the fold whose networks were used, from 1'),
}
POINTS: dict[str, dict[str, Any]] = {
    **_WHO,
    'augmentation': {
        **_of('How the localizer was trained'),
        'Levels': {
            'with': 'on images turned, shifted and scaled at random',
            'without': 'on images as they are',
        },
    },
    'label': _of('Name of the target'),
    'x': _of('Predicted position towards the right', 'mm'),
    'y': _of('Predicted position towards the front', 'mm'),
    'z': _of('Predicted position towards the top', 'mm'),
    'status': {**_of('What is known about the point'), 'Levels': POINT_STATUSES},
    'reference_x': _of('Reference position towards the right', 'mm'),
    'reference_y': _of('Reference position towards the front', 'mm'),
    'reference_z': _of('Reference position towards the top', 'mm'),
}
SEGMENTATION: dict[str, dict[str, Any]] = {
    **_WHO,
    'method': {**_of('How it was segmented'), 'Levels': METHODS},
    'hemisphere': _of('Side of the participant, L or R'),
    'status': {**_of('What is known about the segmentation'), 'Levels': SEGMENT_STATUSES},
    'dice': _of("Dice similarity with the rater's mask; n/a if both are empty"),
    'fdr': _of("Share of the labelled voxels that are not in the rater's mask; n/a if none are"),
    **_measured('', 'what was labelled'),
    **_measured('manual_', 'what the rater drew'),
    'seconds': _of('Time for both sides; for lpp with the localisation', 's'),
}
FOLDS: dict[str, dict[str, Any]] = {
    'participant': _of('The participant'),
    'role': _of("Number of the fold that the participant validates, or 'held out'"),
}
TRAININGS: dict[str, dict[str, Any]] = {
    'network': _of('localizer or segmenter'),
    'augmentation': _of('As in crossval_points; the segmenter always sees varied patches'),
    'fold': _of('Number of the fold, from 1'),
    'epochs': _of('Epochs trained'),
    'best_epoch': _of('The epoch that was kept, by the loss in validation people'),
    'loss': _of('Mean loss of that epoch: mm for the localizer'),
    'validation': _of('Loss in validation people after that epoch'),
    'training_images': _of('Images trained on'),
    'validation_images': _of('Images that chose the epoch'),
    'seconds': _of('Time of the training; of its last part, if it was interrupted', 's'),
}
"""Columns of each table, in their order, for the sidecars."""

_TABLES = {
    'crossval_points': (POINTS, 'Localised points of people who were not trained on'),
    'crossval_segmentation': (SEGMENTATION, 'Segmentations of people who were not trained on'),
    'crossval_folds': (FOLDS, 'Who validates which fold, and who was held out'),
    'crossval_trainings': (TRAININGS, 'Every training, and the epoch that was kept'),
}

_OPTIMISTIC = (
    'Nobody was held out: people were tested who also chose the best epoch, so that the results '
    'are somewhat better than those in people never seen. --held-out N avoids it.'
)
_SEEN_BY_NONE = 'Tested people were held out: no training and no choice of an epoch saw them.'


def write_coeruleus_outputs(
    out_dir: Path,
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    settings: Mapping[str, Any],
    *,
    optimistic: bool,
) -> list[Path]:
    """Write the tables of a finished cross-validation.

    Parameters
    ----------
    out_dir : Path
        Folder of all derivatives.
    tables : Mapping
        Name of each table (see `_TABLES`) to its rows; a table that is not there is removed, so
        that none of an earlier run is left.
    settings : Mapping
        How it was done, for the sidecars.
    optimistic : bool
        Whether people were tested who also chose the best epoch.

    Returns
    -------
    list of Path
        The tables.
    """
    written = []
    for name, (columns, description) in _TABLES.items():
        path = Path(out_dir) / f'{name}.tsv'
        if name not in tables:
            path.unlink(missing_ok=True)
            path.with_suffix('.json').unlink(missing_ok=True)
            continue
        content = {
            'Description': description,
            'CoordinateSystem': 'scanner, RAS+ (the world frame of the image)',
            'CoordinateUnits': 'mm',
            'Generalisation': _OPTIMISTIC if optimistic else _SEEN_BY_NONE,
            'SoftwareVersion': __version__,
            'Disclaimer': DISCLAIMER,
            **settings,
            **columns,
        }
        # The sidecar first: a table never stands without its frame.
        write_text(path.with_suffix('.json'), json.dumps(content, indent=2) + '\n')
        written.append(write_table(path, pd.DataFrame(tables[name], columns=list(columns))))
    return written
