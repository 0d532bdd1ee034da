from __future__ import annotations

from pathlib import Path

import pytest

from tmsprep.bids.names import ImageRef
from tmsprep.failures import (
    crash_message,
    forget_failed_nodes,
    read_records,
    record_crashes,
    record_error,
    record_path,
    record_problems,
)

BIDS = Path('/data')
ERROR = {'message': 'no brain', 'traceback': 'Traceback ...'}
CRASH = """Node: tmsprep_wf.sub_01_T1w_wf.{node}
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


def image(name: str = 'sub-01_T1w.nii.gz') -> ImageRef:
    return ImageRef.from_path(BIDS, BIDS / name.split('_')[0] / 'anat' / name)


def test_a_failure_is_kept_until_it_is_gone(tmp_path: Path) -> None:
    record_error(tmp_path, image(), 'syn', ERROR, Path('/scratch/node'))
    path = record_path(tmp_path, image(), 'syn')
    assert path == tmp_path / 'logs' / 'sub-01' / 'sub-01_T1w_syn.error.json'
    (record,) = read_records(tmp_path, '01')
    assert record == {
        'node': 'syn',
        'image': 'sub-01_T1w.nii.gz',
        'cure': '',
        'node_dir': '/scratch/node',
        **ERROR,
    }
    record_error(tmp_path, image(), 'syn', None)
    record_error(tmp_path, image(), 'syn', None)
    assert read_records(tmp_path, '01') == []


def test_nobody_gets_the_records_of_others(tmp_path: Path) -> None:
    record_error(tmp_path, image(), 'syn', ERROR)
    record_error(tmp_path, image('sub-011_T1w.nii.gz'), 'syn', ERROR)
    record_error(tmp_path, image('sub-01_run-1_T1w.nii.gz'), 'cnn', ERROR)
    assert [r['image'] for r in read_records(tmp_path, '01')] == [
        'sub-01_T1w.nii.gz',
        'sub-01_run-1_T1w.nii.gz',
    ]
    assert read_records(tmp_path, '02') == []


def test_problems_of_a_participant_are_replaced(tmp_path: Path) -> None:
    record_problems(tmp_path, '01', ['one', 'two'])
    (record,) = read_records(tmp_path, '01')
    assert (record['node'], record['message']) == ('input', 'one\ntwo')
    record_problems(tmp_path, '01', [])
    assert read_records(tmp_path, '01') == []


def test_only_failed_nodes_inside_the_working_folder_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever a mistake here deletes, it shall not be the folder that the tests run in.
    monkeypatch.chdir(tmp_path)
    out, work, elsewhere = tmp_path / 'out', tmp_path / 'work', tmp_path / 'mine'
    for folder in (work / 'syn', work / 'cnn', elsewhere):
        folder.mkdir(parents=True)
    record_error(out, image(), 'syn', ERROR, work / 'syn')
    record_error(out, image(), 'cnn', ERROR, elsewhere)
    record_error(out, image(), 'conform', ERROR)
    record_error(out, image('sub-01_run-1_T1w.nii.gz'), 'cnn', ERROR, work / 'cnn')
    forget_failed_nodes(out, work, image())
    assert not (work / 'syn').exists()
    assert (work / 'cnn').exists()
    assert elsewhere.exists()
    assert [r['image'] for r in read_records(out, '01')] == ['sub-01_run-1_T1w.nii.gz']


def test_crash_files_become_records(tmp_path: Path) -> None:
    logs, out = tmp_path / 'logs', tmp_path / 'out'
    logs.mkdir()
    (logs / 'crash-1.txt').write_text(CRASH.format(node='conform'))
    (logs / 'crash-2.txt').write_text(CRASH.format(node='registration_wf.syn'))
    (logs / 'crash-3.txt').write_text('Node: another_wf.node\n\nTraceback:\nOSError: x\n')
    message = '/data/x.nii.gz: flat (shape (1, 2)); give the whole volume.'
    crashes = record_crashes(logs, out, {'sub_01_T1w_wf': image()})
    assert crashes == [(image(), message)] * 2
    assert [(r['node'], r['message']) for r in read_records(out, '01')] == [
        ('conform', message),
        ('syn', message),
    ]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (CRASH, '/data/x.nii.gz: flat (shape (1, 2)); give the whole volume.'),
        ('Traceback:\nKeyError: 1\nRuntimeError: the last one counts\n', 'the last one counts'),
        ('killed by the system\n', 'killed by the system'),
    ],
)
def test_the_last_exception_is_the_message(text: str, message: str) -> None:
    assert crash_message(text) == message
