from __future__ import annotations

import json
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine

from tmsprep.formats.targets_tsv import read_targets
from tmsprep.phantoms.anatomy import head_template
from tmsprep.phantoms.deformation import random_map
from tmsprep.phantoms.neuromelanin import (
    NeuromelaninPhantom,
    make_neuromelanin,
    write_neuromelanin,
)
from tmsprep.phantoms.neuromelanin.__main__ import main
from tmsprep.phantoms.neuromelanin.anatomy import BOTTOM, TOP, draw_distractors, draw_nuclei
from tmsprep.phantoms.neuromelanin.masks import draw_masks
from tmsprep.phantoms.neuromelanin.scan import PONS_CENTRE, flash, lay_grid

#: Seed of a participant without a visible right locus coeruleus.
ONE_SIDED = 0

SEEDS = st.integers(0, 10_000)


@lru_cache(maxsize=8)
def clean(seed: int) -> NeuromelaninPhantom:
    return make_neuromelanin(seed, coverage='stem', clean=True)


def nuclei_of(seed: int) -> tuple:
    return draw_nuclei(random_map(seed), np.random.default_rng([seed, 11]))


def masks_of(seed: int) -> tuple[np.ndarray, ...]:
    """Truth and raters without the image."""
    mapping = random_map(seed)
    grid = lay_grid(mapping, 'stem', 0.75, np.random.default_rng([seed, 12]))
    truth, raters = draw_masks(nuclei_of(seed), grid, mapping, seed)
    return tuple(np.asarray(image.dataobj) for image in (truth, *raters))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_flash_by_hand():
    # exp(-20/832), exp(-20/1331) and exp(-20/4000) in the steady state of 23 degrees give 0.16404,
    # 0.13119 and 0.05931 for white matter, grey matter and fluid with water 0.70, 0.82 and 1.
    found = flash(np.array([0, 0.18, 0.69, 1.0]))
    np.testing.assert_allclose(found, [0, 0.3616, 0.7998, 1], atol=2e-4)


@pytest.mark.parametrize('seed', [ONE_SIDED, 1, 2])
def test_points_are_mask_centres(seed):
    phantom = clean(seed)
    truth = np.asarray(phantom.truth.dataobj)
    assert phantom.points.labels == ('LLC', 'RLC')
    for value, point in enumerate(phantom.points.coordinates, start=1):
        if np.isfinite(point).all():
            found = apply_affine(phantom.truth.affine, np.argwhere(truth == value)).mean(axis=0)
            assert np.linalg.norm(found - point) < 0.1


def test_left_is_label_1():
    points = clean(1).points
    assert points['LLC'][0] < points['RLC'][0]
    assert 6 < points['RLC'][0] - points['LLC'][0] < 12


@pytest.mark.parametrize('seed', [ONE_SIDED, 1])
def test_contrast_of_clean_phantom(seed):
    phantom = clean(seed)
    data, inverse = phantom.image.get_fdata(), np.linalg.inv(phantom.image.affine)
    pons = (
        apply_affine(inverse, random_map(seed).forward(PONS_CENTRE[None]))[0].round().astype(int)
    )
    ball = data[tuple(slice(i - 4, i + 5) for i in pons)].mean()
    assert ball == pytest.approx(phantom.parameters['pons_signal'], rel=0.01)
    index = np.argwhere(np.ones(data.shape, bool))
    centres = apply_affine(phantom.image.affine, index)
    for label, nucleus in zip(phantom.points.labels, nuclei_of(seed), strict=True):
        if nucleus is None:
            assert phantom.parameters[f'{label}_contrast'] is None
            continue
        near = np.linalg.norm(centres - phantom.points[label], axis=1) < 10
        core = index[near][nucleus.rod.depth(centres[near]) >= 0.375]
        assert len(core) > 5
        ratio = np.median(data[tuple(core.T)]) / phantom.parameters['pons_signal']
        assert ratio == pytest.approx(phantom.parameters[f'{label}_contrast'], rel=0.002)


def test_absent_side():
    phantom = clean(ONE_SIDED)
    np.testing.assert_array_equal(phantom.points.found, [True, False])
    for mask in (phantom.truth, *phantom.raters):
        assert set(np.unique(np.asarray(mask.dataobj))) == {0, 1}


def test_dice_between_raters():
    found = []
    for seed in range(12):
        _, first, second = masks_of(seed)
        sides = [value for value in (1, 2) if (first == value).any()]
        found += [dice(first == value, second == value) for value in sides]
    assert 0.5 < np.mean(found) < 0.7
    assert min(found) > 0


def test_mask_grid_after_sinc():
    phantom = clean(1)
    to_voxels = np.linalg.inv(phantom.image.affine) @ phantom.truth.affine
    np.testing.assert_allclose(to_voxels[:3, :3], np.eye(3) / 2, atol=1e-5)
    np.testing.assert_allclose(to_voxels[:3, 3], to_voxels[:3, 3].round(), atol=1e-4)
    shapes = {mask.shape for mask in (phantom.truth, *phantom.raters)}
    assert len(shapes) == 1


@given(seed=SEEDS)
@settings(max_examples=50)
def test_nuclei_within_ranges(seed):
    nuclei = nuclei_of(seed)
    assert any(nucleus is not None for nucleus in nuclei)
    for nucleus in filter(None, nuclei):
        assert 1.05 <= nucleus.contrast <= 1.35
        assert 10 <= nucleus.length <= 15
        assert 1.0 <= nucleus.thickness <= 2.5


@given(seed=SEEDS)
@settings(max_examples=30)
def test_distractors_keep_distance(seed):
    mapping = random_map(seed)
    rods = draw_distractors(mapping, np.random.default_rng([seed, 13]))
    line = np.linspace(TOP, BOTTOM, 10)
    homes = mapping.forward(np.concatenate([line, line * [-1, 1, 1]]))
    assert len(rods) >= 15
    for rod, _ in rods:
        # They keep 8 mm from the template's nuclei, and deformations press by less than half.
        assert np.linalg.norm(rod.line[:, None] - homes, axis=-1).min() > 4


def test_spread_of_nuclei():
    places = []
    for seed in range(60):
        left = nuclei_of(seed)[0]
        if left is not None:
            places.append(random_map(seed).inverse(left.rod.centroid[None])[0])
    distances = np.linalg.norm(np.array(places) - np.mean(places, axis=0), axis=1)
    assert 1 < distances.mean() < 3


def test_seed_and_coverage():
    one, two = (make_neuromelanin(3, coverage='stem', voxel_mm=1.5) for _ in range(2))
    assert one.image.to_bytes() == two.image.to_bytes()
    assert one.raters[1].to_bytes() == two.raters[1].to_bytes()
    assert one.parameters == two.parameters
    slab = make_neuromelanin(3, coverage='slab', voxel_mm=2.0)
    whole = make_neuromelanin(3, coverage='whole', voxel_mm=3.0)
    assert slab.points == whole.points == one.points
    assert slab.image.shape == (90, 120, 24)
    assert whole.image.shape == (60, 80, 80)
    assert np.abs(slab.image.affine[1, 2]) > 0.2


def test_template_as_source():
    head = head_template()
    source = nib.Nifti1Image(head.t1w * 123, head.affine)
    found = make_neuromelanin(4, coverage='stem', voxel_mm=1.5, source=source, clean=True)
    known = make_neuromelanin(4, coverage='stem', voxel_mm=1.5, clean=True)
    assert np.abs(found.image.get_fdata() - known.image.get_fdata()).max() <= 1


@pytest.mark.parametrize(
    ('shape', 'words'), [((9, 9, 9), 'register it to MNI152'), ((9, 9, 9, 2), '3D')]
)
def test_wrong_source(shape, words):
    with pytest.raises(ValueError, match=words):
        make_neuromelanin(1, source=nib.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)))


def test_unknown_coverage():
    with pytest.raises(ValueError, match='whole, slab, stem'):
        make_neuromelanin(1, coverage='foot')


@pytest.fixture(scope='module')
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('neuromelanin')
    return write_neuromelanin(folder, [ONE_SIDED, 1], coverage='stem', voxel_mm=1.5)


def test_dataset_truth_and_raters(dataset):
    name = 'sub-001/anat/sub-001_acq-neuromelanin'
    points = read_targets(dataset / 'derivatives' / 'truth' / f'{name}_desc-truth_targets.tsv')
    np.testing.assert_array_equal(points.found, [True, False])
    np.testing.assert_allclose(points['LLC'], clean(ONE_SIDED).points['LLC'], atol=1e-4)
    for rater in ('rater1', 'rater2'):
        stem = dataset / 'derivatives' / rater / f'{name}_desc-manual_dseg'
        mask = nib.load(stem.with_suffix('.nii.gz'))
        assert mask.get_data_dtype() == np.uint8
        sources = json.loads(stem.with_suffix('.json').read_text())['Sources']
        assert sources == [f'bids:raw:{name}_T1w.nii.gz']
    assert 'SIMULATED' in (dataset / 'README').read_text()
    rows = (dataset / 'participants.tsv').read_text().splitlines()
    assert rows[1].split('\t')[5] == 'n/a'


def test_dataset_is_valid_bids(dataset):
    validator = Path(sys.executable).with_name('bids-validator-deno')
    if not validator.is_file():
        pytest.skip('bids-validator-deno is not installed with this Python')
    folders = [dataset, *(dataset / 'derivatives' / n for n in ('truth', 'rater1', 'rater2'))]
    for folder in folders:
        run = subprocess.run([validator, folder], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout


def test_command(tmp_path, capsys):
    arguments = [str(tmp_path / 'new'), '--coverage', 'stem', '--voxel-size', '2', '--seed', '5']
    assert main(arguments) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / 'new')
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert 'is not empty' in capsys.readouterr().err
