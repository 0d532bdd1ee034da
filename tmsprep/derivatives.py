"""The derivatives of one image: tables of targets, and what else its methods write."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tmsprep import __version__
from tmsprep.bids.names import ImageRef, Layout
from tmsprep.disclaimer import disclaimer
from tmsprep.formats.targets_tsv import read_targets
from tmsprep.methods import get_method, methods_of
from tmsprep.methods.base import Method, points_of
from tmsprep.outcome import Outcome
from tmsprep.protocols import Protocol
from tmsprep.tables import COLUMNS, FRAME, Column, column, read_json, write_table

logger = logging.getLogger(__name__)

#: Value of the entity ``desc`` of the table of the raters' consensus.
EXPERT = 'expert'

#: Columns that every table of targets begins with.
FIRST_COLUMNS = ('label', 'hemisphere', 'region', 'x', 'y', 'z', 'status')


def write_outcomes(
    layout: Layout,
    image: ImageRef,
    outcomes: Mapping[str, Outcome],
    protocol: Protocol,
    properties: Mapping[str, Any],
    random_seed: int,
) -> dict[str, Path]:
    """Write the table, the sidecar and the further derivatives of each method of one image.

    Tables of the other methods of the protocol, from earlier runs, stay if they are of the same
    image and targets; their distances from the new points are written again. Otherwise they are
    deleted: they would be wrong points.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    image : ImageRef
        The input; its entities name the outputs.
    outcomes : mapping
        Method to outcome, for those that were run.
    protocol : Protocol
        The targets.
    properties : mapping
        Of the input: 'shape', 'affine', 'sha256'.
    random_seed : int
        Seed of the run.

    Returns
    -------
    dict
        Method that was run to its table.
    """
    delete_outdated(layout, image, protocol, properties['sha256'])
    entries = image_entries(image, protocol, properties, random_seed)
    known = {
        name: outcomes[name] if name in outcomes else _read_outcome(layout, image, name)
        for name in dict.fromkeys([*(m.name for m in methods_of(protocol)), *outcomes])
    }
    everything = {name: outcome for name, outcome in known.items() if outcome is not None}
    tables = {}
    for name, outcome in everything.items():
        method = get_method(name)
        others = [other for other in everything.values() if other is not outcome]
        table = targets_table(method, outcome, others, protocol, properties)
        path = layout.table(image, name)
        if name in outcomes:
            _write_table(path, table, method, {**entries, **_details(outcome)})
            method.write(outcome, image, layout, protocol, entries)
            tables[name] = path
        else:
            _write_table(path, table, method, outcome.details)
    return tables


def targets_table(
    method: Method,
    outcome: Outcome,
    others: Sequence[Outcome],
    protocol: Protocol,
    properties: Mapping[str, Any],
) -> pd.DataFrame:
    """Make the table of one method: one row per target of the protocol, whatever happened.

    Parameters
    ----------
    method : Method
        The method.
    outcome : Outcome
        Of this method.
    others : sequence of Outcome
        Of the other methods, in the order of the protocol.
    protocol : Protocol
        The targets, in order.
    properties : mapping
        Of the input: 'shape' and 'affine'.
    """
    points = points_of(outcome, protocol)
    columns: dict[str, Any] = {
        'label': protocol.labels,
        'hemisphere': [target.hemisphere for target in protocol.targets],
        'region': [target.region for target in protocol.targets],
        **dict(zip('xyz', points.coordinates.T, strict=True)),
        'status': method.status(outcome, others, protocol, properties),
    }
    for name, values in outcome.columns.items():
        columns[name] = np.array(values, dtype=np.float64)
    for other in others:
        columns[f'distance_to_{other.method}_mm'] = points.distance(points_of(other, protocol))
    return pd.DataFrame(columns)


def image_entries(
    image: ImageRef,
    protocol: Protocol,
    properties: Mapping[str, Any],
    random_seed: int | None = None,
) -> dict[str, Any]:
    """Entries of a sidecar: which image the derivative is of, and what it must not be used for."""
    seed = {} if random_seed is None else {'RandomSeed': random_seed}
    return {
        'Protocol': protocol.name,
        'Sources': [image.uri],
        'ReferenceImage': {
            'Path': str(image.relative_path),
            'Shape': list(properties['shape']),
            'Affine': properties['affine'],
            'SHA256': properties['sha256'],
        },
        'SoftwareVersion': __version__,
        **seed,
        'Disclaimer': disclaimer(protocol),
    }


def _details(outcome: Outcome) -> dict[str, Any]:
    failed = outcome.points is None and outcome.error is not None
    error = {'Error': outcome.error['message']} if failed and outcome.error else {}
    return {**outcome.details, **error}


def _write_table(
    path: Path, table: pd.DataFrame, method: Method, entries: Mapping[str, Any]
) -> None:
    columns: dict[str, Column] = {
        **method.columns,
        'status': column('What is known about the point', **method.statuses),
    }
    for name in table.columns:
        if name.startswith('distance_to_'):
            other = get_method(name.removeprefix('distance_to_').removesuffix('_mm'))
            columns[name] = column(f'Distance from the point by {other.title}', 'mm')
    write_table(path, table, method.description, columns, Method=method.name, **entries)


def _read_outcome(layout: Layout, image: ImageRef, method: str) -> Outcome | None:
    """Read the outcome of a method back from its table of an earlier run; None without one."""
    path = layout.table(image, method)
    sidecar = read_json(path.with_suffix('.json'))
    if not (path.is_file() and sidecar):
        return None
    table = pd.read_csv(path, sep='\t', na_values=['n/a'], keep_default_na=False)
    described = {*COLUMNS, *get_method(method).columns} - set(FIRST_COLUMNS)
    columns = {
        name: [None if np.isnan(value) else float(value) for value in table[name]]
        for name in table.columns
        if name in described
    }
    apart = {*table.columns, *FRAME, 'Method', 'Description'}
    details = {key: value for key, value in sidecar.items() if key not in apart}
    return Outcome(method, read_targets(path), columns, details)


def delete_outdated(
    layout: Layout, image: ImageRef, protocol: Protocol, sha256: str
) -> list[Path]:
    """Delete what an earlier run wrote for another image or other targets.

    The image may have been replaced under the same name; then all derivatives of it go, except
    tables that hold already. Or the list of targets has changed under the name of the protocol;
    then its tables and figures go. Tables of other origin are left alone.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    image : ImageRef
        The source.
    protocol : Protocol
        The targets as they are now.
    sha256 : str
        Checksum of the image as it is now.

    Returns
    -------
    list of Path
        The deleted tables.
    """
    names = [*(method.name for method in methods_of(protocol)), EXPERT]
    tables = [path for name in names if is_own_table(path := layout.table(image, name))]
    outdated = [path for path in tables if not _holds(path, protocol, sha256)]
    if not outdated:
        return []
    for path in outdated:
        logger.warning(
            '%s: deleted, because it was of other targets or of another image of the same name',
            path,
        )
    doomed = layout.files(image, 'figures')
    if any(_image_of(path) != sha256 for path in outdated):
        kept = {*tables, *(path.with_suffix('.json') for path in tables)}
        doomed += [path for path in layout.files(image) if path not in kept]
    # The tables last: if this is interrupted, the next run finds them.
    for path in (*doomed, *outdated, *(path.with_suffix('.json') for path in outdated)):
        path.unlink(missing_ok=True)
    return outdated


def is_own_table(path: Path) -> bool:
    """Tell whether this package has written a table, by its sidecar."""
    return path.is_file() and 'SoftwareVersion' in read_json(path.with_suffix('.json'))


def _image_of(table: Path) -> str:
    """Checksum of the image that a table is of, by its sidecar."""
    return str(read_json(table.with_suffix('.json')).get('ReferenceImage', {}).get('SHA256', ''))


def _holds(path: Path, protocol: Protocol, sha256: str) -> bool:
    try:
        labels = read_targets(path).labels
    except ValueError:
        return False
    return _image_of(path) == sha256 and labels == protocol.labels


def write_experts(
    layout: Layout,
    image: ImageRef,
    table: pd.DataFrame,
    protocol: Protocol,
    properties: Mapping[str, Any],
    columns: Mapping[str, Column],
    **entries: Any,
) -> Path:
    """Write the table of the raters' consensus on one image.

    Parameters
    ----------
    layout : Layout
        Names of the outputs.
    image : ImageRef
        The source.
    table : pandas.DataFrame
        One row per target.
    protocol : Protocol
        The targets.
    properties : mapping
        Of the image: 'shape', 'affine', 'sha256'.
    columns : mapping
        Descriptions of the columns beyond `tmsprep.tables.COLUMNS`.
    **entries : Any
        Entries of the sidecar, such as the raters.
    """
    return write_table(
        layout.table(image, EXPERT),
        table,
        'Consensus of the raters of this image (Baxter et al. 2021, section 2.1)',
        columns,
        **{'Method': EXPERT, **image_entries(image, protocol, properties), **entries},
    )
