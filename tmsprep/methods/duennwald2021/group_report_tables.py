"""The tables of a group in protocol locus-coeruleus as text, for the report and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from tmsprep.methods.duennwald2021.group_answers import RATIOS, SIDES, p_text
from tmsprep.methods.duennwald2021.tables import AUGMENTED, BOTH, NOT_AUGMENTED

MISSING = '–'
WAYS = {AUGMENTED: 'with augmentation', NOT_AUGMENTED: 'no augmentation'}
OWN = 'network of the participant level'
"""What stands for a way of training that is not known."""


class TextTable(NamedTuple):
    """A table ready to be shown: `rows` hold one text per column."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


def text_tables(tables: Mapping[str, pd.DataFrame], source: str) -> list[TextTable]:
    """Write every table that has rows of a level.

    Parameters
    ----------
    tables : mapping
        Of `tmsprep.methods.duennwald2021.group_statistics.coeruleus_tables`.
    source : str
        The level.
    """
    found = []
    for name, (title, write, caption) in _TABLES.items():
        table = tables.get(name)
        if table is not None and (table['source'] == source).any():
            columns, rows = write(table[table['source'] == source])
            found.append(TextTable(name, title, columns, rows, caption))
    return found


def way(augmentation: object) -> str:
    """Name a way of training."""
    return WAYS.get(augmentation, OWN) if isinstance(augmentation, str) else OWN


def _number(value: float, digits: int = 2) -> str:
    # Adding 0 takes the sign from -0.00.
    return MISSING if pd.isna(value) else f'{round(value, digits) + 0.0:.{digits}f}'


def _interval(low: float, high: float) -> str:
    return MISSING if pd.isna(low) else f'{low:.2f} to {high:.2f}'


_Written = tuple[list[str], list[list[str]]]


def _table1(table: pd.DataFrame) -> _Written:
    columns = ['', 'side', 'mean, mm (vx)', 'sd, mm (vx)', '95 % confidence, mm']
    rows = [
        [
            way(row.augmentation),
            SIDES.get(row.label, row.label),
            f'{_number(row.mean_mm)} ({_number(row.mean_vx)})',
            f'{_number(row.sd_mm)} ({_number(row.sd_vx)})',
            _interval(row.ci_low_mm, row.ci_high_mm),
            f'{row.n:.0f}',
            f'{row.people:.0f}',
            f'{row.missing:.0f}',
        ]
        for row in table.itertuples()
    ]
    return [*columns, 'predictions', 'people', 'missing'], rows


def _axes(table: pd.DataFrame) -> _Written:
    columns = ['', 'side', 'axis', 'mean squared error ± sd, mm²', 'mean absolute error, mm']
    rows = [
        [
            way(row.augmentation),
            SIDES.get(row.label, row.label),
            row.axis,
            f'{_number(row.mse_mm2)} ± {_number(row.sd_mm2)}',
            _number(row.mae_mm),
            _number(row.bias_mm),
        ]
        for row in table.itertuples()
    ]
    return [*columns, 'mean signed error, mm'], rows


def _segmentation(table: pd.DataFrame) -> _Written:
    columns = ['method', 'side', 'measure', 'median', 'quartiles', 'mean', 'predictions']
    names = {'dice': 'Dice', 'fdr': 'false discovery rate'}
    rows = [
        [
            row.method.upper(),
            SIDES.get(row.hemisphere, row.hemisphere),
            names[row.measure],
            _number(row.median),
            _interval(row.quartile1, row.quartile3),
            _number(row.mean),
            f'{row.n:.0f}',
            f'{row.undefined:.0f}',
        ]
        for row in table.sort_values('measure', kind='stable').itertuples()
    ]
    return [*columns, 'not defined'], rows


def _icc_mean(table: pd.DataFrame) -> _Written:
    columns = ['method', 'side', 'contrast ratio', 'mean ICC over folds', 'lowest', 'highest']
    rows = [
        [
            row.method.upper(),
            SIDES.get(row.hemisphere, 'both sides'),
            RATIOS[row.measure],
            _number(row.icc),
            _number(row.lowest),
            _number(row.highest),
            f'{row.folds:.0f}',
        ]
        for row in table.itertuples()
    ]
    return [*columns, 'folds'], rows


def _icc(table: pd.DataFrame) -> _Written:
    columns = ['fold', 'method', 'contrast ratio', 'ICC', '95 % confidence', 'nuclei', 'missing']
    rows = [
        [
            MISSING if pd.isna(row.fold) else f'{row.fold:.0f}',
            row.method.upper(),
            RATIOS[row.measure],
            _number(row.icc),
            _interval(row.ci_low, row.ci_high),
            f'{row.n:.0f}',
            f'{row.missing:.0f}',
        ]
        for row in table[table['hemisphere'] == BOTH].itertuples()
    ]
    return columns, rows


def _tests(table: pd.DataFrame) -> _Written:
    names = {'error_mm': 'error, mm', 'dice': 'Dice', 'fdr': 'false discovery rate'}
    columns = ['measure', 'side', 'first', 'second', 'mean of first', 'mean of second', 'people']
    rows = [
        [
            names[row.family],
            SIDES.get(row.hemisphere, row.hemisphere),
            WAYS.get(row.first, row.first.upper()),
            WAYS.get(row.second, row.second.upper()),
            _number(row.mean_first),
            _number(row.mean_second),
            f'{row.n:.0f}',
            _number(row.effect),
            MISSING if pd.isna(row.p_holm) else p_text(row.p_holm),
        ]
        for row in table.itertuples()
    ]
    return [*columns, 'effect', 'p (Holm)'], rows


_TABLES: dict[str, tuple[str, Callable[[pd.DataFrame], _Written], str]] = {
    'table1': (
        'Error of localisation (Table 1)',
        _table1,
        'Predictions of all folds are pooled, as in the paper; the interval draws people.',
    ),
    'axes': (
        'Error along each axis',
        _axes,
        (
            'Sagittal: to the right; coronal: to the front; axial: to the head (rostrocaudal). '
            'The paper gives the squared errors.'
        ),
    ),
    'segmentation': (
        'Overlap with the masks of the rater (Figure 2)',
        _segmentation,
        (
            'Not defined: the false discovery rate where nothing was labelled, the Dice where '
            'neither labelled nor drawn.'
        ),
    ),
    'icc_mean': (
        'Agreement of contrast ratios, mean over folds',
        _icc_mean,
        (
            'ICC(A,1): two-way random effects, absolute agreement, single measurement. The paper '
            'does not say how it joins the sides.'
        ),
    ),
    'icc': (
        'Agreement of contrast ratios in each fold, both sides',
        _icc,
        (
            'Both sides of a person count as two, which makes the intervals too narrow. Missing: '
            'nuclei that the method, or the rater, did not mark.'
        ),
    ),
    'tests': (
        'Tests',
        _tests,
        (
            'Wilcoxon signed-rank tests on people, folds averaged first; corrected by Holm within '
            'each measure. The effect is the rank-biserial correlation; negative: the first is '
            'smaller.'
        ),
    ),
}
