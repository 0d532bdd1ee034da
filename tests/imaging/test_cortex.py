from __future__ import annotations

import numpy as np
import pytest

from tmsprep.imaging.cortex import nearest_grey_matter

SHAPE = (90, 90, 90)
AFFINE = np.diag([-1.0, 1, 1, 1])
AFFINE[:3, 3] = [44, -45, -45]  # the centre of the spheres is voxel (44, 45, 45), at 0 mm
RADIUS = np.linalg.norm(np.indices(SHAPE) - np.array([44, 45, 45])[:, None, None, None], axis=0)


@pytest.fixture(scope='module')
def brain() -> tuple[np.ndarray, np.ndarray]:
    """White matter to 30 mm, a ribbon of grey matter of 4 mm, fluid to 38 mm; noise of 3 %."""
    image = np.select([RADIUS <= 30, RADIUS <= 34, RADIUS <= 38], [100.0, 70.0, 25.0])
    noise = np.random.default_rng(1).normal(0, 3, SHAPE)
    return image + noise, RADIUS <= 38


@pytest.mark.parametrize(
    ('point', 'shift'),
    [
        ((0, 0, 25.0), 6),  # in white matter
        ((0, 0, 37.0), 4),  # in fluid
        ((0, -41.0, 0), 8),  # outside the brain
        ((32.0, 0, 0), 0),  # in grey matter
    ],
)
def test_spheres(brain: tuple, point: tuple, shift: float) -> None:
    (moved,) = nearest_grey_matter(np.array([point]), *brain, AFFINE, 10.0)
    assert 30 <= np.linalg.norm(moved) <= 33.5
    assert np.linalg.norm(moved - point) == pytest.approx(shift, abs=1.0)


def test_in_grey_matter_stays_exactly(brain: tuple) -> None:
    point = np.array([[19.3, 18.1, 18.2]])
    assert nearest_grey_matter(point, *brain, AFFINE, 10.0).tolist() == point.tolist()


def test_nothing_near(brain: tuple) -> None:
    points = np.array([[0, 0, 12.0], [0, 0, 300.0], [np.nan] * 3])
    assert np.isnan(nearest_grey_matter(points, *brain, AFFINE, 10.0)).all()


def test_stays_on_its_side(brain: tuple) -> None:
    """Grey matter is nearer on the other side, but the point belongs to the right."""
    image, mask = brain
    image = np.where((np.indices(SHAPE)[0] < 44) & (RADIUS > 26), 100.0, image)  # x > 0
    point = np.array([[1.0, 0, 32]])
    free = nearest_grey_matter(point, image, mask, AFFINE, 10.0)
    assert free[0, 0] <= 0
    across = np.array([[[0.0, 0, 32], [1.0, 0, 0]]])
    assert np.isnan(nearest_grey_matter(point, image, mask, AFFINE, 10.0, across)).all()


def test_shading(brain: tuple) -> None:
    """Intensities fall by a third from left to right, as near a coil."""
    image, mask = brain
    shaded = image * np.linspace(1.2, 0.8, SHAPE[0])[:, None, None]
    for x in (-25.0, 25.0):
        (moved,) = nearest_grey_matter(np.array([[x, 0, 0]]), shaded, mask, AFFINE, 10.0)
        assert 30 <= np.linalg.norm(moved) <= 34


def test_constant_image() -> None:
    mask = np.ones(SHAPE)
    assert np.isnan(nearest_grey_matter(np.zeros((1, 3)), mask, mask, AFFINE, 10.0)).all()
