from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.cli.participant import ParticipantRun
from tmsprep.cli.pending import main, pending
from tmsprep.config import ParticipantConfig
from tmsprep.derivatives.earlier import POINTS
from tmsprep.failures import record_error, record_problems
from tmsprep.files import file_sha256
from tmsprep.options import NamedPath
from tmsprep.own_points import OwnPoints

IMAGES = (
    'sub-01/anat/sub-01_T1w.nii.gz',
    'sub-02/ses-A/anat/sub-02_ses-A_T1w.nii.gz',
    'sub-02/ses-B/anat/sub-02_ses-B_T1w.nii.gz',
)


@pytest.fixture
def config(tmp_path: Path) -> ParticipantConfig:
    for name in IMAGES:
        path = tmp_path / 'bids' / name
        path.parent.mkdir(parents=True)
        path.write_text(f'voxels of {name}')
    (tmp_path / 'bids' / 'dataset_description.json').write_text('{"Name": "n"}')
    return ParticipantConfig(
        bids_dir=tmp_path / 'bids',
        out_dir=tmp_path / 'out',
        localizers=('cnn', 'syn'),
        work_dir=tmp_path / 'work',
    )


def finish(config: ParticipantConfig, method: str, status: str = 'ok', **changed: Any) -> None:
    """Write what a run leaves, as far as it is looked at; `changed` are inputs of the run."""
    run = ParticipantRun.of(config)
    work = run.work(run.resources())
    rows = [f'{label}\t1\t2\t3\t{status}\n' for label in run.protocol.labels]
    for name in IMAGES:
        image, path = image_of(config, name), table(config, name, method)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('label\tx\ty\tz\tstatus\n' + ''.join(rows))
        sha256 = file_sha256(image.path)
        inputs = {**work.inputs(image, sha256)[method], **changed}
        sidecar = {'ReferenceImage': {'SHA256': sha256}, 'Inputs': inputs}
        path.with_suffix('.json').write_text(json.dumps(sidecar))
        layout(config).report(image.subject).touch()


def table(config: ParticipantConfig, name: str, method: str) -> Path:
    return layout(config).table(image_of(config, name), method)


def layout(config: ParticipantConfig) -> Layout:
    return Layout(config.out_dir, config.protocol)


def image_of(config: ParticipantConfig, name: str) -> ImageRef:
    return ImageRef.from_path(config.bids_dir, config.bids_dir / name)


def test_not_run(config: ParticipantConfig) -> None:
    assert pending(config) == {'01': 'not run', '02': 'not run'}


def test_done(config: ParticipantConfig) -> None:
    finish(config, 'cnn')
    assert set(pending(config)) == {'01', '02'}
    finish(config, 'syn')
    assert pending(config) == {}


def test_missing_table(config: ParticipantConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    table(config, IMAGES[2], 'syn').unlink()
    assert pending(config) == {'02': 'no sub-02_ses-B_protocol-tms_desc-syn_targets.tsv'}


def test_records(config: ParticipantConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    names, image = layout(config), image_of(config, IMAGES[0])
    record_error(names, image, 'syn', {'message': 'no\nbrain', 'traceback': ''})
    record_problems(names, '02', ['a link that leads nowhere'])
    assert pending(config) == {
        '01': 'failed: syn: no\nbrain',
        '02': 'failed: input: a link that leads nowhere',
    }


def test_no_usable_point(config: ParticipantConfig, capsys: pytest.CaptureFixture[str]) -> None:
    """The same run would give the same again; it is named, so that it is not forgotten."""
    finish(config, 'cnn')
    finish(config, 'syn', status='failed')
    assert pending(config) == {}
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        'tmsprep: sub-01: sub-01_protocol-tms_desc-syn_targets.tsv: no point may be used '
        '(11 failed); not run again'
    )
    assert len(lines) == 3


def test_missing_report(config: ParticipantConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    layout(config).report('02').unlink()
    assert pending(config) == {'02': 'stopped before the report'}


def test_changed_image(config: ParticipantConfig) -> None:
    """Neither size nor times tell, as with ``cp -p``."""
    for method in config.localizers:
        finish(config, method)
    path = config.bids_dir / IMAGES[0]
    before, size = path.stat(), len(path.read_bytes())
    path.write_bytes(bytes(size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    other = 'sub-01_protocol-tms_desc-cnn_targets.tsv: of another image of the same name'
    assert pending(config) == {'01': other}


def test_image_touched(config: ParticipantConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    path = config.bids_dir / IMAGES[0]
    os.utime(path, (9e9, 9e9))
    assert pending(config) == {}
    # Its content was dropped after it had been used.
    path.unlink()
    path.symlink_to('../../.git/annex/objects/x')
    assert pending(config) == {}


def test_swapped_images(config: ParticipantConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    first, second = (config.bids_dir / name for name in IMAGES[1:])
    aside = config.bids_dir / 'aside'
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    assert set(pending(config)) == {'02'}


@pytest.mark.parametrize(
    ('entry', 'value', 'reason'),
    [
        ('Targets', 'x', 'of other targets'),
        ('Resources', 'x', 'made with other weights, another atlas or other options'),
        ('RandomSeed', 2, 'made with another seed'),
        ('Threads', 7, 'made with another number of threads'),
        ('Version', '0.0.1', 'made by another version'),
        ('After', {}, 'made with other points to start from'),
    ],
)
def test_changed_run(config: ParticipantConfig, entry: str, value: Any, reason: str) -> None:
    finish(config, 'cnn')
    finish(config, 'syn', **{entry: value})
    table = 'protocol-tms_desc-syn_targets.tsv'
    assert pending(config) == {
        '01': f'sub-01_{table}: {reason}',
        '02': f'sub-02_ses-A_{table}: {reason}',
    }


def test_changed_options(config: ParticipantConfig, random_weights: Path) -> None:
    for method in config.localizers:
        finish(config, method)
    paper = replace(config, method_options={'syn_preset': 'paper'})
    assert 'desc-syn' in pending(paper)['01']
    assert 'other weights' in pending(paper)['01']
    weights = replace(config, method_options={'weights': random_weights})
    assert 'desc-cnn' in pending(weights)['01']
    # The registration would start from nothing.
    alone = replace(config, localizers=('syn',))
    assert 'other points to start from' in pending(alone)['01']
    assert pending(replace(config, localizers=('cnn',))) == {}


def test_changed_weights(config: ParticipantConfig, random_weights: Path, tmp_path: Path) -> None:
    """Weights count by their content: not their name, nor their time, nor their folder."""
    mine = tmp_path / 'mine.safetensors'
    shutil.copyfile(random_weights, mine)
    config = replace(config, localizers=('cnn',), method_options={'weights': mine})
    finish(config, 'cnn')
    moved = replace(config, method_options={'weights': mine.rename(tmp_path / 'other.st')})
    assert pending(moved) == {}
    content = bytearray(random_weights.read_bytes())
    content[-1] ^= 1
    mine.write_bytes(content)
    os.utime(mine, ns=(random_weights.stat().st_atime_ns, random_weights.stat().st_mtime_ns))
    assert set(pending(config)) == {'01', '02'}


def test_given_mask(config: ParticipantConfig, tmp_path: Path) -> None:
    """A mask that is corrected by hand keeps its name."""
    mask = tmp_path / 'masks' / 'sub-01_desc-brain_mask.nii.gz'
    mask.parent.mkdir()
    mask.write_text('a mask')
    config = replace(config, derivatives=(NamedPath(mask.parent),))
    for method in config.localizers:
        finish(config, method)
    assert pending(config) == {}
    mask.write_text('A mask')
    assert list(pending(config)) == ['01']


@pytest.mark.parametrize(
    'content',
    [
        b'',
        bytes(300),
        b'label\tx\ty\tz\tstatus\nLOFC\t1\t2',
        b'label\tx\ty\tz\tstatus\nLOFC\t1\t2\t3\tok\n',
        b'x\ty\n1\t2\n',
        'label\tx\ty\tz\tstatus\nLÖFC\t1\t2\t3\tok\n'.encode('latin-1'),
    ],
    ids=['empty', 'zeros', 'cut', 'rows', 'columns', 'latin-1'],
)
def test_damaged_table(config: ParticipantConfig, content: bytes) -> None:
    for method in config.localizers:
        finish(config, method)
    table(config, IMAGES[0], 'syn').write_bytes(content)
    reasons = pending(config)
    assert list(reasons) == ['01']
    assert reasons['01'].startswith('sub-01_protocol-tms_desc-syn_targets.tsv')


@pytest.mark.parametrize('content', [b'', b'[1]', b'{"ReferenceImage": 3}', b'[' * 99_999])
def test_damaged_sidecar(config: ParticipantConfig, content: bytes) -> None:
    for method in config.localizers:
        finish(config, method)
    table(config, IMAGES[0], 'cnn').with_suffix('.json').write_bytes(content)
    assert list(pending(config)) == ['01']


def test_damaged_record(config: ParticipantConfig) -> None:
    for method in config.localizers:
        finish(config, method)
    record_problems(layout(config), '01', ['one'])
    layout(config).problems('01').write_text('{"node": "inp')
    reasons = pending(config)
    assert list(reasons) == ['01']
    assert 'this record of an earlier failure cannot be read' in reasons['01']


def test_other_protocol(config: ParticipantConfig, tmp_path: Path) -> None:
    atlas = {'atlas': tmp_path / 'atlas.nii', 'atlas_targets': tmp_path / 'points.tsv'}
    nib.save(nib.Nifti1Image(np.arange(1000.0).reshape(10, 10, 10), np.eye(4)), atlas['atlas'])
    atlas['atlas_targets'].write_text('label\tx\ty\tz\n1\t1\t2\t3\n')
    other = replace(config, protocol='afids', localizers=('syn',), method_options=atlas)
    for method in config.localizers:
        finish(config, method)
    error = {'message': 'no brain', 'traceback': ''}
    record_error(layout(other), image_of(config, IMAGES[0]), 'syn', error)
    assert pending(config) == {}
    assert pending(other) == {
        '01': 'failed: syn: no brain',
        '02': 'stopped before the report',
    }
    finish(other, 'syn')
    assert list(pending(other)) == ['01']


def test_no_weights(config: ParticipantConfig, capsys: pytest.CaptureFixture[str]) -> None:
    """What the run would refuse is refused before jobs are submitted."""
    arguments = [str(config.bids_dir), str(config.out_dir), 'participant']
    arguments += ['--protocol', 'afids', '-w', str(config.work_dir)]
    assert main(arguments) == 2
    assert 'give --weights' in capsys.readouterr().err


def test_one_failed_target(config: ParticipantConfig) -> None:
    """An atlas may lack a target: an array job that is repeated would not find it either."""
    for method in config.localizers:
        finish(config, method)
    path = table(config, IMAGES[0], 'syn')
    path.write_text(path.read_text().replace('ok', 'failed', 1))
    assert pending(config) == {}


def test_printed_table(config: ParticipantConfig, capsys: pytest.CaptureFixture[str]) -> None:
    record_problems(layout(config), '01', ['two\nlines'])
    arguments = [str(config.bids_dir), str(config.out_dir), 'participant']
    arguments += ['--participant-label', 'sub-01', '-w', str(config.work_dir)]
    assert main(arguments) == 0
    assert capsys.readouterr().out == (
        'participant_id\treason\nsub-01\tfailed: input: two lines\n'
    )
    # Asking changes nothing.
    assert sorted(path.name for path in config.out_dir.iterdir()) == ['logs']
    assert not config.work_dir.exists()


def finish_points(config: ParticipantConfig, own: OwnPoints) -> None:
    """Write what a run leaves of points given in a template."""
    run = ParticipantRun.of(config)
    work = run.work(run.resources())
    for name in IMAGES:
        image = image_of(config, name)
        sha256 = file_sha256(image.path)
        path = layout(config).table(image, POINTS)
        path.write_text('label\tx\ty\tz\tstatus\nSMA\t1\t2\t3\tok\n')
        sidecar = {
            'SoftwareVersion': '1',
            'Localizer': 'syn',
            'ReferenceImage': {'SHA256': sha256},
            'Inputs': own.inputs(work.inputs(image, sha256)['syn']),
        }
        path.with_suffix('.json').write_text(json.dumps(sidecar))


def test_own_points(config: ParticipantConfig) -> None:
    finish(config, 'cnn')
    finish(config, 'syn')
    assert pending(config) == {}
    given = replace(config, point=('SMA 0 -6 58',))
    missing = {'01': 'no sub-01_protocol-tms_desc-points_targets.tsv'}
    assert pending(given).items() >= missing.items()
    finish_points(config, OwnPoints({'SMA': (0.0, -6.0, 58.0)}, config.point_space))
    assert pending(given) == {}
    # Without points the table of them is nobody's business.
    assert pending(config) == {}
    moved = pending(replace(given, point=('SMA 0 -6 59',)))
    assert {reason.partition(': ')[2] for reason in moved.values()} == {
        'of other points, or made by another version'
    }
    assert set(pending(replace(given, snap_to_cortex=True))) == {'01', '02'}
    # Another seed: the registration is another one, of which the first method is named.
    assert set(pending(replace(given, random_seed=2))) == {'01', '02'}


def test_own_points_carry_warnings(config: ParticipantConfig) -> None:
    """They are counted, but an image is not failed for a point that lies outside of it."""
    for method in ('cnn', 'syn'):
        finish(config, method)
    finish_points(config, OwnPoints({'SMA': (0.0, -6.0, 58.0)}, config.point_space))
    path = table(config, IMAGES[0], POINTS)
    path.write_text(path.read_text().replace('ok', 'outside_image'))
    work, image = ParticipantRun.of(config).work(), image_of(config, IMAGES[0])
    assert work.statuses(image)[POINTS] == {'SMA': 'outside_image'}
    assert list(work.without_points(image)) == []
