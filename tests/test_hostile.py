"""One participant with hostile names and files beside others who are finished."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tmsprep.phantoms import write_dataset

CHECKOUT = Path(__file__).parents[1]

#: Before a command of root: it obeys permissions, as one of any other user does.
OBEY = ('setpriv', '--bounding-set=-dac_override,-dac_read_search')


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Path]:
    """Folder with a data set of three participants with the same small head."""
    bids = write_dataset(tmp_path / 'bids', [1], ['1'], voxel_size=(4.0, 4.0, 4.0))
    for label in '23':
        shutil.copytree(bids / 'sub-1', bids / f'sub-{label}')
        for path in list((bids / f'sub-{label}' / 'anat').iterdir()):
            path.rename(path.with_name(path.name.replace('sub-1', f'sub-{label}')))
    yield tmp_path
    for path in tmp_path.rglob('*'):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def run_obeying(folder: Path, level: str, *words: object) -> subprocess.CompletedProcess:
    root = os.getuid() == 0
    if root and shutil.which('setpriv') is None:
        pytest.skip('not installed: setpriv')
    command = [*(OBEY if root else ()), sys.executable, '-P', '-m', 'tmsprep']
    return subprocess.run(
        list(map(str, [*command, folder / 'bids', folder / 'out', level, *words])),
        env={**os.environ, 'PYTHONPATH': str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )


def make_hostile(bids: Path) -> None:
    """Everything that once stopped all participants, at the second and beside it."""
    for label in (b'\xff', b'a b', b'1\n--sloppy', b'=1', b'\x1b[31m'):
        (bids / f'sub-{os.fsdecode(label)}' / 'anat').mkdir(parents=True)
    anat = bids / 'sub-2' / 'anat'
    os.mkfifo(anat / 'sub-2_acq-pipe_T1w.nii.gz')
    os.mkfifo(anat / 'sub-2_T1w.tsv')
    (anat / os.fsdecode(b'caf\xe9.txt')).touch()
    (anat / 'layout_config.json').write_text('{')
    (anat / 'sub-2_T1w.json').write_text('[' * 100_000)
    (anat / 'loop').symlink_to('../..')
    (bids / 'sub-2' / 'ses-A' / 'anat').mkdir(parents=True)
    (bids / 'sub-2' / 'ses-A').chmod(0)


@pytest.mark.slow
def test_others_finish(study: Path) -> None:
    make_hostile(study / 'bids')
    # What was computed for another one earlier may not be looked at.
    closed = study / 'earlier' / 'sub-3'
    closed.mkdir(parents=True)
    closed.chmod(0)
    chosen = ('--localizers', 'cnn')
    words = (*chosen, '-d', study / 'earlier', '--nprocs', '1', '-w', study / 'work')
    run = run_obeying(study, 'participant', *words)
    assert run.returncode == 1, run.stderr
    lines = run.stderr.splitlines()
    assert '6 of 8 participants failed' in lines[-1]
    for shown in ('\\xff', 'a b', '1\\n--sloppy', '=1', '\\x1b[31m'):
        assert f'sub-{shown}: not a BIDS label of a participant' in run.stderr
    assert 'sub-2_acq-pipe_T1w.nii.gz: a pipe, not a file' in run.stderr
    assert 'sub-2/ses-A/anat: this folder cannot be read (Permission denied)' in run.stderr
    tables = sorted(path.name for path in (study / 'out').rglob('*_targets.tsv'))
    # The second has an image that can be used, and problems.
    assert tables == [f'sub-{label}_protocol-tms_desc-cnn_targets.tsv' for label in '123']
    assert '\x1b' not in run.stderr

    group = run_obeying(study, 'group')
    assert group.returncode == 1, group.stderr
    table = (study / 'out' / 'group_protocol-tms_participants.tsv').read_text(encoding='utf-8')
    rows = {line.split('\t')[0]: line.split('\t') for line in table.splitlines()}
    assert [rows[f'sub-{label}'][4] for label in '123'] == ['complete', 'failed', 'complete']
    assert rows['sub-\\xff'][4] == 'failed'
    page = (study / 'out' / 'group_protocol-tms.html').read_text(encoding='utf-8')
    assert 'sub-a b: not a BIDS label' in page
    assert str(study) not in page + table
    described = json.loads((study / 'out' / 'dataset_description.json').read_text())
    assert described['DatasetLinks'] == {'raw': '../bids', 'earlier': '../earlier'}
