from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.imaging.isotropic import conform_isotropic, upsample_sinc

ORDERS = [
    ''.join(letters) for axes in permutations(('LR', 'PA', 'IS')) for letters in product(*axes)
]
PLACE = np.array([8.3, -23.7, 41.4])
SINC_AFFINE = np.array([[0, -0.75, 0, 10], [0.75, 0, 0, -20], [0, 0, 0.75, 5], [0, 0, 0, 1.0]])


def grid_affine(
    axcodes: str, sizes: tuple[float, ...], angles: tuple[float, ...], shape: tuple[int, ...]
) -> np.ndarray:
    """Affine of a volume whose middle lies near `PLACE`."""
    ornt = nib.orientations.axcodes2ornt(axcodes)
    axes = np.zeros((3, 3))
    for column, (row, sign) in enumerate(ornt):
        axes[int(row), column] = sign
    turn = nib.eulerangles.euler2mat(*np.radians(angles))
    matrix = turn @ axes @ np.diag(sizes)
    middle = (np.array(shape) - 1) / 2
    return nib.affines.from_matvec(matrix, PLACE - matrix @ middle)


def assert_isotropic(image: nib.Nifti1Image, voxel_mm: float) -> None:
    assert nib.aff2axcodes(image.affine) == ('R', 'A', 'S')
    assert image.get_data_dtype() == np.float32
    assert np.asarray(image.dataobj).dtype == np.float32
    np.testing.assert_allclose(image.header.get_zooms(), voxel_mm, atol=1e-3)
    assert image.header['qform_code'] == image.header['sform_code'] == 1
    np.testing.assert_allclose(image.get_qform(), image.affine, atol=1e-4)


@given(
    order=st.sampled_from(ORDERS),
    shape=st.tuples(*[st.integers(7, 12)] * 3),
    sizes=st.tuples(*[st.floats(0.4, 2.0)] * 3),
    angles=st.tuples(*[st.floats(-25, 25)] * 3),
    voxel_mm=st.floats(0.5, 1.5),
)
def test_points_keep_world_mm(
    order: str,
    shape: tuple[int, ...],
    sizes: tuple[float, ...],
    angles: tuple[float, ...],
    voxel_mm: float,
) -> None:
    affine = grid_affine(order, sizes, angles, shape)
    world = nib.affines.apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))
    for axis in range(3):
        # An image whose intensities are its places along one axis of the world.
        image = nib.Nifti1Image(world[..., axis].astype(np.float32), affine)
        conformed = conform_isotropic(image, voxel_mm)
        assert_isotropic(conformed, voxel_mm)
        voxels = np.moveaxis(np.indices(conformed.shape), 0, -1)
        places = nib.affines.apply_affine(conformed.affine, voxels)
        old = nib.affines.apply_affine(np.linalg.inv(affine), places)
        # Further in than voxels are repeated or averaged with such.
        margin = 1 + voxel_mm / np.array(sizes)
        inner = ((old >= margin) & (old <= np.array(shape) - 1 - margin)).all(axis=-1)
        found = np.asarray(conformed.dataobj)[inner]
        np.testing.assert_allclose(found, places[inner, axis], rtol=0, atol=1e-3)


@settings(max_examples=30)
@given(
    order=st.sampled_from(ORDERS),
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    sizes=st.tuples(*[st.floats(0.3, 4.0)] * 3),
    voxel_mm=st.floats(0.3, 2.0),
)
def test_field_of_view(
    order: str, shape: tuple[int, ...], sizes: tuple[float, ...], voxel_mm: float
) -> None:
    affine = grid_affine(order, sizes, (5.0, -8.0, 3.0), shape)
    conformed = conform_isotropic(nib.Nifti1Image(np.ones(shape, np.float32), affine), voxel_mm)
    middles = [
        nib.affines.apply_affine(a, (np.array(n) - 1) / 2)
        for a, n in ((affine, shape), (conformed.affine, conformed.shape))
    ]
    np.testing.assert_allclose(middles[1], middles[0], atol=1e-5)
    upright = nib.as_closest_canonical(nib.Nifti1Image(np.empty(shape, np.float32), affine))
    wanted = np.array(upright.shape) * upright.header.get_zooms()
    got = np.array(conformed.shape) * voxel_mm
    # Half a voxel at each end; one voxel at least is always there.
    assert (np.abs(got - wanted) <= np.maximum(voxel_mm, wanted) + 1e-2).all()
    np.testing.assert_allclose(np.asarray(conformed.dataobj), 1, rtol=1e-5)


@pytest.mark.parametrize('order', ['RAS', 'LPS', 'ASR', 'IPL'])
def test_wanted_size_is_copied(order: str) -> None:
    shape = (5, 6, 7)
    affine = grid_affine(order, (0.7503, 0.75, 0.7498), (10, 20, -5), shape)
    data = np.random.default_rng(0).random(shape, dtype=np.float32)
    conformed = conform_isotropic(nib.Nifti1Image(data, affine), 0.75)
    expected = nib.as_closest_canonical(nib.Nifti1Image(data, affine))
    np.testing.assert_array_equal(np.asarray(conformed.dataobj), np.asarray(expected.dataobj))
    # NIfTI keeps the affine in single precision.
    np.testing.assert_allclose(conformed.affine, expected.affine, rtol=0, atol=1e-5)


def test_one_axis_by_hand() -> None:
    # Voxels of 2 mm at 0 and 2 mm (from -1 to 3 mm); voxels of 1 mm at -0.5, 0.5, 1.5 and 2.5 mm.
    image = nib.Nifti1Image(
        np.array([0.0, 8.0], np.float32).reshape(2, 1, 1), np.diag([2, 1, 1, 1])
    )
    finer = conform_isotropic(image, 1.0)
    assert finer.affine[:3, 3].tolist() == [-0.5, 0, 0]
    # The outer ones lie beyond the last centres: repeated.
    np.testing.assert_allclose(np.ravel(finer.dataobj), [0, 2, 6, 8])


def test_averaging_by_hand() -> None:
    # Voxels twice as large: pairs are averaged.
    data = np.array([8.0, 16, 0, 0], np.float32).reshape(4, 1, 1)
    image = nib.Nifti1Image(data, np.diag([0.5, 1, 1, 1]))
    coarser = conform_isotropic(image, 1.0)
    assert coarser.affine[:3, 3].tolist() == [0.25, 0, 0]
    np.testing.assert_allclose(np.ravel(coarser.dataobj), [12, 0])


def test_no_aliasing() -> None:
    stripes = np.tile(np.array([0, 10], np.float32), 20).reshape(40, 1, 1)
    image = nib.Nifti1Image(stripes, np.diag([0.25, 1, 1, 1]))
    inner = np.ravel(conform_isotropic(image, 1.0).dataobj)[1:-1]
    np.testing.assert_allclose(inner, 5, atol=1e-5)


@pytest.mark.parametrize('voxel_mm', [0.0, -1.0, float('nan'), float('inf')])
def test_impossible_voxel_size(voxel_mm: float) -> None:
    with pytest.raises(ValueError, match='positive'):
        conform_isotropic(nib.Nifti1Image(np.ones((2, 2, 2), np.float32), np.eye(4)), voxel_mm)


def waves(places: np.ndarray, length: int) -> np.ndarray:
    """Periodic function of an index, well below the Nyquist frequency of `length` samples."""
    angle = 2 * np.pi * places / length
    return 3 + np.cos(angle) - 2 * np.sin(2 * angle) + 0.5 * np.cos(3 * angle + 0.4)


def band_limited(shape: tuple[int, ...], factor: int) -> np.ndarray:
    lines = [waves(np.arange(n * factor) / factor, n) for n in shape]
    return np.einsum('i,j,k->ijk', *lines)


@pytest.mark.parametrize('factor', [1, 2, 3])
def test_sinc_is_exact_for_waves(factor: int) -> None:
    shape = (8, 9, 10)
    image = nib.Nifti1Image(band_limited(shape, 1).astype(np.float32), SINC_AFFINE)
    finer = upsample_sinc(image, factor)
    np.testing.assert_allclose(finer.dataobj, band_limited(shape, factor), atol=5e-4)
    assert finer.get_data_dtype() == np.float32


def test_sinc_keeps_input_voxels() -> None:
    data = np.random.default_rng(0).random((6, 5, 4), dtype=np.float32)
    finer = upsample_sinc(nib.Nifti1Image(data, SINC_AFFINE))
    assert finer.shape == (12, 10, 8)
    np.testing.assert_allclose(np.asarray(finer.dataobj)[::2, ::2, ::2], data, atol=1e-5)
    np.testing.assert_allclose(finer.header.get_zooms(), 0.375)
    for index in ([0, 0, 0], [5, 4, 3]):
        old = nib.affines.apply_affine(SINC_AFFINE, index)
        new = nib.affines.apply_affine(finer.affine, 2 * np.array(index))
        np.testing.assert_allclose(new, old)


def test_sinc_wraps_around() -> None:
    # Between the last voxel (8) and the first one (0), half way by symmetry.
    data = np.repeat([0.0, 8.0], 4).reshape(8, 1, 1).astype(np.float32)
    last = np.asarray(upsample_sinc(nib.Nifti1Image(data, np.eye(4))).dataobj)[-1, 0, 0]
    assert last == pytest.approx(4, abs=1e-5)


@pytest.mark.parametrize('factor', [0, -2, 1.5])
def test_impossible_sinc_factor(factor: float) -> None:
    with pytest.raises(ValueError, match='whole number'):
        upsample_sinc(nib.Nifti1Image(np.ones((2, 2, 2), np.float32), np.eye(4)), factor)
