from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.files import file_sha256
from tmsprep.imaging.read import ImageError
from tmsprep.interfaces.conform import Conform
from tmsprep.tables import read_json


def write(path: Path, size: float) -> Path:
    data = np.random.default_rng(0).random((20, 20, 20), dtype=np.float32)
    nib.save(nib.Nifti1Image(data, np.diag([size, size, size, 1])), path)
    return path


def test_properties(tmp_path: Path) -> None:
    path = write(tmp_path / 'sub-01_T1w.nii.gz', 2)
    done = Conform(in_file=str(path), voxel_mm=1.0).run(cwd=tmp_path)
    properties = json.loads(Path(done.outputs.properties).read_text())
    assert properties['sha256'] == file_sha256(path)
    assert properties['shape'] == [20, 20, 20]
    assert properties['findings'] == []


def test_small_file_large_grid(tmp_path: Path) -> None:
    """32 kB that would take 320 GB on the isotropic grid."""
    path = write(tmp_path / 'sub-01_T1w.nii.gz', 10)
    with pytest.raises(ImageError, match=r'sub-01_T1w\.nii\.gz: too large: its grid of 0.1 mm'):
        Conform(in_file=str(path), voxel_mm=0.1).run(cwd=tmp_path)


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
