from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.methods import get_method
from tmsprep.methods.base import Request, ResourceError
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_atlas
from tmsprep.registration.frames import write_linear
from tmsprep.registration.names import DEFAULT_ATLAS

PROTOCOL = load_protocol('tms')
SYN = get_method('syn')
IMAGE = ImageRef.from_path(Path('/bids'), Path('/bids/sub-01/anat/sub-01_T1w.nii.gz'))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Request]:
    """Make a request with a given mask; arguments replace resources."""
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -128
    data = np.random.default_rng(1).random((64, 64, 64)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, affine), tmp_path / 'conformed.nii')
    inside = np.zeros(data.shape, np.uint8)
    inside[16:48, 16:48, 16:48] = 1
    nib.save(nib.Nifti1Image(inside, affine), tmp_path / 'given.nii.gz')
    given = {**SYN.resources(PROTOCOL, {}), 'given_mask': str(tmp_path / 'given.nii.gz')}
    return lambda **resources: Request(
        tmp_path / 'conformed.nii', {}, PROTOCOL, {**given, **resources}, folder=tmp_path
    )


def shift(path: Path, *mm: float) -> str:
    matrix = np.eye(4)
    matrix[:3, 3] = mm
    return str(write_linear(matrix, path))


def test_resources() -> None:
    found = SYN.resources(PROTOCOL, {'syn_preset': 'paper'})
    assert found['atlas'] == DEFAULT_ATLAS
    assert found['preset'] == 'paper'
    assert Path(found['atlas_targets']).is_file()
    assert Path(found['brain_weights']).is_file()
    assert len(found['checksums']) == 1
    assert SYN.resources(PROTOCOL, {'sloppy': True})['preset'] == 'sloppy'


def test_atlas_of_own_protocol(tmp_path: Path) -> None:
    """A protocol file names files of its own folder, or of the package."""
    own = replace(PROTOCOL, folder=tmp_path)
    shipped = SYN.resources(PROTOCOL, {})['atlas_targets']
    assert SYN.resources(own, {})['atlas_targets'] == shipped
    name = PROTOCOL.atlas['points']
    (tmp_path / name).write_text('label\tx\ty\tz\nLOFC\t1\t2\t3\n')
    assert SYN.resources(own, {})['atlas_targets'] == str(tmp_path / name)
    (tmp_path / name).write_text('label\tx\ty\tz\nOTHER\t1\t2\t3\n')
    with pytest.raises(ResourceError, match='none of the targets of protocol tms, such as LOFC'):
        SYN.resources(own, {})


def test_given_transforms(make: Callable[..., Request], tmp_path: Path) -> None:
    pair = [shift(tmp_path / 'to.mat', 1, 2, 3), shift(tmp_path / 'from.mat', -1, -2, -3)]
    outcome = SYN.locate(make(given_transforms={DEFAULT_ATLAS: pair}))
    atlas = default_atlas(PROTOCOL).points
    np.testing.assert_allclose(
        outcome.points.coordinates, np.add(atlas.coordinates, [1, 2, 3]), atol=1e-4
    )
    assert outcome.details == {'Atlas': {'Name': DEFAULT_ATLAS}, 'ReusedTransform': 'to.mat'}
    layout = Layout(tmp_path / 'out', 'tms')
    SYN.write(outcome, IMAGE, layout, PROTOCOL, {})
    stem = 'sub-01_protocol-tms'
    assert {path.name for path in layout.files(IMAGE)} == {
        f'{stem}_desc-brain_mask.json',
        f'{stem}_desc-brain_mask.nii.gz',
        *(f'{stem}_from-T1w_to-{DEFAULT_ATLAS}_mode-image_xfm.{e}' for e in ('json', 'mat')),
        *(f'{stem}_from-{DEFAULT_ATLAS}_to-T1w_mode-image_xfm.{e}' for e in ('json', 'mat')),
    }


def test_transforms_without_mask(make: Callable[..., Request], tmp_path: Path) -> None:
    pair = [shift(tmp_path / 'to.mat', 1, 2, 3)] * 2
    given: dict[str, Any] = {'given_mask': str(tmp_path / 'none.nii.gz')}
    outcome = SYN.locate(make(given_transforms={DEFAULT_ATLAS: pair}, **given))
    assert outcome.points.found.all()
    assert set(outcome.files) == {'to_atlas', 'from_atlas'}
    assert SYN.locate(make(**given)).points is None


def test_failed_registration(make: Callable[..., Request], tmp_path: Path) -> None:
    outcome = SYN.locate(make(preset='unknown'))
    assert outcome.points is None
    assert 'no SyN preset' in outcome.error['message']
    # The mask is shown in the report, where it may tell why.
    assert outcome.files == {'mask': str(tmp_path / 'mask.nii.gz')}
