from __future__ import annotations

import numpy as np
import pytest
from coeruleus_stages import EDGE, OFFSETS, VOXEL_MM, brightest, cubes, fixed, stages
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from tmsprep.methods.duennwald2021.search import (
    find_place,
    locate_stages,
    read_crop,
    scale_crop,
)

SHAPE = (64, 60, 48)
#: Middles of the bright cubes: 12 mm apart, and 1 to 2 mm from where the first stage puts them.
LEFT, RIGHT = (24, 26, 24), (40, 27, 23)
UPRIGHT = np.diag([VOXEL_MM] * 3 + [1.0])


def oblique() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler('xyz', (20, -10, 15), degrees=True).as_matrix()
    affine[:3, :3] *= VOXEL_MM
    affine[:3, 3] = (-20, -70, 5)
    return affine


@pytest.mark.parametrize('affine', [UPRIGHT, oblique()], ids=['upright', 'oblique'])
def test_both_sides(affine: np.ndarray) -> None:
    found = locate_stages(stages(), cubes(SHAPE, LEFT, RIGHT), affine)
    truth = apply_affine(affine, np.array([LEFT, RIGHT]))
    np.testing.assert_allclose(found.points, truth, atol=1e-3)
    # A cube of 3 voxels that are equally bright: twice 2/3 voxels of variance.
    np.testing.assert_allclose(found.spread_mm, VOXEL_MM * 2**0.5, atol=1e-3)
    labels = found.labels(SHAPE)
    for number, (x, y, z) in enumerate((LEFT, RIGHT), start=1):
        expected = np.zeros(SHAPE, bool)
        expected[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] = True
        np.testing.assert_array_equal(labels == number, expected)
        heatmap = found.heatmap(number - 1, SHAPE)
        assert heatmap.sum() == pytest.approx(1, abs=1e-4)
        assert heatmap[expected].sum() == pytest.approx(1, abs=1e-3)
    # 19 voxels are 8 mm3, and 27 are labelled.
    np.testing.assert_allclose(found.visibility, 1, atol=1e-3)
    np.testing.assert_allclose(found.misfit_mm, 0, atol=1e-6)
    assert (found.turn, found.size) == (pytest.approx(0, abs=1e-3), pytest.approx(1))
    assert found.looked.all()


def test_first_stage() -> None:
    found = find_place(stages().finder, cubes(SHAPE), VOXEL_MM)
    # The middle of the image, to half a voxel, and the offsets along L, P, S.
    middle = (np.array(SHAPE) - 1) / 2
    expected = middle + np.array([*OFFSETS.values()]) * [-1, -1, 1] / VOXEL_MM
    np.testing.assert_allclose(found[0], expected, atol=1)


def test_slab_and_large_view() -> None:
    """What is cut off the cube of the first stage, or fills a part of it, moves nothing."""
    for shape, middle in (((64, 60, 16), (24, 26, 8)), ((400, 60, 48), (192, 26, 24))):
        found = locate_stages(stages(), cubes(shape, middle), UPRIGHT)
        np.testing.assert_allclose(found.points[0], VOXEL_MM * np.array(middle), atol=1e-3)


@pytest.mark.parametrize('error', [(0, 0, 0), (5, -5, 3), (-7, 0, 0)])
def test_second_look(error: tuple[int, int, int]) -> None:
    """A first stage that is off by up to 7 voxels, 5 mm, is repaired, as the crop is moved."""
    middle = np.add(LEFT, error)
    found = locate_stages(stages(), cubes(SHAPE, tuple(middle)), UPRIGHT)
    np.testing.assert_allclose(found.points[0], VOXEL_MM * middle, atol=1e-3)
    # The crop lies around what was found: its middle is between its voxels 7 and 8.
    assert (np.abs(found.starts[0] + (EDGE - 1) / 2 - middle) <= 0.5).all()
    shift = np.linalg.norm(found.points[0] - found.first[0, 0])
    assert found.shift_mm[0] == pytest.approx(shift)


def test_mirror() -> None:
    """A localizer that answers 5.5 voxels beside the middle moves both points outwards."""
    found = locate_stages(stages((fixed((2, 7, 7)),)), cubes(SHAPE), UPRIGHT)
    voxels = found.points / VOXEL_MM
    np.testing.assert_allclose(voxels[0] - found.starts[0], (2, 7, 7), atol=1e-3)
    np.testing.assert_allclose(voxels[1] - found.starts[1], (EDGE - 1 - 2, 7, 7), atol=1e-3)
    first = found.first[0, :2] / VOXEL_MM
    # Twice 5.5 voxels, each to the nearest voxel.
    np.testing.assert_allclose((voxels - first)[:, 0], (-11, 11), atol=1)


def test_stray_parts() -> None:
    """A single bright voxel, 4 voxels from the cube, is no part of it; 3 voxels away it is."""
    for away, count in ((4, 27), (3, 28)):
        volume = cubes(SHAPE, LEFT)
        volume[LEFT[0], LEFT[1], LEFT[2] - 1 - away] = 200
        assert (locate_stages(stages(), volume, UPRIGHT).labels(SHAPE) == 1).sum() == count


def test_members() -> None:
    model = stages((fixed((6, 7, 7)), fixed((10, 7, 7))))
    found = locate_stages(model, cubes(SHAPE), UPRIGHT)
    np.testing.assert_allclose(found.members[1] - found.members[0], [[3, 0, 0], [-3, 0, 0]])
    np.testing.assert_allclose(found.dispersion_mm, 1.5)
    np.testing.assert_allclose(found.points, found.members.mean(axis=0))


def test_hidden_side() -> None:
    found = locate_stages(stages(), cubes(SHAPE, LEFT), UPRIGHT)
    assert found.visibility[0] > 0.99
    assert found.visibility[1] < 0.1
    assert not (found.labels(SHAPE) == 2).any()


def test_beyond_the_image() -> None:
    """The second stage does not look where there is nothing but reflections."""
    far = {**OFFSETS, 'RLC': (-40.0, 0.0, 0.0)}
    found = locate_stages(stages(offsets=far), cubes(SHAPE, LEFT), UPRIGHT)
    assert found.looked.tolist() == [True, False]
    np.testing.assert_allclose(found.points[1], found.first[0, 1])
    assert not found.heatmaps[1].any()
    assert found.visibility[1] == 0
    assert np.isnan([found.spread_mm[1], found.shift_mm[1], found.dispersion_mm[1]]).all()


def test_without_segmenter() -> None:
    found = locate_stages(stages(segmenters=()), cubes(SHAPE, LEFT, RIGHT), UPRIGHT)
    assert np.isnan(found.visibility).all()
    assert not found.labels(SHAPE).any()


def test_same_again() -> None:
    volume = cubes(SHAPE, LEFT, RIGHT)
    once, twice = (locate_stages(stages((brightest(),) * 2), volume, UPRIGHT) for _ in range(2))
    np.testing.assert_array_equal(once.members, twice.members)
    np.testing.assert_array_equal(once.probabilities, twice.probabilities)


def test_crop() -> None:
    volume = np.arange(20 * 3 * 3, dtype=np.float32).reshape(20, 3, 3)
    crop = read_crop(volume, (0, 0, 0), (3, 3, 3), mirrored=False)
    # Of 0 to 26 the quartiles are 6.5, 13 and 19.5.
    np.testing.assert_allclose(crop, (volume[:3] - 13) / 13, atol=1e-6)
    turned = read_crop(volume, (0, 0, 0), (3, 3, 3), mirrored=True)
    np.testing.assert_array_equal(turned, crop[::-1])
    # Continued by reflection, without repeating the outermost voxel.
    beyond = read_crop(volume, (-2, 0, 0), (3, 3, 3), mirrored=False)
    assert beyond[:, 0, 0].argsort().tolist() == [2, 1, 0]
    spots = np.array([0, 1, 2, 3, 4, -100, 100], np.float32).reshape(7, 1, 1)
    # The quartiles are 0.5, 2 and 3.5; what is far brighter or darker is clipped.
    assert scale_crop(spots)[[2, 3, 5, 6], 0, 0] == pytest.approx([0, 1 / 3, -4, 4])
    flat = np.ones((4, 4, 4), np.float32)
    assert not read_crop(flat, (0, 0, 0), flat.shape, mirrored=False).any()


@pytest.mark.parametrize(
    ('volume', 'affine', 'message'),
    [
        (np.zeros((4, 4)), UPRIGHT, 'three dimensions'),
        (cubes(SHAPE), np.diag([1.0, 1, 1, 1]), 'cubic voxels of 0.75 mm'),
        (cubes(SHAPE), np.diag([-VOXEL_MM, VOXEL_MM, VOXEL_MM, 1]), 'along R, A and S'),
        (np.ones(SHAPE, np.float32), UPRIGHT, 'constant'),
    ],
)
def test_refused(volume: np.ndarray, affine: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        locate_stages(stages(), volume, affine)
