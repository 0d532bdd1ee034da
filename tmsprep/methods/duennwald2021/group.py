"""Group level of the locus coeruleus: accuracy in cross-validation and at participant level."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.evaluation.errors import CROSSVAL as CROSSVAL_PREFIX
from tmsprep.evaluation.errors import RATER
from tmsprep.group.analysis import Group, GroupRequest, GroupResult, common_settings
from tmsprep.group.collect import refuse_nothing
from tmsprep.group.derivatives import Derivatives, read_derivatives
from tmsprep.group.issues import (
    Issue,
    errors_by_subject,
    known_participants,
    participants_table,
    participants_without,
)
from tmsprep.group.points import COLUMNS as GROUP_POINTS
from tmsprep.group.points import in_order
from tmsprep.methods.duennwald2021.group_measured import (
    CROSSVAL,
    PARTICIPANT,
    Measured,
    measure_crossval,
    measure_participants,
)
from tmsprep.methods.duennwald2021.group_tables import COLUMNS, DESCRIPTIONS, all_tables
from tmsprep.methods.duennwald2021.masks import find_masks


def collect_group(request: GroupRequest, method: str) -> Group:
    """Compare the outputs of crossval and participant with the masks of one rater.

    Parameters
    ----------
    request : GroupRequest
        What is compared.
    method : str
        Name of the method that localises.

    Returns
    -------
    Group
        `extra` holds the level, 'crossval' or 'participant', to what was measured there.

    Raises
    ------
    tmsprep.bids.BidsError
        If there is nothing to compare, or a chosen participant is unknown.
    """
    layout, protocol, wanted = request.layout, request.protocol, request.participants
    derivatives = read_derivatives(layout, request.bids_dir, protocol, [method], wanted)
    masks, issues = _masks(request, derivatives)
    issues += derivatives.issues
    measured = {CROSSVAL: measure_crossval(layout, wanted)}
    raters: tuple[str, ...] = ()
    if masks and request.annotations is not None:
        raters = (request.annotations.name,)
        measured[PARTICIPANT] = measure_participants(derivatives, masks, layout, protocol)
    issues += [issue for given in measured.values() for issue in given.issues]
    measured = {level: given for level, given in measured.items() if len(given.points)}
    tables = [generic_points(given.points, method, raters) for given in measured.values()]
    points = in_order(tables, protocol.labels, request.names)
    cure = (
        f'Run crossval --protocol {protocol.name} --annotations DIR first; or participant, and '
        'then group with --annotations DIR, the masks of one rater'
    )
    refuse_nothing(layout, points, issues, cure)
    roles = {name for given in measured.values() for name in given.roles}
    named = {name.removeprefix('sub-') for name in (*roles, *points['participant_id'])}
    participants = known_participants(request.bids_dir, layout.out_dir, named, wanted)
    message = 'is in the data set, but in no table: without mask or points, or not run'
    issues += participants_without(participants, named | set(errors_by_subject(issues)), message)
    return Group(request, points, participants, issues, raters, extra=measured)


def _masks(
    request: GroupRequest, derivatives: Derivatives
) -> tuple[dict[str, tuple[Path, ...]], list[Issue]]:
    """Find the masks of the images with outputs: name of an image to its files."""
    if request.annotations is None:
        message = (
            'outputs of the participant level are not compared: give the masks of one rater by '
            '--annotations DIR'
        )
        return {}, [Issue('', message, 'note')] if derivatives.images else []
    if not derivatives.images:
        message = 'no outputs of the participant level, so --annotations are compared with nothing'
        return {}, [Issue('', message, 'note')]
    found = find_masks(derivatives.images, request.annotations)
    issues = [Issue(label, text) for label, texts in found.problems.items() for text in texts]
    issues += [Issue('', note, 'note') for note in found.notes]
    return {files.image.stem: files.paths for files in found.masks}, issues


def generic_points(points: pd.DataFrame, method: str, raters: tuple[str, ...]) -> pd.DataFrame:
    """Turn measured points, and the reference of a rater, into those of every group."""
    ways = points['augmentation']
    found = points.rename(columns={'participant': 'participant_id', 'fold': 'repetition'}).assign(
        method=np.where(ways.isna(), method, CROSSVAL_PREFIX + ways.astype(str)),
        dispersion_mm=np.nan,
    )
    reference = found[ways.isna()]
    parts = [found[list(GROUP_POINTS)]]
    for rater in raters:
        places = {axis: reference[f'reference_{axis}'] for axis in 'xyz'}
        given = reference.assign(method=RATER + rater, status='given', **places)
        parts.append(given[list(GROUP_POINTS)])
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def analyse_group(group: Group) -> GroupResult:
    """Make the tables of Duennwald et al. 2021 from what `collect_group` measured."""
    request = group.request
    measured: Mapping[str, Measured] = group.extra
    voxel_mm = request.protocol.voxel_mm
    tables = all_tables(measured, voxel_mm, request.random_seed)
    tables['participants'] = _participants(group, measured)
    settings = {**common_settings(group), 'VoxelSize': voxel_mm}
    if CROSSVAL in measured:
        own = ('Description', 'SoftwareVersion', 'Disclaimer')
        given = measured[CROSSVAL].settings
        settings['CrossValidation'] = {k: v for k, v in given.items() if k not in own}
    return GroupResult(group, tables, DESCRIPTIONS, COLUMNS, settings)


def _participants(group: Group, measured: Mapping[str, Measured]) -> pd.DataFrame:
    """Make the table of participants, with the role of each and its number of known errors."""
    roles = {name: role for given in measured.values() for name, role in given.roles.items()}
    trained = dict.fromkeys(roles, 'trained on')
    table = participants_table(group.points, group.participants, group.issues, trained)
    counts = pd.concat(
        [given.points.dropna(subset=['x', 'reference_x']) for given in measured.values()]
        or [pd.DataFrame(columns=['participant'])]
    )['participant'].value_counts()
    names = table['participant_id']
    table.insert(1, 'role', [roles.get(name, '') for name in names])
    table.insert(2, 'points', [int(counts.get(name, 0)) for name in names])
    return table
