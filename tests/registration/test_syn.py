"""SyN end to end on the template itself, moved in a known way."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_atlas
from tmsprep.registration.plausibility import ImplausibleRegistration
from tmsprep.registration.syn import RegistrationResult, register
from tmsprep.registration.transforms import move_points

ATLAS = default_atlas(load_protocol('tms'))

# Points of the subject to the template: turned by 25 degrees, 4 per cent smaller, 40 mm away.
MOTION = np.eye(4)
MOTION[:3, :3] = 1.04 * Rotation.from_euler('xyz', (25, 8, -5), degrees=True).as_matrix()
MOTION[:3, 3] = [-3, 10, 40]


def _wave(points: np.ndarray) -> np.ndarray:
    """A smooth displacement of up to 4 mm with a wavelength of 120 mm; shape (..., 3)."""
    return 4 * np.sin(points[..., [1, 2, 0]] * (2 * np.pi / 120))


@pytest.fixture(scope='module')
def subject() -> tuple[nib.Nifti1Image, nib.Nifti1Image, PointSet]:
    """T1w, brain mask and targets: the subject's x shows the template's ``M x + wave(M x)``."""
    affine = np.diag([-1.0, -1, 1, 1])
    affine[:3, 3] = [100, 80, -160]
    voxels = np.stack(np.meshgrid(*[np.arange(0, 220)] * 3, indexing='ij'), axis=-1)
    to_mni = MOTION @ affine
    mni = voxels.astype(np.float32) @ to_mni[:3, :3].T.astype(np.float32)
    mni += to_mni[:3, 3].astype(np.float32)
    mni += _wave(mni)
    index = np.moveaxis(mni - ATLAS.image.affine[:3, 3], -1, 0)
    images = [
        nib.Nifti1Image(
            map_coordinates(np.asarray(i.dataobj, dtype=np.float32), index, order=1), affine
        )
        for i in (ATLAS.image, ATLAS.mask)
    ]
    # Fixed-point iteration inverts y = m + wave(m).
    target = ATLAS.points.coordinates
    start = target.copy()
    for _ in range(50):
        start = target - _wave(start)
    points = PointSet(ATLAS.points.labels, start).transformed(np.linalg.inv(MOTION))
    return images[0], images[1], points


@pytest.fixture(scope='module')
def result(subject, tmp_path_factory) -> RegistrationResult:
    image, mask, _ = subject
    folder = tmp_path_factory.mktemp('sloppy')
    return register(image, ATLAS, mask=mask, work_dir=folder, preset='sloppy', n_threads=2)


def test_known_targets(subject, result) -> None:
    errors = result.points.distance(subject[2])
    # On the crowns, near the surface of the brain, the sloppy preset errs most.
    assert errors.mean() < 2
    assert errors.max() < 3


def test_linear_part(result) -> None:
    report = result.linear_report
    np.testing.assert_allclose(report.scales, [1 / 1.04] * 3, atol=0.05)
    assert report.rotation_deg == pytest.approx(26.7, abs=3)
    assert report.shear < 0.08


def test_overlap(result) -> None:
    assert result.linear_overlap > 0.94
    assert result.overlap > 0.95
    assert result.similarity > 0.9
    assert 0.3 < result.jacobian[0] < 1 < result.jacobian[1] < 2


def test_inverse(result) -> None:
    back = move_points(result.points, result.from_atlas)
    assert back.distance(ATLAS.points).max() < 0.3


def test_reproducible(subject, result, tmp_path: Path) -> None:
    image, mask, _ = subject
    again = register(image, ATLAS, mask=mask, work_dir=tmp_path, preset='sloppy', n_threads=2)
    assert again.points == result.points


def test_approximate_points(subject, tmp_path: Path) -> None:
    image, mask, points = subject
    rough = PointSet(points.labels, points.coordinates + 2)
    found = register(
        image, ATLAS, mask=mask, work_dir=tmp_path, preset='sloppy', initial_points=rough
    )
    assert found.start == 'points'
    assert found.points.distance(points).max() < 3


def test_half_a_brain(subject, tmp_path: Path) -> None:
    image, mask, _ = subject
    half = np.asarray(mask.dataobj).copy()
    middle = int(np.argwhere(half > 0.5)[:, 2].mean())
    half[:, :, :middle] = 0
    with pytest.raises(ImplausibleRegistration, match='brain mask'):
        register(
            image,
            ATLAS,
            mask=nib.Nifti1Image(half, mask.affine),
            work_dir=tmp_path,
            preset='sloppy',
        )


def test_wrong_settings(subject, tmp_path: Path) -> None:
    image, mask, _ = subject
    with pytest.raises(ValueError, match='default, paper, sloppy'):
        register(image, ATLAS, mask=mask, work_dir=tmp_path, preset='quick')
    with pytest.raises(ValueError, match='seed'):
        register(image, ATLAS, mask=mask, work_dir=tmp_path, random_seed=0)
