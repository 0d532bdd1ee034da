"""The cheap ones of ``benchmarks/faults.py``, on the network alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.files import file_sha256
from tmsprep.formats.targets_tsv import read_targets
from tmsprep.phantoms import write_dataset

sys.path.append(str(Path(__file__).parents[2] / 'benchmarks'))

from faults_parts.crowd import LEFT_OUT
from faults_parts.runs import (
    Ended,
    Running,
    Site,
    differences,
    left_over,
    outputs,
    partials,
)
from faults_parts.watch import Watcher

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp('faults')
    bids = write_dataset(folder / 'bids', [1], ['01'], voxel_size=(4.0, 4.0, 4.0))
    image = bids / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    other = bids / 'sub-02' / 'anat' / 'sub-02_T1w.nii.gz'
    other.parent.mkdir(parents=True)
    shutil.copyfile(image, other)
    return Site(folder, bids, bids, folder / 'tmp')


@pytest.fixture(scope='module')
def options(shipped_weights: Path) -> list[str]:
    return ['--localizers', 'cnn', '--weights', str(shipped_weights), '--nprocs', '1']


@pytest.fixture(scope='module')
def whole(site: Site, options: list[str]) -> dict[str, bytes]:
    """Outputs of a run without any fault."""
    out = site.folder / 'whole'
    assert site.start(site.bids, out, site.folder / 'whole_work', options).end().code == 0
    return outputs(out)


def start(site: Site, name: str, options: list[str], work: str = '') -> Running:
    return site.start(
        site.bids, site.folder / name, site.folder / (work or f'{name}_work'), options
    )


def test_killed_run_resumes(site: Site, options: list[str], whole: dict[str, bytes]) -> None:
    out = site.folder / 'killed'
    with Watcher(out, whole) as watcher:
        for pattern in ('*_desc-cnn_targets.tsv', '*.svg'):
            running = start(site, 'killed', options)
            running.wait_for(out, pattern)
            family = running.family()
            # Once the first process is killed, once the one that works.
            family[pattern == '*.svg'].kill()
            running.end(10)
            assert left_over(family) == 0
        left = out / 'sub-01' / 'anat' / '.0123abcd.sub-01_protocol-tms_desc-cnn_targets.tsv'
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_text('label\themi')
        ended = start(site, 'killed', options).end()
    assert ended.code == 0, ended.lines
    assert watcher.partial == []
    assert watcher.versions >= len(whole)
    assert differences(out, whole) == []
    assert partials(out) == []
    assert list(site.temporary.iterdir()) == []


DAMAGE: dict[str, Callable[[Path], object]] = {
    'cut': lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    'zeros': lambda path: path.write_bytes(bytes(path.stat().st_size)),
    'purged': Path.unlink,
}


@pytest.mark.parametrize('damage', DAMAGE)
def test_damaged_work(
    site: Site, options: list[str], whole: dict[str, bytes], damage: str
) -> None:
    """Every file that a run left in its working directory, and a record of a failure."""
    out, work = site.folder / damage, site.folder / 'whole_work'
    record = out / 'logs' / 'sub-01' / 'sub-01_T1w_protocol-tms_cnn.error.json'
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text('{"node": "cnn", "message": "no weights", "image": "sub-01_T1w.nii.gz"}')
    files = [*(path for path in work.rglob('*') if path.is_file()), record]
    assert len(files) > 20
    for path in files:
        DAMAGE[damage](path)
    ended = start(site, damage, options, 'whole_work').end()
    assert ended.code == 0, ended.lines
    assert differences(out, whole) == []
    assert not record.exists()
    if damage != 'purged':
        assert ended.says('checksums.json is damaged, so it is made again')
        assert ended.says(f'{record}: this record')


def test_image_replaced(site: Site, options: list[str]) -> None:
    """By one of the same size and time, with left and right exchanged in the header."""
    bids = site.folder / 'replaced'
    image = bids / 'sub-01' / 'anat' / 'sub-01_T1w.nii'
    image.parent.mkdir(parents=True)
    (bids / 'dataset_description.json').write_text('{"Name": "n", "BIDSVersion": "1.9.0"}')
    first = nib.load(site.bids / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz')
    found = []
    for move in (np.eye(4), np.diag([-1.0, 1, 1, 1])):
        nib.save(nib.Nifti1Image(np.asarray(first.dataobj), move @ first.affine), image)
        os.utime(image, (1.5e9, 1.5e9))
        out = site.folder / 'replaced_out'
        assert site.start(bids, out, site.folder / 'replaced_work', options).end().code == 0
        (table,) = out.rglob('*_targets.tsv')
        sidecar = json.loads(table.with_suffix('.json').read_text())
        assert sidecar['ReferenceImage']['SHA256'] == file_sha256(image)
        found.append(read_targets(table))
    assert image.stat().st_mtime == 1.5e9
    assert not np.allclose(found[0].coordinates, found[1].coordinates, atol=1)


def test_two_runs_at_once(site: Site, options: list[str], whole: dict[str, bytes]) -> None:
    one = [*options, '--participant-label', '01']
    first = start(site, 'shared', one)
    first.wait_for(site.folder / 'shared_work', 'conformed.nii')
    # One participant in the same outputs, and in the same working folder for other outputs.
    second = start(site, 'shared', options, 'other_work')
    third = start(site, 'elsewhere', one, 'shared_work')
    for run in (second, third):
        ended = run.end()
        assert ended.code == 1
        assert ended.says('sub-01 failed', LEFT_OUT)
        assert 'participants failed' in ended.last
    assert first.end().code == 0
    assert differences(site.folder / 'shared', whole) == []
    assert not any((site.folder / 'elsewhere').rglob('sub-01*'))


@pytest.mark.parametrize(('name', 'code'), [('SIGTERM', 143), ('SIGINT', 130)])
def test_signal(site: Site, options: list[str], name: str, code: int) -> None:
    running = start(site, name, options)
    running.wait_for(site.folder / f'{name}_work', 'conformed.nii')
    family = running.family()
    running.process.send_signal(signal.Signals[name])
    ended = running.end(10)
    assert ended.code == code
    assert f'tmsprep was stopped by {name}' in ended.last
    assert 'start the same command again' in ended.last
    assert left_over(family) == 0
    (log,) = (site.folder / name / 'logs').glob('*/tmsprep.log')
    assert ended.last in log.read_text(encoding='utf-8').splitlines()[-1]


def test_killed_worker(site: Site, options: list[str]) -> None:
    running = start(site, 'lacking', [*options[:-1], '2', '--participant-label', '01'])
    running.wait_for(site.folder / 'lacking_work', 'conformed.nii')
    family = running.family()
    workers = [p for p in family[2:] if 'spawn_main' in ' '.join(p.cmdline())]
    for worker in workers:
        worker.kill()
    ended: Ended = running.end(60)
    assert ended.code == 1
    assert ended.says('sub-01 failed', 'memory ran out', '--nprocs 1')
    assert left_over(family) == 0


@pytest.fixture(scope='module')
def heads(site: Site) -> Path:
    """Two participants with points and brain masks."""
    return write_dataset(site.folder / 'heads', [1, 2], ['01', '02'], voxel_size=(4.0, 4.0, 4.0))


LEARN = ('--recipe', 'quick', '--steps', '4', '--device', 'cpu', '--nprocs', '1')


def start_learning(site: Site, heads: Path, level: str, name: str, *more: str) -> Running:
    truth = str(heads / 'derivatives' / 'truth')
    options = ['--annotations', truth, '--derivatives', truth, *LEARN, *more]
    out, work = site.folder / name, site.folder / f'{name}_work'
    return site.start(heads, out, work, options, level=level)


@pytest.mark.parametrize(
    ('level', 'begun', 'more', 'code'),
    [
        # So short a training gives networks of no use, and says so.
        ('train', 'member1_*.pt', ('--members', '2'), 3),
        ('crossval', 'training.json', ('--repetitions', '1'), 0),
    ],
)
def test_killed_training(
    site: Site, heads: Path, level: str, begun: str, more: tuple[str, ...], code: int
) -> None:
    """The same files as those of an uninterrupted run, and nothing else."""
    whole = site.folder / level
    assert start_learning(site, heads, level, level, *more).end().code == code
    out, work = site.folder / f'{level}_killed', site.folder / f'{level}_killed_work'
    with Watcher(out, outputs(whole)) as watcher:
        running = start_learning(site, heads, level, out.name, *more)
        running.wait_for(work, begun)
        family = running.family()
        family[0].kill()
        running.end(10)
        assert left_over(family) == 0
        left = out / f'.0123abcd.{level}_protocol-tms_log.tsv'
        left.touch()
        ended = start_learning(site, heads, level, out.name, *more).end()
    assert ended.code == code, ended.lines
    assert watcher.partial == []
    assert differences(out, outputs(whole)) == []
    assert partials(out) == []
