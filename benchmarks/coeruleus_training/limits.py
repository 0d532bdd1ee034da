"""Limits of what a result may look like, and the error radius, from the validation set."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import torch

from tmsprep.evaluation.conformal import ErrorRadius, calibrate
from tmsprep.evaluation.errors import dispersion
from tmsprep.methods.duennwald2021.networks import CoeruleusModel
from tmsprep.methods.duennwald2021.search import visibility_of
from tmsprep.methods.duennwald2021.stage_settings import LIMITS
from tmsprep.methods.duennwald2021.status import heatmap_spread

from coeruleus_simulation.crops import CROP_MM
from coeruleus_testing.results import WRONG_MM
from coeruleus_training.bank import Bank
from coeruleus_training.second_stage import middle

#: A point nearer than this is right, mm; one further off than `WRONG_MM` is wrong.
RIGHT_MM = 2.0

#: Largest share of wrong or invisible sides among those that no limit warns of.
MOST_WRONG = 0.03

#: Share of visible sides in the validation set that may be warned of by each limit of the first
#: stage and of the way between the stages, and how far beyond those sides these limits lie, as
#: their number is small.
WARNED, MARGIN = 0.01, 1.25

#: Limits of the second stage on itself; the first two are chosen together.
_OWN = ('spread_mm', 'dispersion_mm')


def see_crops(model: CoeruleusModel, bank: Bank) -> pd.DataFrame:
    """Localise in crops of the validation set, looking once.

    Returns
    -------
    pandas.DataFrame
        One row per crop: 'visible', 'error_mm' (NaN if not visible), 'visibility', 'spread_mm' and
        'dispersion_mm', see `tmsprep.methods.duennwald2021.sighting.Sighting`.
    """
    rows = []
    with torch.inference_mode():
        for number in range(len(bank)):
            volume, labels, points = bank[number]
            crop, _, point = middle(volume, labels, points[0])
            crop = crop[None]
            found = [network(crop) for network in model.localizers]
            members = np.stack([points[0, 0].numpy() for points, _ in found])
            heatmap = torch.stack([maps[0, 0].float() for _, maps in found]).mean(dim=0).numpy()
            shares = [network(crop)[0].float().softmax(dim=0)[1] for network in model.segmenters]
            off = (members.mean(axis=0) - point.numpy()) * CROP_MM
            rows.append(
                {
                    'visible': bool(point.isfinite().all()),
                    'error_mm': float(np.linalg.norm(off)),
                    'visibility': visibility_of(torch.stack(shares).mean(dim=0).numpy(), CROP_MM),
                    'spread_mm': heatmap_spread(heatmap, CROP_MM),
                    'dispersion_mm': float(dispersion(members[:, None] * CROP_MM)[0]),
                }
            )
    return pd.DataFrame(rows)


def find_limits(rows: pd.DataFrame, crops: pd.DataFrame) -> dict[str, float]:
    """Limits that warn of most wrong points and invisible sides, and of few right points.

    Parameters
    ----------
    rows : pandas.DataFrame
        Of `measure_all`.
    crops : pandas.DataFrame
        Of `see_crops`, as images have few invisible sides.

    Returns
    -------
    dict
        As `stage_settings.LIMITS`. That of the visibility has the largest sum of the shares of
        sides told right, visible and not. Those of the spread and the dispersion keep the most
        right points (`RIGHT_MM`), with at most `MOST_WRONG` of all that is kept wrong (`WRONG_MM`)
        or invisible. The others lie `MARGIN` beyond nearly all visible sides.
    """
    names = ['visible', 'error_mm', 'visibility', *_OWN]
    both = pd.concat([rows[names], crops[names]], ignore_index=True).dropna(subset=_OWN)
    limits = {'visibility': _least_visibility(both)}
    limits |= _own_limits(both[both['visibility'] >= limits['visibility']])
    seen = rows[rows['visible']]
    for name in LIMITS:
        if name not in limits:
            most = float(seen[name].quantile(1 - WARNED))
            # A single network of the first stage does not disagree with itself.
            limits[name] = round(MARGIN * most, 2) or LIMITS[name]
    return limits


def _least_visibility(both: pd.DataFrame) -> float:
    known = both.dropna(subset='visibility')
    values = np.sort(known['visibility'].unique())
    between = (values[:-1] + values[1:]) / 2
    shown, measured = known['visible'].to_numpy(bool), known['visibility'].to_numpy()
    right = [
        (measured[~shown] < limit).mean() + (measured[shown] >= limit).mean() for limit in between
    ]
    return round(float(between[int(np.argmax(right))]), 3)


def _own_limits(both: pd.DataFrame) -> dict[str, float]:
    shown = both['visible'].to_numpy(bool)
    error = both['error_mm'].to_numpy()
    right, wrong = shown & (error <= RIGHT_MM), ~shown | (error > WRONG_MM)
    measured = both[list(_OWN)].to_numpy()
    levels = np.linspace(0.2, 1, 33)
    grids = [np.unique(np.quantile(column[right], levels)) for column in measured.T]
    best, most = dict(zip(_OWN, (grid[0] for grid in grids), strict=True)), 0
    for pair in product(*grids):
        kept = (measured <= pair).all(axis=1)
        if wrong[kept].sum() <= MOST_WRONG * kept.sum() and right[kept].sum() > most:
            best, most = dict(zip(_OWN, pair, strict=True)), right[kept].sum()
    return {name: round(float(value), 2) for name, value in best.items()}


def find_radius(rows: pd.DataFrame) -> ErrorRadius:
    """Radius that holds nine of ten errors, from images of the validation set.

    Those of sides with a warning do not count: no radius is given for them. Each image counts as a
    participant, as there are three heads only: what is promised holds for other images of these
    heads, with voxels no longer than theirs.
    """
    rows = rows.assign(error_mm=rows['error_mm'].where(rows['status'] == 'ok'))
    wide = rows.pivot_table(index='image', columns='side', values='error_mm', dropna=False)
    errors = wide[['left', 'right']].to_numpy()
    limits = {'voxel_mm': float(rows['slice_mm'].max())}
    return calibrate(errors, None, ('LLC', 'RLC'), list(wide.index), limits=limits)
