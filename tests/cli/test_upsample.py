from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.cli.upsample import main


@pytest.fixture
def image(tmp_path: Path) -> Path:
    data = np.random.default_rng(0).random((12, 11, 10), dtype=np.float32)
    path = tmp_path / 'sub-01_acq-neuromelanin_T1w.nii.gz'
    affine = np.diag([0.75, 0.75, 0.75, 1])
    scan = nib.Nifti1Image(data, affine)
    scan.set_sform(affine, 1)
    scan.set_qform(affine, 1)
    nib.save(scan, path)
    return path


def test_upsampled_grid(image: Path) -> None:
    finer = image.with_name('fine.nii.gz')
    assert main([str(image), str(finer)]) == 0
    found, scan = nib.load(finer), nib.load(image)
    assert found.shape == (24, 22, 20)
    np.testing.assert_allclose(found.header.get_zooms(), 0.375)
    np.testing.assert_allclose(found.get_fdata()[::2, ::2, ::2], scan.get_fdata(), atol=1e-5)


def test_nothing_is_overwritten(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = image.read_bytes()
    with pytest.raises(SystemExit) as stop:
        main([str(image), str(image)])
    assert stop.value.code == 2
    assert 'is there already' in capsys.readouterr().err
    assert image.read_bytes() == before


@pytest.mark.parametrize(
    ('name', 'factor', 'message'),
    [('absent.nii.gz', '2', 'no such file'), ('', '0', 'whole number of at least 1')],
)
def test_what_is_wrong_is_said(
    image: Path, name: str, factor: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = image.with_name(name) if name else image
    with pytest.raises(SystemExit) as stop:
        main([str(path), str(image.with_name('fine.nii.gz')), '--factor', factor])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not image.with_name('fine.nii.gz').exists()
