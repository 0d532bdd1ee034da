"""How the report of a group shows the tables of the locus coeruleus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd

from tmsprep.methods.duennwald2021.tables import AUGMENTED, BOTH, NOT_AUGMENTED
from tmsprep.reports.sections import Table

#: Sides and targets, in words.
SIDES = {'L': 'left', 'R': 'right', 'LLC': 'left', 'RLC': 'right'}

RATIOS = {'cr_median': 'median', 'cr_maximum': 'maximum'}
MEASURES = {'error_mm': 'error, mm', 'dice': 'Dice', 'fdr': 'false discovery rate'}
MISSING = '–'

#: Ways of training; unknown at the participant level.
WAYS = {AUGMENTED: 'with augmentation', NOT_AUGMENTED: 'no augmentation'}
_OWN = 'network of the participant level'


class TableForm(NamedTuple):
    """Title of a table in the report, its columns (heading to text of a row), and notes."""

    title: str
    columns: Mapping[str, Callable[[Any], str]]
    notes: str


def level_tables(tables: Mapping[str, pd.DataFrame], level: str) -> dict[str, Table]:
    """Return every table with rows of a level, by name."""
    found = {}
    for name, (title, columns, notes) in _TABLES.items():
        rows = tables.get(name, pd.DataFrame({'source': []}))
        rows = rows[rows['source'] == level]
        if name == 'icc' and len(rows):
            rows = rows[rows['hemisphere'] == BOTH]
        if name == 'segmentation' and len(rows):
            rows = rows.sort_values('measure', kind='stable')
        if len(rows):
            cells = [[write(row) for write in columns.values()] for row in rows.itertuples()]
            found[name] = Table(title, list(columns), cells, notes)
    return found


def way(augmentation: object) -> str:
    """Return the words for a way of training."""
    return WAYS.get(key_of(augmentation) or '', _OWN)


def p_text(p: float) -> str:
    """Format a p-value."""
    return MISSING if pd.isna(p) else '< 0.001' if p < 0.001 else f'{p:.3f}'


def key_of(augmentation: object) -> str | None:
    """Return a value of the column `augmentation`; None if it is missing."""
    return augmentation if isinstance(augmentation, str) else None


def _number(name: str, digits: int = 2) -> Callable[[Any], str]:
    def write(row: Any) -> str:
        value = getattr(row, name)
        # Adding 0 takes the sign from -0.00.
        return MISSING if pd.isna(value) else f'{round(value, digits) + 0.0:.{digits}f}'

    return write


def _count(name: str) -> Callable[[Any], str]:
    return _number(name, 0)


def _pair(text: str, *names: str) -> Callable[[Any], str]:
    return lambda row: text.format(*(_number(name)(row) for name in names))


def _interval(low: str, high: str) -> Callable[[Any], str]:
    def write(row: Any) -> str:
        return MISSING if pd.isna(getattr(row, low)) else _pair('{} to {}', low, high)(row)

    return write


def _word(name: str, words: Mapping[str, str]) -> Callable[[Any], str]:
    return lambda row: words.get(getattr(row, name), str(getattr(row, name)))


def _upper(name: str) -> Callable[[Any], str]:
    return lambda row: WAYS.get(getattr(row, name), str(getattr(row, name)).upper())


def _way(row: Any) -> str:
    return way(row.augmentation)


_LABEL, _HEMISPHERE = _word('label', SIDES), _word('hemisphere', {**SIDES, BOTH: 'both sides'})

_TABLES: dict[str, TableForm] = {
    'table1': TableForm(
        'Error of localisation (Table 1)',
        {
            'network': _way,
            'side': _LABEL,
            'mean, mm (vx)': _pair('{} ({})', 'mean_mm', 'mean_vx'),
            'sd, mm (vx)': _pair('{} ({})', 'sd_mm', 'sd_vx'),
            '95 % confidence, mm': _interval('ci_low_mm', 'ci_high_mm'),
            'predictions': _count('n'),
            'participants': _count('people'),
            'missing': _count('missing'),
        },
        'Predictions of all folds are pooled, as in the paper; the interval draws participants.',
    ),
    'augmentation': TableForm(
        'Effect of augmentation',
        {
            'side': _LABEL,
            'mean with, mm': _number('with_mm'),
            'mean without, mm': _number('without_mm'),
            'ratio': _number('ratio'),
            'difference, mm': _number('difference_mm'),
            '95 % confidence, mm': _interval('ci_low_mm', 'ci_high_mm'),
            'participants': _count('people'),
        },
        'Folds are averaged per participant. In Table 1 of the paper the ratio is 0.45 (left) and '
        '0.39 (right).',
    ),
    'axes': TableForm(
        'Error along each axis',
        {
            'network': _way,
            'side': _LABEL,
            'axis': _word('axis', {}),
            'mean squared error ± sd, mm²': _pair('{} ± {}', 'mse_mm2', 'sd_mm2'),
            'mean absolute error, mm': _number('mae_mm'),
            'mean signed error, mm': _number('bias_mm'),
        },
        'Sagittal: to the right; coronal: to the front; axial: to the head (rostrocaudal). The '
        'paper gives the squared errors.',
    ),
    'segmentation': TableForm(
        'Overlap with the masks of the rater (Figure 2)',
        {
            'method': _upper('method'),
            'side': _HEMISPHERE,
            'measure': _word('measure', MEASURES),
            'median': _number('median'),
            'quartiles': _interval('quartile1', 'quartile3'),
            'mean': _number('mean'),
            'predictions': _count('n'),
            'not defined': _count('undefined'),
        },
        'Not defined: the false discovery rate where nothing was labelled, the Dice where neither '
        'labelled nor drawn.',
    ),
    'icc_mean': TableForm(
        'Agreement of contrast ratios, mean over folds',
        {
            'method': _upper('method'),
            'side': _HEMISPHERE,
            'contrast ratio': _word('measure', RATIOS),
            'mean ICC over folds': _number('icc'),
            'lowest': _number('lowest'),
            'highest': _number('highest'),
            'folds': _count('folds'),
        },
        'ICC(A,1): two-way random effects, absolute agreement, single measurement. The paper does '
        'not state how it joins the sides.',
    ),
    'icc': TableForm(
        'Agreement of contrast ratios in each fold, both sides',
        {
            'fold': _count('fold'),
            'method': _upper('method'),
            'contrast ratio': _word('measure', RATIOS),
            'ICC': _number('icc'),
            '95 % confidence': _interval('ci_low', 'ci_high'),
            'nuclei': _count('n'),
            'missing': _count('missing'),
        },
        'Both sides of a participant count as two, which makes the intervals too narrow. Missing: '
        'nuclei that the method, or the rater, did not mark.',
    ),
    'tests': TableForm(
        'Tests',
        {
            'measure': _word('family', MEASURES),
            'side': _HEMISPHERE,
            'first': _upper('first'),
            'second': _upper('second'),
            'mean of first': _number('mean_first'),
            'mean of second': _number('mean_second'),
            'participants': _count('n'),
            'effect': _number('effect'),
            'p (Holm)': lambda row: p_text(row.p_holm),
        },
        'Wilcoxon signed-rank tests on participants, folds averaged first; corrected by Holm '
        'within each measure. The effect is the rank-biserial correlation; negative: the first is '
        'smaller.',
    ),
}
