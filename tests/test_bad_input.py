from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pytest

from tmsprep.cli.run import main
from tmsprep.phantoms import write_dataset

GOOD = '01'
#: A label that BIDS does not allow.
ODD = 'jörg'
AFFINE = np.diag([4.0, 4, 4, 1])


def plain(data: np.ndarray | None = None, affine: np.ndarray = AFFINE) -> nib.Nifti1Image:
    """Small image of random voxels whose frame is in order."""
    if data is None:
        data = np.random.default_rng(0).random((20, 24, 22), dtype=np.float32)
    image = nib.Nifti1Image(data, affine)
    image.set_qform(None, 0)
    image.set_sform(affine, 1)
    return image


def _empty(path: Path) -> None:
    path.touch()


def _empty_gz(path: Path) -> None:
    path.write_bytes(gzip.compress(b''))


def _truncated(path: Path) -> None:
    nib.save(plain(), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _text(path: Path) -> None:
    path.write_text('The images are on the other disk.\n')


def _four_dimensions(path: Path) -> None:
    nib.save(plain(np.random.default_rng(0).random((8, 8, 8, 5), dtype=np.float32)), path)


def _two_dimensions(path: Path) -> None:
    nib.save(plain(np.random.default_rng(0).random((8, 8), dtype=np.float32)), path)


def _nan(path: Path) -> None:
    nib.save(plain(np.full((8, 8, 8), np.nan, np.float32)), path)


def _constant(path: Path) -> None:
    nib.save(plain(np.full((8, 8, 8), 7, np.float32)), path)


def _zero_affine(path: Path) -> None:
    image = plain()
    image.header.set_sform(np.zeros((4, 4)), 1)
    _save_header(image, path)


def _sheared(path: Path) -> None:
    shear = np.eye(4)
    shear[0, 1] = 0.1
    nib.save(plain(affine=shear @ AFFINE), path)


def _two_frames(path: Path) -> None:
    image = plain()
    moved = AFFINE.copy()
    moved[:3, 3] = [0, 0, 20]
    image.set_qform(moved, 1)
    nib.save(image, path)


def _no_frame(path: Path) -> None:
    image = plain()
    image.header.set_sform(AFFINE, 0)
    _save_header(image, path)


def _save_header(image: nib.Nifti1Image, path: Path) -> None:
    """Save an image with the header as it is; nibabel would mend it."""
    header = image.header
    header['vox_offset'], header['magic'] = 352, b'n+1'
    data = np.asarray(image.dataobj).tobytes(order='F')
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4) + data))


def _dangling(path: Path) -> None:
    path.symlink_to('../../.git/annex/objects/nowhere.nii.gz')


def _good_voxels(path: Path) -> None:
    nib.save(plain(), path)


def _wrong_checksum(path: Path) -> None:
    nib.save(plain(), path)
    content = path.read_bytes()
    path.write_bytes(content[:-8] + bytes(4) + content[-4:])


def _longer(path: Path) -> None:
    nib.save(plain(), path)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(100)))


def _promises(path: Path) -> None:
    """Write 20 kB whose header announces 20 GB."""
    header = nib.Nifti1Header()
    header.set_data_shape((2000, 2000, 2500))
    header.set_data_dtype(np.int16)
    header.set_sform(AFFINE, 1)
    header['vox_offset'], header['magic'] = 352, b'n+1'
    path.write_bytes(gzip.compress(header.binaryblock + bytes(20_000)))


def _capitals(path: Path) -> None:
    nib.save(plain(), path.with_name('x.nii.gz'))
    path.with_name('x.nii.gz').rename(path)


def _nothing(path: Path) -> None:
    pass


class Case(NamedTuple):
    """A way to be wrong: how the file is made, what the message says of it, and its name."""

    make: Callable[[Path], None]
    message: str
    name: str = ''
    folder: str = ''


CASES = {
    'empty': Case(_empty, 'empty (0 bytes)'),
    'emptygz': Case(_empty_gz, 'NIfTI'),
    'truncated': Case(_truncated, 'cut short'),
    'text': Case(_text, 'a text file'),
    '4d': Case(_four_dimensions, '4D with 5 volumes'),
    '2d': Case(_two_dimensions, 'flat'),
    'nan': Case(_nan, 'NaN'),
    'constant': Case(_constant, 'all voxels are 7'),
    'zeroaffine': Case(_zero_affine, 'cannot be inverted'),
    'sheared': Case(_sheared, 'shear'),
    'twoframes': Case(_two_frames, 'qform and sform in the header differ'),
    'noframe': Case(_no_frame, 'both 0'),
    'dangling': Case(_dangling, 'datalad get'),
    'space': Case(_good_voxels, 'Rename', 'sub-space_acq-a b_T1w.nii.gz'),
    'accent': Case(_good_voxels, 'Rename', 'sub-accent_acq-é_T1w.nii.gz'),
    'checksum': Case(_wrong_checksum, 'incorrect data check'),
    'longer': Case(_longer, 'more bytes than its header announces'),
    'promises': Case(_promises, 'cannot hold them'),
    'desc': Case(_good_voxels, 'marks a derivative', 'sub-desc_desc-preproc_T1w.nii.gz'),
    'hemi': Case(_good_voxels, 'marks a derivative', 'sub-hemi_hemi-L_T1w.nii.gz'),
    'mni': Case(_good_voxels, 'in the space MNI152', 'sub-mni_space-MNI152_T1w.nii.gz'),
    'mgz': Case(_good_voxels, 'Run: nib-convert', 'sub-mgz_T1w.mgz'),
    'capitals': Case(_capitals, 'Run: mv', 'sub-capitals_T1w.NII.GZ'),
    'noimage': Case(_nothing, 'no image found', 'sub-noimage'),
}


def file_name(label: str) -> str:
    return CASES[label].name or f'sub-{label}_T1w.nii.gz'


@pytest.fixture(scope='module')
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('bad') / 'bids'
    return write_dataset(folder, [1], [GOOD], voxel_size=(4.0, 4.0, 4.0))


class Ran(NamedTuple):
    """One run on all cases together."""

    run: subprocess.CompletedProcess
    out: Path
    log: list[str]


@pytest.fixture(scope='module')
def ran(
    phantom: Path,
    shipped_weights: Path,
    tmp_path_factory: pytest.TempPathFactory,
    tmsprep: Callable,
) -> Ran:
    folder = tmp_path_factory.mktemp('ran')
    bids, out = folder / 'bids', folder / 'out'
    shutil.copytree(phantom, bids)
    for label, case in CASES.items():
        path = bids / f'sub-{label}' / 'anat' / file_name(label)
        path.parent.mkdir(parents=True)
        case.make(path)
    odd = bids / f'sub-{ODD}' / 'anat' / f'sub-{ODD}_T1w.nii.gz'
    odd.parent.mkdir(parents=True)
    _good_voxels(odd)
    options = ('--localizers', 'cnn', '--weights', shipped_weights, '--nprocs', 2)
    run = tmsprep(bids, out, 'participant', *options, '-w', folder / 'work')
    (log,) = (out / 'logs').glob('*/tmsprep.log')
    return Ran(run, out, log.read_text(encoding='utf-8').splitlines())


@pytest.mark.slow
def test_last_line(ran: Ran) -> None:
    assert ran.run.returncode == 1, ran.run.stderr
    expected = f'{len(CASES) + 1} of {len(CASES) + 2} participants failed'
    assert ran.run.stderr.splitlines()[-1].endswith(expected)
    assert ran.log[-1].endswith(expected)
    assert 'Traceback' not in ran.run.stderr


@pytest.mark.slow
def test_good_image(ran: Ran) -> None:
    anat = ran.out / f'sub-{GOOD}' / 'anat'
    table = anat / f'sub-{GOOD}_protocol-tms_desc-cnn_targets.tsv'
    assert len(table.read_text().splitlines()) == 12
    assert table.with_suffix('.json').is_file()
    assert (ran.out / f'sub-{GOOD}_protocol-tms.html').is_file()
    assert not any(f'sub-{GOOD} failed' in line for line in ran.log)
    assert not list((ran.out / 'logs' / f'sub-{GOOD}').glob('*.error.json'))


@pytest.mark.slow
@pytest.mark.parametrize('label', CASES)
def test_message(ran: Ran, label: str) -> None:
    told = [line for line in ran.log if f'sub-{label} failed: ' in line]
    assert len(told) == 1
    assert file_name(label) in told[0]
    assert CASES[label].message in told[0]
    (record,) = (ran.out / 'logs' / f'sub-{label}').glob('*.error.json')
    message = json.loads(record.read_text(encoding='utf-8'))['message']
    assert message in told[0]
    assert '\n' not in message


@pytest.mark.slow
@pytest.mark.parametrize('label', CASES)
def test_report(ran: Ran, label: str) -> None:
    page = (ran.out / f'sub-{label}_protocol-tms.html').read_text(encoding='utf-8')
    assert file_name(label) in page
    assert CASES[label].message in page


@pytest.mark.slow
def test_odd_label(ran: Ran) -> None:
    """Nothing is named after a label that is none."""
    (told,) = [line for line in ran.log if f'sub-{ODD} failed: ' in line]
    assert 'Rename' in told
    assert not list(ran.out.rglob(f'sub-{ODD}*'))


@pytest.mark.slow
def test_nothing_partial(ran: Ran) -> None:
    hidden = [path for path in ran.out.rglob('.*') if path.name != '.bidsignore']
    assert hidden == []
    tables = [path.name for path in ran.out.rglob('*_targets.*')]
    assert sorted(tables) == [
        f'sub-{GOOD}_protocol-tms_desc-cnn_targets.{e}' for e in ('json', 'tsv')
    ]
    for label in CASES:
        folder = ran.out / f'sub-{label}'
        assert not folder.exists() or not any(p.is_file() for p in folder.rglob('*'))


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the one line that refuses wrong arguments, which end in exit code 2."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    return error


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    path = tmp_path / 'bids' / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    path.parent.mkdir(parents=True)
    nib.save(plain(), path)
    description = {'Name': 'test', 'BIDSVersion': '1.9.0'}
    (tmp_path / 'bids' / 'dataset_description.json').write_text(json.dumps(description))
    return tmp_path / 'bids'


def test_unknown_participant(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = bids.parent / 'out'
    error = refusal(capsys, bids, out, 'participant', '--participant-label', '01', 'sub-99')
    assert 'no 99' in error
    assert 'there are: 01' in error
    assert not out.exists()


def test_unknown_filter_key(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, filters = bids.parent / 'out', bids.parent / 'filters.json'
    filters.write_text('{"t1w": {"acquisitoin": "mprage"}}')
    error = refusal(capsys, bids, out, 'participant', '--bids-filter-file', filters)
    assert 'filters.json' in error
    assert "did you mean 'acquisition'" in error
    assert not out.exists()


def test_outputs_in_data_set(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(bids.rglob('*'))
    for out in (bids, bids / 'sub-01' / 'anat', bids / '..' / 'bids'):
        assert 'may not go into' in refusal(capsys, bids, out, 'participant')
    assert sorted(bids.rglob('*')) == before


def test_missing_weights(bids: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = refusal(capsys, bids, tmp_path / 'o', 'participant', '--weights', tmp_path / 'no.file')
    assert '--weights: no file' in error
    assert 'no.file' in error
