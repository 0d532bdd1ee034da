from __future__ import annotations

import pandas as pd
import pytest

from paper_page import DOCS, write_page
from paper_parts.claims import claims, ensembles
from paper_parts.tables import beside, counts, extent, gyri, published, z_cell

NAMES = {'crossval-shared': 'CNN', 'syn': 'Reg.'}


def test_published_as_printed() -> None:
    """The paper's numbers, compared with its text: 7.24 mm, 6.94 mm, six stars for the CNN."""
    paper = published()
    assert {number: table.shape for number, table in paper.items()} == {
        1: (11, 3), 2: (12, 4), 3: (11, 3), 4: (11, 6), 5: (11, 9),
    }  # fmt: skip
    assert paper[2].loc['MEAN', 'CNN Error'] == '7.24 ± 5.23 (n = 1475)'
    assert paper[2].loc['MEAN', 'Expert Var.'] == '6.94 ± 5.10 (n = 456)'
    assert paper[3]['CNN vs. Reg.'].str.endswith('CNN').sum() == 6
    assert paper[3]['Reg. vs. Expert'].str.endswith('Expert').sum() == 5
    assert paper[4].loc['ROFC', 'No Res. Ensemble'] == '6.45 ± 3.82'
    assert paper[5].loc['LOFC', 'Ind. vs No (With Ens.)'] == '-2.11'


@pytest.mark.parametrize(
    ('change', 'signed', 'cell'),
    [
        ({}, False, r'2.50 \* CNN'),
        ({}, True, r'-2.50 \* CNN'),
        ({'difference_mm': 1.0, 'winner': 'syn'}, True, r'2.50 \* Reg.'),
        ({'stars': float('nan')}, False, '2.50'),
        ({'z': float('nan')}, False, '–'),
    ],
)
def test_z_cell(change: dict, signed: bool, cell: str) -> None:
    row = {'z': 2.5, 'difference_mm': -1.0, 'stars': '*', 'winner': 'crossval-shared', **change}
    assert z_cell(row, signed=signed, names=NAMES) == cell


def test_beside() -> None:
    paper = pd.DataFrame({'A': ['1', None], 'B': ['2', '3']}, index=['LOFC', 'ROFC'])
    here = pd.DataFrame(
        [('LOFC', 'A', 'x'), ('MEAN', 'B', 'y'), ('LOFC', 'not printed', 'z')],
        columns=['label', 'column', 'cell'],
    )
    assert beside(paper, here, lambda row: row['cell']).splitlines() == [
        '| target | A | B |',
        '| --- | --- | --- |',
        '| LOFC | 1 / x | 2 / – |',
        '| ROFC | – / – | 3 / – |',
        '| MEAN | – / – | – / y |',
    ]


def test_counts() -> None:
    """Of three people two are annotated, five times, one has a consensus, one is only tested."""
    predictions = pd.DataFrame(
        {
            'label': ['LOFC'] * 5,
            'participant_id': ['sub-1', 'sub-1', 'sub-2', 'sub-2', 'sub-3'],
            'reference_x': [1.0, 1.0, None, None, None],
        }
    )
    table2 = pd.DataFrame({'label': ['LOFC'], 'column': ['Expert Var.'], 'n': [5], 'people': [2]})
    found = counts(predictions, table2)
    assert found.set_index('column')['cell'].to_dict() == {'P#': '2', 'T#': '5', 'C#': '1'}


def group(network: float, starred: bool) -> dict[int, pd.DataFrame]:
    """Tables in which the registration is 5 mm off, the experts 2 mm, all alike on all targets."""
    means = [('CNN Error', network), ('Reg. Error', 5.0), ('Expert Var.', 2.0)]
    table2 = pd.DataFrame(
        [('MEAN', *pair) for pair in means], columns=['label', 'column', 'mean_mm']
    )
    named = [
        ('CNN vs. Reg.', 'cnn', 'syn', network < 5),
        ('CNN vs. Expert', 'cnn', 'expert', network < 2),
        ('Reg. vs. Expert', 'syn', 'expert', False),
        ('Ind. vs No (No Ens.)', 'separate', 'none', False),
    ]
    tests = pd.DataFrame(
        [
            (label, column, first, second, 3.0, '*' if starred else None, first if won else second)
            for label in ('LFACEMC', 'RFACEMC', 'MEAN')
            for column, first, second, won in named
        ],
        columns=['label', 'column', 'first', 'second', 'z', 'stars', 'winner'],
    )
    return {2: table2, 3: tests, 5: tests}


def test_claims() -> None:
    judged = {claim.name: claim for claim in claims(group(3.0, starred=True))}
    assert {name: claim.holds for name, claim in judged.items()} == {
        'registration': True,
        'better': True,
        'human': False,
        'below human': True,
        'residual': False,
    }
    assert judged['better'].found == 'better on 2, worse on 0 of 2 targets'
    assert judged['human'].found == '2 of 2 differences are significant; means 3.00 and 2.00 mm'
    unlike = {claim.name: claim.holds for claim in claims(group(6.0, starred=False))}
    assert unlike == {
        'registration': False,
        'better': False,
        'human': True,
        'below human': False,
        'residual': True,
    }


def test_ensembles() -> None:
    pairs = {'Ind. Res.': (3.0, 2.0), 'Shared Res.': (2.0, 1.8), 'No Res.': (2.0, 1.5)}
    rows = [
        ('LOFC', f'{name} {kind}Ensemble', mean)
        for name, both in pairs.items()
        for kind, mean in zip(('No ', ''), both, strict=True)
    ]
    variants = pd.DataFrame(rows, columns=['label', 'column', 'mean_mm'])
    assert ensembles(variants) == 'by 0.20 to 1.00 mm here (median 0.50 mm)'
    alone = variants[~variants['column'].str.startswith('Ind')].assign(mean_mm=float('nan'))
    assert 'not known' in ensembles(alone)


def test_extent() -> None:
    """Only repetitions of all people count; half of one is not done."""
    facts = {'Repetitions': 2, 'Participants': 2, 'Variants': ['shared', 'none']}
    rows = [(v, r, p) for v in ('shared', 'none') for r in (1, 2) for p in ('a', 'a', 'b')]
    whole = pd.DataFrame(rows, columns=['variant', 'repetition', 'participant_id'])
    assert extent(whole, facts) == '2 repetitions'
    assert extent(whole[:5], facts) == 'repetitions done so far, of 2: 1 (`shared`), 0 (`none`)'


def test_gyri() -> None:
    """Per cent inside and near, in the order asked for; absent methods have no column."""
    shares = pd.DataFrame(
        [('LOFC', 'syn', 0.5, 0.75), ('MEAN', 'syn', 0.25, 1.0), ('LOFC', 'rater-a', 0.9, 1.0)],
        columns=['label', 'method', 'inside', 'near'],
    )
    methods = {'rater-a': 'A', 'cnn': 'CNN', 'syn': 'Reg.'}
    assert gyri(shares, methods).splitlines() == [
        '| target | A | Reg. |',
        '| --- | --- | --- |',
        '| LOFC | 90 / 100 | 50 / 75 |',
        '| MEAN | – | 25 / 100 |',
    ]


def test_page_is_that_of_the_tables() -> None:
    assert (DOCS / 'paper.md').read_text(encoding='utf-8') == write_page(DOCS)
