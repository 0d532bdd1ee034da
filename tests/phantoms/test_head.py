from __future__ import annotations

import csv
import json
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from scipy.ndimage import binary_dilation, map_coordinates

from tmsprep.phantoms import make_head, write_dataset
from tmsprep.phantoms.__main__ import main
from tmsprep.phantoms.anatomy import head_template
from tmsprep.phantoms.deformation import BRAIN_CENTRE, LIPSCHITZ, SmoothMap, random_map
from tmsprep.phantoms.head import atlas_points
from tmsprep.phantoms.scanner import Grid, inversion_residual, sample, template_places
from tmsprep.protocols import load_protocol

COARSE = (2.0, 2.0, 2.0)
SEEDS = st.integers(0, 10_000)
TEMPLATE_POINTS = st.lists(
    st.tuples(st.floats(-90, 90), st.floats(-130, 100), st.floats(-150, 100)),
    min_size=1,
    max_size=20,
)


@lru_cache(maxsize=8)
def clean_head(seed: int, axcodes: str = 'RAS', oblique: tuple = (0.0, 0.0, 0.0)):
    """A head without noise and coil field."""
    return make_head(
        seed, voxel_size=COARSE, axcodes=axcodes, oblique=oblique, noise=0.0, bias=0.0
    )


def values_at(image: nib.Nifti1Image, points: np.ndarray) -> np.ndarray:
    voxels = apply_affine(np.linalg.inv(image.affine), points)
    return map_coordinates(image.get_fdata(), voxels.T, order=3)


def brain_points(count: int) -> np.ndarray:
    template = head_template()
    voxels = np.argwhere(template.brain > 0.99)
    chosen = np.random.default_rng(0).choice(len(voxels), count, replace=False)
    return apply_affine(template.affine, voxels[chosen]).astype(float)


def test_one_bump_by_hand():
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [1, 2, 3]
    mapping = SmoothMap(
        affine, np.array([[10.0, 0, 0]]), np.array([[0, 0, 4.0]]), np.array([20.0])
    )
    found = mapping.forward(np.array([[10.0, 0, 0], [30.0, 0, 0]]))
    # 4 mm at the centre, 4 exp(-1/2) one width away; then twice that plus the shift.
    np.testing.assert_allclose(found, [[21, 2, 11], [61, 2, 3 + 8 * np.exp(-0.5)]])


def test_steep_displacement():
    with pytest.raises(ValueError, match=r'1\.21 mm per mm'):
        SmoothMap(np.eye(4), np.zeros((1, 3)), np.array([[20.0, 0, 0]]), np.array([10.0]))


@given(seed=SEEDS, points=TEMPLATE_POINTS)
def test_map_and_inverse(seed, points):
    mapping, points = random_map(seed), np.array(points)
    np.testing.assert_allclose(mapping.inverse(mapping.forward(points)), points, atol=1e-4)
    np.testing.assert_allclose(mapping.forward(mapping.inverse(points)), points, atol=1e-4)


@given(seed=SEEDS, points=TEMPLATE_POINTS)
def test_volume_change_of_map(seed, points):
    mapping, points, step = random_map(seed), np.array(points), 1e-3
    columns = [
        (mapping.forward(points + step * axis) - mapping.forward(points - step * axis)) / 2 / step
        for axis in np.eye(3)
    ]
    determinant = np.linalg.det(np.stack(columns, axis=-1))
    relative = determinant / np.linalg.det(mapping.affine[:3, :3])
    assert (relative >= (1 - LIPSCHITZ) ** 3 - 1e-6).all()
    assert (relative <= (1 + LIPSCHITZ) ** 3 + 1e-6).all()


@given(seed=SEEDS)
def test_position_of_heads(seed):
    affine = random_map(seed).affine
    assert np.linalg.norm(apply_affine(affine, BRAIN_CENTRE) - BRAIN_CENTRE) <= 15
    scales = np.linalg.norm(affine[:3, :3], axis=0)
    assert (scales >= 0.86).all()
    assert (scales <= 1.02).all()
    assert np.linalg.det(affine[:3, :3]) > 0


def test_blob_lands_on_truth():
    head, affine = clean_head(0), np.eye(4)
    for point, truth in zip(atlas_points().coordinates, head.points.coordinates, strict=True):
        affine[:3, 3] = point - 12
        squared = np.sum((np.indices((25, 25, 25)) - 12) ** 2, axis=0)
        blob = np.exp(-squared / (2 * 2.5**2)).astype(np.float32)
        centre = truth + np.array([0.3, -0.2, 0.4])
        grid = Grid.around(centre, fov=(30, 30, 30), voxel_size=(1, 1, 1))
        landed = sample(blob, affine, template_places(head.mapping, grid), order=1)
        weights = landed.reshape(-1, 1)
        centroid = (grid.world(0, 30) * weights).sum(axis=0) / weights.sum()
        # A blob of 2.5 mm is itself a little deformed: its centroid is not exactly its centre.
        assert np.linalg.norm(centroid - truth) < 0.3


def test_tissue_follows_the_map():
    template, points = head_template(), brain_points(20_000)
    expected = map_coordinates(
        template.t1w, apply_affine(np.linalg.inv(template.affine), points).T, order=1
    )
    head = clean_head(0)
    right = values_at(head.image, head.mapping.forward(points)) / 1000
    off = values_at(head.image, head.mapping.forward(points) + np.array([1, 1, 0])) / 1000
    assert np.abs(right - expected).mean() < 0.025
    assert np.abs(off - expected).mean() > 0.05


@pytest.mark.parametrize(
    ('axcodes', 'voxel_size', 'oblique'),
    [('RAS', (2, 2, 2), (0, 0, 0)), ('PSR', (1.4, 2.5, 3), (12, -8, 5))],
)
def test_inversion_residual(axcodes, voxel_size, oblique):
    mapping = random_map(7)
    grid = Grid.around(
        mapping.forward(BRAIN_CENTRE[None])[0],
        fov=(180, 240, 240),
        voxel_size=voxel_size,
        axcodes=axcodes,
        oblique=oblique,
    )
    assert inversion_residual(mapping, grid, template_places(mapping, grid)) < 0.01


@pytest.mark.parametrize(
    ('axcodes', 'oblique'), [('PSR', (0, 0, 0)), ('LPI', (0, 0, 0)), ('ASL', (10.0, -6.0, 4.0))]
)
def test_grid_keeps_the_world(axcodes, oblique):
    plain, turned = clean_head(0), clean_head(0, axcodes, oblique)
    assert ''.join(nib.aff2axcodes(turned.image.affine)) == axcodes
    assert turned.points == plain.points
    assert not np.array_equal(
        turned.image.dataobj[:80, :80, :80], plain.image.dataobj[:80, :80, :80]
    )
    points = plain.mapping.forward(brain_points(20_000))
    difference = values_at(turned.image, points) - values_at(plain.image, points)
    assert np.abs(difference).mean() < 30  # white matter is 1000


def test_oblique_grid():
    grid = Grid.around(np.zeros(3), fov=(10, 10, 10), voxel_size=(1, 1, 2), oblique=(0, 0, 90))
    assert grid.shape == (10, 10, 5)
    np.testing.assert_allclose(grid.affine[:3, :3], [[0, -1, 0], [1, 0, 0], [0, 0, 2]], atol=1e-12)
    np.testing.assert_allclose(apply_affine(grid.affine, [4.5, 4.5, 2]), 0, atol=1e-12)


@pytest.mark.parametrize(
    'arguments',
    [{'axcodes': 'RAL'}, {'axcodes': 'RA'}, {'axcodes': 'RAX'}, {'voxel_size': (1, 0, 1)}],
)
def test_impossible_grid(arguments):
    with pytest.raises(ValueError, match=r'axes|positive'):
        make_head(0, **arguments)


def test_seeds():
    first, second = (make_head(5, voxel_size=(4, 4, 4)) for _ in range(2))
    other = make_head(6, voxel_size=(4, 4, 4))
    assert np.array_equal(first.image.dataobj, second.image.dataobj)
    assert first.points == second.points
    assert not np.array_equal(first.image.dataobj, other.image.dataobj)
    assert first.points.distance(other.points).min() > 0.5


def test_header():
    image = make_head(0, voxel_size=(3, 4, 5), axcodes='PIR').image
    assert image.get_data_dtype() == np.int16
    assert image.shape == (80, 60, 36)
    qform, qcode = image.get_qform(coded=True)
    sform, scode = image.get_sform(coded=True)
    assert (qcode, scode) == (1, 1)
    np.testing.assert_allclose(qform, sform, atol=1e-4)


def test_head_in_field_of_view():
    head = clean_head(0)
    data = head.image.get_fdata()
    for face in (data[0], data[-1], data[:, 0], data[:, -1], data[:, :, -1]):
        assert face.max() < 50
    inside = apply_affine(np.linalg.inv(head.image.affine), head.points.coordinates).round()
    # The targets of the legs lie beside the fissure: up to a voxel outside of its mask.
    near = binary_dilation(np.asarray(head.brain_mask.dataobj) > 0)
    assert all(near[tuple(voxel)] for voxel in inside.astype(int))
    brain = apply_affine(head.image.affine, np.argwhere(head.brain_mask.dataobj)).mean(axis=0)
    middle = apply_affine(head.image.affine, (np.array(data.shape) - 1) / 2)
    np.testing.assert_allclose(brain - middle, [0, -13, 17], atol=8)
    assert 1.1e6 < head.brain_mask.get_fdata().sum() * 8 < 1.8e6  # mm3


def test_contrast_of_a_t1w():
    from nilearn.datasets import load_mni152_gm_template, load_mni152_wm_template

    head = clean_head(0)

    def signal(points):
        return np.median(values_at(head.image, head.mapping.forward(np.atleast_2d(points))))

    tissue = [load_mni152_wm_template(resolution=1), load_mni152_gm_template(resolution=1)]
    white, grey = (
        signal(apply_affine(image.affine, np.argwhere(image.get_fdata() > 0.9)[::50]))
        for image in tissue
    )
    vitreous, air = signal([-34.0, 60, -40]), signal([0.0, 60, 90])
    assert white == pytest.approx(1000, rel=0.05)
    assert 0.55 < grey / white < 0.8
    assert vitreous < 0.4 * white
    assert air < 0.1 * white


def test_atlas_points():
    from nilearn.datasets import load_mni152_gm_template

    protocol, points = load_protocol('tms'), atlas_points()
    assert points.labels == protocol.labels
    sides = ['R' if x > 0 else 'L' for x in points.coordinates[:, 0]]
    assert sides == [target.hemisphere for target in protocol.targets]
    # On the average brain the edge of the medial precentral gyrus is blurred into the fissure.
    grey = values_at(load_mni152_gm_template(resolution=1), points.coordinates)
    legs = np.array(['LLIMB' in label for label in points.labels])
    assert (grey[~legs] > 0.69).all()
    assert (grey[legs] > 0.48).all()


def read_table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines(), delimiter='\t'))


def test_dataset_is_valid_bids(tmp_path):
    folder = write_dataset(tmp_path / 'heads', [11, 12], ['A', '007'], voxel_size=(4, 4, 4))
    validator = Path(sys.executable).with_name('bids-validator-deno')
    for dataset in (folder, folder / 'derivatives' / 'truth'):
        result = subprocess.run([validator, dataset], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout
    assert [row['participant_id'] for row in read_table(folder / 'participants.tsv')] == [
        'sub-A',
        'sub-007',
    ]
    stem = folder / 'derivatives' / 'truth' / 'sub-007' / 'anat' / 'sub-007_desc-truth_targets'
    rows, expected = read_table(stem.with_suffix('.tsv')), make_head(12, voxel_size=(4, 4, 4))
    assert tuple(row['label'] for row in rows) == expected.points.labels
    written = [[float(row[axis]) for axis in 'xyz'] for row in rows]
    np.testing.assert_allclose(written, expected.points.coordinates, atol=1e-4)
    scan = nib.load(folder / 'sub-007' / 'anat' / 'sub-007_T1w.nii.gz')
    assert np.array_equal(scan.dataobj, expected.image.dataobj)
    source = json.loads(stem.with_suffix('.json').read_text())['Sources']
    assert source == ['bids:raw:sub-007/anat/sub-007_T1w.nii.gz']


def test_dataset_refusals(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(FileExistsError, match='not empty'):
        write_dataset(tmp_path, [0])
    with pytest.raises(ValueError, match='different labels'):
        write_dataset(tmp_path / 'new', [0, 1], ['01', '01'])
    assert not (tmp_path / 'new').exists()


def test_command(tmp_path, capsys):
    folder = tmp_path / 'heads'
    assert main([str(folder), '--seed', '3', '--voxel-size', '4']) == 0
    assert capsys.readouterr().out == f'{folder}\n'
    assert read_table(folder / 'participants.tsv') == [
        {'participant_id': 'sub-01', 'phantom_seed': '3'}
    ]
    with pytest.raises(SystemExit) as stopped:
        main([str(folder)])
    assert stopped.value.code == 2
    assert 'not empty' in capsys.readouterr().err
