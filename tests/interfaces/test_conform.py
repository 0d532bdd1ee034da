from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.interfaces.conform import Conform
from tmsprep.tables import read_json


@pytest.mark.parametrize('voxel_mm', [None, 2.0])
def test_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, voxel_mm: float | None) -> None:
    monkeypatch.chdir(tmp_path)
    data = np.zeros((20, 20, 20), np.float32)
    data[4:16, 4:16, 4:16] = np.random.default_rng(0).uniform(0, 100, (12, 12, 12))
    data[:2], data[10, 10, 10] = 32767, np.nan
    nib.save(nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1])), tmp_path / 'x_T1w.nii.gz')
    grid = {} if voxel_mm is None else {'voxel_mm': voxel_mm}
    found = Conform(in_file=str(tmp_path / 'x_T1w.nii.gz'), **grid).run().outputs
    properties = read_json(Path(found.properties))
    assert properties['findings'] == [
        '1 voxels are NaN or infinite; set to 0, as air',
        '10.0 % of the voxels are padding at 32767; treated as air',
    ]
    assert 50 < properties['window'][1] < 100
    assert 90 < nib.load(found.conformed).get_fdata().max() <= 100
