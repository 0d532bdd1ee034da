"""The group's tables as files, each with a sidecar that explains it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tmsprep import __version__
from tmsprep.disclaimer import DISCLAIMER
from tmsprep.evaluation.errors import RATER
from tmsprep.formats.targets_tsv import write_table
from tmsprep.group.collect import Group
from tmsprep.group.columns import COLUMNS, Z_SCORE
from tmsprep.group.issues import Issue
from tmsprep.tables import write_json

DESCRIPTIONS = {
    'targets': 'Every point of every person, image, target and method',
    'people': 'Who is in the group, and what is missing or wrong',
    'agreements': 'Which raters agree on each point; a corrected copy may be given to '
    '--agreement-overrides',
    'errors': 'Distance of every point from the consensus of the raters',
    'agreement': 'Distances between every two methods and raters, on the points that both have',
    'table2': 'Errors, dispersion and variability of experts per target, as in Table 2 of Baxter '
    'et al. 2021',
    'table3': 'Network, registration and experts compared, as in Table 3 of Baxter et al. 2021, '
    'paired by person',
    'table4': 'Errors of cross-validated networks, as in Table 4 of Baxter et al. 2021',
    'table5': 'Cross-validated networks compared, as in Table 5 of Baxter et al. 2021, paired by '
    'person',
}
"""Name of each table, ``group_<name>.tsv``, to what it holds."""

_POINTS = {'x', 'y'}


def write_outputs(
    out_dir: Path,
    group: Group,
    tables: Mapping[str, pd.DataFrame],
    settings: Mapping[str, Any],
) -> list[Path]:
    """Write ``group_<name>.tsv`` and its sidecar for every table that there is.

    Files of an earlier run whose table cannot be made any more are deleted: they would be of
    other people or points.

    Parameters
    ----------
    out_dir : Path
        Folder of all derivatives.
    group : Group
        Everybody's points.
    tables : mapping
        Of `tmsprep.group.statistics.group_tables`.
    settings : mapping
        How it was done, for the sidecars.

    Returns
    -------
    list of Path
        The tables.
    """
    everything = {'targets': group.points, 'people': people_table(group), **tables}
    if everything['errors']['error_mm'].isna().all():
        del everything['errors']
    if len(group.agreements):
        everything['agreements'] = group.agreements
    written = []
    for name, description in DESCRIPTIONS.items():
        path = Path(out_dir) / f'group_{name}.tsv'
        if name in everything:
            written.append(_write(path, everything[name], description, settings))
        else:
            path.unlink(missing_ok=True)
            path.with_suffix('.json').unlink(missing_ok=True)
    return written


def _write(path: Path, table: pd.DataFrame, description: str, settings: Mapping[str, Any]) -> Path:
    columns = {name: COLUMNS[name] for name in table.columns}
    if 'z' in columns and not set(columns) >= _POINTS:
        columns['z'] = Z_SCORE
    frame = {}
    if set(table.columns) >= _POINTS:
        frame = {
            'CoordinateSystem': 'scanner, RAS+ (the world frame of the T1w in each row)',
            'CoordinateUnits': 'mm',
        }
    content = {
        'Description': description,
        **frame,
        'SoftwareVersion': __version__,
        'Disclaimer': DISCLAIMER,
        **settings,
        **columns,
    }
    # The sidecar first: a table never stands without its frame.
    write_json(path.with_suffix('.json'), content)
    return write_table(path, _as_text(table))


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Write what a fixed number of decimals would spoil: p-values, numbers of things, truth."""
    table = table.copy()
    for name in table.columns:
        column = table[name]
        if column.dtype == bool:
            table[name] = np.where(column, 'true', 'false')
        elif name == 'p' or name.startswith('p_'):
            table[name] = [np.nan if np.isnan(p) else f'{p:.4g}' for p in column]
        elif name == 'repetition':
            table[name] = column.astype('Int64')
        elif column.dtype.kind not in 'fiu':
            table[name] = column.replace('', np.nan)
    return table


def people_table(group: Group) -> pd.DataFrame:
    """One row per known person: what there is, and what is missing or wrong.

    Parameters
    ----------
    group : Group
        Everybody's points and issues.
    """
    found = group.points.dropna(subset=['x'])
    by_person = dict(list(found.groupby('participant_id', sort=False)))
    issues: dict[str, list[Issue]] = {}
    for issue in group.issues:
        issues.setdefault(issue.subject, []).append(issue)
    named = [label for label in issues if label and label not in group.people]
    rows = []
    for label in [*group.people, *sorted(named)]:
        points = by_person.get(f'sub-{label}', found.iloc[:0])
        methods = list(dict.fromkeys(points['method']))
        raters = [m.removeprefix(RATER) for m in methods if m.startswith(RATER)]
        said = [i for i in issues.get(label, ()) if i.severity != 'note']
        rows.append(
            {
                'participant_id': f'sub-{label}',
                'images': points['image'].nunique(),
                'methods': ' '.join(m for m in methods if not m.startswith(RATER)),
                'raters': ' '.join(raters),
                'outcome': _outcome(said, bool(methods)),
                'message': ' '.join(' '.join(i.message.split()) for i in said),
            }
        )
    names = ['participant_id', 'images', 'methods', 'raters', 'outcome', 'message']
    return pd.DataFrame(rows, columns=names)


def _outcome(said: list[Issue], has_points: bool) -> str:
    if any(issue.severity == 'error' for issue in said):
        return 'failed'
    if not has_points:
        return 'missing'
    return 'incomplete' if said else 'complete'
