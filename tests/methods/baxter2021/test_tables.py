from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tmsprep.evaluation.comparisons import mean_labels
from tmsprep.evaluation.errors import errors_against_consensus, leave_one_rater_out
from tmsprep.methods.baxter2021.tables import (
    as_paper,
    choose_network,
    table2,
    table3,
    table4,
    table5,
)
from tmsprep.protocols import Protocol, Target, load_protocol

NAN = np.nan
PARTICIPANTS = [f'sub-{i:02}' for i in range(1, 9)]
ROLES = {'network': 'crossval-shared', 'registration': 'syn'}
PROTOCOL = Protocol(
    name='two',
    title='',
    source='',
    targets=(
        Target('HAND', 'L', 'hand', 'treatment (chronic pain)'),
        Target('OFC', 'L', 'orbitofrontal', 'treatment (depression)'),
    ),
)


def method(name: str, hand: list[float], ofc: list[float], **more: object) -> pd.DataFrame:
    """One row per participant and target; the consensus is at the origin."""
    place = np.array([*hand, *ofc], float)
    names = PARTICIPANTS[: len(hand)] + PARTICIPANTS[: len(ofc)]
    table = {'participant_id': names, 'image': names, 'method': name, 'repetition': NAN}
    table |= {'label': ['HAND'] * len(hand) + ['OFC'] * len(ofc)}
    table |= {'x': place, 'y': 0 * place, 'z': 0 * place}
    return pd.DataFrame(table).assign(**{'status': 'ok', 'dispersion_mm': NAN} | more)


@pytest.fixture
def points() -> pd.DataFrame:
    """Eight participants; the registration is always worse, by 1 to 8 mm at the hand."""
    return pd.concat(
        [
            method('consensus', [0] * 8, [0] * 8, status='consensus'),
            method('crossval-shared', [2] * 8, [4] * 8, repetition=1),
            method('crossval-shared', [4] * 8, [4] * 8, repetition=2),
            method('syn', range(4, 12), [NAN] * 8),
            method('rater-a', [-3] * 8, [NAN] * 8),
            method('rater-b', [3] * 8, [NAN] * 8),
        ],
        ignore_index=True,
    )


def cell(table: pd.DataFrame, label: str, column: str) -> pd.Series:
    return table.set_index(['label', 'column']).loc[(label, column)]


def test_table_2_by_hand(points: pd.DataFrame) -> None:
    table = table2(points, errors_against_consensus(points), PROTOCOL, **ROLES)
    cnn = cell(table, 'HAND', 'CNN Error')
    # Eight errors of 2 and eight of 4: the squares of the deviations add up to 16.
    assert (cnn['mean_mm'], cnn['n'], cnn['people']) == (3, 16, 8)
    assert cnn['sd_mm'] == pytest.approx(np.sqrt(16 / 15))
    assert (cnn['ci_low_mm'], cnn['ci_high_mm']) == (3, 3)
    assert cell(table, 'HAND', 'Disp.')['mean_mm'] == 1
    assert cell(table, 'OFC', 'Disp.')['mean_mm'] == 0
    assert cell(table, 'HAND', 'Reg. Error')['mean_mm'] == 7.5
    assert cell(table, 'HAND', 'Expert Var.')[['mean_mm', 'n']].tolist() == [3, 16]
    assert cell(table, 'HAND', 'Expert Var. (leave one out)')['mean_mm'] == 6
    assert cell(table, 'OFC', 'Expert Var.')[['n', 'reason']].tolist() == [0, 'no values']


def test_mean_row(points: pd.DataFrame) -> None:
    table = table2(points, errors_against_consensus(points), PROTOCOL, **ROLES)
    assert list(table['label'].unique()) == ['HAND', 'OFC', 'MEAN']
    assert cell(table, 'MEAN', 'CNN Error')['mean_mm'] == 3
    assert len(mean_labels(load_protocol('tms'))) == 6
    other = Protocol('other', '', '', (Target('A', 'L', '', 'landmark'),))
    assert mean_labels(other) == ('A',)


def test_dispersion_of_members(points: pd.DataFrame) -> None:
    cnn = method('cnn', [1] * 8, [1] * 8, dispersion_mm=0.5)
    both = pd.concat([points, cnn], ignore_index=True)
    table = table2(
        both, errors_against_consensus(both), PROTOCOL, network='cnn', registration='syn'
    )
    assert cell(table, 'HAND', 'Disp.')[['mean_mm', 'n']].tolist() == [0.5, 8]


def test_choose_network(points: pd.DataFrame) -> None:
    cnn = method('cnn', [1] * 8, [1] * 8)
    both = pd.concat([cnn, points], ignore_index=True)
    assert choose_network(errors_against_consensus(both), 'cnn') == 'crossval-shared'
    assert choose_network(errors_against_consensus(cnn), 'cnn') == 'cnn'
    assert choose_network(errors_against_consensus(cnn.iloc[:0]), 'cnn') == 'cnn'


def test_table_2_as_paper(points: pd.DataFrame) -> None:
    text = as_paper(table2(points, errors_against_consensus(points), PROTOCOL, **ROLES))
    headings = ['CNN Error', 'Disp.', 'Reg. Error', 'Expert Var.', 'Expert Var. (leave one out)']
    assert list(text.columns) == ['label', *headings]
    assert list(text['label']) == ['HAND', 'OFC', 'MEAN']
    assert text.loc[0, 'CNN Error'] == '3.00 ± 1.03 (n = 16)'
    assert text.loc[1, 'Reg. Error'] == ''


def test_intervals_as_paper(points: pd.DataFrame) -> None:
    table = table2(points, errors_against_consensus(points), PROTOCOL, **ROLES)
    assert as_paper(table, intervals=True).loc[0, 'CNN Error'] == (
        '3.00 ± 1.03 (n = 16) [3.00, 3.00]'
    )


def test_table_3_by_hand(points: pd.DataFrame) -> None:
    table = table3(errors_against_consensus(points), PROTOCOL, **ROLES)
    row = cell(table, 'HAND', 'CNN vs. Reg.')
    # Differences -1 to -8: all 36 ranks speak for the first.
    assert row['z'] == pytest.approx(-36 / np.sqrt(204))
    assert (row['n'], row['effect'], row['difference_mm']) == (8, -1, -4.5)
    assert row['winner'] == 'crossval-shared'
    # CNN and experts are 3 mm off in all participants, so two tests of this family have a p-value.
    assert row['family_size'] == 2
    assert row['p_holm'] == pytest.approx(2 * row['p'])
    # t = (-4.5 + 3) / (sqrt(6) / sqrt(8)) with seven degrees of freedom.
    assert row['p_tost_lower'] == pytest.approx(0.937, abs=0.001)
    assert not row['equivalent']


def test_equal_methods(points: pd.DataFrame) -> None:
    row = cell(
        table3(errors_against_consensus(points), PROTOCOL, **ROLES), 'HAND', 'CNN vs. Expert'
    )
    assert np.isnan(row['z'])
    assert row['winner'] == ''
    assert row['reason'] == 'all differences are zero; all differences are the same'


def test_mean_family(points: pd.DataFrame) -> None:
    table = table3(errors_against_consensus(points), PROTOCOL, **ROLES)
    hand, mean = cell(table, 'HAND', 'CNN vs. Reg.'), cell(table, 'MEAN', 'CNN vs. Reg.')
    assert hand['family'] != mean['family']
    assert hand['z'] == mean['z']


def test_family_per_pair(points: pd.DataFrame) -> None:
    table = table3(errors_against_consensus(points), PROTOCOL, **ROLES, by_pair=True)
    row = cell(table, 'HAND', 'CNN vs. Reg.')
    assert (row['family_size'], row['p_holm']) == (1, row['p'])


def test_experts_left_out(points: pd.DataFrame) -> None:
    errors = errors_against_consensus(points)
    alone = leave_one_rater_out(points)
    table = table3(errors, PROTOCOL, **ROLES, leave_one_out=alone)
    row = cell(table, 'HAND', 'CNN vs. Expert (leave one out)')
    assert (row['mean_first_mm'], row['mean_second_mm']) == (3, 6)
    without = table3(errors, PROTOCOL, **ROLES)
    assert cell(table, 'HAND', 'CNN vs. Reg.').equals(cell(without, 'HAND', 'CNN vs. Reg.'))


def test_table_3_as_paper(points: pd.DataFrame) -> None:
    text = as_paper(table3(errors_against_consensus(points), PROTOCOL, **ROLES))
    assert text.loc[0].tolist() == ['HAND', '**2.52** * CNN', '', '**2.52** * Expert']
    assert text.loc[1].tolist() == ['OFC', '', '', '']


def test_mean_against_ranks() -> None:
    errors = pd.concat(
        [
            method('cnn', [1] * 7 + [99], []).assign(error_mm=[1.0] * 7 + [99]),
            method('syn', [2] * 8, []).assign(error_mm=2.0),
        ]
    )
    table = table3(errors, PROTOCOL, network='cnn', registration='syn')
    row = cell(table, 'HAND', 'CNN vs. Reg.')
    assert row['z'] < 0
    assert row['winner'] == 'syn'
    assert row['reason'] == 'means and ranks favour different methods'


def test_one_participant(points: pd.DataFrame) -> None:
    alone = points[points['participant_id'] == 'sub-01']
    errors = errors_against_consensus(alone)
    summary = cell(table2(alone, errors, PROTOCOL, **ROLES), 'HAND', 'Reg. Error')
    assert (summary['mean_mm'], summary['n']) == (4, 1)
    assert np.isnan(summary[['sd_mm', 'ci_low_mm', 'ci_high_mm']].tolist()).all()
    assert summary['reason'] == 'fewer than two participants'
    row = cell(table3(errors, PROTOCOL, **ROLES), 'HAND', 'CNN vs. Reg.')
    assert np.isnan(row[['z', 'p', 'p_holm', 'p_tost']].tolist()).all()
    assert row['reason'] == 'only one participant; fewer than two participants'
    assert (
        as_paper(table2(alone, errors, PROTOCOL, **ROLES)).loc[0, 'Reg. Error'] == '4.00 (n = 1)'
    )


def test_no_participants(points: pd.DataFrame) -> None:
    none = points.iloc[:0]
    errors = errors_against_consensus(none)
    assert (table2(none, errors, PROTOCOL, **ROLES)['n'] == 0).all()
    alone = leave_one_rater_out(none)
    assert set(table3(errors, PROTOCOL, **ROLES, leave_one_out=alone)['reason']) == {
        'no pairs; fewer than two participants'
    }
    assert (as_paper(table3(errors, PROTOCOL, **ROLES)).iloc[:, 1:] == '').all(axis=None)


def predictions(variant: str, *repetitions: list[float]) -> pd.DataFrame:
    zeros = dict.fromkeys(['y', 'z', 'reference_x', 'reference_y', 'reference_z'], 0.0)
    parts = [
        pd.DataFrame(
            {'participant_id': PARTICIPANTS, 'image': PARTICIPANTS, 'label': 'HAND', 'x': x}
        )
        .assign(variant=variant, repetition=i, fold=1, status='ok', **zeros)
        .assign(error_mm=np.abs(np.array(x, float)))
        for i, x in enumerate(repetitions, start=1)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def crossval() -> pd.DataFrame:
    """Both variants scatter by 1 to 8 mm around 2 and 1 mm."""
    spread = np.arange(1, 9)
    return pd.concat(
        [
            predictions('shared', 2 + spread, 2 - spread),
            predictions('none', 1 + spread, 1 - spread),
        ],
        ignore_index=True,
    )


def test_table_4_by_hand(crossval: pd.DataFrame) -> None:
    table = table4(crossval, PROTOCOL)
    assert list(table['column'].unique()) == [
        *('Shared Res. No Ensemble', 'Shared Res. Ensemble'),
        *('No Res. No Ensemble', 'No Res. Ensemble'),
    ]
    assert cell(table, 'HAND', 'Shared Res. Ensemble')[['mean_mm', 'n']].tolist() == [2, 8]
    # |2 + s| and |2 - s|: 52 and 1 + 0 + 1 + 2 + ... + 6 = 22 over 16.
    assert cell(table, 'HAND', 'Shared Res. No Ensemble')[['mean_mm', 'n']].tolist() == [
        *(74 / 16, 16)
    ]
    assert cell(table, 'OFC', 'No Res. Ensemble')['n'] == 0


def test_table_5_by_hand(crossval: pd.DataFrame) -> None:
    table = table5(crossval, PROTOCOL)
    assert list(table['column'].unique()) == [
        *('Ens. vs No (Shared Res.)', 'Ens. vs No (No Res.)'),
        *('Sh. vs No (With Ens.)', 'Sh. vs No (No Ens.)'),
    ]
    # The ensemble saves 0, 0, 1, ..., 6 mm.
    row = cell(table, 'HAND', 'Ens. vs No (Shared Res.)')
    assert row['z'] == pytest.approx(-21 / np.sqrt(91))
    assert (row['n'], row['winner']) == (8, 'ensemble-shared')
    # One mm worse in all participants: ranks are all 4.5.
    assert cell(table, 'HAND', 'Sh. vs No (With Ens.)')['z'] == pytest.approx(np.sqrt(8))
    # Single predictions of both variants differ in one participant only: no p-value.
    assert 'fewer than 6 participants' in cell(table, 'HAND', 'Sh. vs No (No Ens.)')['reason']
    assert set(table.loc[table['label'] != 'MEAN', 'family_size']) == {3}


def test_table_5_as_paper(crossval: pd.DataFrame) -> None:
    text = as_paper(table5(crossval, PROTOCOL))
    assert text.loc[0, 'Ens. vs No (Shared Res.)'] == '**-2.20** *'
    assert text.loc[0, 'Sh. vs No (With Ens.)'] == '**2.83** *'


def test_no_predictions(crossval: pd.DataFrame) -> None:
    none = crossval.iloc[:0]
    assert table4(none, PROTOCOL).empty
    assert table5(none, PROTOCOL).empty
    assert as_paper(table5(none, PROTOCOL)).empty
