from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmsprep.imaging.conform import conform, resample_mask

ORDERS = [
    ''.join(letters) for axes in permutations(('LR', 'PA', 'IS')) for letters in product(*axes)
]
SHAPE = (40, 44, 48)
SIZES = (2.0, 1.5, 1.75)
CENTRE = np.array([7.0, -23.0, 41.0])
OFFSET = np.array([5.3, -4.1, 6.7])
WIDTH_MM = 6.0


def grid_affine(
    axcodes: str, sizes: tuple[float, ...] = SIZES, angles: tuple[float, ...] = (0, 0, 0)
) -> np.ndarray:
    """Affine of a volume of `SHAPE` whose middle lies at `CENTRE`."""
    axes = np.zeros((3, 3))
    for column, letter in enumerate(axcodes):
        row = next(i for i, pair in enumerate(('LR', 'PA', 'IS')) if letter in pair)
        axes[row, column] = 1 if letter in 'RAS' else -1
    turn = nib.eulerangles.euler2mat(*np.radians(angles))
    matrix = turn @ axes @ np.diag(sizes)
    return nib.affines.from_matvec(matrix, CENTRE - matrix @ ((np.array(SHAPE) - 1) / 2))


def blob(affine: np.ndarray, place: np.ndarray = CENTRE + OFFSET) -> nib.Nifti1Image:
    """Gaussian at a world point, on the grid of an affine."""
    voxels = np.indices(SHAPE).transpose(1, 2, 3, 0)
    distance = np.linalg.norm(nib.affines.apply_affine(affine, voxels) - place, axis=-1)
    data = 1000 * np.exp(-0.5 * (distance / WIDTH_MM) ** 2)
    return nib.Nifti1Image(data.astype(np.float32), affine)


def centroid(image: nib.Nifti1Image) -> np.ndarray:
    """Centre of mass in world mm."""
    data = np.asarray(image.dataobj)
    sums = [data.sum(axis=axes, dtype=np.float64) for axes in ((1, 2), (0, 2), (0, 1))]
    voxel = [s @ np.arange(len(s)) / s.sum() for s in sums]
    return nib.affines.apply_affine(image.affine, voxel)


def assert_conformed(image: nib.Nifti1Image) -> None:
    assert image.shape == (256, 256, 256)
    assert image.get_data_dtype() == np.float32
    assert nib.aff2axcodes(image.affine) == ('L', 'P', 'S')
    np.testing.assert_array_equal(image.affine[:3, :3], np.diag([-1, -1, 1]))
    assert image.header['qform_code'] == image.header['sform_code'] == 1
    np.testing.assert_allclose(image.get_qform(), image.affine, atol=1e-5)


def test_48_axis_orders() -> None:
    assert len(set(ORDERS)) == 48
    assert {''.join(nib.aff2axcodes(grid_affine(order))) for order in ORDERS} == set(ORDERS)


@pytest.mark.parametrize('order', ORDERS)
def test_point_in_every_axis_order(order: str) -> None:
    conformed = conform(blob(grid_affine(order)))
    assert_conformed(conformed)
    np.testing.assert_allclose(centroid(conformed), CENTRE + OFFSET, rtol=0, atol=0.05)


@settings(max_examples=5)
@given(
    order=st.sampled_from(ORDERS),
    sizes=st.tuples(*[st.floats(1.5, 2.5)] * 3),
    angles=st.tuples(*[st.floats(-30, 30)] * 3),
)
def test_point_in_oblique_images(
    order: str, sizes: tuple[float, ...], angles: tuple[float, ...]
) -> None:
    place = CENTRE + OFFSET / 2
    conformed = conform(blob(grid_affine(order, sizes, angles), place))
    assert_conformed(conformed)
    np.testing.assert_allclose(centroid(conformed), place, rtol=0, atol=0.05)


@pytest.mark.parametrize('order', ['RAS', 'LPS', 'ASR', 'IPL'])
def test_1_mm_is_copied(order: str) -> None:
    affine = grid_affine(order, (1.0, 1.0, 1.0))
    data = np.random.default_rng(0).random(SHAPE, dtype=np.float32) + 1
    conformed = conform(nib.Nifti1Image(data, affine))
    voxels = np.argwhere(np.ones(SHAPE, bool))
    mapping = np.linalg.inv(conformed.affine) @ affine
    found = nib.affines.apply_affine(mapping, voxels)
    np.testing.assert_allclose(found, np.rint(found), atol=1e-9)
    copied = np.asarray(conformed.dataobj)
    np.testing.assert_array_equal(copied[tuple(np.rint(found).astype(int).T)], data.ravel())
    # And nothing else: what the input does not cover is 0.
    assert np.count_nonzero(copied) == data.size


def test_conform_twice() -> None:
    once = conform(blob(grid_affine('RAS', angles=(10, 20, 30))))
    twice = conform(once)
    np.testing.assert_array_equal(twice.affine, once.affine)
    np.testing.assert_array_equal(np.asarray(twice.dataobj), np.asarray(once.dataobj))


@pytest.mark.parametrize('order', ['RAS', 'RAI', 'ASL'])
def test_tall_field_of_view(order: str) -> None:
    # 330 mm from neck to air, head up to 300 mm: the grid has room for 256.
    upright = np.zeros((20, 24, 165), np.float32)
    upright[4:16, 4:20, :150] = 100.0
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = [-20, -24, -200]
    vertex = affine @ [10, 12, 149, 1]
    change = nib.orientations.axcodes2ornt(order)
    image = nib.Nifti1Image(upright, affine).as_reoriented(
        nib.orientations.ornt_transform(nib.orientations.axcodes2ornt('RAS'), change)
    )
    assert ''.join(nib.aff2axcodes(image.affine)) == order
    conformed = conform(image)
    assert_conformed(conformed)
    found = np.rint(np.linalg.inv(conformed.affine) @ vertex).astype(int)[:3]
    assert 0 <= found[2] < 256
    assert np.asarray(conformed.dataobj)[tuple(found)] == pytest.approx(100)
    # The cut is at the neck: nearly all of the grid below the vertex shows the head.
    assert found[2] > 230


def head_in_air(sides: dict[int, tuple[int, int]]) -> nib.Nifti1Image:
    """Head of 150 x 190 x 200 mm in voxels of 5 mm, with mm of air on two sides of some axes."""
    widths = [np.array(sides.get(axis, (10, 10))) // 5 for axis in range(3)]
    data = np.pad(np.full((30, 38, 40), 100, np.float32), widths)
    affine = np.diag([5.0, 5, 5, 1])
    affine[:3, 3] = np.array([-72, -92, -60]) - 5 * np.array([width[0] for width in widths])
    return nib.Nifti1Image(data, affine)


AROUND = [
    *({axis: air} for axis in range(3) for air in ((200, 10), (10, 200), (700, 10), (300, 500))),
    {0: (150, 20), 1: (20, 200), 2: (250, 0)},
]


@pytest.mark.parametrize(('sides', 'order'), list(zip(AROUND, ORDERS, strict=False)))
def test_head_off_centre(sides: dict[int, tuple[int, int]], order: str) -> None:
    image = head_in_air(sides)
    axes = (nib.orientations.axcodes2ornt(code) for code in ('RAS', order))
    conformed = conform(image.as_reoriented(nib.orientations.ornt_transform(*axes)))
    assert_conformed(conformed)
    for corner in np.array(list(product((-72, 73), (-92, 93), (-60, 135)))):
        voxel = np.rint(nib.affines.apply_affine(np.linalg.inv(conformed.affine), corner))
        assert ((voxel >= 0) & (voxel < 256)).all()
        assert np.asarray(conformed.dataobj)[tuple(voxel.astype(int))] == 100


@pytest.mark.parametrize('sides', [{}, {0: (40, 60)}, {0: (100, 60), 1: (50, 70)}])
def test_grid_of_whole_head_is_kept(sides: dict[int, tuple[int, int]]) -> None:
    # Nothing of the head is cut, so the grid has the middle of the view, as of a smaller one.
    image = head_in_air(sides)
    middle = nib.affines.apply_affine(image.affine, np.rint((np.array(image.shape) - 1) / 2))
    at_mid_grid = nib.affines.apply_affine(conform(image).affine, [128] * 3)
    # A middle between two voxels may be either.
    np.testing.assert_allclose(at_mid_grid[:2], middle[:2], atol=5)


def test_shoulders_do_not_move_the_grid() -> None:
    # 500 mm wide 200 mm below the vertex, all to the right of the head.
    data = np.zeros((120, 30, 60), np.float32)
    data[10:40, 5:25, 20:58] = data[10:110, 5:25, :18] = 100
    conformed = conform(nib.Nifti1Image(data, np.diag([5.0, 5, 5, 1])))
    low, high = sorted(conformed.affine[0, 3] - np.array([0, 255]))
    assert low <= 10 * 5
    assert high >= 39 * 5
    assert (low + high) / 2 == pytest.approx(24.5 * 5, abs=5)


def test_middle_of_the_grid() -> None:
    conformed = conform(blob(grid_affine('RAS')))
    middle = nib.affines.apply_affine(conformed.affine, [128] * 3)
    # Within half a voxel, since a voxel centre of the input is kept.
    assert (np.abs(middle - CENTRE) <= np.array(SIZES) / 2 + 1e-9).all()


def test_mask_by_world_coordinates() -> None:
    like = conform(blob(grid_affine('RAS')))
    source = blob(grid_affine('PIR', (1.0, 1.0, 1.0)))
    inside = nib.Nifti1Image((source.get_fdata() > 500).astype(np.uint8), source.affine)
    moved = resample_mask(inside, like)
    assert moved.get_data_dtype() == np.uint8
    assert moved.shape == like.shape
    np.testing.assert_array_equal(moved.affine, like.affine)
    volume = np.count_nonzero(np.asarray(moved.dataobj))
    assert volume == pytest.approx(np.count_nonzero(inside.dataobj), rel=0.02)
    # Nearest neighbour: up to half a voxel, if all voxels are rounded the same way.
    np.testing.assert_allclose(centroid(moved), centroid(inside), rtol=0, atol=0.501)


def test_mask_values_over_half() -> None:
    data = np.zeros((4, 4, 4), np.float32)
    data[1, 2, 3], data[0, 0, 0] = 255, 0.4
    image = nib.Nifti1Image(data, np.eye(4))
    moved = np.asarray(resample_mask(image, image).dataobj)
    assert np.argwhere(moved).tolist() == [[1, 2, 3]]
    assert moved.max() == 1
