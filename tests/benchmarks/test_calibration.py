"""From errors in images as they are and corrupted to the radius of the shipped weights."""

from __future__ import annotations

import calibration
import numpy as np
import pandas as pd
import pytest
from calibration import calibrate_on, coverage, states

from tmsprep.learning.examples import Example
from tmsprep.points import PointSet

from corruptions.catalogue import CORRUPTIONS


def measured(person: str, kind: str, error: float, **more: object) -> pd.DataFrame:
    """Two targets of one image."""
    return pd.DataFrame(
        {
            'label': ['A', 'B'],
            'error_mm': error,
            'status': 'ok',
            'dispersion_mm': 0.5,
            'match': 0.95,
            'voxel_mm': 2.0,
            'person': person,
            'kind': kind,
            'strength': '',
            **more,
        }
    )


def test_limits_and_radius() -> None:
    """Eleven participants with errors of 2 mm, noisy 4 mm; an odd image, a point warned of."""
    names = [f'sub-{i}' for i in range(11)]
    parts = [measured(name, 'as it is', 2.0) for name in names]
    parts += [measured(name, 'noise', 4.0) for name in names[1:]]
    # One image of 22 is beyond the limit of a sign, and its errors do not count.
    parts.append(measured(names[0], 'noise', 50.0, match=0.5))
    parts[0].loc[1, ['error_mm', 'status']] = [90.0, 'wrong_gyrus']
    rows = pd.concat(parts, ignore_index=True)
    radius = calibrate_on(rows)
    assert radius.limits == {'dispersion_mm': 0.5, 'match': 0.95, 'voxel_mm': 2.0}
    assert (radius.n, radius.kinds) == ((11, 10), ('as it is', 'noise'))
    radii = radius.finite_radii({'A': 0.5, 'B': 0.5})
    assert list(radii.values()) == pytest.approx([4.0, 4.0], rel=0.05)
    found = coverage(rows, radius)
    assert found['promised'].tolist() == [21 / 22, 20 / 22]
    assert found.loc['as it is', 'inside'] == 1.0
    assert rows['error_mm'].max() == 90.0


def test_nothing_learned() -> None:
    rows = measured('sub-1', 'as it is', 200.0, status='unreliable')
    with pytest.raises(ValueError, match='train with more steps'):
        calibrate_on(rows)


def test_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each participant in every kind once; over three participants in every strength."""
    monkeypatch.setattr(calibration, 'painted_examples', lambda people, folder: people)
    point = PointSet(('A',), np.zeros((1, 3)))
    people = [Example(f'sub-{i}', None, point) for i in range(3)]
    found = list(states(people, None))
    assert len({state.file_name for state in found}) == len(found) == 3 * (2 + len(CORRUPTIONS))
    for name, corruption in CORRUPTIONS.items():
        used = {state.strength for state in found if state.kind == name}
        assert used == set(corruption.strengths)
