from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from report_data import FakeOutput

HEAD_RADIUS = 60.0


def make_ball(affine: np.ndarray, shape: tuple[int, int, int], radius: float) -> nib.Nifti1Image:
    """Make a ball around the origin of the world: 100 on the right, 40 on the left."""
    index = np.moveaxis(np.indices(shape), 0, -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    inside = np.linalg.norm(world, axis=-1) <= radius
    data = inside * np.where(world[..., 0] > 0, 100.0, 40.0)
    return nib.Nifti1Image(data.astype(np.float32), affine)


@pytest.fixture(scope='session')
def head() -> nib.Nifti1Image:
    """A ball of 60 mm radius on 2 mm voxels with the axes L, A, S."""
    affine = np.diag([-2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = [70, -70, -70]
    return make_ball(affine, (71, 71, 71), HEAD_RADIUS)


@pytest.fixture(scope='session')
def mask() -> nib.Nifti1Image:
    """A ball of 40 mm radius, 1 inside, on another grid in the same world as the head."""
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    affine[:3, 3] = -60
    ball = make_ball(affine, (81, 81, 81), 40.0)
    return nib.Nifti1Image((ball.get_fdata() > 0).astype(np.uint8), affine)


@pytest.fixture
def output(tmp_path: Path) -> FakeOutput:
    return FakeOutput(tmp_path / 'out')
