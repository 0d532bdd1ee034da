from __future__ import annotations

import numpy as np
import pytest

from tmsprep.methods.baxter2021.radius import limits_of, longest_mm, signs_of, unlike


def test_signs() -> None:
    columns = {'dispersion_mm': [0.5, None, 1.5], 'match': [None] * 3, 'crown_depth_mm': [9.0] * 3}
    affine = np.array([[0, 0, 1.26, 0], [-1, 0, 0, 0], [0, 0.9, 0, 0], [0, 0, 0, 1]])
    assert signs_of(columns, longest_mm(affine)) == {'dispersion_mm': 1.0, 'voxel_mm': 1.3}
    assert signs_of({}, None) == {}


def test_limits() -> None:
    """Of 40 images 2 may be beyond a limit, but none has longer voxels; of 10 none."""
    images = [
        {'dispersion_mm': float(i), 'match': i / 40, 'voxel_mm': float(i)} for i in range(40)
    ]
    assert limits_of(images) == {
        'dispersion_mm': 38.0,
        'match': pytest.approx(1 / 40),
        'voxel_mm': 39.0,
    }
    assert limits_of(images[:10]) == {'dispersion_mm': 9.0, 'match': 0.0, 'voxel_mm': 9.0}
    # What one image does not show is no limit.
    assert limits_of([*images, {'match': 0.5}]).keys() == {'match'}
    assert limits_of([]) == {}


@pytest.mark.parametrize(
    ('signs', 'reason'),
    [
        ({'dispersion_mm': 1.2, 'match': 0.9}, ''),
        ({'dispersion_mm': 0.1, 'match': 1.0, 'voxel_mm': 9.0}, ''),
        (
            {'dispersion_mm': 1.3, 'match': 0.95},
            'the networks disagree by 1.30 mm on average (at most 1.20)',
        ),
        (
            {'dispersion_mm': 1.0, 'match': 0.87},
            'it matches the mean head by 0.87 (at least 0.90)',
        ),
        (
            {'dispersion_mm': 1.0},
            'match is not known',
        ),
    ],
)
def test_unlike(signs: dict[str, float], reason: str) -> None:
    said = f'the image is unlike those of the calibration: {reason}' if reason else ''
    assert unlike(signs, {'dispersion_mm': 1.2, 'match': 0.9}) == said
