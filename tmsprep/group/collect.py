"""Everybody's points from the outputs and the raters' files, without any image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from tmsprep.bids.names import BidsError, T1wImage, labels_in, natural_key, shorten
from tmsprep.config import RunConfig
from tmsprep.evaluation.errors import CONSENSUS
from tmsprep.group.agreements import COLUMNS as AGREEMENT_COLUMNS
from tmsprep.group.agreements import agreement_table, consensus_points
from tmsprep.group.comparison import compare_raters
from tmsprep.group.derived import Derived, read_derived
from tmsprep.group.issues import Issue
from tmsprep.group.overrides import apply_overrides
from tmsprep.group.points import COLUMNS, in_order, point_table
from tmsprep.group.predictions import predicted_points, read_predictions, references
from tmsprep.group.raters import RaterPoints, rater_table, read_raters
from tmsprep.protocols import Protocol, load_protocol

_SAME_MM = 0.01
"""References nearer than this are the same: tables have fewer digits than the raters' files."""


class Group(NamedTuple):
    """Everybody's points.

    Parameters
    ----------
    protocol : Protocol
        The targets.
    points : pandas.DataFrame
        See `tmsprep.group.points.COLUMNS`.
    agreements : pandas.DataFrame
        See `tmsprep.group.agreements.agreement_table`; empty without raters.
    predictions : pandas.DataFrame or None
        Of a cross-validation, see `tmsprep.group.predictions.read_predictions`.
    raters : list of RaterPoints
        The raters' files.
    people : list of str
        Labels without 'sub-' of everybody who is known, in natural order.
    issues : list of Issue
        Who is missing or failed, and what is wrong with files.
    images : dict
        By name, those that the participant level has outputs of; they need not exist any more.
    """

    protocol: Protocol
    points: pd.DataFrame
    agreements: pd.DataFrame
    predictions: pd.DataFrame | None
    raters: list[RaterPoints]
    people: list[str]
    issues: list[Issue]
    images: dict[str, T1wImage]

    @property
    def n_people(self) -> int:
        """Number of people with a point."""
        return self.points.dropna(subset=['x'])['participant_id'].nunique()


def collect_group(config: RunConfig) -> Group:
    """Gather what the settings of a run name.

    Parameters
    ----------
    config : RunConfig
        Folders, protocol, participants, threshold and overrides.

    Raises
    ------
    BidsError
        If there is nothing to compare, or somebody who was asked for is unknown.
    ValueError
        If the overrides do not fit.
    """
    protocol = load_protocol(config.protocol)
    wanted = config.participant_label
    derived = read_derived(config.out_dir, config.bids_dir, protocol, wanted)
    predictions = read_predictions(config.out_dir, wanted)
    raters, issues = [], list(derived.issues)
    if config.annotations is not None:
        raters, found = read_raters(config.annotations, config.bids_dir, derived, protocol, wanted)
        raters, more = compare_raters(raters, protocol, config.consensus_threshold)
        issues += [*found, *more]
    agreements = _agreements(config, raters, protocol)
    tables = [derived.points, rater_table(raters), consensus_points(agreements)]
    if predictions is not None:
        tables.append(predicted_points(predictions, protocol))
        reference, more = _references(predictions, agreements, protocol)
        tables.append(reference)
        issues += more
    points = pd.concat([table for table in tables if len(table)] or [point_table([])])
    points = in_order(points.reset_index(drop=True), protocol)
    people = _people(config, points, issues)
    issues += _absent(config, derived, points, people, issues)
    images = {image.stem: image for some in derived.images.values() for image in some}
    return Group(protocol, points, agreements, predictions, raters, people, issues, images)


def _agreements(
    config: RunConfig, raters: Sequence[RaterPoints], protocol: Protocol
) -> pd.DataFrame:
    if not raters:
        return pd.DataFrame(columns=list(AGREEMENT_COLUMNS))
    agreements = agreement_table(raters, protocol, config.consensus_threshold)
    if config.agreement_overrides is None:
        return agreements
    return apply_overrides(agreements, rater_table(raters), config.agreement_overrides)


def _references(
    predictions: pd.DataFrame, agreements: pd.DataFrame, protocol: Protocol
) -> tuple[pd.DataFrame, list[Issue]]:
    """Take a cross-validation's references for images without raters; compare the others."""
    known = references(predictions, protocol)
    alone = known[~known['image'].isin(agreements['image'])]
    points = alone.assign(
        method=CONSENSUS,
        repetition=np.nan,
        status=np.where(alone['x'].notna(), 'crossval_reference', 'missing'),
        dispersion_mm=np.nan,
    )[list(COLUMNS)]
    both = known.merge(agreements, on=['image', 'label'], suffixes=('', '_now'))
    now = both[['x_now', 'y_now', 'z_now']].to_numpy(dtype=np.float64)
    apart = np.linalg.norm(both[['x', 'y', 'z']].to_numpy() - now, axis=1)
    changed = int((apart > _SAME_MM).sum() + (both['x'].isna() != both['x_now'].isna()).sum())
    message = (
        f'{changed} points of the consensus are not those that crossval was run with (other '
        'files, threshold or overrides); Tables 4 and 5 are by those. Run crossval again'
    )
    return points, [Issue('', message, 'warning')] if changed else []


def _people(config: RunConfig, points: pd.DataFrame, issues: Sequence[Issue]) -> list[str]:
    named = {name.removeprefix('sub-') for name in points['participant_id'].unique()}
    known = {*named, *labels_in(config.bids_dir, 'sub'), *labels_in(config.out_dir, 'sub')}
    known |= set(labels_in(config.out_dir / 'logs', 'sub'))
    unknown = [label for label in config.participant_label if label not in known]
    if unknown:
        there = shorten(sorted(known, key=natural_key)) or 'nobody'
        raise BidsError(
            f'--participant-label: no {shorten(unknown)} in the data set, the outputs or the '
            f'annotations; there are: {there}'
        )
    if points.empty and not any(issue.severity == 'error' for issue in issues):
        raise BidsError(
            f'{config.out_dir}: no tables of targets here, and no points of raters. Run the '
            'participant level first, or give --annotations DIR'
        )
    chosen = set(config.participant_label) or known
    return sorted(known & chosen, key=natural_key)


def _absent(
    config: RunConfig,
    derived: Derived,
    points: pd.DataFrame,
    people: Sequence[str],
    issues: Sequence[Issue],
) -> list[Issue]:
    """Say who has no outputs, or no points of raters, and nothing else was said of them."""
    told = {issue.subject for issue in issues if issue.severity == 'error'}
    found = [
        Issue(label, 'no outputs of the participant level; run it', 'warning')
        for label in people
        if derived.images and label not in derived.images and label not in told
    ]
    if not derived.images:
        message = 'there are no outputs of the participant level, so the methods are not compared'
        found.append(Issue('', message, 'note'))
    if config.annotations is None:
        return found
    annotated = set(points.loc[points['method'].str.startswith('rater-'), 'participant_id'])
    return found + [
        Issue(label, 'no points of raters, so nothing is known of errors', 'warning')
        for label in people
        if f'sub-{label}' not in annotated and label not in told
    ]
