"""Mean offset of reference points from the points of an atlas, target by target.

An atlas is annotated once, by one hand or rule. Where raters place a target by another one, a
registration is off by the same vector in every participant. The mean of that vector over annotated
participants corrects it, and is what anything that was trained on them must be compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tmsprep.points import PointSet

#: Fewest participants whose mean is an offset; with fewer a target is not moved.
LEAST = 3

#: Ends the name of the method whose points are those of another one, with offsets.
OFFSET = '+offset'

#: Statuses of such a point, with their meaning.
STATUSES = {
    'shifted': 'the point of the atlas was moved, in the atlas, by the mean offset of the '
    'reference points of other participants',
    'shifted_in_image': 'the point was moved along the axes of the image (RAS+) by the mean '
    'offset in other participants, as there is no usable transform to the atlas',
    'not_shifted': f'as without offset: fewer than {LEAST} other participants have a reference',
}


@dataclass(frozen=True, eq=False)
class Offsets:
    """Mean offset per target, in the frame of an atlas.

    Parameters
    ----------
    labels : tuple of str
        The targets.
    mean : numpy.ndarray
        Shape (n, 3), mm, RAS+ of the atlas: reference minus atlas; NaN with fewer than `LEAST`
        participants.
    sd : numpy.ndarray
        Shape (n,), mm: root of the sum of the variances along the three axes; NaN likewise.
    n : numpy.ndarray
        Shape (n,): participants with a reference.
    """

    labels: tuple[str, ...]
    mean: np.ndarray
    sd: np.ndarray
    n: np.ndarray

    def shift(self, points: PointSet) -> PointSet:
        """Move points of the atlas, mm, RAS+; targets without an offset stay where they are."""
        offsets = PointSet(self.labels, self.mean).reindex(points.labels).coordinates
        return PointSet(points.labels, points.coordinates + np.nan_to_num(offsets))


def estimate_offsets(references: np.ndarray, atlas: PointSet) -> Offsets:
    """Estimate the offset of each target from participants with reference points.

    Parameters
    ----------
    references : numpy.ndarray
        Shape (participants, n, 3), mm, RAS+: the reference points of each, moved to the atlas by
        the participant's own transform; NaN where missing. See `by_participant`.
    atlas : PointSet
        The n points of the atlas; a target that it lacks has no offset.

    Examples
    --------
    >>> places = np.array([[[2.0, 0, 0]], [[4.0, 0, 3]], [[6.0, 0, 0]]])
    >>> offsets = estimate_offsets(places, PointSet(('LOFC',), [[1.0, 0, 0]]))
    >>> offsets.mean.tolist(), offsets.n.tolist()
    ([[3.0, 0.0, 1.0]], [3])
    """
    apart = references - atlas.coordinates
    known = np.isfinite(apart).all(axis=2)
    n = known.sum(axis=0)
    enough = n >= LEAST
    values = np.where(known[..., None], apart, 0.0)
    mean = values.sum(axis=0) / np.maximum(n, 1)[:, None]
    squares = np.square(np.where(known[..., None], apart - mean, 0.0)).sum(axis=(0, 2))
    return Offsets(
        atlas.labels,
        np.where(enough[:, None], mean, np.nan),
        np.where(enough, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan),
        n,
    )


def mean_of_others(values: np.ndarray) -> np.ndarray:
    """Mean over all participants but one, for each in turn.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (participants, n, 3), mm; NaN where missing.

    Returns
    -------
    numpy.ndarray
        The same shape; NaN where fewer than `LEAST` others have a value. A participant without a
        value of their own has the mean of all.

    Examples
    --------
    >>> mean_of_others(np.array([[[0.0] * 3], [[3.0] * 3], [[6.0] * 3], [[9.0] * 3]]))[:, 0, 0]
    array([6., 5., 4., 3.])
    """
    known = np.isfinite(values).all(axis=2)[..., None]
    own = np.where(known, values, 0.0)
    others = known.sum(axis=0) - known
    mean = (own.sum(axis=0) - own) / np.maximum(others, 1)
    return np.where(others >= LEAST, mean, np.nan)


def by_participant(
    values: np.ndarray, participants: Sequence[str]
) -> tuple[list[str], np.ndarray]:
    """Average the images of each participant, so that each counts once.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (images, n, 3), mm; NaN where missing.
    participants : sequence of str
        One per image.

    Returns
    -------
    names : list of str
        Each participant once, in order.
    means : numpy.ndarray
        Shape (participants, n, 3).
    """
    names = list(dict.fromkeys(participants))
    means = np.full((len(names), *values.shape[1:]), np.nan)
    known = np.isfinite(values).all(axis=2)
    for i, name in enumerate(names):
        own = np.array([participant == name for participant in participants])
        n = known[own].sum(axis=0)[:, None]
        total = np.where(known[own][..., None], values[own], 0.0).sum(axis=0)
        means[i] = np.where(n > 0, total / np.maximum(n, 1), np.nan)
    return names, means
