"""Points from the outputs and the raters' files, without any image."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pandas as pd

from tmsprep.bids.names import BidsError, Layout
from tmsprep.evaluation.errors import RATER
from tmsprep.group.analysis import Group, GroupRequest
from tmsprep.group.crossval import predicted_points, read_predictions, reference_points
from tmsprep.group.derivatives import read_derivatives
from tmsprep.group.issues import (
    Issue,
    known_participants,
    participants_without,
    refused_participants,
)
from tmsprep.group.overrides import apply_overrides
from tmsprep.group.points import agreement_table, consensus_points, in_order
from tmsprep.group.raters import (
    RaterPoints,
    compare_raters,
    mark_doubtful,
    rater_table,
    read_raters,
)


def collect_group(request: GroupRequest) -> Group:
    """Read and check the points of all methods, cross-validation and raters.

    Raises
    ------
    BidsError
        If there is nothing to compare, or a chosen participant is unknown.
    ValueError
        If the overrides do not fit.
    """
    protocol, wanted = request.protocol, request.participants
    derived = read_derivatives(request.layout, request.bids_dir, protocol, request.names, wanted)
    issues = list(derived.issues)
    raters: list[RaterPoints] = []
    if request.annotations is not None:
        raters, found = read_raters(
            request.annotations, request.bids_dir, derived, protocol, wanted
        )
        raters, more = compare_raters(raters, protocol, request.threshold_mm)
        raters, far = mark_doubtful(raters, derived.points)
        issues += [*found, *more, *far]
    agreements = _agreements(request, raters)
    tables = [derived.points, rater_table(raters), consensus_points(agreements)]
    path = request.layout.level('crossval', 'predictions')
    predictions = read_predictions(path, protocol, wanted)
    if predictions is not None:
        references, more = reference_points(predictions, agreements)
        tables += [predicted_points(predictions), references]
        issues += more
    points = in_order(tables, protocol.labels, request.names)
    participants = known_participants(
        request.bids_dir, request.layout.out_dir, points['participant_id'].unique(), wanted
    )
    refuse_nothing(request.layout, points, issues)
    issues += refused_participants(request.bids_dir, wanted)
    issues += _absent(request, derived.images, points, participants, issues)
    return Group(
        request,
        points,
        participants,
        issues,
        tuple(sorted({points.file.rater for points in raters})),
        {image.stem: image for several in derived.images.values() for image in several},
        derived.atlases,
        derived.checksums,
        agreements if len(agreements) else None,
        predictions,
    )


def refuse_nothing(
    layout: Layout,
    points: pd.DataFrame,
    issues: Sequence[Issue],
    cure: str = 'Run the participant level first, or give --annotations DIR',
) -> None:
    """Refuse a group without any point, unless an error explains it.

    Raises
    ------
    BidsError
        With the cure.
    """
    if points.empty and not any(issue.severity == 'error' for issue in issues):
        raise BidsError(
            f'{layout.out_dir}: no tables of the protocol {layout.protocol!r} here, and no points '
            f'of raters to compare. {cure}'
        )


def _agreements(request: GroupRequest, raters: Sequence[RaterPoints]) -> pd.DataFrame:
    agreements = agreement_table(raters, request.protocol, request.threshold_mm)
    path = request.overrides
    if path is None or not raters:
        return agreements
    return apply_overrides(agreements, rater_table(raters), path)


def _absent(
    request: GroupRequest,
    with_outputs: Collection[str],
    points: pd.DataFrame,
    participants: Sequence[str],
    issues: Sequence[Issue],
) -> list[Issue]:
    """Warn of participants without outputs or points of raters, unless they have an error."""
    failed = {issue.subject for issue in issues if issue.severity == 'error'}
    if with_outputs:
        message = 'no outputs of the participant level; run it'
        found = participants_without(participants, {*with_outputs, *failed}, message)
    else:
        message = 'there are no outputs of the participant level, so the methods are not compared'
        found = [Issue('', message, 'note')]
    if request.annotations is None:
        return found
    rated = points.loc[points['method'].str.startswith(RATER), 'participant_id'].unique()
    labels = {name.removeprefix('sub-') for name in rated}
    message = 'no points of raters, so nothing is known of errors'
    return found + participants_without(participants, labels | failed, message)
