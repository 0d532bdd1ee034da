from __future__ import annotations

import pytest

from tmsprep.evaluation.consensus import CONSENSUS_STATUSES
from tmsprep.reports.collect import TargetsTable
from tmsprep.reports.summary import (
    EXPERT_WORDS,
    STATUS_WORDS,
    Number,
    count_found,
    largest_separation,
    target_rows,
    warnings,
)


@pytest.fixture
def rows(row, tmp_path):
    cnn = [
        row('LA', (-40, 10, 20), dispersion_mm=1.5, distance_to_syn_mm=5.0),
        row('RA', (40, 10, 20), 'disagreement', dispersion_mm='n/a', distance_to_syn_mm=13.0),
        row('LB', (-5, 0, 70), dispersion_mm=0.26, distance_to_syn_mm='n/a'),
    ]
    syn = [
        row('LA', (-37, 14, 20), distance_to_cnn_mm=5.0),
        row('RA', (40, 15, 32), 'disagreement', distance_to_cnn_mm=13.0),
        row('LB', status='failed', distance_to_cnn_mm='n/a'),
    ]
    return target_rows({'syn': table(syn, tmp_path), 'cnn': table(cnn, tmp_path)})


def table(rows, path):
    return TargetsTable(path, tuple({k: str(v) for k, v in row.items()} for row in rows), {})


def test_methods_are_joined_by_target_in_the_order_of_the_table(rows):
    assert [row.label for row in rows] == ['LA', 'RA', 'LB']
    assert [[e.method for e in row.estimates] for row in rows] == [['cnn', 'syn']] * 3
    assert [row.side for row in rows] == ['Left', 'Right', 'Left']
    assert rows[1].estimates[1].point == (40.0, 15.0, 32.0)
    assert rows[2].estimates[1].point is None


def test_found_targets_are_counted_with_and_without_a_warning(rows):
    counts = [(c.name, c.found, c.clear, c.total) for c in count_found(rows)]
    assert counts == [('CNN', 3, 2, 3), ('Atlas (SyN)', 2, 1, 3)]


def test_largest_disagreement_is_the_written_one(rows):
    row, separation = largest_separation(rows)
    assert (row.label, separation.distance.exact) == ('RA', '13.0')
    assert separation.name == 'CNN to Atlas (SyN)'


def test_one_sentence_per_status_names_methods_and_targets(rows):
    assert warnings(rows) == [
        'CNN and Atlas (SyN): found, but over 12 mm from the other method (RA).',
        'Atlas (SyN): the method failed: no point (LB).',
    ]


def test_a_distance_that_is_not_written_is_computed(row, tmp_path):
    rows = target_rows(
        {
            'cnn': table([row('LA', (0, 0, 0))], tmp_path),
            'expert': table([row('LA', (2, 3, 6))], tmp_path),
        }
    )
    assert largest_separation(rows)[1].distance == Number('7.0000', '7.0')


def test_one_method_has_no_distance(row, tmp_path):
    rows = target_rows({'cnn': table([row('LA', (0, 0, 0))], tmp_path)})
    assert largest_separation(rows) is None
    assert largest_separation([]) is None
    assert count_found([]) == []


def test_a_failure_of_all_is_said_once(row, tmp_path):
    rows = target_rows({'syn': table([row(n, status='failed') for n in ('LA', 'RA')], tmp_path)})
    assert warnings(rows) == ['Atlas (SyN): the method failed: no point (all 2 targets).']


def test_every_status_has_words_and_an_unknown_one_is_shown(row, tmp_path):
    assert set(STATUS_WORDS) == {
        'ok',
        'disagreement',
        'wrong_side',
        'outside_image',
        'failed',
    }
    rows = target_rows({'cnn': table([row('LA', (1, 2, 3), 'moved')], tmp_path)})
    assert rows[0].estimates[0].words == 'unknown status: moved'
    assert rows[0].warns


@pytest.mark.parametrize('status', sorted(CONSENSUS_STATUSES))
def test_what_raters_say_has_words_and_is_no_warning(status, row, tmp_path):
    assert set(EXPERT_WORDS) == set(CONSENSUS_STATUSES)
    place = (1, 2, 3) if status in ('consensus', 'single') else ('n/a',) * 3
    rows = target_rows({'expert': table([row('LA', place, status)], tmp_path)})
    assert rows[0].estimates[0].words == EXPERT_WORDS[status]
    assert not rows[0].warns


def test_ok_without_coordinates_is_not_passed_over(row, tmp_path):
    rows = target_rows({'cnn': table([row('LA')], tmp_path)})
    assert warnings(rows) == ['CNN: no coordinates in the table (all 1 targets).']


@pytest.mark.parametrize(
    ('cell', 'shown'),
    [('-0.0400', '0.0'), ('12.3456', '12.3'), ('-71.9600', '-72.0'), ('3', '3.0')],
)
def test_numbers_are_rounded_for_reading_and_kept_exact(cell, shown):
    assert Number.parse(cell) == Number(cell, shown)


@pytest.mark.parametrize('cell', ['n/a', '', None, 'nan', 'inf', 'twelve'])
def test_what_is_no_number_is_missing(cell):
    assert Number.parse(cell) is None
