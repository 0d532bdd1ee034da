from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tmsprep.bids.names import Layout
from tmsprep.methods.baxter2021.group_section import group_sections, paper_table
from tmsprep.methods.baxter2021.tables import table2, table3
from tmsprep.protocols import Protocol, Target

PAIR = Protocol(
    'pair',
    'Two made-up targets',
    'Made up',
    (
        Target('LA', 'L', 'region of LA', 'chronic pain', 'RA'),
        Target('RA', 'R', 'region of RA', 'depression', 'LA'),
    ),
)
ROLES = {'network': 'cnn', 'registration': 'syn'}
LAYOUT = Layout(Path('out'), 'pair')


def errors_of(participants: int) -> pd.DataFrame:
    """Participant k: the CNN is off by k mm, SyN by 2k + 1 mm, both raters by 2 mm."""
    rows = [
        (f'sub-{k:02d}', f'sub-{k:02d}', method, np.nan, label, error)
        for k in range(1, participants + 1)
        for label in PAIR.labels
        for method, error in {'cnn': k, 'syn': 2 * k + 1, 'rater-A': 2, 'rater-B': 2}.items()
    ]
    names = ['participant_id', 'image', 'method', 'repetition', 'label', 'error_mm']
    return pd.DataFrame(rows, columns=names).astype({'error_mm': float})


def tables_of(participants: int) -> dict[str, pd.DataFrame]:
    errors = errors_of(participants)
    # Leaving one rater out doubles the distance.
    alone = errors[errors['method'].str.startswith('rater')].assign(error_mm=4.0)
    points = errors.assign(dispersion_mm=np.nan)
    return {
        'table2': table2(points, errors, PAIR, **ROLES, leave_one_out=alone),
        'table3': table3(errors, PAIR, **ROLES, leave_one_out=alone),
    }


def test_comparisons() -> None:
    (section,) = group_sections(tables_of(8), LAYOUT, PAIR)
    first, second = section.facts[:2]
    # Differences CNN - SyN are -2..-9, all of one sign: Z = 36 / sqrt(204), p = 0.0117, the
    # smallest of three tests: times 3.
    assert first.startswith('CNN minus Atlas (SyN): mean difference of the errors -5.5 mm, 95 %')
    low, high = map(float, re.search(r'interval (\S+) to (\S+) mm', first).groups())
    assert -9 < low < -5.5 < high < -2
    assert '8 participants, paired (Wilcoxon p = 0.035; equivalence within 3 mm not shown' in first
    assert second.startswith('CNN minus Raters: mean difference of the errors +2.5 mm')
    text = ' '.join(section.facts)
    assert 'Each rater lay 4.0 mm from the consensus of the other raters (n = 16' in text
    assert 'The CNN here is the one with finished weights.' in text


def test_one_participant() -> None:
    (section,) = group_sections(tables_of(1), LAYOUT, PAIR)
    assert (
        section.facts[0].startswith(
            'CNN minus Atlas (SyN): mean difference of the errors -2.0 mm, 1 participant, paired '
            '(not tested: only one participant'
        )
        or 'not tested: only one person' in section.facts[0]
    )
    assert 'nan' not in ' '.join(section.facts)


def test_tables() -> None:
    (section,) = group_sections(tables_of(8), LAYOUT, PAIR, margin_mm=2.5, seed=7)
    second, third = section.tables
    assert second.caption == 'Errors, dispersion and variability of raters'
    # No network has a dispersion, so that column is left out.
    assert second.head == [
        *('Target', 'CNN Error', 'Reg. Error', 'Expert Var.', 'Expert Var. (leave one out)'),
    ]
    cell = second.rows[0][2].replace('\N{NO-BREAK SPACE}', ' ')
    assert cell.startswith('10.00 ± 4.90 (n = 8)')
    assert '**2.52** * CNN' in third.rows[-1][1]
    assert '`group_protocol-pair_table2.tsv`' in second.notes
    assert 'MEAN: LA.' in second.notes
    assert 'Equivalence within 2.5 mm' in section.methods
    assert 'seed 7' in section.methods


def test_empty_cells() -> None:
    errors = errors_of(2)
    errors = errors[(errors['method'] == 'cnn') & (errors['label'] == 'LA')]
    points = errors.assign(dispersion_mm=np.nan, x=0.0, y=0.0, z=0.0, status='ok')
    table = paper_table('table2', table2(points, errors, PAIR, **ROLES), LAYOUT, PAIR)
    assert table.head == ['Target', 'CNN Error']
    assert [row[1] == '' for row in table.rows] == [False, True, False]


def test_no_tables() -> None:
    (section,) = group_sections({}, LAYOUT, PAIR)
    assert section.facts == []
    assert 'nothing to tabulate' in section.text


@pytest.mark.parametrize('method', ['cnn', 'crossval-shared'])
def test_caution(method: str) -> None:
    tables = tables_of(2)
    tables['table2']['method'] = tables['table2']['method'].replace('cnn', method)
    text = ' '.join(group_sections(tables, LAYOUT, PAIR)[0].facts)
    assert ('finished weights' in text) == (method == 'cnn')
