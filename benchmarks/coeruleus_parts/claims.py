"""Do the claims of Duennwald et al. 2021 hold here: computed from the tables of a group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from tmsprep.evaluation.statistics import ALPHA
from tmsprep.methods.duennwald2021.group_section import RATIOS, SIDES, p_text
from tmsprep.methods.duennwald2021.tables import AUGMENTED, BOTH, NOT_AUGMENTED

HALF = 0.5

#: Mean of the paper's 1.34 mm (left) and 1.23 mm (right), Table 1.
MOST_MM = 1.3

#: An ICC below this is called close to zero; the paper has 0.06 and 0.01.
NEAR_ZERO = 0.2

BEST, OTHERS = 'lpp', ('pp', 'npp')


class Claim(NamedTuple):
    """A claim of the paper, and what was found.

    Parameters
    ----------
    name : str
        Short name.
    claim : str
        In a sentence.
    holds : bool or None
        None if the tables cannot tell.
    found : str
        The numbers here.
    paper : str
        The paper's numbers.
    """

    name: str
    claim: str
    holds: bool | None
    found: str
    paper: str

    @property
    def verdict(self) -> str:
        """'yes', 'no', or that it cannot be told."""
        return {True: 'yes', False: 'no', None: 'cannot be told'}[self.holds]


def claims(tables: Mapping[str, pd.DataFrame], source: str) -> list[Claim]:
    """Judge all claims that are about accuracy.

    Parameters
    ----------
    tables : mapping
        Of `tmsprep.methods.duennwald2021.group_tables.all_tables`.
    source : str
        Level whose rows count.

    Returns
    -------
    list of Claim
        A claim holds only if it does on both sides, or for both contrast ratios.
    """
    given = {name: _rows(table, source) for name, table in tables.items() if 'source' in table}
    return [
        _halved(given),
        _accurate(given),
        _along(given, AUGMENTED),
        _along(given, NOT_AUGMENTED),
        _overlap(given, 'dice'),
        _overlap(given, 'fdr'),
        _best_icc(given),
        _npp_icc(given),
    ]


def _rows(table: pd.DataFrame, source: str) -> pd.DataFrame:
    return table[table['source'] == source]


def _halved(given: Mapping[str, pd.DataFrame]) -> Claim:
    claim = 'Augmentation at least halves the error of localisation'
    paper = 'to 45 % (left) and 39 % (right) in Table 1'
    effect = given.get('augmentation', pd.DataFrame(columns=['label']))
    if not len(effect):
        return Claim('halved', claim, None, 'not both were trained', paper)
    tests = _tests(given, 'error_mm')
    parts = [
        f'{SIDES.get(row.label, row.label)} to {100 * row.ratio:.0f} % ({row.with_mm:.2f} against '
        f'{row.without_mm:.2f} mm{_p(tests, row.label[0])})'
        for row in effect.itertuples()
    ]
    return Claim('halved', claim, bool((effect['ratio'] <= HALF).all()), '; '.join(parts), paper)


def _accurate(given: Mapping[str, pd.DataFrame]) -> Claim:
    claim = f'With augmentation the mean error is at most {MOST_MM} mm'
    paper = '1.34 mm (left) and 1.23 mm (right), 1.3 mm over both'
    table = given.get('table1', pd.DataFrame(columns=['augmentation', 'label', 'mean_mm', 'n']))
    table = table[(table['augmentation'] == AUGMENTED) & (table['n'] > 0)]
    if not len(table):
        return Claim('accurate', claim, None, 'no localizer with augmentation', paper)
    mean = float(np.average(table['mean_mm'], weights=table['n']))
    sides = [
        f'{SIDES.get(row.label, row.label)} {row.mean_mm:.2f} mm' for row in table.itertuples()
    ]
    found = f'{mean:.2f} mm ({", ".join(sides)})'
    return Claim('accurate', claim, round(mean, 2) <= MOST_MM, found, paper)


def _along(given: Mapping[str, pd.DataFrame], augmentation: str) -> Claim:
    """Whether the axial error is the largest, which the paper saw with augmentation only."""
    wanted = augmentation == AUGMENTED
    paper = (
        'axial 2.27 and 1.68, the others 0.12 to 0.15 (squared error)' if wanted else 'in words'
    )
    what = 'largest' if wanted else 'not the largest'
    claim = f'The axial error (rostrocaudal) is {what} {augmentation} augmentation'
    axes = given.get('axes', pd.DataFrame(columns=['augmentation', 'label', 'axis', 'mse_mm2']))
    axes = axes[axes['augmentation'] == augmentation]
    wide = axes.pivot_table('mse_mm2', 'label', 'axis')
    if not len(wide) or wide.isna().any(axis=None):
        return Claim(f'axial_{augmentation}', claim, None, 'no such localizer', paper)
    largest = wide['axial'] > wide.drop(columns='axial').max(axis=1)
    parts = [
        f'{SIDES.get(label, label)} axial {row["axial"]:.2f}, coronal {row["coronal"]:.2f}, '
        f'sagittal {row["sagittal"]:.2f} mm²'
        for label, row in wide.iterrows()
    ]
    holds = bool(largest.all()) if wanted else not largest.any()
    return Claim(f'axial_{augmentation}', claim, holds, '; '.join(parts), paper)


_OVERLAPS = {
    'dice': ('higher Dice', 'higher in Figure 2, without numbers'),
    'fdr': ('lower false discovery rate', 'lower in Figure 2, without numbers'),
}


def _overlap(given: Mapping[str, pd.DataFrame], measure: str) -> Claim:
    words, paper = _OVERLAPS[measure]
    claim = f'LPP has a {words} than PP and NPP (medians)'
    table = given.get('segmentation')
    if table is None:
        return Claim(measure, claim, None, 'nothing was segmented', paper)
    wide = table[table['measure'] == measure].pivot_table('median', 'hemisphere', 'method')
    wide = wide.reindex(columns=[BEST, *OTHERS])
    if not len(wide) or wide.isna().any(axis=None):
        return Claim(measure, claim, None, 'not all three have been measured', paper)
    others = wide[list(OTHERS)]
    better = (
        wide[BEST] > others.max(axis=1) if measure == 'dice' else wide[BEST] < others.min(axis=1)
    )
    parts = [
        f'{SIDES.get(side, side)} {row["lpp"]:.2f} against {row["pp"]:.2f} (PP) and '
        f'{row["npp"]:.2f} (NPP)'
        for side, row in wide.iterrows()
    ]
    tests = _tests(given, measure)
    against = tests[tests['first'] == BEST]
    clear = against['p_holm'] < ALPHA
    good = (against['effect'] > 0) == (measure == 'dice')
    parts.append(
        f'significantly better in {(clear & good).sum()} of {len(against)} tests of LPP, worse in '
        f'{(clear & ~good).sum()}'
    )
    undefined = table[table['measure'] == measure].groupby('method')['undefined'].sum()
    parts += _without(undefined, 'predictions without a value')
    return Claim(measure, claim, bool(better.all()), '; '.join(parts), paper)


def _without(counts: pd.Series, what: str) -> list[str]:
    """Count the values that each method lacks: marking nothing in hard cases is an advantage."""
    if not counts.sum():
        return []
    each = ', '.join(f'{counts.get(m, 0):.0f} ({m.upper()})' for m in (BEST, *OTHERS))
    return [f'{what}: {each}']


def _mean_icc(given: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean ICC over folds, both sides together: a row per method, a column per contrast ratio."""
    table = given.get('icc_mean', pd.DataFrame(columns=['method', 'hemisphere', 'measure', 'icc']))
    both = table[table['hemisphere'] == BOTH]
    return both.pivot_table('icc', 'method', 'measure').reindex(columns=list(RATIOS))


def _best_icc(given: Mapping[str, pd.DataFrame]) -> Claim:
    claim = "LPP agrees best with the rater's contrast ratios (mean ICC over folds)"
    paper = 'median 0.89 against 0.37 (PP) and 0.06 (NPP); maximum 0.66 against 0.16 and 0.01'
    wide = _mean_icc(given).reindex([BEST, *OTHERS])
    if wide.isna().any(axis=None):
        return Claim('icc', claim, None, 'not all three have an ICC', paper)
    better = wide.loc[BEST] > wide.loc[list(OTHERS)].max()
    parts = [
        f'{word} {wide.loc["lpp", name]:.2f} against {wide.loc["pp", name]:.2f} (PP) and '
        f'{wide.loc["npp", name]:.2f} (NPP)'
        for name, word in RATIOS.items()
    ]
    table = given.get('icc', pd.DataFrame(columns=['hemisphere', 'measure', 'method', 'missing']))
    both = table[(table['hemisphere'] == BOTH) & (table['measure'] == next(iter(RATIOS)))]
    parts += _without(both.groupby('method')['missing'].sum(), 'nuclei without a ratio')
    return Claim('icc', claim, bool(better.all()), '; '.join(parts), paper)


def _npp_icc(given: Mapping[str, pd.DataFrame]) -> Claim:
    claim = f'The mean ICC of NPP is close to zero (below {NEAR_ZERO})'
    paper = 'median 0.06, maximum 0.01'
    row = _mean_icc(given).reindex(['npp']).iloc[0]
    if row.isna().any():
        return Claim('npp_icc', claim, None, 'it has no ICC', paper)
    found = ', '.join(f'{word} {row[name]:.2f}' for name, word in RATIOS.items())
    return Claim('npp_icc', claim, bool((row < NEAR_ZERO).all()), found, paper)


def _tests(given: Mapping[str, pd.DataFrame], family: str) -> pd.DataFrame:
    table = given.get(
        'tests', pd.DataFrame(columns=['family', 'hemisphere', 'first', 'effect', 'p_holm'])
    )
    return table[table['family'] == family]


def _p(tests: pd.DataFrame, side: str) -> str:
    found = tests.loc[tests['hemisphere'] == side, 'p_holm'].dropna()
    return f', p {p_text(found.iloc[0])}' if len(found) else ''
