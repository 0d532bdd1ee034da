from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.failures import (
    ErrorRecord,
    crash_message,
    forget_records,
    forget_useless_records,
    read_records,
    record_crashes,
    record_error,
    record_problems,
)

BIDS = Path('/data')
ERROR = {'message': 'no brain', 'traceback': 'Traceback ...'}
CRASH = """Node: tms_wf.sub_01_T1w_wf.{node}
Working directory: /work

Node inputs:

in_file = /data/sub-01/anat/sub-01_T1w.nii.gz

Traceback (most recent call last):
  File "nodes.py", line 1, in run
    result["result"] = node.run(updatehash=updatehash)
nipype.pipeline.engine.nodes.NodeExecutionError: Exception raised while executing Node conform.

Traceback:
\tTraceback (most recent call last):
\t  File "read.py", line 1, in read_image
\ttmsprep.imaging.read.ImageError: /data/x.nii.gz: flat (shape (1, 2)); give the whole volume.
"""


def layout(out: Path, protocol: str = 'tms') -> Layout:
    return Layout(out, protocol)


def image(name: str = 'sub-01_T1w.nii.gz') -> ImageRef:
    return ImageRef.from_path(BIDS, BIDS / name.split('_')[0] / 'anat' / name)


def test_record_and_forget(tmp_path: Path) -> None:
    names = layout(tmp_path)
    record_error(names, image(), 'syn', ERROR, tables_written=True)
    path = tmp_path / 'logs' / 'sub-01' / 'sub-01_T1w_protocol-tms_syn.error.json'
    assert path.is_file()
    (record,) = read_records(names, '01')
    assert record == ErrorRecord('syn', 'sub-01_T1w.nii.gz', **ERROR, tables_written=True)
    record_error(names, image(), 'syn', None)
    record_error(names, image(), 'syn', None)
    assert read_records(names, '01') == []


def test_records_of_others(tmp_path: Path) -> None:
    names = layout(tmp_path)
    record_error(names, image(), 'syn', ERROR)
    record_error(names, image('sub-011_T1w.nii.gz'), 'syn', ERROR)
    record_error(names, image('sub-01_run-1_T1w.nii.gz'), 'cnn', ERROR)
    record_error(layout(tmp_path, 'tms2'), image(), 'syn', ERROR)
    record_problems(layout(tmp_path, 'afids'), '01', ['an image is missing'])
    assert [r.image for r in read_records(names, '01')] == [
        'sub-01_T1w.nii.gz',
        'sub-01_run-1_T1w.nii.gz',
    ]
    assert read_records(names, '02') == []


def test_problems_are_replaced(tmp_path: Path) -> None:
    names = layout(tmp_path)
    record_problems(names, '01', ['one', 'two'])
    (record,) = read_records(names, '01')
    assert (record.node, record.message) == ('input', 'one\ntwo')
    record_problems(names, '01', [])
    assert read_records(names, '01') == []


def test_forget_records(tmp_path: Path) -> None:
    names = layout(tmp_path / 'out')
    for node in ('syn', 'conform'):
        record_error(names, image(), node, ERROR)
    record_error(names, image('sub-01_run-1_T1w.nii.gz'), 'cnn', ERROR)
    other = layout(tmp_path / 'out', 'afids')
    record_error(other, image(), 'syn', ERROR)
    assert forget_records(names, image())
    assert not forget_records(names, image())
    assert [r.image for r in read_records(names, '01')] == ['sub-01_run-1_T1w.nii.gz']
    assert len(read_records(other, '01')) == 1


def test_path_in_record(tmp_path: Path) -> None:
    """A record names nothing that is deleted."""
    mine, names = tmp_path / 'mine', layout(tmp_path / 'out')
    mine.mkdir()
    record_error(names, image(), 'cnn', ERROR)
    (path,) = names.records('01')
    path.write_text(json.dumps({'node': '../../../mine', 'node_dir': str(mine), **ERROR}))
    assert [r.node for r in read_records(names, '01')] == ['../../../mine']
    forget_useless_records(names, '01', tmp_path)
    forget_records(names, image())
    assert mine.is_dir()
    assert names.records('01') == []


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGE: dict[str, Callable[[Path], object]] = {
    'cut': lambda path: path.write_text('{"node": "cnn", "ima'),
    'empty': lambda path: path.write_bytes(b''),
    'zeros': lambda path: path.write_bytes(bytes(200)),
    'latin-1': lambda path: path.write_bytes('{"node": "é"}'.encode('latin-1')),
    'list': lambda path: path.write_text('[1, 2]'),
    'number': lambda path: path.write_text('{"node": "cnn", "message": 5}'),
    'deep': lambda path: path.write_text('[' * 200_000),
    'large': lambda path: path.write_text(' ' * 2**21 + '{}'),
    'pipe': _pipe,
    'folder': _folder,
}


@pytest.mark.parametrize('damage', DAMAGE)
def test_damaged_record(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is named, counts as a failure of its step, and the next run replaces it."""
    names = layout(tmp_path)
    record_error(names, image('sub-01_run-1_T1w.nii.gz'), 'cnn', ERROR)
    (path,) = names.records('01')
    DAMAGE[damage](path)
    (record,) = read_records(names, '01')
    assert (record.node, record.image) == ('cnn', 'sub-01_run-1_T1w')
    assert record.message.startswith(f'{path}: this record of an earlier failure cannot be read')
    assert 'start the participant level again' in record.message
    assert record.tables_are_older
    forget_useless_records(names, '01', tmp_path)
    assert str(path) in caplog.text
    assert read_records(names, '01') == []
    record_error(names, image('sub-01_run-1_T1w.nii.gz'), 'cnn', ERROR)
    assert [r.message for r in read_records(names, '01')] == ['no brain']


def test_damaged_record_of_participant(tmp_path: Path) -> None:
    names = layout(tmp_path)
    record_problems(names, '01', ['one'])
    names.problems('01').write_text('{')
    (record,) = read_records(names, '01')
    assert (record.node, record.image) == ('input', '')


def test_record_of_lost_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No run would ever replace the record of an image that was removed or renamed."""
    names = layout(tmp_path / 'out')
    there = tmp_path / 'bids' / 'sub-01' / 'ses-A' / 'anat' / 'sub-01_ses-A_T1w.nii.gz'
    there.parent.mkdir(parents=True)
    # Its content has not been fetched.
    there.symlink_to('../../../.git/annex/objects/nowhere')
    record_error(names, ImageRef.from_path(tmp_path / 'bids', there), 'cnn', ERROR)
    record_error(names, image('sub-01_run-2_T1w.nii.gz'), 'cnn', ERROR)
    record_problems(names, '01', ['one'])
    forget_useless_records(names, '01', tmp_path / 'bids')
    assert {r.image for r in read_records(names, '01')} == {'', 'sub-01_ses-A_T1w.nii.gz'}
    assert 'holds no sub-01_run-2_T1w.nii.gz' in caplog.text


def test_crash_files(tmp_path: Path) -> None:
    logs, names = tmp_path / 'logs', layout(tmp_path / 'out')
    logs.mkdir()
    (logs / 'crash-1.txt').write_text(CRASH.format(node='conform'))
    (logs / 'crash-2.txt').write_text(CRASH.format(node='figures'))
    (logs / 'crash-3.txt').write_text('Node: another_wf.node\n\nTraceback:\nOSError: x\n')
    message = '/data/x.nii.gz: flat (shape (1, 2)); give the whole volume.'
    crashes = record_crashes(logs, names, {'sub_01_T1w_wf': image()})
    assert crashes == [(image(), message)] * 2
    assert [(r.node, r.message) for r in read_records(names, '01')] == [
        ('conform', message),
        ('figures', message),
    ]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (CRASH, '/data/x.nii.gz: flat (shape (1, 2)); give the whole volume.'),
        ('Traceback:\nKeyError: 1\nRuntimeError: the last one counts\n', 'the last one counts'),
        ('killed by the system\n', 'killed by the system'),
    ],
)
def test_crash_message(text: str, message: str) -> None:
    assert crash_message(text) == message
