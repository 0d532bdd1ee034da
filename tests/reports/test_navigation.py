from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_data import HOSTILE, FakeOutput, Page, make_row

REFERENCE = {'Path': 'sub-01/anat/sub-01_T1w.nii.gz', 'SHA256': 'abc'}
POINTS = [
    {'Label': 'LOFC', 'Position': [-30.0, 50.0, 0.0]},
    {'Label': 'ROFC', 'Position': [30.0, 50.0, 0.0004]},
]
FILES = [
    {'Path': 'sub-01_slicer.mrk.json', 'System': '3D Slicer', 'Format': 'Markups JSON 1.0.0',
     'Frame': 'LPS', 'Points': 2, 'Difference_mm': 0.0},
    {'Path': 'brainsight-v14/sub-01_LOFC.txt', 'System': 'Brainsight', 'Format': 'text',
     'Frame': 'NIfTI:Q:Scanner', 'Points': 1, 'Difference_mm': 0.000041},
]  # fmt: skip
LEFT_OUT = [{'System': 'Localite', 'Reason': 'no target has a pose of the coil'}]
OUTDATED = 'The files for navigators hold other points than this report'


@pytest.fixture
def points(output: FakeOutput) -> FakeOutput:
    rows = [make_row('LOFC', (-30, 50, 0)), make_row('ROFC', (30, 50, 0))]
    output.table('sub-01', 'cnn', rows, ReferenceImage=REFERENCE)
    return output


def folder_of(output: FakeOutput) -> Path:
    return output.root / 'sub-01' / 'nav' / 'sub-01_protocol-tms'


def write(output: FakeOutput, **changed: Any) -> Page:
    content = {'Tolerance_mm': 0.001, 'Points': POINTS, 'Files': FILES, 'LeftOut': LEFT_OUT,
               'ReferenceImage': REFERENCE, **changed}  # fmt: skip
    folder_of(output).mkdir(parents=True)
    (folder_of(output) / 'export.json').write_text(json.dumps(content), encoding='utf-8')
    return output.write()


def test_files(points):
    page = write(points)
    assert 'In sub-01/nav/sub-01_protocol-tms , beside this report.' in page.text
    assert 'the largest difference from the points is 0.000041 mm (allowed: 0.001 mm)' in page.text
    link = 'sub-01/nav/sub-01_protocol-tms/sub-01_slicer.mrk.json'
    assert link in page.links
    assert '3D Slicer Markups JSON 1.0.0 LPS sub-01_slicer.mrk.json' in page.text
    # One of a series of single targets is in a folder that the text names.
    assert 'sub-01_LOFC.txt' not in page.text
    assert 'Not written for Localite: no target has a pose of the coil.' in page.text
    assert 'No warnings.' in page.text
    assert OUTDATED not in page.text


def test_steps(points):
    before = points.write().text
    assert 'What to do next Look at every target' in before
    uri = 'bids:raw:sub-01/anat/sub-01_T1w.nii.gz'
    assert f'Load sub-01_T1w.nii.gz ( {uri} ), and no other scan or copy' in before
    assert 'into the program that uses the points' in before
    assert 'navigator' not in before
    page = write(points)
    assert 'Load the points from the files for navigators , or type them' in page.text
    assert '#sub-01-files-for-navigators' in page.links
    page.assert_alone()


def test_image_among_the_outputs(points):
    copied = points.root / 'sourcedata' / 'raw' / REFERENCE['Path']
    copied.parent.mkdir(parents=True)
    copied.touch()
    text = points.write().text
    assert 'Load sourcedata/raw/sub-01/anat/sub-01_T1w.nii.gz , and no other' in text


def test_path_out_of_the_outputs(points):
    (points.root / 'sourcedata' / 'raw').mkdir(parents=True)
    (points.root / 'precious').touch()
    reference = {**REFERENCE, 'Path': '../../precious'}
    points.table('sub-01', 'cnn', [make_row('LOFC', (-30, 50, 0))], ReferenceImage=reference)
    assert 'Load precious ( bids:raw:../../precious )' in points.write().text


@pytest.mark.parametrize(
    'changed',
    [
        {'ReferenceImage': {**REFERENCE, 'SHA256': 'other'}},
        {'ReferenceImage': None},
        {'Points': POINTS[:1]},
        {'Points': [POINTS[0], {'Label': 'ROFC', 'Position': [30.0, 50.0, 0.01]}]},
        {'Points': [POINTS[0], {'Label': 'ROFC', 'Position': 'x'}]},
        {'Points': [POINTS[0], {'Label': 'ROFC', 'Position': [30.0, 50.0]}]},
        {'Points': HOSTILE},
    ],
)
def test_other_points(points, changed):
    text = write(points, **changed).text
    assert OUTDATED in text
    assert 'Look before use' in text
    assert 'Load the points from' not in text


def test_point_that_may_not_be_used(points):
    rows = [make_row('LOFC', (-30, 50, 0)), make_row('ROFC', (30, 50, 0), 'wrong_side')]
    points.table('sub-01', 'cnn', rows, ReferenceImage=REFERENCE)
    assert OUTDATED in write(points).text


def test_hostile_manifest(points):
    files = [
        {**FILES[0], 'Path': '../../../etc/passwd'},
        {**FILES[0], 'Path': '/etc/passwd'},
        {**FILES[0], 'Path': 'javascript:alert(1)', 'System': HOSTILE, 'Difference_mm': 'x'},
        HOSTILE,
    ]
    page = write(points, Files=files, LeftOut=[{'System': HOSTILE}, 3], Tolerance_mm=None)
    assert 'script' not in page.tags
    assert not any('etc' in link or link.startswith('javascript') for link in page.links)
    page.assert_alone()


@pytest.mark.parametrize('content', ['', '[]', '{"Files": []}', '{"Files": 1}'])
def test_incomplete(points, content):
    folder_of(points).mkdir(parents=True)
    (folder_of(points) / 'export.json').write_text(content, encoding='utf-8')
    assert 'Files for navigators' not in points.write().text


def test_no_points(output):
    output.table('sub-01', 'cnn', [make_row('LOFC', status='failed')])
    assert 'What to do next' not in output.write().text
