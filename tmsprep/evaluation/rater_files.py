"""A file of a rater, read and checked in the same way at every analysis level."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tmsprep.bids.annotations import AnnotationFile
from tmsprep.evaluation.annotation_checks import check_points
from tmsprep.evaluation.findings import Finding
from tmsprep.formats import PointsFileError, read_points
from tmsprep.imaging.read import ImageError, load_nifti
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol


def read_checked(
    file: AnnotationFile,
    protocol: Protocol,
    shape: tuple[int, ...] | None = None,
    affine: np.ndarray | None = None,
) -> tuple[PointSet | None, list[Finding]]:
    """Read and check a file; nothing in it raises.

    Parameters
    ----------
    file : AnnotationFile
        The file, and its image, of which at most the header is read. It may be gone.
    protocol : Protocol
        The targets.
    shape, affine : tuple of int, numpy.ndarray, optional
        Shape and affine of the image, as for `check_points`.

    Returns
    -------
    points : PointSet or None
        All points of the file, mm, RAS+; None if it cannot be read.
    findings : list of Finding
        The messages name the file.
    """
    try:
        points = read_points(file.path, _codes(file))
    except PointsFileError as error:
        return None, [Finding('error', None, str(error))]
    return points, name_file(file.path, check_points(points, protocol, shape, affine))


def _codes(file: AnnotationFile) -> tuple[int, int] | None:
    """Return qform_code and sform_code of the image, if the format names its frame by them."""
    if file.path.suffix.lower() != '.txt':
        return None
    try:
        header = load_nifti(file.image.path).header
    except (ImageError, OSError):
        return None
    return int(header['qform_code']), int(header['sform_code'])


def name_file(path: Path, findings: Iterable[Finding]) -> list[Finding]:
    """Begin each message with the name of the file."""
    return [replace(found, message=f'{path}: {found.message}.') for found in findings]
