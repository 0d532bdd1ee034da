"""Raters of one image against each other: whose file cannot be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tmsprep.evaluation.errors import RATER
from tmsprep.evaluation.rater_checks import check_raters
from tmsprep.group.issues import Issue
from tmsprep.group.raters import RaterPoints, rater_table
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol


def compare_raters(
    read: Sequence[RaterPoints], protocol: Protocol, threshold_mm: float
) -> tuple[list[RaterPoints], list[Issue]]:
    """Look for what only the other raters, or the file as a whole, tell.

    Parameters
    ----------
    read : sequence of RaterPoints
        Of `tmsprep.group.raters.read_raters`.
    protocol : Protocol
        The targets.
    threshold_mm : float
        Raters further apart than this disagree.

    Returns
    -------
    read : list of RaterPoints
        Without points, or whole files, that are found to be wrong. If it cannot be told which of
        two raters is, both are kept.
    issues : list of Issue
        What the check of each file alone has not told already.
    """
    table = rater_table(read, as_given=True)
    refused = table[table['status'] == 'refused']
    told = set(zip(refused['image'], refused['method'], refused['label'], strict=True))
    wrong: dict[tuple[str, str], set[str | None]] = {}
    issues = []
    images: dict[str, dict[str, PointSet]] = {}
    for points in read:
        images.setdefault(points.file.image.stem, {})[points.file.rater] = points.given
    for finding in check_raters(images, protocol, threshold_mm):
        key = finding.image, RATER + finding.rater
        if finding.severity == 'note' or (*key, finding.label) in told:
            continue
        subject = finding.image.split('_')[0].removeprefix('sub-')
        issues.append(Issue(subject, f'{finding.message}.', finding.severity))
        if finding.severity == 'error' and finding.rater:
            wrong.setdefault(key, set()).add(finding.label)
    kept = [
        _without(points, wrong.get((points.file.image.stem, RATER + points.file.rater), set()))
        for points in read
    ]
    return kept, issues


def _without(points: RaterPoints, labels: set[str | None]) -> RaterPoints:
    """Take out some points; the label None stands for all."""
    if not labels:
        return points
    usable = points.usable
    bad = np.array([None in labels or label in labels for label in usable.labels])
    coordinates = np.where(bad[:, None], np.nan, usable.coordinates)
    return replace(points, usable=PointSet(usable.labels, coordinates))
