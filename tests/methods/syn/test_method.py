from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives import sidecar_path
from tmsprep.methods import get_method
from tmsprep.methods.base import Request
from tmsprep.methods.resources import ResourceError
from tmsprep.methods.syn.reuse import usable_mask, usable_transforms
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_atlas
from tmsprep.registration.frames import write_linear
from tmsprep.registration.names import DEFAULT_ATLAS

PROTOCOL = load_protocol('tms')
SYN = get_method('syn')
IMAGE = ImageRef.from_path(Path('/bids'), Path('/bids/sub-01/anat/sub-01_T1w.nii.gz'))
SHA256 = 64 * 'a'


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
    properties = {
        'path': '/bids/sub-01/anat/sub-01_T1w.nii.gz',
        'shape': list(data.shape),
        'affine': affine.tolist(),
        'sha256': SHA256,
    }
    return lambda **resources: Request(
        tmp_path / 'conformed.nii', properties, PROTOCOL, {**given, **resources}, folder=tmp_path
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


def describe(path: str | Path, **content: Any) -> None:
    sidecar_path(path).write_text(json.dumps(content))


def pair_of(folder: Path, **content: Any) -> list[str]:
    """Write two transforms with sidecars."""
    pair = [shift(folder / 'to.mat', 1, 2, 3), shift(folder / 'from.mat', -1, -2, -3)]
    for path in pair:
        describe(path, **content)
    return pair


def image(sha256: str) -> dict[str, Any]:
    return {'ReferenceImage': {'SHA256': sha256}}


ATLAS = {'Name': 'user', 'SHA256': 64 * 'c'}

#: Sidecar of the transforms, preset of the run, a word of the warning; '' if they are used.
REUSED = {
    'same image': (image(SHA256), 'default', ''),
    'another image': (image(64 * 'b'), 'default', 'another image of the same name'),
    'another image, sloppy': (image(64 * 'b'), 'sloppy', 'another image of the same name'),
    'made sloppily': ({**image(SHA256), 'SynPreset': 'sloppy'}, 'default', 'made with --sloppy'),
    'made sloppily by another': ({'SynPreset': 'sloppy'}, 'paper', 'made with --sloppy'),
    'both sloppy': ({**image(SHA256), 'SynPreset': 'sloppy'}, 'sloppy', ''),
    'made with care': ({**image(SHA256), 'SynPreset': 'paper'}, 'sloppy', ''),
    'another program': ({'Sources': ['x']}, 'default', ''),
    'same atlas': ({**image(SHA256), 'Atlas': ATLAS}, 'default', ''),
    'another atlas': (
        {**image(SHA256), 'Atlas': {'Name': 'user', 'SHA256': 64 * 'd'}},
        'default',
        'another atlas',
    ),
    'damaged sidecar': ({'ReferenceImage': ['x']}, 'default', ''),
}


@pytest.mark.parametrize('case', REUSED)
def test_transforms_of_this_image(
    make: Callable[..., Request], tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    content, preset, word = REUSED[case]
    pair = pair_of(tmp_path, **content)
    request = make(preset=preset)
    with caplog.at_level(logging.WARNING):
        usable, reason = usable_transforms(pair, request.properties, preset, ATLAS)
    assert usable == ([] if word else pair)
    assert word in reason
    if word:
        assert f'{pair[0]}: not used for {request.properties["path"]}: ' in caplog.text
        assert word in caplog.text
    else:
        assert caplog.text == ''


def test_transforms_of_another_image(make: Callable[..., Request], tmp_path: Path) -> None:
    """The atlas is registered anew, which this preset cannot do."""
    given = {DEFAULT_ATLAS: pair_of(tmp_path, **image(64 * 'b'))}
    outcome = SYN.locate(make(given_transforms=given, preset='unknown'))
    assert outcome.points is None
    assert 'no SyN preset' in outcome.error['message']


@pytest.mark.parametrize('checked', [True, False])
def test_sidecars_of_reused_files(
    make: Callable[..., Request], tmp_path: Path, checked: bool
) -> None:
    """They name the image only if that was compared."""
    content = {**image(SHA256), 'SynPreset': 'paper'} if checked else {}
    given = {DEFAULT_ATLAS: pair_of(tmp_path, **content)}
    describe(tmp_path / 'given.nii.gz', **content)
    outcome = SYN.locate(make(given_transforms=given))
    layout = Layout(tmp_path / 'out', 'tms')
    entries = {**image(SHA256), 'SoftwareVersion': '1', 'RandomSeed': 1}
    SYN.write(outcome, IMAGE, layout, PROTOCOL, entries)
    sidecars = [path for path in layout.files(IMAGE) if path.suffix == '.json']
    assert len(sidecars) == 3
    for path in sidecars:
        written = json.loads(path.read_text())
        assert written.get('ReferenceImage') == (
            image(SHA256)['ReferenceImage'] if checked else None
        )
        preset = 'paper' if checked and path.name.endswith('xfm.json') else None
        assert written.get('SynPreset') == preset
    found = SYN.image_resources(IMAGE, layout, [tmp_path / 'out'])
    assert sorted(Path(path) for path in found['given_sidecars']) == sidecars[:1]


def test_masks_of_this_image(make: Callable[..., Request], tmp_path: Path) -> None:
    path, properties = str(tmp_path / 'given.nii.gz'), make().properties
    mask, reason = usable_mask(path, properties)
    assert mask is not None
    assert reason == ''
    describe(path, **image(SHA256))
    assert usable_mask(path, properties)[0] is not None
    describe(path, **image(64 * 'b'))
    assert usable_mask(path, properties) == (
        None,
        'given.nii.gz: it was made from another image of the same name (SHA-256 in its sidecar)',
    )
    describe(path)
    elsewhere = {**properties, 'affine': (np.diag([4.0, 4, 4, 1])).tolist()}
    assert 'lies outside of the image' in usable_mask(path, elsewhere)[1]
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[:-9])
    mask, reason = usable_mask(path, properties)
    assert mask is None
    assert reason.startswith('given.nii.gz: cut short')
    assert usable_mask(None, properties) == (None, '')


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
