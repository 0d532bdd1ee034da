"""The list of participants of a group without raters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_data import SVG, Page

from tmsprep.bids.names import Layout
from tmsprep.evaluation.cohort import cohort_table, rank_images
from tmsprep.evaluation.errors import errors_against_consensus
from tmsprep.group.cohort import recommended_methods
from tmsprep.group.derivatives import image_of
from tmsprep.protocols import Protocol, Target
from tmsprep.reports.cohort import look_at, verdict
from tmsprep.reports.group import GroupContent, write_group_report

PAIR = Protocol(
    'pair',
    'Two made-up targets',
    'Made up',
    (
        Target('LA', 'L', 'region of LA', 'depression', 'RA', name='left A'),
        Target('RA', 'R', 'region of RA', 'depression', 'LA', name='right A'),
    ),
    ('cnn', 'syn'),
)


def points(participants: int = 6) -> pd.DataFrame:
    """All alike; in sub-3 the left point of the CNN is unreliable, in sub-5 SyN is 9 mm off."""
    rows = []
    for k in range(1, participants + 1):
        for method in ('cnn', 'syn'):
            for label, x in (('LA', -40.0), ('RA', 40.0)):
                off = 9.0 if (k, method, label) == (5, 'syn', 'RA') else 0.0
                bad = (k, method, label) == (3, 'cnn', 'LA')
                rows.append(
                    {
                        'participant_id': f'sub-{k}',
                        'image': f'sub-{k}',
                        'method': method,
                        'repetition': np.nan,
                        'label': label,
                        'x': x,
                        'y': off,
                        'z': 0.0,
                        'status': 'unreliable' if bad else 'ok',
                        'dispersion_mm': np.nan,
                        'error90_mm': 4.0 if method == 'cnn' and not bad else np.nan,
                        'mni_x': np.nan if bad else x,
                        'mni_y': off,
                        'mni_z': 0.0,
                        'mni_from': 'registration',
                    }
                )
    return pd.DataFrame(rows)


@pytest.fixture(scope='module')
def table() -> pd.DataFrame:
    return cohort_table(points(), PAIR, recommended_methods(points(), PAIR))


def test_the_recommended_method_is_shown(table: pd.DataFrame):
    shown = table.set_index(['image', 'label'])['method']
    assert shown['sub-1', 'LA'] == 'cnn'
    assert shown['sub-3', 'LA'] == 'syn', 'that of the first method may not be used'


def test_words(table: pd.DataFrame):
    ranked = rank_images(table).set_index('image')
    names = {'LA': 'left A', 'RA': 'right A'}
    # Distances between the methods are 0 but for one of 9 mm: z = 9 at a standard deviation of 1.
    assert look_at(ranked.loc['sub-5'], names) == (
        '**right A**: distance between methods (z = 9.0). 1 target unlike that of the cohort.'
    )
    assert look_at(ranked.loc['sub-1'], names) == 'Nothing stands out.'
    assert verdict(table) == '6 images of 6 participants. Look at 1 of them first.'


def test_page(table: pd.DataFrame, tmp_path: Path):
    layout = Layout(tmp_path, PAIR.name)
    image = image_of({'sub': '5'}, tmp_path)
    path = layout.figure(image, 'thumbnail')
    path.parent.mkdir(parents=True)
    path.write_text(SVG, encoding='utf-8')
    layout.report('5').write_text('own report', encoding='utf-8')
    content = GroupContent(
        6, points(), errors_against_consensus(points()), cohort=table, images={'sub-5': image}
    )
    page = Page(write_group_report(layout, PAIR, content))
    assert '6 images of 6 participants. Look at 1 of them first.' in page.text
    assert 'Left out' not in page.text
    assert 'Warnings of 12 targets: none.' in page.text
    order = [page.source.index(f'>sub-{k}<') for k in (5, 1)]
    assert order == sorted(order), 'the one to look at comes first'
    assert 'href="sub-5_protocol-pair.html"' in page.source
    assert page.source.count('class="thumbnail"') == 1


def test_warnings_by_name(table: pd.DataFrame, tmp_path: Path):
    status = ['wrong_gyrus', 'gyrus_unknown', 'gyrus_unknown', *['ok'] * 9]
    content = GroupContent(
        6, points(), errors_against_consensus(points()), cohort=table.assign(status=status)
    )
    page = Page(write_group_report(Layout(tmp_path, PAIR.name), PAIR, content))
    assert 'Warnings of 12 targets: gyrus unknown 2, wrong gyrus 1.' in page.text


def test_with_raters_the_comparison_comes_first(table: pd.DataFrame, tmp_path: Path):
    given = points()
    consensus = given[given['method'] == 'syn'].assign(method='consensus', status='ok')
    both = pd.concat([given, consensus], ignore_index=True)
    content = GroupContent(6, both, errors_against_consensus(both), cohort=table)
    page = Page(write_group_report(Layout(tmp_path, PAIR.name), PAIR, content))
    assert 'Mean distance from the consensus of the raters' in page.text
    assert page.source.index('<h2>Errors') < page.source.index('<h2>Participants, those')
