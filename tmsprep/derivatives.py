"""Tables of targets and their sidecars, as files."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tmsprep import __version__
from tmsprep.atomic import write_text
from tmsprep.bids.names import ImageRef, derivative_path
from tmsprep.disclaimer import DISCLAIMER
from tmsprep.evaluation.status import STATUSES, point_status
from tmsprep.formats.targets_tsv import read_targets, write_table
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

logger = logging.getLogger(__name__)

DESCRIPTIONS = {
    'cnn': 'Targets by a multi-resolution convolutional network (Baxter et al. 2021)',
    'syn': 'Targets of an annotated atlas, moved by SyN registration (Avants et al. 2008)',
}

COLUMNS: dict[str, dict[str, Any]] = {
    'label': {'Description': 'Name of the target'},
    'hemisphere': {'Description': 'Side of the brain', 'Levels': {'L': 'left', 'R': 'right'}},
    'region': {'Description': 'Brain region'},
    'x': {'Description': 'Position towards the right', 'Units': 'mm'},
    'y': {'Description': 'Position towards the front', 'Units': 'mm'},
    'z': {'Description': 'Position towards the top', 'Units': 'mm'},
    'status': {'Description': 'What is known about the point', 'Levels': STATUSES},
    'dispersion_mm': {
        'Description': 'Mean distance of the networks of the ensemble from their mean (Baxter et '
        'al. 2021, equation 3). Compare it between ensembles of the same size only',
        'Units': 'mm',
    },
    'error90_mm': {
        'Description': 'Radius of a ball around the point. For 9 of 10 new people it holds the '
        'reference point. This was measured on the people of the calibration, and is valid for '
        'images like theirs: nothing is promised for other scanners, contrasts or patients. With '
        'the weights that come with tmsprep the reference points are made by rule, not by human '
        'experts, so it is not the distance from where a stimulation works',
        'Units': 'mm',
    },
    'distance_to_cnn_mm': {'Description': 'Distance from the point by the CNN', 'Units': 'mm'},
    'distance_to_syn_mm': {'Description': 'Distance from the point by SyN', 'Units': 'mm'},
}
"""Every column that a table of targets can have, for its sidecar."""


def targets_table(
    outcome: Outcome,
    other: Outcome | None,
    protocol: Protocol,
    shape: tuple[int, ...],
    affine: np.ndarray,
) -> pd.DataFrame:
    """One row per target of the protocol, whatever happened.

    Parameters
    ----------
    outcome, other : Outcome
        Of this method and, if it was asked for, of the other.
    protocol : Protocol
        The targets, in order.
    shape, affine : tuple of int, numpy.ndarray
        Of the input image.
    """
    points = _points(outcome, protocol)
    counterpart = None if other is None else _points(other, protocol)
    coordinates = points.coordinates
    table = pd.DataFrame(
        {
            'label': protocol.labels,
            'hemisphere': [target.hemisphere for target in protocol.targets],
            'region': [target.region for target in protocol.targets],
            'x': coordinates[:, 0],
            'y': coordinates[:, 1],
            'z': coordinates[:, 2],
            'status': point_status(points, counterpart, protocol, shape, affine),
        }
    )
    for name, values in outcome.columns.items():
        table[name] = np.array(values, dtype=np.float64)
    if counterpart is not None:
        table[f'distance_to_{other.method}_mm'] = points.distance(counterpart)
    return table


def targets_sidecar(
    outcome: Outcome,
    image: ImageRef,
    properties: Mapping[str, Any],
    columns: list[str],
    random_seed: int,
) -> dict[str, Any]:
    """Say what the table's numbers mean, which image they refer to, and how they were made."""
    sidecar = {
        'Method': outcome.method,
        'Description': DESCRIPTIONS[outcome.method],
        **image_entries(image, properties, random_seed),
        **outcome.details,
    }
    if outcome.error is not None:
        sidecar['Error'] = outcome.error['message']
    return {**sidecar, **{name: COLUMNS[name] for name in columns}}


def image_entries(
    image: ImageRef, properties: Mapping[str, Any], random_seed: int
) -> dict[str, Any]:
    """Say which image and frame a table refers to, and what it must not be used for."""
    return {
        'CoordinateSystem': 'scanner, RAS+',
        'CoordinateSystemDescription': 'The world frame of the NIfTI image named below, as given '
        'by its affine: x to the right, y to the front, z to the top',
        'CoordinateUnits': 'mm',
        'Sources': [image.uri],
        'ReferenceImage': {
            'Path': str(image.relative_path),
            'Shape': list(properties['shape']),
            'Affine': properties['affine'],
            'SHA256': properties['sha256'],
        },
        'SoftwareVersion': __version__,
        'RandomSeed': random_seed,
        'Disclaimer': DISCLAIMER,
    }


def write_targets(
    out_dir: Path,
    image: ImageRef,
    outcomes: Mapping[str, Outcome],
    protocol: Protocol,
    properties: Mapping[str, Any],
    random_seed: int,
) -> list[Path]:
    """Write the table and the sidecar of each method of one T1w.

    Parameters
    ----------
    out_dir : Path
        Folder of all derivatives.
    image : ImageRef
        The input; its entities name the outputs.
    outcomes : Mapping
        Method to outcome, for those that were asked for.
    protocol : Protocol
        The targets.
    properties : Mapping
        Of the input: 'shape', 'affine', 'sha256'.
    random_seed : int
        Of the run.

    Returns
    -------
    list of Path
        Table and sidecar of each method.
    """
    earlier = earlier_outcomes(out_dir, image, set(DESCRIPTIONS) - set(outcomes), properties)
    everything = {**outcomes, **earlier}
    written = []
    for method, outcome in everything.items():
        other = next((o for name, o in everything.items() if name != method), None)
        table = targets_table(
            outcome, other, protocol, tuple(properties['shape']), np.array(properties['affine'])
        )
        path = _table_path(out_dir, image, method)
        if method in outcomes:
            sidecar = targets_sidecar(outcome, image, properties, list(table.columns), random_seed)
            # The sidecar first: a table never stands without its frame.
            written.append(write_json(path.with_suffix('.json'), sidecar))
            written.append(write_table(path, table))
        else:
            write_table(path, table)
    return written


def earlier_outcomes(
    out_dir: Path, image: ImageRef, methods: Iterable[str], properties: Mapping[str, Any]
) -> dict[str, Outcome]:
    """Take up the tables that earlier runs wrote of methods that this one does not run.

    They stay if they are of the same image, and their distances to the new points are written
    anew. Of another image under the same name they are deleted: they would be wrong points.

    Parameters
    ----------
    out_dir, image : Path, ImageRef
        Whose tables.
    methods : iterable of str
        Those that are not run.
    properties : Mapping
        Of the image as it is now.
    """
    found = {}
    for method in methods:
        path = _table_path(out_dir, image, method)
        sidecar = path.with_suffix('.json')
        if not (path.is_file() and sidecar.is_file()):
            continue
        reference = json.loads(sidecar.read_text(encoding='utf-8')).get('ReferenceImage', {})
        if reference.get('SHA256') != properties['sha256']:
            logger.warning('%s: deleted, as it was of another image of the same name', path)
            path.unlink()
            sidecar.unlink()
            continue
        table = pd.read_csv(path, sep='\t', na_values=['n/a'])
        columns = {
            name: [None if np.isnan(value) else value for value in table[name]]
            for name in table.columns
            if name in COLUMNS and name.endswith('_mm') and not name.startswith('distance')
        }
        found[method] = Outcome(method, read_targets(path), columns)
    return found


def _table_path(out_dir: Path, image: ImageRef, method: str) -> Path:
    return derivative_path(out_dir, image, desc=method, suffix='targets', extension='.tsv')


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write a sidecar, whole or not at all."""
    return write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + '\n')


def _points(outcome: Outcome, protocol: Protocol) -> PointSet:
    if outcome.points is None:
        return PointSet.from_mapping({}, protocol.labels)
    return outcome.points.reindex(protocol.labels)
