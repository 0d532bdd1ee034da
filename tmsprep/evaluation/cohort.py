"""Points of each participant against those of the whole cohort, without any rater."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from tmsprep.evaluation.errors import AXES, POINT
from tmsprep.evaluation.status import RADIUS, UNUSABLE
from tmsprep.evaluation.template import MNI, MNI_FROM
from tmsprep.protocols import Protocol
from tmsprep.tables import Column, column

#: Modified z-score above which a value is an outlier (Iglewicz and Hoaglin 1993, How to detect
#: and handle outliers, ASQC).
OUTLIER_Z = 3.5

#: Values that are compared with each other at least; of fewer, a median absolute deviation says
#: little.
FEWEST = 5

#: Least standard deviation that a measure is taken to have, mm: in a cohort whose methods agree
#: to a tenth of a millimetre, half a millimetre more is no reason to look.
LEAST_SD_MM = 1.0

_MNI = list(MNI)

#: What is compared with the cohort: column to its words in a report.
MEASURES = {
    RADIUS: 'radius',
    'method_distance_mm': 'distance between methods',
    'asymmetry_mm': 'left to right difference',
    'mni_distance_mm': 'distance from the cohort',
}

#: Descriptions of the columns of `cohort_table`.
COLUMNS: dict[str, Column] = {
    'method': column('Method whose point is shown: the recommended one'),
    'method_distance_mm': column(
        'Largest distance of the point from that of another method in the same image', 'mm'
    ),
    'asymmetry_mm': column(
        'Distance of the point from that of the same target in the other hemisphere, mirrored at '
        'the midline of the template; in the space of the template',
        'mm',
    ),
    'mni_distance_mm': column(
        'Distance of the point from the median of the cohort, in the space of the template', 'mm'
    ),
    'outlier_z': column(
        'Largest modified z-score of the measures of this row among all images of the cohort: '
        f'0.6745 (value - median) / MAD, with a standard deviation of {LEAST_SD_MM:g} mm at '
        f'least; over {OUTLIER_Z:g} is an outlier (Iglewicz and Hoaglin 1993)'
    ),
    'outlier_measure': column(
        'The measure that it belongs to',
        **{name: f'the {words} of the point' for name, words in MEASURES.items()},
    ),
}


def cohort_table(
    points: pd.DataFrame, protocol: Protocol, chosen: Mapping[tuple[str, str], str]
) -> pd.DataFrame:
    """Compare the point of each target and image with those of the other images.

    Parameters
    ----------
    points : pandas.DataFrame
        One row per participant, image, target and method of the participant level: `POINT`,
        `method`, `status`, `x`, `y`, `z` (mm, RAS+, scanner frame), the radius, `MNI` (mm, RAS+,
        space of the template of the protocol) and `MNI_FROM`; NaN where missing.
    protocol : Protocol
        The targets; which are mirror images of each other.
    chosen : mapping
        Image and target to the method whose point is recommended; those without a usable point
        are left out, and their row says what the first method has.

    Returns
    -------
    pandas.DataFrame
        One row per image and target, in the order of `points`: `POINT`, `method`, `status`, the
        radius, `MNI`, `MNI_FROM` and the columns of `COLUMNS`; mm.
    """
    key = list(zip(points['image'], points['label'], strict=True))
    first = points.drop_duplicates(POINT).index
    wanted = pd.Series([chosen.get(at, '') for at in key], index=points.index)
    named = points.index[points['method'] == wanted]
    without = [row for row in first if not wanted[row]]
    table = points.loc[sorted({*named, *without})].copy()
    usable = ~table['status'].isin(UNUSABLE) & table['x'].notna()
    table.loc[~usable, [RADIUS, *_MNI, MNI_FROM]] = np.nan
    table['method_distance_mm'] = _method_distances(table, points).where(usable)
    table['asymmetry_mm'] = _asymmetries(table, protocol)
    table['mni_distance_mm'] = _distances_from_cohort(table)
    scores = pd.DataFrame({name: _scores(table, name) for name in MEASURES}, index=table.index)
    known = scores.notna().any(axis=1)
    table['outlier_z'] = scores.max(axis=1)
    table['outlier_measure'] = ''
    table.loc[known, 'outlier_measure'] = scores[known].idxmax(axis=1)
    columns = [*POINT, 'method', 'status', RADIUS, *_MNI, MNI_FROM, *list(COLUMNS)[1:]]
    return table[columns].reset_index(drop=True)


def rank_images(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise the result of `cohort_table` by image, those to look at first.

    Returns
    -------
    pandas.DataFrame
        One row per image: `participant_id`, `image`, `unusable` and `warned` (numbers of targets
        without a point that may be used, and of others whose status is not 'ok'), `outliers`
        (number of targets with an `outlier_z` over `OUTLIER_Z`), and of the target that needs a
        look most `label`, `status`, `outlier_z`, `outlier_measure`; the largest value of each of
        `MEASURES` as a column of its name. Sorted by these counts, then by the largest score.
    """
    rows = [_summary(own) for _, own in table.groupby('image', sort=False)]
    columns = ['participant_id', 'image', 'unusable', 'warned', 'outliers', 'label', 'status']
    ranked = pd.DataFrame(rows, columns=[*columns, 'outlier_z', 'outlier_measure', *MEASURES])
    order = ['unusable', 'warned', 'outliers', 'outlier_z']
    return ranked.sort_values(order, ascending=False, kind='stable').reset_index(drop=True)


def _summary(own: pd.DataFrame) -> dict[str, object]:
    """Summarise the rows of one image."""
    unusable, warned = own['status'].isin(UNUSABLE), own['status'] != 'ok'
    score = own['outlier_z'].fillna(-np.inf)
    seriousness = pd.DataFrame({'unusable': unusable, 'warned': warned, 'score': score})
    order = seriousness.sort_values(list(seriousness), ascending=False, kind='stable').index
    worst = own.loc[order[0]]
    return {
        **worst[['participant_id', 'image', 'label', 'status']].to_dict(),
        **worst[['outlier_z', 'outlier_measure']].to_dict(),
        'unusable': int(unusable.sum()),
        'warned': int((warned & ~unusable).sum()),
        'outliers': int((own['outlier_z'] > OUTLIER_Z).sum()),
        **own[list(MEASURES)].max().to_dict(),
    }


def modified_z(values: Sequence[float]) -> np.ndarray:
    """Return modified z-scores (Iglewicz and Hoaglin 1993), with a least standard deviation.

    Parameters
    ----------
    values : sequence of float
        mm; NaN where missing.

    Returns
    -------
    numpy.ndarray
        Of that length; NaN where the value is missing, and everywhere if fewer than `FEWEST` are
        known.

    Examples
    --------
    The median is 3, the median absolute deviation 2:

    >>> modified_z([1.0, 2, 3, 5, 13]).round(3).tolist()
    [-0.674, -0.337, 0.0, 0.674, 3.372]
    """
    given = np.asarray(values, dtype=np.float64)
    if np.isfinite(given).sum() < FEWEST:
        return np.full(given.shape, np.nan)
    middle = np.nanmedian(given)
    sd = np.nanmedian(np.abs(given - middle)) / 0.6745
    return (given - middle) / max(sd, LEAST_SD_MM)


def _scores(table: pd.DataFrame, name: str) -> pd.Series:
    """Score a measure among the rows of the same target."""
    return table.groupby('label')[name].transform(lambda values: modified_z(values.to_numpy()))


def _method_distances(table: pd.DataFrame, points: pd.DataFrame) -> pd.Series:
    """Largest distance of each row's point from the other methods' points of the same target."""
    others = points[[*POINT, 'method', *AXES]].dropna(subset=AXES)
    pairs = table.reset_index().merge(others, on=POINT, suffixes=('', '_other'))
    pairs = pairs[pairs['method'] != pairs['method_other']]
    apart = pairs[[f'{axis}_other' for axis in AXES]].to_numpy(float) - pairs[AXES].to_numpy(float)
    distances = pd.Series(np.linalg.norm(apart, axis=1), index=pairs['index'])
    return distances.groupby(level=0).max().reindex(table.index)


def _asymmetries(table: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """Distance of each row's point from its mirrored counterpart, in the template's space."""
    mirrors = {target.label: target.mirror for target in protocol.targets if target.mirror}
    mirrored = table[['image', 'label', *_MNI]].assign(
        label=table['label'].map(mirrors), mni_x=-table['mni_x']
    )
    both = table[['image', 'label', *_MNI]].merge(
        mirrored, on=['image', 'label'], how='left', suffixes=('', '_mirrored')
    )
    other = both[[f'{axis}_mirrored' for axis in _MNI]].to_numpy(float)
    apart = both[_MNI].to_numpy(float) - other
    return pd.Series(np.linalg.norm(apart, axis=1), index=table.index)


def _distances_from_cohort(table: pd.DataFrame) -> pd.Series:
    """Distance of each row's point from the median of its target, in the template's space."""
    middle = table.groupby('label')[_MNI].transform('median')
    return np.sqrt(((table[_MNI] - middle) ** 2).sum(axis=1, skipna=False))
