from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.group.head import outside_head
from tmsprep.points import PointSet


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """Brain of 40 mm between x = -20 and 20, y = 0 and 40, z = 10 and 50; voxels of 2 mm."""
    data = np.zeros((60, 60, 60), np.uint8)
    data[20:41, 20:41, 20:41] = 1
    affine = np.diag([-2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (60.0, -40.0, -30.0)
    nib.save(nib.Nifti1Image(data, affine), tmp_path / 'mask.nii.gz')
    return tmp_path / 'mask.nii.gz'


def test_points_far_from_the_brain_are_named(mask: Path) -> None:
    places = [(0, 20, 30), (20, 40, 50), (45, 20, 30), (55, 20, 30), (0, 20, 90), (np.nan,) * 3]
    points = PointSet(tuple('ABCDEF'), np.array(places, float))
    findings = outside_head(points, mask)
    assert [(finding.severity, finding.label) for finding in findings] == [
        ('error', 'D'),
        ('error', 'E'),
    ]
    assert 'D is outside the head, 35 mm from the brain' in findings[0].message
    assert 'E is outside the head, 40 mm from the brain' in findings[1].message


def test_a_mask_that_cannot_be_read_refuses_nothing(tmp_path: Path) -> None:
    path = tmp_path / 'mask.nii.gz'
    path.write_bytes(b'no image')
    (finding,) = outside_head(PointSet(('A',), np.zeros((1, 3))), path)
    assert (finding.severity, finding.label) == ('warning', None)
    assert str(path) in finding.message
