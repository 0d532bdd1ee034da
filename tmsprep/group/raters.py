"""Files of points by raters, read, checked and compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.bids.annotations import AnnotationFile, annotated_names, find_annotations
from tmsprep.bids.names import ImageRef, labels_in, natural_key
from tmsprep.evaluation.annotation_checks import usable_points
from tmsprep.evaluation.errors import AXES, RATER
from tmsprep.evaluation.head_checks import FAR_MM, far_from_methods
from tmsprep.evaluation.rater_checks import (
    check_raters,
    copied_between_participants,
    describe_copy,
)
from tmsprep.evaluation.rater_files import name_file, read_checked
from tmsprep.evaluation.status import UNUSABLE
from tmsprep.group.derivatives import Derivatives, image_of
from tmsprep.group.head import outside_head
from tmsprep.group.issues import Issue
from tmsprep.group.points import point_table, rows_of
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

#: Every status of a rater's point, with its meaning.
STATUSES = {
    'given': 'the rater gave the point',
    'doubtful': 'the rater gave the point, but the whole file is over '
    f'{FAR_MM:g} mm (median) from every method: either may be wrong; look at both',
    'missing': 'the rater gave no point',
    'refused': 'the rater gave a point that cannot be right, and it is not used; the log says why',
}


@dataclass(frozen=True)
class RaterPoints:
    """One rater's points of one image.

    Parameters
    ----------
    file : AnnotationFile
        The file.
    given : PointSet
        As in the file, reindexed to the protocol.
    usable : PointSet
        Without those that cannot be right.
    doubtful : bool
        Whether they are far from the points of every method.
    """

    file: AnnotationFile
    given: PointSet
    usable: PointSet
    doubtful: bool = False


def read_raters(
    folder: Path,
    bids_dir: Path,
    derivatives: Derivatives,
    protocol: Protocol,
    wanted: Sequence[str] = (),
) -> tuple[list[RaterPoints], list[Issue]]:
    """Find, read and check files of points; no image but a brain mask is opened.

    Participants are those of the outputs and of the data set; if there are none in either, those
    that the files name.

    Parameters
    ----------
    folder : Path
        See `tmsprep.bids.annotations.find_annotations`.
    bids_dir : Path
        Root of the data set, of which only the names of folders are read.
    derivatives : Derivatives
        Images, grids and brain masks of the outputs.
    protocol : Protocol
        The targets.
    wanted : sequence of str
        Labels of participants without 'sub-'; empty for all.

    Raises
    ------
    BidsError
        If the folder is missing or holds no file of points.
    """
    images = _images(folder, bids_dir, derivatives, wanted)
    found = find_annotations(images, folder)
    issues = [Issue('', note, 'warning') for note in found.notes]
    issues += [
        Issue(subject, message)
        for subject, messages in found.problems.items()
        if not wanted or subject in wanted
        for message in messages
    ]
    read = []
    for file in found.files:
        points = _read(file, derivatives, protocol, issues)
        if points is not None:
            read.append(points)
    copies = copied_between_participants(
        [(points.file.image.subject, points.usable) for points in read]
    )
    for one, (other, count) in copies.items():
        file = read[one].file
        message = describe_copy(file.path, read[other].file.path, count)
        issues.append(Issue(file.image.subject, message))
    return [points for number, points in enumerate(read) if number not in copies], issues


def _images(
    folder: Path, bids_dir: Path, derivatives: Derivatives, wanted: Sequence[str]
) -> dict[str, list[ImageRef]]:
    """Images of each participant: of the outputs, else as the files of points name them."""
    images = {subject: list(several) for subject, several in derivatives.images.items()}
    known = {*images, *labels_in(bids_dir, 'sub')}
    for name in annotated_names(folder) if folder.is_dir() else ():
        subject = name['sub']
        chosen = (not wanted or subject in wanted) and (not known or subject in known)
        if chosen and subject not in derivatives.images:
            images.setdefault(subject, []).append(image_of(name, bids_dir))
    return {subject: images[subject] for subject in sorted(images, key=natural_key)}


def _read(
    file: AnnotationFile, derivatives: Derivatives, protocol: Protocol, issues: list[Issue]
) -> RaterPoints | None:
    """Read and check one file; an error in it does not affect the others."""
    stem = file.image.stem
    points, findings = read_checked(file, protocol, *(derivatives.geometry.get(stem) or ()))
    if points is not None and stem in derivatives.masks:
        usable = usable_points(points, findings, protocol)
        findings += name_file(file.path, outside_head(usable, derivatives.masks[stem]))
    for finding in findings:
        issues.append(Issue(file.image.subject, finding.message, finding.severity))
    if points is None:
        return None
    given = points.reindex(protocol.labels)
    return RaterPoints(file, given, usable_points(points, findings, protocol))


def mark_doubtful(
    read: Sequence[RaterPoints], methods: pd.DataFrame
) -> tuple[list[RaterPoints], list[Issue]]:
    """Find files whose points are far from the usable ones of every method, and mark them.

    Parameters
    ----------
    read : sequence of RaterPoints
        Result of `read_raters`.
    methods : pandas.DataFrame
        Points of the methods, see `tmsprep.group.points.COLUMNS`.

    Returns
    -------
    read : list of RaterPoints
        In the same order. Points that are marked are used all the same.
    issues : list of Issue
        A warning for each file that is marked.
    """
    rated = {points.file.image.stem for points in read}
    usable = methods['image'].isin(rated) & ~methods['status'].isin(UNUSABLE)
    located: dict[str, dict[str, PointSet]] = {}
    for (image, method), rows in methods[usable].groupby(['image', 'method'], sort=False):
        places = PointSet(tuple(rows['label']), rows[AXES].to_numpy())
        located.setdefault(str(image), {})[str(method)] = places
    marked, issues = [], []
    for points in read:
        found = far_from_methods(points.usable, located.get(points.file.image.stem, {}))
        marked.append(replace(points, doubtful=bool(found)))
        issues += [
            Issue(points.file.image.subject, finding.message, finding.severity)
            for finding in name_file(points.file.path, found)
        ]
    return marked, issues


def rater_table(read: Iterable[RaterPoints], *, as_given: bool = False) -> pd.DataFrame:
    """Make one table of points of all raters, as methods 'rater-<name>'.

    Parameters
    ----------
    read : iterable of RaterPoints
        Result of `read_raters`.
    as_given : bool
        Whether to keep the points that cannot be right.
    """
    rows: list[tuple[object, ...]] = []
    for points in read:
        chosen = points.given if as_given else points.usable
        method = RATER + points.file.rater
        rows += rows_of(chosen, points.file.image.stem, method, _statuses(points))
    return point_table(rows)


def _statuses(points: RaterPoints) -> list[str]:
    refused = points.given.found & ~points.usable.found
    given = 'doubtful' if points.doubtful else 'given'
    return np.select([refused, points.usable.found], ['refused', given], 'missing').tolist()


def compare_raters(
    read: Sequence[RaterPoints], protocol: Protocol, threshold_mm: float
) -> tuple[list[RaterPoints], list[Issue]]:
    """Find errors that only show in comparison with other raters, or in a file as a whole.

    Parameters
    ----------
    read : sequence of RaterPoints
        Result of `read_raters`.
    protocol : Protocol
        The targets.
    threshold_mm : float
        Raters further apart than this disagree.

    Returns
    -------
    read : list of RaterPoints
        Without points, or whole files, that are wrong. If it cannot be told which of two raters
        is, both are kept.
    issues : list of Issue
        Those that the check of each file alone has not found.
    """
    table = rater_table(read, as_given=True)
    refused = table[table['status'] == 'refused']
    known = set(zip(refused['image'], refused['method'], refused['label'], strict=True))
    wrong: dict[tuple[str, str], set[str | None]] = {}
    issues = []
    images: dict[str, dict[str, PointSet]] = {}
    for points in read:
        images.setdefault(points.file.image.stem, {})[points.file.rater] = points.given
    for finding in check_raters(images, protocol, threshold_mm):
        key = finding.image, RATER + finding.rater
        if finding.severity == 'note' or (*key, finding.label) in known:
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
    """Remove some points; the label None stands for all."""
    if not labels:
        return points
    usable = points.usable
    bad = np.array([None in labels or label in labels for label in usable.labels])
    coordinates = np.where(bad[:, None], np.nan, usable.coordinates)
    return replace(points, usable=PointSet(usable.labels, coordinates))
