from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from tmsprep.bids.earlier import Earlier
from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives.earlier import sidecar_path
from tmsprep.derivatives.tables import write_outcomes
from tmsprep.files import file_sha256
from tmsprep.methods import get_method
from tmsprep.methods.base import Request
from tmsprep.methods.resources import ResourceError
from tmsprep.methods.syn.given import Given, GivenTransforms
from tmsprep.methods.syn.locate import _reuse
from tmsprep.methods.syn.reuse import unfit_transforms
from tmsprep.options import NamedPath
from tmsprep.protocols import load_protocol
from tmsprep.registration.atlas import default_atlas
from tmsprep.registration.frames import write_linear
from tmsprep.registration.guarded import TransformReader
from tmsprep.registration.names import DEFAULT_ATLAS

PROTOCOL = load_protocol('tms')
SYN = get_method('syn')
IMAGE = ImageRef.from_path(Path('/bids'), Path('/bids/sub-01/anat/sub-01_T1w.nii.gz'))
SHA256 = 64 * 'a'


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Request]:
    """Make a request with a given mask; arguments replace resources."""
    brain = default_atlas(PROTOCOL).mask.slicer[::4, ::4, ::4]
    affine, inside = brain.affine, np.asarray(brain.dataobj, np.uint8)
    noise = np.random.default_rng(1).random(inside.shape)
    data = (inside * (1 + noise)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, affine), tmp_path / 'conformed.nii')
    nib.save(nib.Nifti1Image(inside, affine), tmp_path / 'given.nii.gz')
    given = {**SYN.resources(PROTOCOL, {}), **find(mask=tmp_path / 'given.nii.gz')}
    properties = {
        'path': '/bids/sub-01/anat/sub-01_T1w.nii.gz',
        'shape': list(data.shape),
        'affine': affine.tolist(),
        'sha256': SHA256,
    }
    return lambda **resources: Request(
        tmp_path / 'conformed.nii', properties, PROTOCOL, {**given, **resources}, folder=tmp_path
    )


def find(mask: Path | str = '', pair: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """Resources with one find, whose transforms lead to the default atlas."""
    transforms = {DEFAULT_ATLAS: list(pair)} if pair else {}
    paths = [str(path) for path in (mask, *pair, *more.values()) if isinstance(path, str | Path)]
    uris = {f'bids:old:{Path(path).name}': path for path in paths if path}
    found = Earlier('old', '', True, str(mask), transforms=transforms, uris=uris, **more)
    return {'given': [asdict(found)]}


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
    outcome = SYN.locate(make(**find(tmp_path / 'given.nii.gz', pair)))
    atlas = default_atlas(PROTOCOL).points
    np.testing.assert_allclose(
        outcome.points.coordinates, np.add(atlas.coordinates, [1, 2, 3]), atol=1e-4
    )
    reused = outcome.details.pop('Reused')
    assert [(entry['File'], entry['What']) for entry in reused] == [
        ('bids:old:given.nii.gz', 'brain mask'),
        ('bids:old:to.mat', f'transforms to {DEFAULT_ATLAS}'),
        ('bids:old:from.mat', f'transforms to {DEFAULT_ATLAS}'),
    ]
    assert [entry['SHA256'] for entry in reused] == [
        file_sha256(path) for path in (tmp_path / 'given.nii.gz', *map(Path, pair))
    ]
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


def test_offsets(make: Callable[..., Request], tmp_path: Path) -> None:
    """The atlas moves along its own axes, which are turned by 90 degrees in the image."""
    turned = np.array([[0.0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3], [0, 0, 0, 1]])
    pair = [
        str(write_linear(turned, tmp_path / 'to.mat')),
        str(write_linear(np.linalg.inv(turned), tmp_path / 'from.mat')),
    ]
    offsets = {'file': 'o.tsv', 'sha256': SHA256, 'participants': 5, 'mm': {'LOFC': [4, -2, 1]}}
    given = find(tmp_path / 'given.nii.gz', pair)
    with TransformReader() as reader:
        request = make(**given, offsets=offsets)
        atlas = default_atlas(PROTOCOL)
        used = GivenTransforms(atlas.name, Path(pair[0]), Path(pair[1]), Path(pair[0]))
        outcome = _reuse('syn', atlas, used, {}, request, reader)
    moved = outcome.points.coordinates - apply_affine(turned, atlas.points.coordinates)
    expected = np.zeros_like(moved)
    expected[PROTOCOL.labels.index('LOFC')] = 2, 4, 1
    np.testing.assert_allclose(moved, expected, atol=1e-4)
    assert outcome.details['AtlasOffsets'] == {
        **{'File': 'o.tsv', 'SHA256': SHA256, 'Participants': 5, 'Targets': ['LOFC']}
    }
    layout = Layout(tmp_path / 'out', 'tms')
    properties = {**request.properties, 'affine': np.eye(4).tolist()}
    write_outcomes(layout, IMAGE, {'syn': outcome}, PROTOCOL, properties, 1)
    assert json.loads(layout.table(IMAGE, 'syn').with_suffix('.json').read_text())['AtlasOffsets']
    said = SYN.section(IMAGE, layout).methods
    assert 'the points of the atlas for LOFC were moved' in said
    assert 'points of 5 participants from them (o.tsv)' in said


IMPLAUSIBLE = {
    'far away': ((60, 0, 0), (-60, 0, 0), 'masks overlap by Dice'),
    'not inverse': ((1, 2, 3), (1, 2, 3), 'not the inverse of the other: points come back 7.5 mm'),
}


@pytest.mark.parametrize('case', IMPLAUSIBLE)
def test_implausible_transforms(
    make: Callable[..., Request], tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    """They are refused by words, and the atlas is registered, which this preset cannot do."""
    there, back, words = IMPLAUSIBLE[case]
    pair = [shift(tmp_path / 'to.mat', *there), shift(tmp_path / 'from.mat', *back)]
    outcome = SYN.locate(make(**find(tmp_path / 'given.nii.gz', pair), preset='unknown'))
    assert 'no SyN preset' in outcome.error['message']
    (refused,) = outcome.details['NotReused']
    assert refused.startswith('to.mat: ')
    assert words in refused
    assert 'to.mat: not used for /bids/sub-01/anat/sub-01_T1w.nii.gz: ' in caplog.text


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
def test_transforms_of_this_image(make: Callable[..., Request], tmp_path: Path, case: str) -> None:
    content, preset, word = REUSED[case]
    pair = pair_of(tmp_path, **content)
    request = make(preset=preset)
    assert word in unfit_transforms(pair, request.properties, preset, ATLAS)
    assert bool(word) == bool(unfit_transforms(pair, request.properties, preset, ATLAS))


def test_transforms_of_another_image(make: Callable[..., Request], tmp_path: Path) -> None:
    """The atlas is registered anew, which this preset cannot do."""
    pair = pair_of(tmp_path, **image(64 * 'b'))
    outcome = SYN.locate(make(**find(tmp_path / 'given.nii.gz', pair), preset='unknown'))
    assert outcome.points is None
    assert 'no SyN preset' in outcome.error['message']


@pytest.mark.parametrize('checked', [True, False])
def test_sidecars_of_reused_files(
    make: Callable[..., Request], tmp_path: Path, checked: bool
) -> None:
    """They name the image only if that was compared."""
    content = {**image(SHA256), 'SynPreset': 'paper'} if checked else {}
    pair = pair_of(tmp_path, **content)
    describe(tmp_path / 'given.nii.gz', **content)
    outcome = SYN.locate(make(**find(tmp_path / 'given.nii.gz', pair)))
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
    found = SYN.image_resources(IMAGE, layout, [NamedPath(tmp_path / 'out')])
    assert sorted(Path(path) for path in found['given'][0]['sidecars']) == sidecars[:1]


def mask_of(request: Request) -> tuple[bool, str]:
    """Whether the given mask is used, or else why not."""
    with TransformReader() as reader:
        given = Given(request, reader)
        used = given.mask() is not None
    assert used != bool(given.refused)
    return used, ''.join(given.refused)


def test_masks_of_this_image(make: Callable[..., Request], tmp_path: Path) -> None:
    path, request = tmp_path / 'given.nii.gz', make()
    assert mask_of(request) == (True, '')
    describe(path, **image(SHA256))
    assert mask_of(request) == (True, '')
    describe(path, **image(64 * 'b'))
    assert mask_of(request) == (
        False,
        'given.nii.gz: it was made from another image of the same name (SHA-256 in its sidecar)',
    )
    describe(path)
    affine = np.array(request.properties['affine'])
    affine[:3, 3] += 300
    elsewhere = replace(request, properties={**request.properties, 'affine': affine.tolist()})
    assert 'lies outside of the image' in mask_of(elsewhere)[1]
    content = path.read_bytes()
    path.write_bytes(content[:-9])
    assert mask_of(request)[1].startswith('given.nii.gz: cut short')


def test_implausible_masks(make: Callable[..., Request], tmp_path: Path) -> None:
    path, request = tmp_path / 'given.nii.gz', make()
    brain = nib.load(path)
    inside = np.asarray(brain.dataobj)
    half = inside.copy()
    half[: len(half) // 2] = 0
    half[:, : half.shape[1] // 2] = 0
    nib.save(nib.Nifti1Image(half, brain.affine), path)
    volume = half.sum() * 0.064
    assert mask_of(request)[1] == (
        f'given.nii.gz: it measures {volume:.0f} mL; a brain has 700 to 2400'
    )
    # The brain of another place, of which over a third lies in air here.
    away = np.roll(inside, 12, axis=1)
    nib.save(nib.Nifti1Image(away, brain.affine), path)
    share = 1 - (away & inside).sum() / inside.sum()
    assert mask_of(request)[1] == f'given.nii.gz: {share:.0%} of it lies in air'


def test_transforms_without_mask(make: Callable[..., Request], tmp_path: Path) -> None:
    pair = [shift(tmp_path / 'to.mat', 1, 2, 3), shift(tmp_path / 'from.mat', -1, -2, -3)]
    (tmp_path / 'none.nii.gz').touch()
    request = make(**find(tmp_path / 'none.nii.gz', pair), brain_weights='/absent')
    data = nib.load(tmp_path / 'conformed.nii')
    head = np.asarray(data.dataobj) + 1
    nib.save(nib.Nifti1Image(head, data.affine), tmp_path / 'conformed.nii')
    outcome = SYN.locate(request)
    assert outcome.points.found.all()
    assert set(outcome.files) == {'to_atlas', 'from_atlas'}
    assert SYN.locate(make(brain_weights='/absent', given=[])).points is None


def test_failed_registration(make: Callable[..., Request], tmp_path: Path) -> None:
    outcome = SYN.locate(make(preset='unknown'))
    assert outcome.points is None
    assert 'no SyN preset' in outcome.error['message']
    # The mask is shown in the report, where it may tell why.
    assert outcome.files == {'mask': str(tmp_path / 'mask.nii.gz')}
