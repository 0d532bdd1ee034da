"""Mean offset of reference points from the points of an atlas, target by target.

An atlas is annotated once, by one hand or rule. Where raters place a target by another one, a
registration is off by the same vector in every participant. The mean of that vector over annotated
participants corrects it, and is what anything that was trained on them must be compared with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tmsprep.points import PointSet

#: Fewest participants whose mean is an offset; with fewer a target is not moved.
LEAST = 3

#: Ends the name of the method whose points are those of another one, with offsets.
OFFSET = '+offset'

#: Columns of a table of offsets: along the axes of the atlas, and all, see `mean_offsets`.
OFFSET_AXES = ('offset_x', 'offset_y', 'offset_z')
OFFSET_COLUMNS = ('label', *OFFSET_AXES, 'people', 'spread_mm', 'before_mm', 'after_mm')

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


def mean_offsets(values: np.ndarray, atlas: PointSet) -> pd.DataFrame:
    """Mean offset of reference points from the points of an atlas, and what it is worth.

    Sides are not mirrored onto each other: a left target has its own offset, and so has its
    counterpart.

    Parameters
    ----------
    values : numpy.ndarray
        Shape (participants, n, 3), mm, RAS+, in the atlas: the reference points of each, moved
        there by their own registration; NaN where missing.
    atlas : PointSet
        The n points of the atlas, mm, RAS+; NaN where missing.

    Returns
    -------
    pandas.DataFrame
        One row per point: `label`; `OFFSET_AXES`, mm; `people`, participants with a reference;
        `spread_mm`, RMS distance of their offsets from the mean; `before_mm` and `after_mm`, mean
        distance of their references from the point of the atlas, and from that point with the
        mean offset of the others (`mean_of_others`). NaN in all but `people` where that is not
        above `LEAST`, or the atlas lacks the point.

    Examples
    --------
    >>> atlas = PointSet(('a',), [[10, 0, 0]])
    >>> table = mean_offsets(np.array([[[x, 0, 0]] for x in (12.0, 13, 15, 16)]), atlas)
    >>> numbers = table[['offset_x', 'people', 'spread_mm', 'before_mm', 'after_mm']]
    >>> numbers.to_numpy().round(3).tolist()
    [[4.0, 4.0, 1.581, 4.0, 2.0]]
    """
    offsets = values - atlas.coordinates
    people = np.isfinite(offsets).all(axis=2).sum(axis=0)
    others = mean_of_others(offsets)
    rows = []
    for i, label in enumerate(atlas.labels):
        known = np.isfinite(offsets[:, i]).all(axis=1)
        own, mean, numbers = offsets[known, i], np.full(3, np.nan), [np.nan] * 3
        if people[i] > LEAST:
            mean = own.mean(axis=0)
            parts = (own - mean, own, own - others[known, i])
            apart = [np.linalg.norm(part, axis=1) for part in parts]
            numbers = [np.sqrt(np.mean(apart[0] ** 2)), apart[1].mean(), apart[2].mean()]
        rows.append((label, *mean, people[i], *numbers))
    return pd.DataFrame(rows, columns=list(OFFSET_COLUMNS))
