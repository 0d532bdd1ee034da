"""What is wrong with points that somebody gave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tmsprep.points import PointSet


@dataclass(frozen=True)
class Finding:
    """Error, warning or note about annotated points.

    Parameters
    ----------
    severity : str
        'error': the point, or with label None every point, must not be used; 'warning': to be
        looked at; 'note': for information.
    label : str or None
        The target; None for all.
    message : str
        The problem and how to solve it, without the name of the file.
    image : str
        Name of the image in a comparison of raters; otherwise empty.
    rater : str
        Name of the rater whose file is wrong; empty if several are named, or none.
    """

    severity: str
    label: str | None
    message: str
    image: str = ''
    rater: str = ''


def point_errors(points: PointSet, flags: np.ndarray, message: str) -> list[Finding]:
    """Make an error for each point with a flag, shape (n,), that its name begins."""
    return [
        Finding('error', label, f'{label} {message}')
        for label, flag in zip(points.labels, flags, strict=True)
        if flag
    ]
