"""Write the tables of targets of one image, and what else its methods write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tmsprep import __version__
from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives.earlier import DOUBTS, EXPERT, read_outcome
from tmsprep.derivatives.gyri import write_gyri
from tmsprep.derivatives.outdated import delete_outdated
from tmsprep.disclaimer import disclaimer
from tmsprep.evaluation.status import RADIUS, UNUSABLE
from tmsprep.evaluation.template import add_mni, mni_columns
from tmsprep.methods import get_method, methods_of
from tmsprep.methods.base import Method, points_of
from tmsprep.outcome import Outcome
from tmsprep.protocols import Protocol
from tmsprep.tables import (
    COIL_COLUMNS,
    Column,
    chosen_labels,
    column,
    narrow,
    write_table,
)
from tmsprep.template import TemplateMap
from tmsprep.text import shown, without_folders


def write_outcomes(
    layout: Layout,
    image: ImageRef,
    outcomes: Mapping[str, Outcome],
    protocol: Protocol,
    properties: Mapping[str, Any],
    random_seed: int,
    chosen: Sequence[str] = (),
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
    chosen : sequence of str
        Labels of the targets that the tables list; empty for all. What is said of them does not
        depend on it.

    Returns
    -------
    dict
        Method that was run to its table.
    """
    delete_outdated(layout, image, protocol, properties['sha256'])
    entries = image_entries(image, protocol, properties, random_seed)
    known = {
        name: outcomes[name] if name in outcomes else read_outcome(layout, image, name, protocol)
        for name in dict.fromkeys([*(m.name for m in methods_of(protocol)), *outcomes])
    }
    everything = {name: outcome for name, outcome in known.items() if outcome is not None}
    tables = {}
    for name, outcome in everything.items():
        others = [other for other in everything.values() if other is not outcome]
        tables[name] = targets_table(get_method(name), outcome, others, protocol, properties)
    mni = add_mni(tables, protocol, find_way(everything, image, layout, properties['sha256']))
    written = {}
    for name, outcome in everything.items():
        method, path = get_method(name), layout.table(image, name)
        further = {'MNI': mni[name]} if name in mni else {}
        if name in outcomes:
            rows, narrowed = narrow(tables[name], chosen)
            made_of = {**entries, 'Sources': [*entries['Sources'], *reused_files(outcome)]}
            entered = {**made_of, **_details(outcome), **further, **narrowed}
            _write_table(path, rows, method, entered)
            method.write(outcome, image, layout, protocol, entries)
            written[name] = path
        else:
            # As many targets as the run that located them had chosen.
            rows, narrowed = narrow(tables[name], chosen_labels(outcome.details))
            _write_table(path, rows, method, {**outcome.details, **further, **narrowed})
    write_gyri(outcomes, image, layout, entries)
    return written


def find_way(
    outcomes: Mapping[str, Outcome],
    image: ImageRef,
    layout: Layout,
    sha256: str,
    *,
    doubtful: bool = False,
) -> TemplateMap | None:
    """Find the way between an image and a template that a method offers.

    Parameters
    ----------
    outcomes : mapping
        Method to its outcome, of this run or an earlier one.
    image, layout, sha256
        As for `Method.template_map`.
    doubtful : bool
        Whether that of a method none of whose own points can be relied on is good enough.
    """
    for name, outcome in outcomes.items():
        way = get_method(name).template_map(outcome, image, layout, sha256)
        if way is not None and (doubtful or _is_reliable(outcome)):
            return way
    return None


def _is_reliable(outcome: Outcome) -> bool:
    """Tell whether any point of an outcome may be relied on."""
    if outcome.points is None:
        return False
    found = np.array(outcome.points.labels)[outcome.points.found]
    return not set(found.tolist()) <= set(outcome.unreliable)


def reused_files(outcome: Outcome) -> list[str]:
    """BIDS URIs of what a method took from ``--derivatives``, by its entry 'Reused'."""
    taken = outcome.details.get('Reused', [])
    return list(dict.fromkeys(str(entry['File']) for entry in taken))


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
    columns.update(outcome.words)
    for name, values in outcome.columns.items():
        columns[name] = np.array(values, dtype=np.float64)
    if RADIUS in columns:
        # Nothing is promised for a point with a warning: the calibration has no such points.
        columns[RADIUS][np.array(columns['status']) != 'ok'] = np.nan
    # Nobody should lay a coil over a point that must not be used.
    for name in set(COIL_COLUMNS) & set(columns):
        columns[name][np.isin(columns['status'], list(UNUSABLE))] = np.nan
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
    findings = properties.get('findings', [])
    return {
        'Protocol': protocol.name,
        'Sources': [image.uri],
        'ReferenceImage': {
            'Path': str(image.relative_path),
            'Shape': list(properties['shape']),
            'Affine': properties['affine'],
            **properties.get('forms', {}),
            'SHA256': properties['sha256'],
        },
        **({'ImageFindings': list(findings)} if findings else {}),
        'SoftwareVersion': __version__,
        **seed,
        'Disclaimer': disclaimer(protocol),
    }


def _details(outcome: Outcome) -> dict[str, Any]:
    failed = outcome.points is None and outcome.error is not None
    # Sidecars are shared; the error record has the whole paths.
    message = without_folders(shown(outcome.error['message'])) if outcome.error else ''
    error = {'Error': message} if failed else {}
    findings = {'Findings': outcome.findings} if outcome.findings else {}
    doubts = {'Unreliable': outcome.unreliable} if outcome.unreliable else {}
    gyri = {entry: outcome.doubts[key] for key, entry in DOUBTS.items() if key in outcome.doubts}
    refused = {'Refused': True} if outcome.refused else {}
    return {**outcome.details, **error, **refused, **findings, **doubts, **gyri}


def _write_table(
    path: Path, table: pd.DataFrame, method: Method, entries: Mapping[str, Any]
) -> None:
    mni = entries.get('MNI')
    columns: dict[str, Column] = {
        **(mni_columns(mni['Space'], mni['Mapping']) if mni else {}),
        **method.columns,
        'status': column('What is known about the point', **method.statuses),
    }
    for name in table.columns:
        if name.startswith('distance_to_'):
            other = get_method(name.removeprefix('distance_to_').removesuffix('_mm'))
            columns[name] = column(f'Distance from the point by {other.title}', 'mm')
    write_table(path, table, method.description, columns, Method=method.name, **entries)


def write_experts(
    layout: Layout,
    image: ImageRef,
    table: pd.DataFrame,
    protocol: Protocol,
    properties: Mapping[str, Any],
    columns: Mapping[str, Column],
    chosen: Sequence[str] = (),
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
    chosen : sequence of str
        As for `write_outcomes`.
    **entries : Any
        Entries of the sidecar, such as the raters.
    """
    rows, narrowed = narrow(table, chosen)
    return write_table(
        layout.table(image, EXPERT),
        rows,
        'Consensus of the raters of this image (Baxter et al. 2021, section 2.1)',
        columns,
        **{'Method': EXPERT, **image_entries(image, protocol, properties), **narrowed, **entries},
    )
