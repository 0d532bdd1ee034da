"""The points of the raters, checked and merged to one set for each image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep.bids.annotations import AnnotationFile, find_annotations
from tmsprep.bids.names import ImageRef, shorten
from tmsprep.evaluation.annotation_checks import usable_points
from tmsprep.evaluation.consensus import Agreement, consensus
from tmsprep.evaluation.rater_checks import copied_between_participants, describe_copy
from tmsprep.evaluation.rater_files import read_checked
from tmsprep.evaluation.status import DISAGREEMENT_MM
from tmsprep.imaging.read import ImageError, read_geometry
from tmsprep.learning.examples import Example
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol

#: Columns of `Annotations.agreements`.
AGREEMENT_COLUMNS = ('image', 'label', 'n_raters', 'agreeing', 'status', 'x', 'y', 'z')


@dataclass(frozen=True)
class Annotations:
    """The annotated images of a run, and what is wrong with others.

    Parameters
    ----------
    examples : list of Example
        One per image with at least one target, in the order of the images.
    problems : dict
        For each participant's label, without 'sub-', one message per problem. Files and points
        named here are not trained on. A participant need not be one of the run's.
    notes : list of str
        Warnings and remarks; what they are about is trained on, unless they say otherwise.
    agreements : pandas.DataFrame
        The columns `AGREEMENT_COLUMNS`, one row per image with a readable file and target:
        how many raters gave a usable point, which of them agree (names joined by blanks), the
        status (`tmsprep.evaluation.consensus.CONSENSUS_STATUSES`), and the point, mm, RAS+.
    """

    examples: list[Example]
    problems: dict[str, list[str]]
    notes: list[str]
    agreements: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=list(AGREEMENT_COLUMNS))
    )


def collect_annotated(
    images: Mapping[str, Sequence[ImageRef]],
    folder: Path,
    protocol: Protocol,
    threshold_mm: float = DISAGREEMENT_MM,
) -> Annotations:
    """Find, read and check all files of points, and take the raters' consensus.

    Only headers of images are read. Several raters of one image become one point per target by
    Baxter et al. 2021, section 2.1; a target on which they do not agree is missing.

    Parameters
    ----------
    images : mapping
        For each participant's label the images of this run.
    folder : Path
        Files of points, see `tmsprep.bids.annotations.find_annotations`.
    protocol : Protocol
        The targets.
    threshold_mm : float
        Largest distance between raters who agree.

    Raises
    ------
    BidsError
        If the folder is missing or holds no file of points.
    ValueError
        If the threshold is not a positive number.
    """
    found = find_annotations(images, folder)
    problems = defaultdict(list, found.problems)
    notes = list(found.notes)
    read = _read_all(found.files, protocol, problems, notes)
    _drop_copies(read, problems)
    examples, tables = [], []
    for image in _each(images):
        raters = {file.rater: points for file, points in read.items() if file.image is image}
        if not raters:
            continue
        points, agreements = consensus(raters, protocol.labels, threshold_mm)
        tables.append(_tabulate(image, raters, protocol, agreements))
        if points.found.any():
            examples.append(Example(image.stem, image.path, points))
            notes += _disagreements(image, protocol, agreements)
        else:
            problems[image.subject].append(_nothing_left(image, agreements))
    _note_unannotated(images, examples, problems, notes)
    table = pd.concat(tables) if tables else pd.DataFrame(columns=list(AGREEMENT_COLUMNS))
    return Annotations(examples, dict(problems), notes, table.reset_index(drop=True))


def _each(images: Mapping[str, Sequence[ImageRef]]) -> list[ImageRef]:
    return [image for several in images.values() for image in several]


def _read_all(
    files: list[AnnotationFile],
    protocol: Protocol,
    problems: dict[str, list[str]],
    notes: list[str],
) -> dict[AnnotationFile, PointSet]:
    """Read and check every file; a problem of one does not concern the others."""
    read = {}
    for file in files:
        subject = file.image.subject
        try:
            shape, affine, _ = read_geometry(file.image.path)
        except ImageError as error:
            if str(error) not in problems[subject]:
                problems[subject].append(str(error))
            continue
        points, findings = read_checked(file, protocol, shape, affine)
        for finding in findings:
            home = problems[subject] if finding.severity == 'error' else notes
            home.append(finding.message)
        if points is not None:
            read[file] = usable_points(points, findings, protocol)
    return read


def _drop_copies(read: dict[AnnotationFile, PointSet], problems: dict[str, list[str]]) -> None:
    """Drop files with the points of another participant: either may be the copy."""
    files = list(read)
    copies = copied_between_participants([(file.image.subject, read[file]) for file in files])
    for one, (other, count) in copies.items():
        del read[files[one]]
        message = describe_copy(files[one].path, files[other].path, count)
        problems[files[one].image.subject].append(message)


def _tabulate(
    image: ImageRef,
    raters: Mapping[str, PointSet],
    protocol: Protocol,
    agreements: Sequence[Agreement],
) -> pd.DataFrame:
    names = tuple(raters)
    given = np.sum([points.found for points in raters.values()], axis=0)
    rows = [
        (image.stem, label, n, ' '.join(names[i] for i in a.agreeing), a.status, *a.point)
        for label, n, a in zip(protocol.labels, given, agreements, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(AGREEMENT_COLUMNS))


def _disagreements(
    image: ImageRef, protocol: Protocol, agreements: Sequence[Agreement]
) -> list[str]:
    pairs = zip(protocol.labels, agreements, strict=True)
    labels = [label for label, found in pairs if found.status == 'no_consensus']
    if not labels:
        return []
    return [f'{image.path.name}: the raters do not agree on {", ".join(labels)}; left out.']


def _nothing_left(image: ImageRef, agreements: Sequence[Agreement]) -> str:
    disagreed = any(found.status == 'no_consensus' for found in agreements)
    why = 'the raters agree on no point' if disagreed else 'no usable point is left'
    return f'{image.path.name}: {why}, so the image is left out. Correct its files of points.'


def _note_unannotated(
    images: Mapping[str, Sequence[ImageRef]],
    examples: Sequence[Example],
    problems: Mapping[str, list[str]],
    notes: list[str],
) -> None:
    """Name the images without points that nothing else has been said about."""
    used = {example.name for example in examples}
    silent = [
        image.path.name
        for image in _each(images)
        if image.stem not in used and not problems.get(image.subject)
    ]
    if silent:
        notes.append(f'Images without points, not used: {shorten(silent)}.')
