from __future__ import annotations

from collections.abc import Callable

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from tmsprep.registration.frames import write_linear
from tmsprep.registration.plausibility import (
    ImplausibleRegistration,
    check_jacobian,
    check_linear,
    check_overlap,
    check_pair,
    describe_linear,
    jacobian_range,
)


def _matrix(linear: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = [10, -20, 30]
    return matrix


def test_rotated_stretch() -> None:
    turn = Rotation.from_euler('x', 25, degrees=True).as_matrix()
    report = check_linear(_matrix(turn @ np.diag([0.9, 1.0, 1.2])))
    np.testing.assert_allclose(report.scales, [0.9, 1.0, 1.2])
    np.testing.assert_allclose(report.extreme_scales, [0.9, 1.2])
    assert report.shear == pytest.approx(0, abs=1e-12)
    assert report.determinant == pytest.approx(1.08)
    assert report.rotation_deg == pytest.approx(25)


def test_shear_by_hand() -> None:
    # Symmetric, so it is its own stretch: columns (1, a, 0) and (a, 1, 0) with a = 0.05 have
    # length sqrt(1 + a^2) and cosine 2a / (1 + a^2); its singular values are 1 - a, 1, 1 + a.
    report = check_linear(_matrix(np.array([[1, 0.05, 0], [0.05, 1, 0], [0, 0, 1.0]])))
    assert report.shear == pytest.approx(0.1 / 1.0025)
    np.testing.assert_allclose(report.extreme_scales, [0.95, 1.05])
    np.testing.assert_allclose(report.scales, [np.sqrt(1.0025)] * 2 + [1])


@given(st.tuples(*[st.floats(-180, 180)] * 3))
def test_orientation(angles: tuple) -> None:
    linear = np.array([[1.1, 0.03, 0], [0.0, 0.9, 0.05], [0.02, 0, 1.0]])
    turn = Rotation.from_euler('xyz', angles, degrees=True).as_matrix()
    one, other = describe_linear(_matrix(linear)), describe_linear(_matrix(turn @ linear))
    np.testing.assert_allclose(one.scales, other.scales, atol=1e-9)
    assert one.shear == pytest.approx(other.shear, abs=1e-9)


@pytest.mark.parametrize(
    ('linear', 'message'),
    [
        (np.diag([0.5, 1, 1]), '0.50 to 1.00'),
        (np.diag([1, 1.4, 1]), '1.00 to 1.40'),
        (np.diag([-1, 1, 1.0]), 'mirrors'),
        (np.array([[1, 0.12, 0], [0.12, 1, 0], [0, 0, 1.0]]), 'shear is 0.24'),
    ],
)
def test_implausible(linear: np.ndarray, message: str) -> None:
    with pytest.raises(ImplausibleRegistration, match=message):
        check_linear(_matrix(linear))


@pytest.mark.parametrize('linear', [np.zeros((3, 3)), np.full((3, 3), np.nan)])
def test_singular_matrix(linear: np.ndarray) -> None:
    with pytest.raises(ValueError, match='singular'):
        describe_linear(_matrix(linear))


def test_overlap_and_folding() -> None:
    assert check_overlap(0.95) == 0.95
    with pytest.raises(ImplausibleRegistration, match=r'0\.30'):
        check_overlap(0.3)
    with pytest.raises(ImplausibleRegistration, match='nan'):
        check_overlap(np.nan)
    assert check_jacobian((0.4, 2.0)) == (0.4, 2.0)
    with pytest.raises(ImplausibleRegistration, match=r'-0\.10'):
        check_jacobian((-0.1, 2.0))


def test_jacobian(tmp_path) -> None:
    path = write_linear(_matrix(np.diag([1.1, 0.9, 1.2])), tmp_path / 'a.mat')
    mask = nib.Nifti1Image(np.ones((12, 12, 12), np.float32), np.diag([2.0, 2, 2, 1]))
    np.testing.assert_allclose(jacobian_range(path, mask), [1.188, 1.188], atol=1e-3)


def _ball(radius: float, centre: tuple[float, float, float] = (0, 0, 0)) -> nib.Nifti1Image:
    """A ball on a grid of 4 mm, as a mask of a brain."""
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -120
    places = apply_affine(affine, np.moveaxis(np.indices((61, 61, 61)), 0, -1))
    inside = np.linalg.norm(places - centre, axis=-1) <= radius
    return nib.Nifti1Image(inside.astype(np.uint8), affine)


def _by(matrix: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda points: apply_affine(matrix, points)


LINEAR = _matrix(Rotation.from_euler('xyz', [20, -10, 5], degrees=True).as_matrix() * 0.9)
MOVED = _ball(63, (10, -20, 30))


def test_plausible_pair() -> None:
    """A ball of 70 mm, turned, shrunk and moved to its place; also where no mask is known."""
    for mask in (MOVED, None):
        check_pair(_by(LINEAR), _by(np.linalg.inv(LINEAR)), _ball(70), mask)


PAIRS = {
    'mirrored': (_matrix(np.diag([-1.0, 1, 1])), 'it mirrors the brain'),
    'shrunk': (_matrix(np.eye(3) * 0.5), 'it scales by 0.50'),
}


@pytest.mark.parametrize('case', PAIRS)
def test_implausible_pair(case: str) -> None:
    matrix, words = PAIRS[case]
    with pytest.raises(ImplausibleRegistration, match=words):
        check_pair(_by(matrix), _by(np.linalg.inv(matrix)), _ball(70), None)


def test_pair_that_is_not_inverse() -> None:
    """A point of the ball comes back 8 mm away."""
    back = np.linalg.inv(LINEAR)
    back[0, 3] += 8
    with pytest.raises(ImplausibleRegistration, match=r'points come back 8\.0 mm away'):
        check_pair(_by(LINEAR), _by(back), _ball(70), MOVED)


def test_pair_to_another_place() -> None:
    """The brain lies 40 mm from where the transform puts the atlas."""
    with pytest.raises(ImplausibleRegistration, match='masks overlap by Dice'):
        check_pair(_by(LINEAR), _by(np.linalg.inv(LINEAR)), _ball(70), _ball(63, (50, -20, 30)))


def test_pair_that_folds() -> None:
    """Beyond x = 20 everything is thrown to the other side."""
    fold = np.array([-1.0, 1, 1])

    def folded(points: np.ndarray) -> np.ndarray:
        return np.where(points[:, :1] > 20, points * fold, points)

    with pytest.raises(ImplausibleRegistration, match=r'linear|volume'):
        check_pair(folded, folded, _ball(70), None)
