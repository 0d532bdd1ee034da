from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tmsprep.evaluation.recommendation import Recommendation, recommend
from tmsprep.evaluation.status import REVIEW_CHECKS, STATUSES, UNUSABLE
from tmsprep.protocols import Protocol, Target

TARGET = Target('LA', 'L', 'left region A', '', name='left a', doubt='Look at the gyrus.')
PROTOCOL = Protocol('p', 'P', 'test', (TARGET,), methods=('lead', 'next'))
TITLES = {'lead': 'Lead', 'next': 'Next'}


def row(status: str, xyz: tuple[Any, ...] = (1, 2, 3), **more: Any) -> dict[str, Any]:
    return {'label': 'LA', 'status': status, **dict(zip('xyz', xyz, strict=True)), **more}


def choose(protocol: Protocol = PROTOCOL, **tables: dict[str, Any]) -> Recommendation:
    rows = {name: [content] for name, content in tables.items()}
    (found,) = recommend(rows, protocol, titles=TITLES)
    return found


BAD = ('failed', 'outside_image', 'wrong_side', 'unreliable', 'not_visible')
WARNED = ('disagreement', 'near_edge', 'wrong_gyrus', 'gyrus_unknown')

# Worked by hand: the lead's point if it is ok, else the next one if it is; else the lead's if it
# may be used, else the next one's; else none. Rows: status of the lead, columns: of the next.
TABLE = {
    'ok': {'ok': 'lead', 'warned': 'lead', 'bad': 'lead', 'none': 'lead'},
    'warned': {'ok': 'next', 'warned': 'lead', 'bad': 'lead', 'none': 'lead'},
    'bad': {'ok': 'next', 'warned': 'next', 'bad': '', 'none': ''},
    'none': {'ok': 'next', 'warned': 'next', 'bad': '', 'none': ''},
}
KINDS = {'ok': ('ok',), 'warned': WARNED, 'bad': BAD, 'none': (None,)}


def test_kinds_are_all_statuses() -> None:
    assert {*BAD, *WARNED, 'ok'} == set(STATUSES)
    assert set(BAD) == UNUSABLE


@pytest.mark.parametrize('first', KINDS)
@pytest.mark.parametrize('second', KINDS)
def test_every_pair_of_statuses(first: str, second: str) -> None:
    expected = TABLE[first][second]
    for lead in KINDS[first]:
        for after in KINDS[second]:
            given = {'lead': lead, 'next': after}
            tables = {name: row(s) for name, s in given.items() if s is not None}
            found = choose(**tables)
            assert found.method == expected, given
            assert found.usable == bool(expected)
            assert np.isfinite(found.point).all() == bool(expected)
            assert found.status == (given[expected] if expected else '')
            assert found.fallback == (bool(expected) and expected != next(iter(tables)))
            assert found.warns == (bool(expected) and given[expected] != 'ok')


def test_missing_coordinates() -> None:
    found = choose(lead=row('ok', ('n/a', 'n/a', 'n/a')), next=row('ok', ('4', '5', '6')))
    assert found.method == 'next'
    assert found.point.tolist() == [4, 5, 6]
    assert found.reason == (
        'Next has no warning, but Lead has: no coordinates in the table; nothing confirms it'
    )
    assert choose(lead=row('ok', (1, None, 3))).reason == (
        'No point may be used (Lead: no coordinates in the table)'
    )


def test_distance_and_radius() -> None:
    found = choose(lead=row('ok', (1, 2, 3), error90_mm='2.5'), next=row('ok', (1, 6, 6)))
    assert (found.method, found.other_method) == ('lead', 'next')
    assert (found.radius_mm, found.distance_mm) == (2.5, 5.0)
    assert found.reason == 'Lead is preferred by this protocol and has no warning'
    assert (found.name, found.hemisphere, found.doubt) == ('left a', 'L', 'Look at the gyrus.')
    assert found.row['error90_mm'] == '2.5'


def test_disagreement() -> None:
    found = choose(lead=row('disagreement'), next=row('disagreement', (1, 2, 23)))
    assert found.reason == (
        'Lead, though no method is without a warning: found, but over 12 mm from the other method'
    )


def test_unusable_point_confirms_nothing() -> None:
    found = choose(lead=row('ok'), next=row('wrong_side'))
    assert (found.other_method, math.isnan(found.distance_mm)) == ('', True)
    assert found.reason.endswith('nothing confirms it')


def test_order_of_the_protocol() -> None:
    tables = {'next': [row('ok', (0, 0, 0))], 'lead': [row('ok')]}
    assert recommend(tables, PROTOCOL)[0].method == 'lead'
    turned = Protocol('p', 'P', 'test', (TARGET,), methods=('next', 'lead'))
    assert recommend(tables, turned)[0].method == 'next'
    anything = Protocol('p', 'P', 'test', (TARGET,))
    assert recommend(tables, anything)[0].method == 'next'


@pytest.mark.parametrize('status', [*STATUSES, 'consensus', 'moved'])
def test_reviewed_point_first(status: str) -> None:
    review = row(status, ('7', '8', '9'), decision='moved', reviewer='AB', date='2026-11-27',
                 comment='crown')  # fmt: skip
    found = choose(lead=row('ok', (7, 8, 5)), reviewed=review)
    assert (found.method, found.decision) == ('reviewed', 'moved')
    assert found.point.tolist() == [7, 8, 9]
    assert (found.other_method, found.distance_mm) == ('lead', 4)
    assert found.warns == (status in REVIEW_CHECKS)
    assert found.reason == 'Moved by AB on 2026-11-27: crown' + (
        '; look again: found, but on the other side of the midline' if found.warns else ''
    )


def test_accepted_point_keeps_its_radius() -> None:
    """What a table says of the method's point holds for the same point; the other confirms it."""
    lead = row('ok', (7, 8, 5), error90_mm='3.5', entry_x='20')
    review = row('accepted', (7, 8, 5), decision='accepted', reviewer='AB', entry_x='n/a')
    found = choose(lead=lead, next=row('ok', (7, 8, 9)), reviewed=review)
    assert (found.method, found.radius_mm, found.row['entry_x']) == ('reviewed', 3.5, '20')
    assert (found.other_method, found.distance_mm) == ('next', 4)
    moved = choose(lead=lead, reviewed={**review, 'decision': 'moved', 'x': '6'})
    assert math.isnan(moved.radius_mm)
    assert (moved.other_method, moved.distance_mm) == ('lead', 1)


def test_rejected_by_reviewer() -> None:
    review = row('ok', decision='rejected', reviewer='n/a', date='', comment='lesion')
    found = choose(lead=row('ok'), reviewed=review)
    assert not found.usable
    assert found.reason == ('No point may be used. Rejected by a reviewer without a name: lesion')
    accepted = choose(lead=row('ok'), reviewed=row('ok', ('n/a',) * 3, decision='accepted'))
    assert not accepted.usable
    assert accepted.reason.endswith('but without coordinates')


@pytest.mark.parametrize('decision', ['n/a', '', 'perhaps'])
def test_undecided(decision: str) -> None:
    found = choose(lead=row('ok'), reviewed=row('ok', (9, 9, 9), decision=decision))
    assert (found.method, found.other_method) == ('lead', '')


def test_raters_are_not_recommended() -> None:
    assert not choose(expert=row('consensus')).usable
    assert choose(expert=row('consensus'), lead=row('ok')).other_method == ''


def test_further_labels() -> None:
    own = {'label': 'SMA', 'hemisphere': 'n/a', 'region': 'midline SMA', 'status': 'ok',
           'x': 0, 'y': -6, 'z': 58}  # fmt: skip
    standard, further = recommend({'lead': [row('ok')], 'mine': [own]}, PROTOCOL)
    assert (standard.label, standard.method) == ('LA', 'lead')
    assert (further.label, further.name, further.method) == ('SMA', 'SMA', 'mine')
    assert further.doubt == ''


def test_no_table() -> None:
    (found,) = recommend({}, PROTOCOL)
    assert not found.usable
    assert found.reason == 'No point may be used (no method has a table)'


CELL = st.one_of(st.none(), st.text(max_size=4), st.floats(), st.sampled_from(['n/a', '1.5']))
ROW = st.fixed_dictionaries(
    {'label': st.just('LA'), 'status': st.sampled_from([*STATUSES, 'odd', 'consensus', ''])},
    optional={**dict.fromkeys(('x', 'y', 'z', 'error90_mm', 'reviewer', 'date'), CELL),
              'decision': st.sampled_from(['accepted', 'moved', 'rejected', 'n/a'])},
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(['lead', 'next', 'reviewed', 'x']), ROW))
def test_never_a_point_that_must_not_be_used(tables: dict[str, dict[str, Any]]) -> None:
    found = choose(**tables)
    assert found.reason
    assert found.usable == bool(np.isfinite(found.point).all())
    if found.usable and not found.decision:
        chosen = tables[found.method]
        assert chosen['status'] not in UNUSABLE
        assert found.point.tolist() == [float(chosen[axis]) for axis in 'xyz']
