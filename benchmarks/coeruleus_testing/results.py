"""How well the loci coerulei of test images were localised: tables from one row per side."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from coeruleus_testing.images import Shown

#: Directions of offsets, and distance within which the paper's errors lie on average, mm.
DIRECTIONS, NEAR_MM = ('side', 'front', 'up'), 1.3

#: A point further off than this is wrong, mm: more than a nucleus is thick.
WRONG_MM = 3.0

#: Draws of the bootstrap over heads, and share of them in an interval.
_DRAWS, _LEVEL = 1000, 0.95


def rows_of(shown: Shown, found: np.ndarray, middle: np.ndarray) -> list[dict]:
    """Compare the points of one image with the truth.

    Parameters
    ----------
    shown : Shown
        The image.
    found : numpy.ndarray
        Shape (2, 3), mm, RAS+: left and right, whatever their status.
    middle : numpy.ndarray
        Shape (3,), mm, RAS+: middle of the field of view.

    Returns
    -------
    list of dict
        One per side: 'visible', 'error_mm', and 'true_<direction>', 'found_<direction>', offsets
        from where the stem alone puts it, and 'seen_<axis>', the truth from the middle of the
        field of view, all mm.
    """
    rows = []
    for side in range(2):
        true = shown.axes[side] @ (shown.points[side] - shown.expected[side])
        own = shown.axes[side] @ (found[side] - shown.expected[side])
        row = {
            'side': ('left', 'right')[side],
            'visible': bool(np.isfinite(shown.points[side]).all()),
            'error_mm': float(np.linalg.norm(found[side] - shown.points[side])),
        }
        for i, direction in enumerate(DIRECTIONS):
            row[f'true_{direction}'], row[f'found_{direction}'] = float(true[i]), float(own[i])
        for i, axis in enumerate('xyz'):
            row[f'seen_{axis}'] = float(shown.points[side][i] - middle[i])
        rows.append(row)
    return rows


def doubts_of(rows: pd.DataFrame, limits: Mapping[str, float]) -> pd.Series:
    """Status of each side by its limits: 'not_visible', 'unreliable', or 'ok'.

    As `tmsprep.methods.duennwald2021.stage_checks.judge`, but for the turn and the size of the
    brainstem, and for points near the edge of the image.

    Parameters
    ----------
    rows : pandas.DataFrame
        One row per side: the names of the limits.
    limits : mapping
        See `tmsprep.methods.duennwald2021.stage_settings.LIMITS`.
    """
    over = {name: rows[name] > limits[name] for name in limits if name != 'visibility'}
    image = over['finder_mm'] | over['misfit_mm']
    side = over['spread_mm'] | over['dispersion_mm'] | over['shift_mm']
    unseen = ~image & (rows['visibility'] < limits['visibility'])
    status = pd.Series('ok', index=rows.index)
    return status.mask(image | side, 'unreliable').mask(unseen, 'not_visible')


def slope(true: np.ndarray, found: np.ndarray) -> float:
    """Slope of the regression of found on true offsets; 0 for one who looks at the stem alone.

    Examples
    --------
    >>> slope(np.array([0.0, 1.0, 2.0]), np.array([5.0, 5.5, 6.0]))
    0.5
    """
    known = np.isfinite(true) & np.isfinite(found)
    centred = true[known] - true[known].mean()
    total = float(centred @ centred)
    return float(centred @ found[known] / total) if total > 0 else float('nan')


def errors_left(rows: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Distance of each row's values from the mean of the other heads, mm.

    Parameters
    ----------
    rows : pandas.DataFrame
        Of visible sides, with 'head' and 'side'.
    columns : list of str
        Three columns, mm.
    """
    errors = np.full(len(rows), np.nan)
    values = rows[columns].to_numpy(float)
    heads, sides = rows['head'].to_numpy(), rows['side'].to_numpy()
    for i in range(len(rows)):
        others = (heads != heads[i]) & (sides == sides[i])
        if others.any():
            errors[i] = np.linalg.norm(values[i] - values[others].mean(axis=0))
    return errors


def interval(rows: pd.DataFrame, measure: Callable[[pd.DataFrame], float]) -> tuple[float, float]:
    """Bootstrap interval (95 %) of a measure, heads drawn with replacement."""
    rng = np.random.default_rng(0)
    groups = [group for _, group in rows.groupby('head')]
    values = []
    for _ in range(_DRAWS):
        drawn = rng.integers(len(groups), size=len(groups))
        values.append(measure(pd.concat([groups[i] for i in drawn])))
    low, high = np.nanquantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def summarise(rows: pd.DataFrame) -> dict[str, object]:
    """Summarise the rows of one kind of image.

    Parameters
    ----------
    rows : pandas.DataFrame
        Results of `rows_of`, with 'head', 'image', 'status', 'dice' and 'ceiling'.
    """
    seen = rows[rows['visible']]
    kept = seen[seen['status'] == 'ok']
    errors = seen['error_mm'].to_numpy()
    unseen = rows[~rows['visible']]

    def near(part: pd.DataFrame) -> float:
        return float((part['error_mm'] <= NEAR_MM).mean())

    summary: dict[str, object] = {
        'heads': rows['head'].nunique(),
        'images': rows['image'].nunique(),
        'sides': len(seen),
        'mean_mm': float(np.mean(errors)),
        'mean_interval': interval(seen, lambda part: float(part['error_mm'].mean())),
        'median_mm': float(np.median(errors)),
        'p95_mm': float(np.quantile(errors, 0.95)),
        'largest_mm': float(errors.max()),
        'near': near(seen),
        'near_interval': interval(seen, near),
    }
    for direction in DIRECTIONS:

        def steep(part: pd.DataFrame, direction: str = direction) -> float:
            columns = (f'true_{direction}', f'found_{direction}')
            return slope(*(part[column].to_numpy() for column in columns))

        summary[f'slope_{direction}'] = steep(seen)
        summary[f'slope_{direction}_interval'] = interval(seen, steep)
    nowhere = [f'seen_{axis}' for axis in 'xyz']
    stem = [f'true_{direction}' for direction in DIRECTIONS]
    summary |= {
        'no_image_mm': float(np.nanmean(errors_left(seen, nowhere))),
        'stem_only_mm': float(np.nanmean(errors_left(seen, stem))),
        'unseen': len(unseen),
        'unseen_flagged': float((unseen['status'] != 'ok').mean()),
        'unseen_named': float((unseen['status'] == 'not_visible').mean()),
        'seen_flagged': float((seen['status'] != 'ok').mean()),
        'kept': len(kept),
        'kept_mean_mm': float(kept['error_mm'].mean()),
        'kept_median_mm': float(kept['error_mm'].median()),
        'kept_largest_mm': float(kept['error_mm'].max()),
        'kept_near': near(kept),
        'kept_wrong': float((kept['error_mm'] > WRONG_MM).mean()),
        'dice': float(seen['dice'].median()),
        'ceiling': float(seen['ceiling'].median()),
        'inside_radius': float((kept['error_mm'] <= kept['radius_mm']).mean())
        if kept['radius_mm'].notna().any()
        else float('nan'),
    }
    return summary
