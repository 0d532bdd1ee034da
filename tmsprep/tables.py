"""The one writer of tables: tab-separated values with a JSON sidecar, as BIDS wants them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tmsprep import __version__
from tmsprep.atomic import write_text
from tmsprep.disclaimer import DISCLAIMER
from tmsprep.formats.targets_tsv import DECIMALS, read_targets
from tmsprep.formats.targets_tsv import write_table as write_tsv
from tmsprep.points import PointSet
from tmsprep.text import cell, parse_json, read_text

#: What a sidecar says of one column: 'Description', and perhaps 'Units' and 'Levels'.
Column = Mapping[str, Any]


def column(
    description: str, units: str = '', *, long_name: str = '', **levels: str
) -> dict[str, Any]:
    """Describe a column.

    Parameters
    ----------
    description : str
        What its values are.
    units : str
        Such as 'mm'; '' for none.
    long_name : str
        Heading in reports; '' for the column's name in words.
    **levels : str
        Meaning of each value of a categorical column.

    Examples
    --------
    >>> column('Distance from the reference', 'mm')
    {'Description': 'Distance from the reference', 'Units': 'mm'}
    """
    described: dict[str, Any] = {'LongName': long_name} if long_name else {}
    described['Description'] = description
    if units:
        described['Units'] = units
    if levels:
        described['Levels'] = levels
    return described


#: Entries of the sidecar of a table of some targets only: their labels, and the points of the
#: others, from which statuses are computed again when another method is run.
CHOSEN, NOT_CHOSEN = 'ChosenTargets', 'PointsNotChosen'

#: Entries of the sidecar of a table with columns x, y and z.
FRAME = {
    'CoordinateSystem': 'scanner, RAS+',
    'CoordinateSystemDescription': 'World frame of the NIfTI image, as given by its affine: '
    'x to the right, y to the front, z to the top',
    'CoordinateUnits': 'mm',
}

#: Columns that tell where in the cortex a point lies; of these, the first is text.
GYRUS_COLUMNS = ('gyrus', 'gyrus_probability', 'crown_depth_mm')

#: Column that tells how far a point was moved, see `tmsprep.gyri.settle`.
SETTLED = 'settled_mm'

#: Columns of text beyond those that every table of targets has.
TEXT_COLUMNS = frozenset({'gyrus'})

_POSITION = {'x': 'towards the right', 'y': 'towards the front', 'z': 'towards the top'}

#: Columns that lead from a point to the coil, see `tmsprep.scalp`.
COIL_COLUMNS = (
    *('entry_x', 'entry_y', 'entry_z', 'scalp_distance_mm'),
    *('normal_x', 'normal_y', 'normal_z', 'handle_x', 'handle_y', 'handle_z'),
)

#: Columns that mean the same in every table.
COLUMNS: dict[str, Column] = {
    'participant_id': column('The participant'),
    'image': column('Name of the image without its suffix'),
    'label': column('Name of the target'),
    'hemisphere': column('Side of the brain', L='left', R='right'),
    'region': column('Brain region'),
    'method': column('Method or rater that gave the point'),
    **{axis: column(f'Position {where}', 'mm') for axis, where in _POSITION.items()},
    **{
        f'reference_{axis}': column(f'Reference position {where}', 'mm')
        for axis, where in _POSITION.items()
    },
    'status': column('What is known about the point'),
    'gyrus': column(
        'Side and gyrus that the point lies in, as a parcellation network sees it: the one that '
        'fills most of the cortex within 4 mm; n/a where there is no cortex'
    ),
    'gyrus_probability': column(
        'Probability that the point lies in the gyrus of its target, 0 to 1: its share of the '
        'cortex within 4 mm, as the network sees it. A point on the border of two gyri has 0.5'
    ),
    'crown_depth_mm': column(
        'Depth of the point below the crown of the gyrus that it lies in: the part that lies '
        'nearest to the surface of the brain; inside the Sylvian fissure, uppermost',
        'mm',
        long_name='Below crown',
    ),
    SETTLED: column(
        'How far the point was moved to the middle of the grey matter of its gyrus, as a '
        'parcellation network sees it',
        'mm',
        long_name='Moved to the middle of the gyrus',
    ),
    'error_mm': column('Distance from the reference', 'mm'),
    'dispersion_mm': column(
        'Mean distance of the networks of the ensemble from their mean (Baxter et al. 2021, '
        'equation 3). Compare it between ensembles of the same size only',
        'mm',
    ),
    'match': column(
        'Correlation of the image in a ball of 36 mm around the point with the mean head of the '
        'protocol, laid over it by the points; 1 for a perfect match. It falls where the image is '
        'cut, damaged or of another contrast, and where points are a centimetre off'
    ),
    **{
        f'entry_{axis}': column(f'Position {where} of the scalp entry point', 'mm')
        for axis, where in _POSITION.items()
    },
    'scalp_distance_mm': column('Distance of the point from its scalp entry point', 'mm'),
    **{
        f'normal_{axis}': column(f'Outward normal of the scalp there, {where}, unit vector')
        for axis, where in _POSITION.items()
    },
    **{
        f'handle_{axis}': column(
            f'Direction in which the handle of a coil on the scalp points, {where}, unit vector; '
            'to start a search from'
        )
        for axis, where in _POSITION.items()
    },
    'repetition': column('Number of the repetition, from 1'),
    'fold': column('Number of the fold, from 1'),
    'n': column('Number of values; missing ones are left out'),
    'mean': column('Mean', 'mm'),
    'sd': column('Standard deviation of the sample', 'mm'),
    'median': column('Median', 'mm'),
    'p95': column('95th percentile', 'mm'),
    'max': column('Maximum', 'mm'),
    'seconds': column('Run time', 's'),
}


def write_table(
    path: Path,
    table: pd.DataFrame,
    description: str,
    columns: Mapping[str, Column],
    **entries: Any,
) -> Path:
    """Write a table and its sidecar.

    The sidecar is written first, so that a table never stands without its frame and units.

    Parameters
    ----------
    path : Path
        Ends in ``.tsv``; the sidecar ends in ``.json``.
    table : pandas.DataFrame
        NaN and '' become ``n/a``; text is made safe by `tmsprep.text.cell`; p-values (columns 'p'
        and 'p_*') have four significant digits; nullable integers stay whole.
    description : str
        What the table holds.
    columns : mapping
        Descriptions of the columns, of which those in `COLUMNS` need not be repeated.
    **entries : Any
        Further entries of the sidecar, JSON-ready.

    Returns
    -------
    Path
        The table.

    Raises
    ------
    KeyError
        If a column has no description.
    """
    path = Path(path)
    known = {**COLUMNS, **columns}
    content = {
        'Description': description,
        **(FRAME if {'x', 'y', 'z'} <= set(table.columns) else {}),
        'SoftwareVersion': __version__,
        'Disclaimer': DISCLAIMER,
        **entries,
        **{str(name): known[str(name)] for name in table.columns},
    }
    write_json(path.with_suffix('.json'), content)
    return write_tsv(path, _as_text(table))


def write_or_delete(
    path: Path,
    table: pd.DataFrame | None,
    description: str,
    columns: Mapping[str, Column],
    **entries: Any,
) -> list[Path]:
    """Write a table, or delete that of an earlier run if there is none; list what was written."""
    if table is not None:
        return [write_table(path, table, description, columns, **entries)]
    path.unlink(missing_ok=True)
    path.with_suffix('.json').unlink(missing_ok=True)
    return []


def write_json(path: Path, content: Mapping[str, Any] | Sequence[Any]) -> Path:
    """Write a JSON file, whole or not at all."""
    return write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + '\n')


def narrow(
    table: pd.DataFrame, chosen: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, list[str] | dict[str, list[float] | None]]]:
    """Keep the rows of some targets.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per target of the protocol, with the columns 'label', 'x', 'y' and 'z'.
    chosen : sequence of str
        Labels; empty for all.

    Returns
    -------
    table : pandas.DataFrame
        The rows of the chosen targets.
    entries : dict
        What the sidecar says of it; nothing if all are chosen.
    """
    kept = table['label'].isin(chosen)
    if kept.all() or not len(chosen):
        return table, {}
    others = table[~kept]
    points = others[list('xyz')].to_numpy(np.float64).round(DECIMALS)
    return table[kept].reset_index(drop=True), {
        CHOSEN: table.loc[kept, 'label'].tolist(),
        NOT_CHOSEN: {
            label: point.tolist() if np.isfinite(point).all() else None
            for label, point in zip(others['label'], points, strict=True)
        },
    }


def all_points(path: Path) -> PointSet:
    """Read the points of a table of targets, and those that were not chosen for it.

    Raises
    ------
    ValueError
        If the table is damaged.
    """
    points = read_targets(path)
    others = read_json(path.with_suffix('.json')).get(NOT_CHOSEN, {})
    places = dict(zip(points.labels, points.coordinates, strict=True))
    try:
        for label, place in others.items():
            places[label] = np.array([np.nan] * 3 if place is None else place, np.float64)
        return PointSet(tuple(places), np.array([*places.values()]).reshape(-1, 3))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f'{path}: the entry {NOT_CHOSEN} of its sidecar is damaged') from error


def chosen_labels(sidecar: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the labels that were chosen for a table, by its sidecar; empty for all."""
    labels = sidecar.get(CHOSEN)
    return tuple(map(str, labels)) if isinstance(labels, list) else ()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty if the file is missing, damaged or something else."""
    try:
        content = parse_json(read_text(path))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Convert what the writer of numbers would spoil: p-values, booleans, text, empty cells."""
    table = table.copy()
    for name in table.columns:
        values = table[name]
        if values.dtype == bool:
            table[name] = np.where(values, 'true', 'false')
        elif name == 'p' or str(name).startswith('p_'):
            table[name] = [np.nan if np.isnan(p) else f'{p:.4g}' for p in values]
        elif values.dtype.kind not in 'fiu':
            cells = [cell(v) if isinstance(v, str) else v for v in values]
            table[name] = pd.Series(cells, table.index, dtype=object).replace('', np.nan)
    return table
