"""The files of points of everybody's raters, read and checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.bids.annotations import AnnotationFile, annotated_names, find_annotations
from tmsprep.bids.names import ImageRef, labels_in, natural_key
from tmsprep.evaluation.annotation_checks import check_points, usable_points
from tmsprep.evaluation.errors import RATER
from tmsprep.evaluation.rater_copies import copied_between_people, describe_copy
from tmsprep.formats import PointsFileError, read_points
from tmsprep.group.derived import Derived, image_of
from tmsprep.group.head import outside_head
from tmsprep.group.issues import Issue
from tmsprep.group.points import point_table, rows_of
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

STATUSES = {
    'given': 'the rater gave the point',
    'missing': 'the rater gave no point',
    'refused': 'the rater gave a point that cannot be right, and it is not used; the log says why',
}
"""Closed vocabulary of the status of a rater's point, with its meaning."""


@dataclass(frozen=True)
class RaterPoints:
    """One rater's points of one image.

    Parameters
    ----------
    file : AnnotationFile
        Where they are from.
    given : PointSet
        As they stand in the file, reindexed to the protocol.
    usable : PointSet
        Without those that cannot be right.
    """

    file: AnnotationFile
    given: PointSet
    usable: PointSet


def read_raters(
    folder: Path,
    bids_dir: Path,
    derived: Derived,
    protocol: Protocol,
    wanted: Sequence[str] = (),
) -> tuple[list[RaterPoints], list[Issue]]:
    """Find, read and check everybody's files of points; no image but a brain mask is opened.

    A person of the outputs, or of the data set, is known. If there is nobody in either, everybody
    is whom the files name.

    Parameters
    ----------
    folder : Path
        See `tmsprep.bids.annotations.find_annotations`.
    bids_dir : Path
        The data set; only the names of its folders are looked at.
    derived : Derived
        What the outputs hold.
    protocol : Protocol
        The targets.
    wanted : sequence of str
        Labels of participants; nobody for all.

    Raises
    ------
    BidsError
        If the folder is missing or holds no file of points.
    """
    images = _images(folder, bids_dir, derived, wanted)
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
        points = _read(file, derived, protocol, issues)
        if points is not None:
            read.append(points)
    copies = copied_between_people([(points.file.image.subject, points.usable) for points in read])
    for one, (other, count) in copies.items():
        file = read[one].file
        message = describe_copy(file.path, read[other].file.path, count)
        issues.append(Issue(file.image.subject, message))
    return [points for number, points in enumerate(read) if number not in copies], issues


def _images(
    folder: Path, bids_dir: Path, derived: Derived, wanted: Iterable[str]
) -> dict[str, list[ImageRef]]:
    """For each person the images of the outputs; without outputs those that the files name."""
    images = {subject: list(several) for subject, several in derived.images.items()}
    known = {*images, *labels_in(bids_dir, 'sub')}
    for name in annotated_names(folder) if folder.is_dir() else ():
        chosen = not wanted or name['sub'] in wanted
        if chosen and name['sub'] not in derived.images and (not known or name['sub'] in known):
            images.setdefault(name['sub'], []).append(image_of(name, bids_dir))
    return {subject: images[subject] for subject in sorted(images, key=natural_key)}


def _read(
    file: AnnotationFile, derived: Derived, protocol: Protocol, issues: list[Issue]
) -> RaterPoints | None:
    """Read and check one file; whatever is wrong with it leaves the others alone."""
    subject = file.image.subject
    try:
        points = read_points(file.path)
    except PointsFileError as error:
        issues.append(Issue(subject, str(error)))
        return None
    except OSError as error:
        issues.append(Issue(subject, f'{file.path}: cannot be read ({error}). Check the file.'))
        return None
    stem = file.image.stem
    findings = check_points(points, protocol, *(derived.geometry.get(stem) or ()))
    if stem in derived.masks:
        usable = usable_points(points, findings, protocol)
        findings += outside_head(usable, derived.masks[stem])
    for finding in findings:
        issues.append(Issue(subject, f'{file.path}: {finding.message}.', finding.severity))
    given = points.reindex(protocol.labels)
    return RaterPoints(file, given, usable_points(points, findings, protocol))


def rater_table(read: Iterable[RaterPoints], *, as_given: bool = False) -> pd.DataFrame:
    """Make one table of the points of all raters, as methods 'rater-<name>'.

    Parameters
    ----------
    read : iterable of RaterPoints
        Of `read_raters`.
    as_given : bool
        With the points that cannot be right, to look for what is wrong with them.
    """
    rows = []
    for points in read:
        chosen = points.given if as_given else points.usable
        method = RATER + points.file.rater
        rows += rows_of(chosen, points.file.image.stem, method, _statuses(points))
    return point_table(rows)


def _statuses(points: RaterPoints) -> list[str]:
    refused = points.given.found & ~points.usable.found
    return np.select([refused, points.usable.found], ['refused', 'given'], 'missing').tolist()
