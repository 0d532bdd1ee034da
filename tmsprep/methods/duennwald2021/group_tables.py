"""Tables of the group level of the locus coeruleus, and their columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from tmsprep.evaluation.statistics import holm, stars, wilcoxon
from tmsprep.group.issues import COLUMNS as PARTICIPANT_COLUMNS
from tmsprep.group.issues import Issue
from tmsprep.methods.duennwald2021 import tables as paper
from tmsprep.methods.duennwald2021.comparison import FOLDS, POINTS, SEGMENTATION
from tmsprep.methods.duennwald2021.options import SEGMENTATIONS
from tmsprep.tables import Column, column

#: Measures of overlap that are tested.
OVERLAPS = ('dice', 'fdr')

#: Tables of a group, in the order of writing.
DESCRIPTIONS = {
    'participants': 'Participants of the group, their role, and what is missing or wrong',
    'errors': 'Distance of every localised point from the reference',
    'table1': 'Errors with and without augmentation, as in Table 1 of Duennwald et al. 2021',
    'augmentation': 'Effect of augmentation on the error, paired by participant',
    'axes': 'Errors along each axis, as in section 3 of Duennwald et al. 2021',
    'constant': 'Error of the mean position of the other participants, which uses no image',
    'overlaps': 'Every segmentation compared with the mask of the rater',
    'segmentation': 'Dice and false discovery rate, as in Figure 2 of Duennwald et al. 2021',
    'icc': "Agreement of contrast ratios with those of the rater's masks, ICC(A,1), per fold",
    'icc_mean': 'The same, mean over folds, as in section 3 of Duennwald et al. 2021',
    'tests': 'Wilcoxon signed-rank tests, paired by participant, which the paper leaves open',
}


#: Columns of the tables beyond those of every group.
COLUMNS: dict[str, Column] = {
    **PARTICIPANT_COLUMNS,
    'outcome': {
        **PARTICIPANT_COLUMNS['outcome'],
        'Levels': {
            **PARTICIPANT_COLUMNS['outcome']['Levels'],
            'trained on': 'trained on or validated with, and not tested',
        },
    },
    'source': column(
        'Level that was compared with the rater',
        crossval='networks that were not trained on the tested participants',
        participant='outputs of the participant level; its network may know these participants',
    ),
    **POINTS,
    **SEGMENTATION,
    **FOLDS,
    'points': column('Number of localised points with a known error'),
    'fold': column('Number of the fold whose networks were used; n/a for the participant level'),
    'augmentation': {
        **POINTS['augmentation'],
        'Description': 'How the localizer was trained; n/a for the participant level',
    },
    'hemisphere': column(
        'Side of the participant', L='left', R='right', both='both sides, twice the rows'
    ),
    'status': column('What is known about the segmentation'),
    **{
        f'd{axis}_mm': column(f'Error towards the {side}', 'mm')
        for axis, side in (('x', 'right'), ('y', 'front'), ('z', 'top'))
    },
    'error_vx': column('The same in voxels'),
    'mean_vx': column('Mean error in voxels'),
    'sd_vx': column('Standard deviation in voxels'),
    'with_mm': column('Mean error with augmentation, over participants', 'mm'),
    'without_mm': column('Mean error without augmentation, over participants', 'mm'),
    'ratio': column('With over without: 0.5 is half'),
    'difference_mm': column('With minus without', 'mm'),
    'axis': column('sagittal: to the right; coronal: to the front; axial: to the head'),
    'mse_mm2': column('Mean squared error, which the paper gives in mm', 'mm^2'),
    'sd_mm2': column('Standard deviation of the squared errors', 'mm^2'),
    'mae_mm': column('Mean absolute error', 'mm'),
    'bias_mm': column('Mean signed error', 'mm'),
    'measure': column('Measure that the row is about'),
    **{name: column(name.capitalize()) for name in ('minimum', 'median', 'maximum', 'mean')},
    'quartile1': column('First quartile'),
    'quartile3': column('Third quartile'),
    'undefined': column('Number of values, or of folds, that are not defined and left out'),
    'icc': column('Intraclass correlation of absolute agreement, single measurement, ICC(A,1)'),
    'ci_low': column('Lower end of its 95 % confidence interval'),
    'ci_high': column('Upper end of its 95 % confidence interval'),
    'missing': column('Number of rows without a value'),
    'lowest': column('Lowest of the folds'),
    'highest': column('Highest of the folds'),
    'folds': column('Number of folds with an ICC'),
    'mean_first': column('Mean of the first over participants, folds averaged per participant'),
    'mean_second': column('Mean of the second over participants, folds averaged per participant'),
    'difference': column('First minus second'),
}


@dataclass(frozen=True)
class Measured:
    """Points and segmentations of one level, with the reference of a rater.

    Parameters
    ----------
    points, segments : pandas.DataFrame
        `POINTS`, mm, RAS+; `SEGMENTATION`. NaN where missing.
    issues : list of Issue
        Participants that are missing or failed.
    roles : dict
        Full label of each known participant to its part in the level.
    settings : dict
        Sidecar of the level, without the columns.
    """

    points: pd.DataFrame
    segments: pd.DataFrame
    issues: list[Issue]
    roles: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


def all_tables(
    measured: Mapping[str, Measured], voxel_mm: float, seed: int
) -> dict[str, pd.DataFrame]:
    """Make the tables of Duennwald et al. 2021 and the tests that it leaves open.

    Parameters
    ----------
    measured : mapping
        Level ('crossval', 'participant') to its points and segmentations; the level is the column
        `source` of every table.
    voxel_mm : float
        Edge of the voxels in which Table 1 states errors too.
    seed : int
        Seed of the confidence intervals.

    Returns
    -------
    dict of str to pandas.DataFrame
        Those of `DESCRIPTIONS` but 'participants'; tables without rows are left out.
    """
    parts: dict[str, list[pd.DataFrame]] = {}
    for source, given in measured.items():
        for name, table in _of_one_level(given, voxel_mm, seed).items():
            table.insert(0, 'source', source)
            parts.setdefault(name, []).append(table)
    return {
        name: pd.concat([table for table in tables if len(table)], ignore_index=True)
        for name, tables in parts.items()
        if any(len(table) for table in tables)
    }


def _of_one_level(given: Measured, voxel_mm: float, seed: int) -> dict[str, pd.DataFrame]:
    errors = paper.localisation_errors(given.points, voxel_mm)
    iccs = paper.icc_table(given.segments)
    return {
        'errors': errors,
        'table1': paper.table1(errors, seed=seed),
        'augmentation': _both_known(paper.augmentation_effect(errors, seed=seed)),
        'axes': paper.axis_table(errors),
        'constant': paper.constant_errors(given.points),
        'overlaps': given.segments.copy(),
        'segmentation': paper.figure2(given.segments),
        'icc': iccs,
        'icc_mean': paper.mean_icc(iccs),
        'tests': paired_tests(errors, given.segments),
    }


def _both_known(effect: pd.DataFrame) -> pd.DataFrame:
    """Leave out targets that no participant has both with and without augmentation."""
    return effect[effect['people'] > 0].reset_index(drop=True)


def paired_tests(errors: pd.DataFrame, segments: pd.DataFrame) -> pd.DataFrame:
    """Compare training with and without augmentation, and every two segmentations.

    Values are averaged over the folds and images of each participant first: networks of several
    folds that see the same participant are no further evidence. Wilcoxon signed-rank tests,
    corrected by Holm within each family: errors on both sides; Dice, and false discovery rate, of
    every two methods on both sides. The paper leaves significance open.

    Parameters
    ----------
    errors : pandas.DataFrame
        Result of `localisation_errors`.
    segments : pandas.DataFrame
        `SEGMENT_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        One row per `family` ('error_mm', 'dice', 'fdr'), `hemisphere`, `first` and `second`:
        `mean_first`, `mean_second`, `difference` (first minus second), `n` (participants
        with both),
        `z`, `effect`, `p`, `p_holm`, `stars`, `reason`; see `evaluation.statistics`.
    """
    sided = errors.assign(hemisphere=errors['label'].str[0])
    ways = (paper.AUGMENTED, paper.NOT_AUGMENTED)
    rows = [*_pairs(sided, 'error_mm', 'augmentation', ways)]
    # In the paper the last segmentation is the best, so that it comes first.
    for measure in OVERLAPS:
        rows += _pairs(segments, measure, 'method', tuple(reversed(SEGMENTATIONS)))
    table = pd.DataFrame(rows, columns=_TESTS)
    table['p_holm'] = table.groupby('family', sort=False)['p'].transform(_holm)
    table['stars'] = [stars(p) for p in table['p_holm']]
    return table[[*_TESTS[:-1], 'p_holm', 'stars', 'reason']]


_TESTS = [
    *('family', 'hemisphere', 'first', 'second', 'mean_first', 'mean_second', 'difference'),
    *('n', 'z', 'effect', 'p', 'reason'),
]


def _pairs(
    table: pd.DataFrame, measure: str, column: str, ways: tuple[str, ...]
) -> Iterator[dict[str, object]]:
    """Test a measure between every two values of a column, on each side."""
    for side in dict.fromkeys(table['hemisphere']):
        here = table[table['hemisphere'] == side]
        means = here.pivot_table(measure, 'participant', column, aggfunc='mean')
        for first, second in combinations(ways, 2):
            if not {first, second} <= set(here[column]):
                continue
            both = means.reindex(columns=[first, second]).dropna().to_numpy(float)
            mean = both.mean(axis=0) if len(both) else np.full(2, np.nan)
            test = wilcoxon(*both.T)
            yield {
                **{'family': measure, 'hemisphere': side, 'first': first, 'second': second},
                **{'mean_first': mean[0], 'mean_second': mean[1]},
                'difference': mean[0] - mean[1],
                **test._asdict(),
            }


def _holm(p_values: pd.Series) -> np.ndarray:
    return holm(p_values.to_numpy(float))
