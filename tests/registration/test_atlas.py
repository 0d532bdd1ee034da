from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_atlas, user_atlas


def test_default_atlas() -> None:
    protocol = load_protocol('tms')
    atlas = default_atlas(protocol)
    assert atlas.points.labels == protocol.labels
    assert atlas.points.found.all()
    np.testing.assert_array_equal(atlas.points['LULIMBMC'], [-41.7, -13.1, 67.5])
    voxels = atlas.points.transformed(np.linalg.inv(atlas.image.affine)).coordinates
    assert np.asarray(atlas.mask.dataobj)[tuple(np.rint(voxels).astype(int).T)].all()


def _stripped(path: Path) -> Path:
    grid = np.indices((80, 80, 80)) - 39.5
    data = np.where(np.sum(grid**2, axis=0) < 33**2, 100.0 + grid[0], 0)
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -79
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
    return path


def test_user_atlas(tmp_path: Path) -> None:
    points = PointSet.from_mapping({'A': (10, 20, 30)})
    atlas = user_atlas(_stripped(tmp_path / 'a.nii.gz'), points)
    assert atlas.points == points
    inside = np.argwhere(np.asarray(atlas.mask.dataobj) > 0)
    centre = atlas.mask.affine @ [*inside.mean(axis=0), 1]
    np.testing.assert_allclose(centre[:3], [0, 0, 0], atol=0.6)


def test_points_of_another_frame(tmp_path: Path) -> None:
    path = _stripped(tmp_path / 'a.nii.gz')
    with pytest.raises(ValueError, match='FAR: outside the atlas image'):
        user_atlas(path, PointSet.from_mapping({'NEAR': (0, 0, 0), 'FAR': (0, 0, 200)}))
    with pytest.raises(ValueError, match='no target is known'):
        user_atlas(path, PointSet.from_mapping({}, ['A']))


def test_whole_head(tmp_path: Path) -> None:
    path = _stripped(tmp_path / 'a.nii.gz')
    stripped = nib.load(path)
    air = np.random.default_rng(0).uniform(1, 3, stripped.shape).astype(np.float32)
    nib.save(nib.Nifti1Image(stripped.get_fdata(dtype=np.float32) + air, stripped.affine), path)
    with pytest.raises(ValueError, match=r'a\.nii\.gz.*skull'):
        user_atlas(path, PointSet.from_mapping({'A': (0, 0, 0)}))
