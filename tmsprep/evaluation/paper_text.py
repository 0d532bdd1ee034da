"""The words and marks of the paper's tables."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd


def as_paper(table: pd.DataFrame, *, intervals: bool = False) -> pd.DataFrame:
    """Lay out a table as the paper does: one row per target, text in every cell.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `table2`, `table3`, `table4` or `table5`.
    intervals : bool
        Add the 95 % confidence interval of the mean or of the difference.

    Returns
    -------
    pandas.DataFrame
        Column 'label', then one per heading. A mean is '7.24 ± 5.23 (n = 130)'. A test is '1.46',
        or if significant after Holm's correction '**3.74** ** CNN': the number in bold, the
        stars, and in Table 3 the winner. Table 3 has absolute Z, Table 5 signed. Empty cells
        could not be computed.
    """
    tests = 'z' in table.columns
    write = _write_test if tests else _write_mean
    texts = [write(row) + _interval(row, intervals) for row in table.to_dict('records')]
    wide = table.assign(text=texts).pivot(index='label', columns='column', values='text')
    wide = wide.reindex(index=table['label'].unique(), columns=table['column'].unique())
    return wide.rename_axis(columns=None).reset_index()


def _write_mean(row: Mapping) -> str:
    if not row['n']:
        return ''
    sd = '' if np.isnan(row['sd_mm']) else f' ± {row["sd_mm"]:.2f}'
    return f'{row["mean_mm"]:.2f}{sd} (n = {row["n"]})'


def _write_test(row: Mapping) -> str:
    if np.isnan(row['z']):
        return ''
    heading = str(row['column'])
    contest = ' vs. ' in heading
    z = f'{abs(row["z"]) if contest else row["z"]:.2f}'
    if not row['stars']:
        return z
    names = dict(zip((row['first'], row['second']), heading.split(' vs. '), strict=False))
    winner = f' {names.get(row["winner"], "")}' if contest else ''
    return f'**{z}** {row["stars"]}{winner}'.rstrip()


def _interval(row: Mapping, wanted: bool) -> str:
    if not wanted or np.isnan(row['ci_low_mm']):
        return ''
    return f' [{row["ci_low_mm"]:.2f}, {row["ci_high_mm"]:.2f}]'
