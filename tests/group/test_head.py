from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np
import pytest

from tmsprep.group.derivatives import read_derivatives
from tmsprep.group.head import outside_head
from tmsprep.group.raters import read_raters
from tmsprep.points import PointSet

if TYPE_CHECKING:
    from conftest import Study


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """Brain of 40 mm between x = -20 and 20, y = 0 and 40, z = 10 and 50; voxels of 2 mm."""
    data = np.zeros((60, 60, 60), np.uint8)
    data[20:41, 20:41, 20:41] = 1
    affine = np.diag([-2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (60.0, -40.0, -30.0)
    nib.save(nib.Nifti1Image(data, affine), tmp_path / 'mask.nii.gz')
    return tmp_path / 'mask.nii.gz'


def test_far_from_brain(mask: Path) -> None:
    places = [(0, 20, 30), (20, 40, 50), (45, 20, 30), (55, 20, 30), (0, 20, 90), (np.nan,) * 3]
    points = PointSet(tuple('ABCDEF'), np.array(places, float))
    findings = outside_head(points, mask)
    assert [(finding.severity, finding.label) for finding in findings] == [
        ('error', 'D'),
        ('error', 'E'),
    ]
    assert 'D is outside the head, 35 mm from the brain' in findings[0].message
    assert 'E is outside the head, 40 mm from the brain' in findings[1].message


def test_mask_of_outputs(study: Study, mask: Path) -> None:
    image = study.outputs('sub-01', cnn=study.truth)
    study.rater('sub-01', 'anna', {**study.truth, 'M': (0.0, -72.0, 50.0)})
    path = study.layout.derivative(image, 'mask', '.nii.gz', desc='brain')
    path.write_bytes(mask.read_bytes())
    derivatives = read_derivatives(study.layout, study.bids, study.protocol, ['cnn'])
    (read,), issues = read_raters(study.points, study.bids, derivatives, study.protocol)
    # The brain begins at y = 0; the left and right points are 10 mm and 11 mm from its sides.
    assert read.usable.found.tolist() == [True, True, False]
    assert [issue.severity for issue in issues] == ['error']
    assert 'M is outside the head, 72 mm from the brain' in issues[0].message


def test_unreadable_mask(tmp_path: Path) -> None:
    path = tmp_path / 'mask.nii.gz'
    path.write_bytes(b'no image')
    (finding,) = outside_head(PointSet(('A',), np.zeros((1, 3))), path)
    assert (finding.severity, finding.label) == ('warning', None)
    assert str(path) in finding.message
