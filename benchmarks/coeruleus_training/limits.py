"""Limits of what a result may look like, and the error radius, from the validation set."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from tmsprep.evaluation.conformal import ErrorRadius, calibrate
from tmsprep.methods.duennwald2021.networks import PatchUNet
from tmsprep.methods.duennwald2021.search import scale_crop, visibility_of
from tmsprep.methods.duennwald2021.stage_settings import LIMITS

from coeruleus_simulation.crops import CROP_MM
from coeruleus_training.bank import Bank

#: Share of visible sides in the validation set that may be warned of by each limit.
WARNED = 0.01

#: How far beyond those sides the limits lie, as their number is small.
MARGIN = 1.25


def see_crops(network: PatchUNet, bank: Bank) -> pd.DataFrame:
    """Measure the visibility in crops; columns 'visible' and 'visibility'."""
    rows = []
    with torch.inference_mode():
        for number in range(len(bank)):
            volume, _, points = bank[number]
            crop = torch.from_numpy(scale_crop(volume.numpy()))
            found = network(crop[None])[0].float().softmax(dim=0)[1].numpy()
            seen = {'visibility': visibility_of(found, CROP_MM)}
            rows.append(seen | {'visible': bool(points[0].isfinite().all())})
    return pd.DataFrame(rows)


def find_limits(rows: pd.DataFrame, crops: pd.DataFrame) -> dict[str, float]:
    """Limits that warn of few visible sides of the validation set, and of most invisible ones.

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
        sides told right, visible and not; the others lie `MARGIN` beyond nearly all sides.
    """
    seen = rows[rows['visible']]
    both = pd.concat([rows[['visible', 'visibility']], crops])
    values = np.sort(both['visibility'].dropna().unique())
    between = (values[:-1] + values[1:]) / 2
    shown = both['visible'].to_numpy(bool)
    measured = both['visibility'].to_numpy()
    right = [
        (measured[~shown] < limit).mean() + (measured[shown] >= limit).mean() for limit in between
    ]
    others = {
        name: round(float(MARGIN * seen[name].quantile(1 - WARNED)), 2)
        for name in LIMITS
        if name != 'visibility'
    }
    return {'visibility': round(float(between[int(np.argmax(right))]), 3), **others}


def find_radius(rows: pd.DataFrame) -> ErrorRadius:
    """Radius that holds nine of ten errors, from images of the validation set.

    Each image counts as a participant, as there are three heads only: what is promised holds for
    other images of these heads, with voxels no longer than theirs.
    """
    wide = rows.pivot_table(index='image', columns='side', values='error_mm', dropna=False)
    errors = wide[['left', 'right']].to_numpy()
    limits = {'voxel_mm': float(rows['slice_mm'].max())}
    return calibrate(errors, None, ('LLC', 'RLC'), list(wide.index), limits=limits)
