from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from tmsprep.methods.duennwald2021.stage_settings import LIMITS

from coeruleus_training.limits import MARGIN, find_limits, find_radius
from coeruleus_training.second_stage import LOCALIZER, localizer_of, segmenter_of


def rows() -> pd.DataFrame:
    """Forty images, of which every eighth has an invisible right side, told by its visibility."""
    found = []
    for i in range(40):
        for side in ('left', 'right'):
            visible = side == 'left' or i % 8 > 0
            found.append(
                {
                    'image': f'{i:02d}',
                    'side': side,
                    'visible': visible,
                    'slice_mm': 2.0 + i / 40,
                    'visibility': 0.6 + i / 100 if visible else 0.1 + i / 100,
                    'error_mm': (i + 1) / 20 if visible else np.nan,
                    **dict.fromkeys(
                        ('spread_mm', 'dispersion_mm', 'shift_mm', 'finder_mm', 'misfit_mm'), 1.0
                    ),
                }
            )
    return pd.DataFrame(found)


def test_find_limits() -> None:
    """Between the visible and the invisible sides; others where few visible ones lie beyond."""
    crops = rows().drop(columns=['image', 'side'])
    limits = find_limits(rows(), crops)
    assert 0.42 < limits['visibility'] <= 0.6
    assert limits['shift_mm'] == MARGIN
    # A single network of the first stage says nothing by its dispersion.
    alone = find_limits(rows().assign(finder_mm=0.0), crops)
    assert alone['finder_mm'] == LIMITS['finder_mm']


def test_limits_of_wrong_points() -> None:
    """What is wrong is spread out or disputed: limits lie between, and keep all that is right."""
    made = rows()[rows()['visible']].assign(error_mm=1.0)
    wrong = made.iloc[:10].assign(error_mm=5.0, spread_mm=4.0)
    disputed = made.iloc[:10].assign(error_mm=5.0, dispersion_mm=2.0)
    crops = pd.concat([made, wrong, disputed], ignore_index=True)
    limits = find_limits(rows(), crops)
    assert (limits['spread_mm'], limits['dispersion_mm']) == (1.0, 1.0)


def test_find_radius() -> None:
    """Nine of ten errors of the images lie inside."""
    radius = find_radius(rows().assign(status='ok'))
    reach = radius.finite_radii({'LLC': 0.0, 'RLC': 0.0})
    assert radius.limits == {'voxel_mm': pytest.approx(2.975)}
    assert reach['LLC'] == pytest.approx(1.9, abs=0.25)
    # Sides with a warning have no radius, and take no part.
    large = rows()['error_mm'] > 1
    kept = find_radius(rows().assign(status=np.where(large, 'unreliable', 'ok')))
    assert kept.finite_radii({'LLC': 0.0, 'RLC': 0.0})['LLC'] <= 1


def test_segmenter_start() -> None:
    """All but the last layer is that of the localizer, which the segmenter then leaves alone."""
    start = localizer_of(1)
    network = segmenter_of(1, start)
    assert torch.equal(network.down[0][0].weight, start.down[0][0].weight)
    outputs = 3 * LOCALIZER.block**3
    assert network.head.weight.shape == (outputs, LOCALIZER.features[0], 1, 1, 1)
    with torch.no_grad():
        network.down[0][0].weight.zero_()
    assert start.down[0][0].weight.abs().sum() > 0
