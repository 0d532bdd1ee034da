"""Mean offset of reference points from the points of an atlas, target by target.

An atlas is annotated once, by one hand or rule. Where raters place a target by another one, a
registration is off by the same vector in every participant. The mean of that vector over annotated
participants corrects it, and is what anything that was trained on them must be compared with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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
