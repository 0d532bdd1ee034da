"""The table of points given in a template, carried into one image."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives.earlier import POINTS, is_own_table, source_sha256
from tmsprep.derivatives.tables import find_way, image_entries
from tmsprep.evaluation.status import (
    STATUSES,
    UNUSABLE,
    near_edge,
    outside_field_of_view,
)
from tmsprep.evaluation.template import MNI, mni_columns, words_of
from tmsprep.formats.targets_tsv import read_targets
from tmsprep.gyri.judge import place_points
from tmsprep.gyri.probabilities import Parcellation
from tmsprep.imaging.cortex import nearest_grey_matter
from tmsprep.methods.base import points_of
from tmsprep.outcome import INPUTS, Outcome
from tmsprep.own_points import OwnPoints
from tmsprep.points import PointSet
from tmsprep.protocols.protocol import RESERVED, Protocol, Target
from tmsprep.scalp.measure import SIDECAR_KEY, needs_scalp
from tmsprep.scalp.outcomes import measure_scalp
from tmsprep.tables import COIL_COLUMNS, Column, column, read_json, write_table
from tmsprep.template import SPACES, TemplateMap, between, template_of

logger = logging.getLogger(__name__)

#: A point is moved to grey matter at most this far. Published means of groups lie up to 6 mm from
#: it in the default atlas (its table has the shifts); to this come errors of the registration.
SNAP_MM = 10.0

#: A point this near to the midline of the template belongs to neither side, and may cross it.
MIDLINE_MM = 3.0

#: Every status of the table, with its meaning.
POINT_STATUSES = {
    **{
        name: STATUSES[name]
        for name in ('ok', 'outside_image', 'unreliable', 'near_edge', 'failed')
    },
    'off_cortex': f'found, but not moved, as no grey matter was found within {SNAP_MM:g} mm',
}

_REGION = 'given point'
_DESCRIPTION = 'Points given in a template, carried into the image by its registration'


def write_point_table(
    own: OwnPoints | None,
    outcomes: Mapping[str, Outcome],
    layout: Layout,
    image: ImageRef,
    protocol: Protocol,
    properties: Mapping[str, Any],
    conformed: Path,
    random_seed: int,
) -> Path | None:
    """Write the table `POINTS` of one image, or delete that of an earlier run if it is outdated.

    Parameters
    ----------
    own : OwnPoints or None
        The points; None if this run has none.
    outcomes : mapping
        Method to outcome, for those that were run.
    layout : Layout
        Names of the outputs.
    image : ImageRef
        The source.
    protocol : Protocol
        The targets.
    properties : mapping
        Of the image: 'shape', 'affine', 'sha256', 'doubts'.
    conformed : Path
        The image with voxels of 1 mm.
    random_seed : int
        Seed of the run.

    Returns
    -------
    Path or None
        The table, if this run has points.
    """
    path = layout.table(image, POINTS)
    if own is None:
        if not _holds(path, outcomes, properties['sha256']):
            logger.warning('%s: deleted, as the image or its registration has changed', path)
            delete_points(layout, image, protocol)
        return None
    delete_points(layout, image, protocol)
    way = find_way(outcomes, image, layout, properties['sha256'], doubtful=True)
    space = template_of(protocol) or (way.space if way else own.space)
    table = point_table(own, way, outcomes, properties, conformed, space)
    if way and 'gyri' in outcomes[way.method].files:
        table = add_gyri(table, Parcellation.load(Path(outcomes[way.method].files['gyri'])))
    coil: dict[str, Any] = {}
    if way and needs_scalp(protocol):
        table, coil = add_coil(table, outcomes[way.method], conformed, properties, protocol)
    words = words_of(way, space) if way else ''
    entries: dict[str, Any] = {
        'Method': POINTS,
        **image_entries(image, protocol, properties, random_seed),
        'PointSpace': {'Name': own.space, 'Accuracy': SPACES[own.space].accuracy},
        'MNI': {'Space': space, 'Mapping': words, 'Estimated': False},
        **coil,
        INPUTS: own.inputs(_inputs(outcomes, way.method) if way else {}),
    }
    if way:
        entries['Localizer'] = way.method
    if own.snap:
        entries['SnapToCortex'] = {'LargestShift': SNAP_MM, 'Units': 'mm'}
    return write_table(path, table, _DESCRIPTION, _columns(own, space, words), **entries)


def point_table(
    own: OwnPoints,
    way: TemplateMap | None,
    outcomes: Mapping[str, Outcome],
    properties: Mapping[str, Any],
    conformed: Path,
    space: str,
) -> pd.DataFrame:
    """Carry points into an image, move them to the cortex if asked, and judge them.

    Parameters
    ----------
    own : OwnPoints
        The points.
    way : TemplateMap or None
        Registration of the image; None if it failed.
    outcomes, properties, conformed
        As for `write_point_table`. File 'mask' of the outcome of the registration is the brain on
        the grid of `conformed`.
    space : str
        Template space of the columns `MNI`.
    """
    labels = tuple(own.places)
    given = np.array(list(own.places.values()), dtype=np.float64)
    nothing = np.full((len(labels), 3), np.nan)
    points, template, shift = nothing, nothing, np.full(len(labels), np.nan)
    statuses = ['failed'] * len(labels)
    if way is not None:
        template = between(given, own.space, way.space)
        points, template, shift, off = _carry(template, way, outcomes, conformed, own.snap)
        statuses = _statuses(PointSet(labels, points), way, outcomes, properties, off)
        template = between(template, way.space, space)
    template = np.where(np.isin(statuses, list(UNUSABLE))[:, None], np.nan, template)
    return pd.DataFrame(
        {
            'label': labels,
            'hemisphere': [_side(x) for x in given[:, 0]],
            'region': _REGION,
            **dict(zip('xyz', points.T, strict=True)),
            'status': statuses,
            **dict(zip(MNI, template.T, strict=True)),
            **dict(zip(('given_x', 'given_y', 'given_z'), given.T, strict=True)),
            'snap_mm': shift,
        }
    )


def add_gyri(table: pd.DataFrame, parcellation: Parcellation) -> pd.DataFrame:
    """Add the gyri that the points lie in; in which they should lie, nobody has said.

    Parameters
    ----------
    table : pandas.DataFrame
        Result of `point_table`.
    parcellation : Parcellation
        Of the image.

    Returns
    -------
    pandas.DataFrame
        With the columns 'gyrus' and 'crown_depth_mm' after the status.
    """
    points = table[['x', 'y', 'z']].to_numpy(dtype=np.float64)
    places = place_points(parcellation, points, [('', '')] * len(points))
    where = table.columns.get_loc('status')
    columns = {
        'gyrus': [place.name for place in places],
        'crown_depth_mm': [place.depth_mm for place in places],
    }
    before, after = table.iloc[:, : where + 1], table.iloc[:, where + 1 :]
    return pd.concat([before.assign(**columns), after], axis=1)


def add_coil(
    table: pd.DataFrame,
    outcome: Outcome,
    conformed: Path,
    properties: Mapping[str, Any],
    protocol: Protocol,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Add the scalp over the points, as for the targets, which tell how the head lies.

    Parameters
    ----------
    table : pandas.DataFrame
        Result of `point_table`.
    outcome : Outcome
        Of the method that registered the image.
    conformed, properties, protocol
        As for `write_point_table`.

    Returns
    -------
    table : pandas.DataFrame
        With the columns `COIL_COLUMNS`.
    entries : dict
        Of the sidecar.
    """
    rows = zip(table['label'], table['hemisphere'], strict=True)
    own = tuple(Target(label, side, _REGION, 'given by the user') for label, side in rows)
    every = replace(protocol, targets=(*protocol.targets, *own))
    places = table[['x', 'y', 'z']].to_numpy(dtype=np.float64, copy=True)
    places[table['status'].isin(UNUSABLE).to_numpy()] = np.nan
    targets = points_of(outcome, protocol)
    points = PointSet(every.labels, np.concatenate([targets.coordinates, places]))
    given = {'': Outcome(outcome.method, points, unreliable=outcome.unreliable)}
    found = measure_scalp(given, conformed, properties, every).outcomes(given, every)['']
    columns = {name: found.columns[name][-len(table) :] for name in COIL_COLUMNS}
    scalp = dict(found.details[SIDECAR_KEY])
    for key in ('Missing', 'Unusual'):
        if kept := {k: v for k, v in scalp.pop(key, {}).items() if k in set(table['label'])}:
            scalp[key] = kept
    scalp['Handle'] = {}
    # They are told beside the targets.
    scalp.pop('TenTwenty', None)
    columns_of_numbers = {name: np.array(v, dtype=np.float64) for name, v in columns.items()}
    return table.assign(**columns_of_numbers), {SIDECAR_KEY: scalp}


def _carry(
    template: np.ndarray,
    way: TemplateMap,
    outcomes: Mapping[str, Outcome],
    conformed: Path,
    snap: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return points in the image, in the template, their shifts, and which are off the cortex."""
    midline = template * [0.0, 1.0, 1.0]
    both = way.from_template(np.concatenate([template, midline]))
    points, middle = np.split(both, 2)
    shift, off = np.full(len(points), np.nan), np.zeros(len(points), bool)
    mask = outcomes[way.method].files.get('mask')
    if not snap or mask is None:
        return points, template, shift, off | snap
    across = np.stack([middle, points - middle], axis=1)
    across[np.abs(template[:, 0]) < MIDLINE_MM] = np.nan
    image = nib.Nifti1Image.from_filename(conformed)
    brain = np.asarray(nib.Nifti1Image.from_filename(mask).dataobj)
    cortex = nearest_grey_matter(
        points, np.asarray(image.dataobj), brain, image.affine, SNAP_MM, across
    )
    off = np.isnan(cortex).any(axis=1)
    cortex = np.where(off[:, None], points, cortex)
    shift = np.where(off, np.nan, np.linalg.norm(cortex - points, axis=1))
    if (shift > 0).any():
        template = template.copy()
        template[shift > 0] = way.to_template(cortex[shift > 0])
    return cortex, template, shift, off


def _statuses(
    points: PointSet,
    way: TemplateMap,
    outcomes: Mapping[str, Outcome],
    properties: Mapping[str, Any],
    off: np.ndarray,
) -> list[str]:
    """Judge every point; the first that applies."""
    shape, affine = tuple(properties['shape']), np.array(properties['affine'])
    doubtful = any(outcome.refused for outcome in outcomes.values()) or properties.get('doubts')
    findings = (
        ('outside_image', outside_field_of_view(points, shape, affine)),
        ('unreliable', _near_unreliable(points, outcomes[way.method]) | bool(doubtful)),
        ('near_edge', near_edge(points, shape, affine)),
        ('off_cortex', off),
    )
    return [
        next((status for status, flags in findings if flags[i]), 'ok') for i in range(len(points))
    ]


def _near_unreliable(points: PointSet, outcome: Outcome) -> np.ndarray:
    """Tell which points are nearest to a target that is not to be relied on; shape (n,)."""
    targets = outcome.points
    if targets is None or not targets.found.any():
        return np.ones(len(points), bool)
    places = targets.coordinates[targets.found]
    bad = np.isin(np.array(targets.labels)[targets.found], outcome.unreliable)
    distances = np.linalg.norm(points.coordinates[:, None] - places, axis=-1)
    return bad[distances.argmin(axis=1)]


def _side(x: float) -> str:
    return 'n/a' if abs(x) < MIDLINE_MM else 'L' if x < 0 else 'R'


def _columns(own: OwnPoints, space: str, words: str) -> dict[str, Column]:
    where = ('towards the right', 'towards the front', 'towards the top')
    return {
        **mni_columns(space, words),
        'label': column('Name of the point, as the user gave it'),
        'status': column('What is known about the point', **POINT_STATUSES),
        **{
            f'given_{axis}': column(f'Position as given, in {own.space}, {text}', 'mm')
            for axis, text in zip('xyz', where, strict=True)
        },
        'snap_mm': column(
            'How far the point was moved to the nearest grey matter: 0 if it lay in it, n/a if it '
            'was not to be moved, or there is none near',
            'mm',
        ),
    }


def _inputs(outcomes: Mapping[str, Outcome], method: str) -> Mapping[str, Any]:
    inputs = outcomes[method].details.get(INPUTS)
    return inputs if isinstance(inputs, dict) else {}


def _holds(path: Path, outcomes: Mapping[str, Outcome], sha256: str) -> bool:
    """Tell whether a table of an earlier run, if there is one, may stay without being renewed."""
    if not is_own_table(path):
        return True
    sidecar = read_json(path.with_suffix('.json'))
    method = str(sidecar.get('Localizer', ''))
    if source_sha256(path) != sha256:
        return False
    if method not in outcomes:
        return True
    noted = sidecar.get(INPUTS)
    registration = noted.get('Registration') if isinstance(noted, dict) else None
    return registration == OwnPoints({}, '').inputs(_inputs(outcomes, method))['Registration']


def delete_points(layout: Layout, image: ImageRef, protocol: Protocol) -> None:
    """Delete the table of an earlier run, and the figures of its points."""
    path = layout.table(image, POINTS)
    if not is_own_table(path):
        return
    # Whoever wrote the table, no other figure is deleted.
    kept = {layout.figure(image, name) for name in (*protocol.labels, *RESERVED)}
    figures = set(layout.files(image, 'figures')) - kept
    try:
        labels = set(read_targets(path).labels)
    except ValueError:
        labels = set()
    doomed = [figure for figure in figures if _desc(figure) in labels]
    for file in (*doomed, path, path.with_suffix('.json')):
        file.unlink(missing_ok=True)


def _desc(figure: Path) -> str:
    return figure.name.rpartition('_desc-')[2].removesuffix('_T1w.svg')
