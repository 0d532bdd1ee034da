from __future__ import annotations

import re

import numpy as np
import pytest
from report_data import FakeOutput, Page, make_row

from tmsprep.evaluation.template import ESTIMATED

LABELS = ('LOFC', 'ROFC', 'LDLPFC', 'RDLPFC', 'LFACEMC', 'RFACEMC', 'LLLIMBMC', 'RLLIMBMC')
#: Corners of a cube of 20 mm edges.
CORNERS = np.array(np.meshgrid(*[[-10.0, 10.0]] * 3)).reshape(3, -1).T
QUARTER = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def write(
    output: FakeOutput, session: str, points: np.ndarray, template=None, **changed: str
) -> None:
    rows, sidecar = [], {'Space': 'MNI152', 'Mapping': 'through a registration', **changed}
    for label, point in zip(LABELS, points, strict=True):
        more = (
            {}
            if template is None
            else dict(zip(('mni_x', 'mni_y', 'mni_z'), template, strict=True))
        )
        rows.append(make_row(label, tuple(point), **more))
    output.table(f'sub-01_ses-{session}', 'cnn', rows, MNI=sidecar)


def rows_of(page: Page) -> list[list[str]]:
    part = page.source.split('id="between-scans"')[1].split('</section>')[0]
    rows = re.findall('<tr>(.*?)</tr>', part, re.DOTALL)
    return [re.findall(r'>([^<>]+)</(?:th|data|span)>', row) for row in rows]


def test_rigid_fit(output):
    # The second head lies elsewhere, and is a tenth larger: each corner is sqrt(3) mm off.
    write(output, 'A', CORNERS)
    write(output, 'B', CORNERS @ QUARTER.T * 1.1 + [30, -20, 7])
    page = output.write()
    page.assert_alone()
    head, *rows = rows_of(page)
    assert head == ['Target', 'session B: rigid fit']
    assert rows[0] == ['left OFC (LOFC)', '1.7']
    assert {row[1] for row in rows} == {'1.7'}
    assert (
        'Distances of the recommended points from those in the first scan, session A' in page.text
    )
    # 1 - sqrt(1 - 2 / 8) = 0.134
    assert 'about 13 % with 8 targets' in page.text
    assert 'emplate' not in page.text.split('Between scans')[-1].split('Methods')[0]


def test_template(output):
    write(output, 'A', CORNERS, (-30, 50, -10))
    write(output, 'B', CORNERS + 100, (-30, 53, -6))
    head, *rows = rows_of(output.write())
    assert head == ['Target', 'session B: rigid fit', 'session B: template']
    assert [row[1:] for row in rows] == [['0.0', '5.0']] * 8


@pytest.mark.parametrize('changed', [{'Space': 'other'}, {'Mapping': ESTIMATED}])
def test_positions_that_cannot_be_compared(output, changed):
    write(output, 'A', CORNERS, (-30, 50, -10))
    write(output, 'B', CORNERS + 100, (-30, 53, -6), **changed)
    assert rows_of(output.write())[0] == ['Target', 'session B: rigid fit']


def test_different_methods(output):
    write(output, 'A', CORNERS)
    rows = [make_row(label, tuple(p)) for label, p in zip(LABELS, CORNERS, strict=True)]
    output.table('sub-01_ses-B', 'syn', rows)
    assert (
        'Points of different methods: left OFC (CNN, Atlas (SyN)), right OFC'
        in output.write().text
    )


def test_too_few_points(output):
    for session in 'AB':
        output.table(f'sub-01_ses-{session}', 'cnn', [make_row('LOFC', (1, 2, 3))])
    assert 'Between scans' not in output.write().text


def test_one_scan_without_points(output):
    write(output, 'A', CORNERS)
    output.table('sub-01_ses-B', 'cnn', [make_row(label, status='failed') for label in LABELS])
    assert 'Between scans' not in output.write().text


def test_many_scans(output):
    for session in 'ABCDEFG':
        write(output, session, CORNERS)
    page = output.write()
    assert len(rows_of(page)[0]) == 1 + 5
    assert 'Not compared: session G.' in page.text
