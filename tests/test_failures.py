from __future__ import annotations

from pathlib import Path

import pytest

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.failures import (
    crash_message,
    forget_failed_nodes,
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
    record_error(names, image(), 'syn', ERROR, Path('/scratch/node'))
    path = tmp_path / 'logs' / 'sub-01' / 'sub-01_T1w_protocol-tms_syn.error.json'
    assert path.is_file()
    (record,) = read_records(names, '01')
    assert record == {
        'node': 'syn',
        'image': 'sub-01_T1w.nii.gz',
        'cure': '',
        'node_dir': '/scratch/node',
        **ERROR,
    }
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
    assert [r['image'] for r in read_records(names, '01')] == [
        'sub-01_T1w.nii.gz',
        'sub-01_run-1_T1w.nii.gz',
    ]
    assert read_records(names, '02') == []


def test_problems_are_replaced(tmp_path: Path) -> None:
    names = layout(tmp_path)
    record_problems(names, '01', ['one', 'two'])
    (record,) = read_records(names, '01')
    assert (record['node'], record['message']) == ('input', 'one\ntwo')
    record_problems(names, '01', [])
    assert read_records(names, '01') == []


def test_forget_failed_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever a mistake here deletes, it shall not be the folder that the tests run in.
    monkeypatch.chdir(tmp_path)
    names, work, elsewhere = layout(tmp_path / 'out'), tmp_path / 'work', tmp_path / 'mine'
    for folder in (work / 'syn', work / 'cnn', work / 'afids', elsewhere):
        folder.mkdir(parents=True)
    record_error(names, image(), 'syn', ERROR, work / 'syn')
    record_error(names, image(), 'cnn', ERROR, elsewhere)
    record_error(names, image(), 'conform', ERROR)
    record_error(names, image('sub-01_run-1_T1w.nii.gz'), 'cnn', ERROR, work / 'cnn')
    other = layout(tmp_path / 'out', 'afids')
    record_error(other, image(), 'syn', ERROR, work / 'afids')
    forget_failed_nodes(names, work, image())
    assert not (work / 'syn').exists()
    assert (work / 'cnn').exists()
    assert (work / 'afids').exists()
    assert elsewhere.exists()
    assert [r['image'] for r in read_records(names, '01')] == ['sub-01_run-1_T1w.nii.gz']
    assert len(read_records(other, '01')) == 1


def test_crash_files(tmp_path: Path) -> None:
    logs, names = tmp_path / 'logs', layout(tmp_path / 'out')
    logs.mkdir()
    (logs / 'crash-1.txt').write_text(CRASH.format(node='conform'))
    (logs / 'crash-2.txt').write_text(CRASH.format(node='figures'))
    (logs / 'crash-3.txt').write_text('Node: another_wf.node\n\nTraceback:\nOSError: x\n')
    message = '/data/x.nii.gz: flat (shape (1, 2)); give the whole volume.'
    crashes = record_crashes(logs, names, {'sub_01_T1w_wf': image()})
    assert crashes == [(image(), message)] * 2
    assert [(r['node'], r['message']) for r in read_records(names, '01')] == [
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
