from __future__ import annotations

from pathlib import Path

import pytest
from report_data import make_row

from tmsprep.evaluation.consensus import CONSENSUS_STATUSES
from tmsprep.reports.collect import TargetsTable
from tmsprep.reports.sections import Number
from tmsprep.reports.summary import (
    count_found,
    far_experts,
    further_columns,
    largest_separation,
    target_rows,
    warnings,
)

NAMES = {'RA': 'right a', 'elsewhere': 'no'}


@pytest.fixture
def rows():
    cnn = [
        make_row('LA', (-40, 10, 20), dispersion_mm=1.5, distance_to_syn_mm=5.0),
        make_row('RA', (40, 10, 20), 'disagreement', dispersion_mm='n/a', distance_to_syn_mm=13.0),
        make_row('LB', (-5, 0, 70), dispersion_mm=0.26, distance_to_syn_mm='n/a'),
    ]
    syn = [
        make_row('LA', (-37, 14, 20), distance_to_cnn_mm=5.0),
        make_row('RA', (40, 15, 32), 'disagreement', distance_to_cnn_mm=13.0),
        make_row('LB', status='failed', distance_to_cnn_mm='n/a'),
    ]
    return target_rows({'syn': table(syn), 'cnn': table(cnn)})


def table(rows, **sidecar) -> TargetsTable:
    cells = tuple({key: str(value) for key, value in row.items()} for row in rows)
    return TargetsTable(Path('table.tsv'), cells, sidecar)


def test_target_rows(rows):
    assert [row.label for row in rows] == ['LA', 'RA', 'LB']
    assert [[e.method for e in row.estimates] for row in rows] == [['cnn', 'syn']] * 3
    assert [row.side for row in rows] == ['Left', 'Right', 'Left']
    assert rows[1].estimates[1].point == (40.0, 15.0, 32.0)
    assert rows[2].estimates[1].point is None
    assert rows[2].estimates[0].values == {'dispersion_mm': Number('0.26', '0.3')}


def test_count_found(rows):
    counts = [(c.name, c.found, c.clear, c.total) for c in count_found(rows)]
    assert counts == [('CNN', 3, 2, 3), ('Atlas (SyN)', 2, 1, 3)]


def test_largest_separation(rows):
    row, separation = largest_separation(rows)
    assert (row.label, separation.distance.exact) == ('RA', '13.0')
    assert separation.name == 'CNN to Atlas (SyN)'


def test_warnings(rows):
    assert warnings(rows, NAMES) == [
        'CNN and Atlas (SyN): found, but over 12 mm from the other method (right a).',
        'Atlas (SyN): the method failed (LB).',
    ]


def test_columns_of_the_table():
    more = {'mni_x': 1, 'entry_y': 2, 'normal_z': 3, 'handle_x': 4, 'distance_to_syn_mm': 5}
    shown = {'error90_mm': 6, 'scalp_distance_mm': 7}
    cnn = table([make_row('LA', (0, 0, 0), **more, **shown)])
    assert list(further_columns({'cnn': cnn})) == list(shown)


def test_distance_not_written():
    cnn, expert = table([make_row('LA', (0, 0, 0))]), table([make_row('LA', (2, 3, 6))])
    rows = target_rows({'cnn': cnn, 'expert': expert})
    assert largest_separation(rows)[1].distance == Number('7.0000', '7.0')


def test_one_method():
    rows = target_rows({'cnn': table([make_row('LA', (0, 0, 0))])})
    assert largest_separation(rows) is None
    assert largest_separation([]) is None
    assert count_found([]) == []


def test_all_failed():
    rows = target_rows({'syn': table([make_row(n, status='failed') for n in ('LA', 'RA')])})
    assert warnings(rows, NAMES) == ['Atlas (SyN): the method failed (all 2 targets).']


def test_unknown_status():
    rows = target_rows({'cnn': table([make_row('LA', (1, 2, 3), 'moved')])})
    assert rows[0].estimates[0].words == 'unknown status: moved'
    assert rows[0].warns


@pytest.mark.parametrize('status', sorted(CONSENSUS_STATUSES))
def test_rater_statuses(status):
    place = (1, 2, 3) if status in ('consensus', 'single') else ('n/a',) * 3
    rows = target_rows({'expert': table([make_row('LA', place, status)])})
    assert rows[0].estimates[0].words == CONSENSUS_STATUSES[status]
    assert not rows[0].warns


def test_ok_without_coordinates():
    rows = target_rows({'cnn': table([make_row('LA')])})
    assert warnings(rows, NAMES) == ['CNN: no coordinates in the table (all 1 targets).']


def test_further_columns():
    rows = [make_row('LA', (1, 2, 3), heatmap_spread_mm='2', empty_mm='n/a', note='text')]
    named = table(rows, heatmap_spread_mm={'Description': 'Spread', 'LongName': 'Width'})
    assert further_columns({'cnn': named}) == {'heatmap_spread_mm': ('Width', 'Spread')}
    assert further_columns({'cnn': table(rows)}) == {'heatmap_spread_mm': ('Heatmap spread', '')}


@pytest.mark.parametrize(
    ('cell', 'shown'),
    [('-0.0400', '0.0'), ('12.3456', '12.3'), ('-71.9600', '-72.0'), ('3', '3.0')],
)
def test_number(cell, shown):
    assert Number.parse(cell) == Number(cell, shown)


@pytest.mark.parametrize('cell', ['n/a', '', None, 'nan', 'inf', 'twelve'])
def test_missing_number(cell):
    assert Number.parse(cell) is None


@pytest.mark.parametrize(('away', 'words'), [(19, []), (31, ['31 mm from those by cnn'])])
def test_far_experts(away, words):
    names = ('LA', 'RA', 'LB', 'RB')
    cnn = table([make_row(name, (i, i, i)) for i, name in enumerate(names)])
    expert = table([make_row(n, (i, i + away, i), 'single') for i, n in enumerate(names)])
    found = far_experts(target_rows({'cnn': cnn, 'expert': expert}))
    assert len(found) == len(words)
    assert all(text in sentence for text, sentence in zip(words, found, strict=True))
    assert far_experts(target_rows({'cnn': cnn})) == []
