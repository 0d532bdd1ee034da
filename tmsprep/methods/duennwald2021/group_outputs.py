"""The tables of a group in protocol locus-coeruleus as files, each with a sidecar."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tmsprep import __version__
from tmsprep.disclaimer import DISCLAIMER
from tmsprep.formats.targets_tsv import write_table
from tmsprep.methods.duennwald2021.group_columns import COLUMNS, DESCRIPTIONS
from tmsprep.tables import write_json

_WHOLE = ('fold', 'n', 'people', 'missing', 'undefined', 'folds')


def write_coeruleus_group(
    out_dir: Path, tables: Mapping[str, pd.DataFrame], settings: Mapping[str, Any]
) -> list[Path]:
    """Write ``coeruleus_<name>.tsv`` and its sidecar for every table that there is.

    Files of an earlier run whose table cannot be made any more are deleted: they would be of
    other people.

    Parameters
    ----------
    out_dir : Path
        Folder of all derivatives.
    tables : mapping
        Of `tmsprep.methods.duennwald2021.group_statistics`, and 'people'.
    settings : mapping
        How it was done, for the sidecars.

    Returns
    -------
    list of Path
        The tables.
    """
    written = []
    for name, description in DESCRIPTIONS.items():
        path = Path(out_dir) / f'coeruleus_{name}.tsv'
        if name not in tables:
            path.unlink(missing_ok=True)
            path.with_suffix('.json').unlink(missing_ok=True)
            continue
        content = {
            'Description': description,
            'SoftwareVersion': __version__,
            'Disclaimer': DISCLAIMER,
            **settings,
            **{column: COLUMNS[column] for column in tables[name].columns},
        }
        # The sidecar first: a table never stands without its explanation.
        write_json(path.with_suffix('.json'), content)
        written.append(write_table(path, _as_text(tables[name])))
    return written


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Write what a fixed number of decimals would spoil: p-values and numbers of things."""
    table = table.copy()
    for name in table.columns:
        column = table[name]
        if name in ('p', 'p_holm'):
            table[name] = [np.nan if np.isnan(p) else f'{p:.4g}' for p in column]
        elif name in _WHOLE:
            table[name] = column.astype('Int64')
        elif column.dtype.kind not in 'fiu':
            table[name] = column.replace('', np.nan)
    return table
