"""The comparison of any methods and raters: distances from each other and from the consensus."""

from __future__ import annotations

import pandas as pd

from tmsprep.evaluation.agreement import agreement_table
from tmsprep.evaluation.cohort import COLUMNS as COHORT_COLUMNS
from tmsprep.evaluation.comparisons import target_rows
from tmsprep.evaluation.errors import errors_against_consensus
from tmsprep.evaluation.membership import COLUMNS as GYRUS_COLUMNS
from tmsprep.evaluation.membership import DISTANCE, membership_table
from tmsprep.evaluation.offsets import OFFSET
from tmsprep.evaluation.offsets import STATUSES as OFFSET_STATUSES
from tmsprep.evaluation.template import ESTIMATED, MNI_FROM, mni_columns
from tmsprep.group.analysis import Group, GroupResult, common_settings
from tmsprep.group.cohort import DECISION_COLUMN, table_of_cohort
from tmsprep.group.crossval import STATUSES as CROSSVAL_STATUSES
from tmsprep.group.gyri import with_gyri
from tmsprep.group.issues import COLUMNS as PARTICIPANT_COLUMNS
from tmsprep.group.issues import participants_table
from tmsprep.group.points import AGREEMENT_COLUMNS, STATED_COLUMNS
from tmsprep.group.points import STATUSES as CONSENSUS_STATUSES
from tmsprep.group.raters import STATUSES as RATER_STATUSES
from tmsprep.group.template import template_points
from tmsprep.tables import Column, column
from tmsprep.template import template_of

#: Tables of `compare_group`, in the order of writing.
DESCRIPTIONS = {
    'targets': 'Every point of every participant, image, target and method',
    'participants': 'Participants of the group, and what is missing or wrong',
    'cohort': 'Recommended point of every image and target against those of the other images',
    'agreements': 'Raters that agree on each point; a corrected copy may be given to '
    '--agreement-overrides',
    'errors': 'Distance of every point from the consensus of the raters',
    'agreement': 'Distances between every two methods and raters, on the points that both have',
    'gyri': 'Share of the points of each method and rater in the gyrus of their target',
}


def compare_group(group: Group) -> GroupResult:
    """Compare every two methods and raters, and all with the consensus of the raters.

    Parameters
    ----------
    group : Group
        Points of any methods.

    Returns
    -------
    GroupResult
        Any of the tables of `DESCRIPTIONS`; 'errors' is there if one error is known, 'cohort' if
        a method has points, 'gyri' if the outputs of an image hold its gyri.
    """
    in_template = template_points(group)
    group = with_gyri(group.with_issues(in_template.issues))
    tables: dict[str, pd.DataFrame] = {
        'targets': group.points,
        'participants': participants_table(group.points, group.participants, group.issues),
    }
    cohort = table_of_cohort(group)
    if cohort is not None:
        tables['cohort'] = cohort
    if group.agreements is not None:
        tables['agreements'] = group.agreements
    errors = errors_against_consensus(group.points)
    if errors['error_mm'].notna().any():
        tables['errors'] = errors
    if group.points['method'].nunique() > 1:
        tables['agreement'] = agreement_table(group.points)
    request = group.request
    if group.points[DISTANCE].notna().any():
        rows = target_rows(request.protocol)
        tables['gyri'] = membership_table(group.points, rows, request.random_seed)
    settings = {
        **common_settings(group),
        'ConsensusThreshold': request.threshold_mm,
        'EquivalenceMargin': request.margin_mm,
    }
    return GroupResult(
        group,
        tables,
        DESCRIPTIONS,
        _columns(group),
        settings,
        in_template.points,
        in_template.space,
    )


def _columns(group: Group) -> dict[str, Column]:
    statuses = dict(CROSSVAL_STATUSES)
    for method in group.request.methods:
        statuses |= method.statuses
    if group.points['method'].str.endswith(OFFSET).any():
        statuses |= OFFSET_STATUSES
    statuses |= {**RATER_STATUSES, **CONSENSUS_STATUSES}
    return {
        **PARTICIPANT_COLUMNS,
        **AGREEMENT_COLUMNS,
        **STATED_COLUMNS,
        **COHORT_COLUMNS,
        **GYRUS_COLUMNS,
        **DECISION_COLUMN,
        **mni_columns(template_of(group.request.protocol), 'see mni_from'),
        MNI_FROM: column(
            'How the position in the template was found',
            registration='through the registration of the image',
            estimate=ESTIMATED,
        ),
        'method': column(
            f'Method of the participant level, <method>{OFFSET} (moved by the mean offset of '
            'other participants), crossval-<variant> (cross-validation, with repetitions), '
            'rater-<name>, or consensus (of the raters)'
        ),
        'status': column('What is known about the point', **statuses),
        'error_mm': column('Distance from the consensus of the raters', 'mm'),
    }
