"""All tables of a group in protocol locus-coeruleus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import pandas as pd

from tmsprep.evaluation.statistics import holm, stars, wilcoxon
from tmsprep.methods.duennwald2021 import tables as paper
from tmsprep.methods.duennwald2021.group_sources import Measured

METHODS = ('lpp', 'pp', 'npp')
"""In the order of the paper's claim: the first is to be the best."""

OVERLAPS = ('dice', 'fdr')
SIDES = {'LLC': 'L', 'RLC': 'R'}


def coeruleus_tables(
    measured: Mapping[str, Measured], voxel_mm: float, seed: int
) -> dict[str, pd.DataFrame]:
    """Make the tables of Duennwald et al. 2021 and the tests that it leaves open.

    Parameters
    ----------
    measured : mapping
        Level ('crossval', 'participant') to what it measured; the column `source` of every table.
    voxel_mm : float
        Edge of the voxels in which Table 1 states errors too.
    seed : int
        Of the confidence intervals.

    Returns
    -------
    dict of str to pandas.DataFrame
        'errors', 'table1', 'augmentation', 'axes', 'constant', 'overlaps', 'segmentation', 'icc',
        'icc_mean', 'tests'; tables without rows are left out.
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
    """Leave out targets that nobody has both with and without augmentation."""
    return effect[effect['people'] > 0].reset_index(drop=True)


def paired_tests(errors: pd.DataFrame, segments: pd.DataFrame) -> pd.DataFrame:
    """Compare the two ways of training, and every two ways of segmenting, by person.

    Each person's values are averaged over folds and images first: the folds' networks look at the
    same people, and are no further evidence about others. Wilcoxon's signed-rank test, corrected
    by Holm within each family: errors on both sides; Dice, and false discovery rate, of every two
    methods on both sides. The paper leaves significance open.

    Parameters
    ----------
    errors : pandas.DataFrame
        Of `localisation_errors`.
    segments : pandas.DataFrame
        `SEGMENT_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        One row per `family` ('error_mm', 'dice', 'fdr'), `hemisphere`, `first` and `second`:
        `mean_first`, `mean_second`, `difference` (first less second), `n` (people with both),
        `z`, `effect`, `p`, `p_holm`, `stars`, `reason`; see `evaluation.statistics`.
    """
    sided = errors.assign(hemisphere=errors['label'].map(SIDES))
    ways = (paper.AUGMENTED, paper.NOT_AUGMENTED)
    rows = [*_pairs(sided, 'error_mm', 'augmentation', ways)]
    for measure in OVERLAPS:
        rows += _pairs(segments, measure, 'method', METHODS)
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
        people = here.pivot_table(measure, 'participant', column, aggfunc='mean')
        for first, second in combinations(ways, 2):
            if not {first, second} <= set(here[column]):
                continue
            both = people.reindex(columns=[first, second]).dropna().to_numpy(float)
            means = both.mean(axis=0) if len(both) else np.full(2, np.nan)
            test = wilcoxon(*both.T)
            yield {
                **{'family': measure, 'hemisphere': side, 'first': first, 'second': second},
                **{'mean_first': means[0], 'mean_second': means[1]},
                'difference': means[0] - means[1],
                **test._asdict(),
            }


def _holm(p_values: pd.Series) -> np.ndarray:
    return holm(p_values.to_numpy(float))
