from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_data import HOSTILE, Page

from tmsprep.bids.names import Layout
from tmsprep.disclaimer import disclaimer
from tmsprep.evaluation.errors import errors_against_consensus
from tmsprep.protocols import Protocol, Target
from tmsprep.reports.comparison import consensus_facts, distance_table, largest_section
from tmsprep.reports.group import GroupContent, Remark, gather, write_group_report
from tmsprep.reports.sections import Number, Section, Table

PAIR = Protocol(
    'pair',
    'Two made-up targets',
    'Made up',
    (
        Target('LA', 'L', 'region of LA', 'chronic pain', 'RA'),
        Target('RA', 'R', 'region of RA', 'depression', 'LA'),
    ),
)
PLACE = {'LA': np.array([-40.0, 10.0, 20.0]), 'RA': np.array([40.0, 10.0, 20.0])}
COLUMNS = (
    *('participant_id', 'image', 'method', 'repetition', 'label'),
    *('x', 'y', 'z', 'status', 'dispersion_mm'),
)


def points_of(participants: int, methods: tuple[str, ...]) -> pd.DataFrame:
    """Participant k: the CNN k mm to the right of the consensus, SyN 2k + 1 mm in front of it,
    raters 2 mm above and below it."""
    rows = [
        (f'sub-{k:02d}', f'sub-{k:02d}', m, np.nan, label, *(place + offset), 'ok', np.nan)
        for k in range(1, participants + 1)
        for label, place in PLACE.items()
        for m, offset in offsets(k)
        if m in methods
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def offsets(k: int) -> Iterator[tuple[str, np.ndarray]]:
    yield 'cnn', np.array([k, 0.0, 0.0])
    yield 'syn', np.array([0.0, 2 * k + 1, 0.0])
    yield 'consensus', np.zeros(3)
    yield 'rater-A', np.array([0.0, 0.0, 2.0])
    yield 'rater-B', np.array([0.0, 0.0, -2.0])


ALL = tuple(dict(offsets(0)))


def write(out: Path, points: pd.DataFrame, **more: object) -> Page:
    participants = points.dropna(subset=['x'])['participant_id'].nunique()
    content = GroupContent(participants, points, errors_against_consensus(points), **more)
    return Page(write_group_report(Layout(out, PAIR.name), PAIR, content))


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> Page:
    out = tmp_path_factory.mktemp('out')
    (out / 'sub-08_protocol-pair.html').write_text('own report', encoding='utf-8')
    points = points_of(8, ALL)
    lead = Section(
        'Lead',
        tables=[Table('Numbers', ['a', 'b'], [['x', Number.of(3)]], 'See `file`.')],
        facts=['A fact of the **lead**.'],
        warnings=['A warning of the lead.'],
        methods='**One.** Text.\n\n**Two.** More.',
        references=['Someone (2000). doi:10.1000/xyz'],
    )
    return write(
        out,
        points,
        sections=[lead],
        remarks=[Remark('sub-09', 'no T1w; copy it'), Remark('sub-10', 'not marked', 'note')],
        reference='Raters that a test made up.',
        template_points=points[points['method'] == 'consensus'],
        template='MNI',
    )


def test_distances() -> None:
    # Errors are 1..8, 3..17 and always 2: means 4.5, 10 and 2.
    table = distance_table(errors_against_consensus(points_of(8, ALL)), PAIR, 1)
    assert [row[0] for row in table.rows] == ['Raters', 'CNN', 'Atlas (SyN)']
    _, mean, interval, median, most, largest, where, n, participants = table.rows[1]
    assert (mean.shown, median.shown, largest.shown) == ('4.5', '4.5', '8.0')
    assert float(most.exact) == pytest.approx(7.65)
    assert (where, n.exact, participants.exact) == ('sub-08, LA', '8', '8')
    low, high = map(float, interval.split(' to '))
    assert 2.5 < low < 4.5 < high < 6.5
    assert table.rows[0][2] == '2.0 to 2.0'
    assert table.notes.startswith('Over LA;')


def test_consensus_facts() -> None:
    points = points_of(8, ALL)
    consensus = points['method'] == 'consensus'
    points.loc[consensus & (points['participant_id'] == 'sub-01'), 'status'] = 'single'
    last = consensus & (points['participant_id'] == 'sub-02')
    points.loc[last, 'status'] = 'no_consensus'
    text = ' '.join(consensus_facts(points))
    assert '2 of 16 reference points are by one rater alone.' in text
    assert 'On 2 of 16 targets in images no two raters agreed' in text


def test_page(whole: Page) -> None:
    text = whole.text.replace('\N{NO-BREAK SPACE}', ' ')
    assert '8 participants, 2 targets' in text
    assert 'raters: Raters 2.0 mm, CNN 4.5 mm, Atlas (SyN) 10.0 mm.' in text
    assert 'Raters that a test made up.' in text
    assert 'sub-09 error no T1w; copy it' in text
    assert '2 remarks on participants and files' in text
    assert '1 of them errors or warnings' in text
    assert '1 to look at' in text
    assert text.count(disclaimer(PAIR)) == 1
    assert 'Left out:' not in text
    # Errors, agreement, two directions, brain.
    assert len(whole.images) == 5


def test_lead_sections(whole: Page) -> None:
    for html in (
        '<li>A fact of the <strong>lead</strong>.</li>',
        '<li class="warning">A warning of the lead.</li>',
        '<tr><th scope="row">x</th><td class="num"><data value="3">3</data></td></tr>',
        'See <code>file</code>.',
        '<p><strong>Two.</strong> More.</p>',
        '<a href="https://doi.org/10.1000/xyz">doi:10.1000/xyz</a>',
    ):
        assert html in whole.source


def test_stands_alone(whole: Page) -> None:
    whole.assert_alone()
    outer = {link for link in whole.links if not link.startswith(('#', 'https://doi.org/'))}
    assert outer == {'sub-08_protocol-pair.html'}


def test_repeatable(tmp_path: Path) -> None:
    first = write(tmp_path, points_of(3, ALL)).source
    assert write(tmp_path, points_of(3, ALL)).source == first
    drawn = ['agreement', 'directions-cnn', 'directions-syn', 'errors']
    assert sorted(path.name for path in (tmp_path / 'figures').iterdir()) == [
        f'group_protocol-pair_{name}.svg' for name in drawn
    ]


def test_no_raters(tmp_path: Path) -> None:
    text = write(tmp_path, points_of(3, ('cnn', 'syn'))).text
    assert 'so no error is known' in text
    assert 'That methods agree does not show that they are right' in text
    assert 'Left out: no point can be compared with a consensus of raters.' in text
    assert 'CNN minus Atlas (SyN)' not in text
    assert 'Atlas (SyN) minus CNN' in text


def test_raters_alone(tmp_path: Path) -> None:
    page = write(tmp_path, points_of(3, ('rater-A', 'rater-B', 'consensus')))
    text = page.text.replace('\N{NO-BREAK SPACE}', ' ')
    assert 'consensus of the raters: Raters 2.0 mm.' in text
    assert 'Left out: there are no two methods with points in common.' in text
    assert len(page.images) == 2


def test_older_charts_go(tmp_path: Path) -> None:
    write(tmp_path, points_of(3, ALL))
    write(tmp_path, points_of(3, ('cnn', 'syn')))
    names = {path.name.split('_')[-1] for path in (tmp_path / 'figures').iterdir()}
    assert 'errors.svg' not in names


def test_one_participant(tmp_path: Path) -> None:
    text = write(tmp_path, points_of(1, ALL)).text
    assert '1 participant, 2 targets' in text
    assert 'nan' not in text


def test_no_points(tmp_path: Path) -> None:
    page = write(tmp_path, points_of(0, ALL), remarks=[Remark('sub-01', 'failed')])
    assert 'There are no points.' in page.text
    assert 'sub-01 error failed' in page.text
    assert page.images == []
    assert page.text.count('Left out:') == 5


def test_hidden_methods(tmp_path: Path) -> None:
    points = points_of(3, ALL)
    variants = {'cnn': 'crossval-a', 'syn': 'crossval-b'}
    points['method'] = points['method'].replace(variants)
    text = write(tmp_path, points, hidden=['crossval-a']).text.replace('\N{NO-BREAK SPACE}', ' ')
    assert 'Raters 2.0 mm, CV b 5.0 mm.' in text
    # Still counted.
    assert 'CV a 3 3 6 0' in text
    assert 'CV a minus Consensus' not in text


def test_sections_alone(tmp_path: Path) -> None:
    content = GroupContent(3, sections=[Section('Only', 'Said by the method.')])
    page = Page(write_group_report(Layout(tmp_path, 'pair'), PAIR, content))
    assert '3 participants compared. ' in page.text
    assert 'Only Said by the method.' in page.text
    assert 'Agreement' not in page.text


def test_escaping(tmp_path: Path) -> None:
    points = points_of(3, ALL)
    points = points.assign(
        method=points['method'].replace({'rater-A': f'rater-{HOSTILE}'}),
        participant_id=points['participant_id'].replace({'sub-01': HOSTILE}),
    )
    section = Section(HOSTILE, HOSTILE, facts=[HOSTILE], methods=HOSTILE, references=[HOSTILE])
    page = write(
        tmp_path,
        points,
        sections=[section],
        remarks=[Remark(HOSTILE, HOSTILE)],
        reference=HOSTILE,
    )
    assert 'script' not in page.tags
    assert page.text.count(HOSTILE) >= 10


def test_many_remarks(tmp_path: Path) -> None:
    remarks = [Remark(f'sub-{i:03d}', f'failed in its own way {i}') for i in range(230)]
    text = write(tmp_path, points_of(2, ALL), remarks=remarks).text
    assert 'failed in its own way 199' in text
    assert 'failed in its own way 200' not in text
    assert 'And 30 more, which the log and group_protocol-pair_participants.tsv list.' in text
    assert '230 remarks' in text


def test_gather_remarks() -> None:
    said = [('a', 'x', 'note'), ('b', 'y', 'error'), ('c', 'x', 'note'), ('d', 'z', 'warning')]
    found = gather([Remark(*one) for one in said])
    assert [(one['severity'], one['who']) for one in found] == [
        ('error', ['b']),
        ('warning', ['d']),
        ('note', ['a', 'c']),
    ]


def test_largest_errors(tmp_path: Path) -> None:
    values = {'cnn': [1, 9, 3, np.nan], 'rater-A': [2, 0, 0, 0], 'rater-B': [0, 7, 0, 0]}
    rows = [
        (f'sub-{i:02d}', f'sub-{i:02d}', method, np.nan, 'LA', value)
        for method, some in values.items()
        for i, value in enumerate(some)
    ]
    names = ['participant_id', 'image', 'method', 'repetition', 'label', 'error_mm']
    layout = Layout(tmp_path, 'pair')
    layout.report('01').write_text('', encoding='utf-8')
    (table,) = largest_section(layout, pd.DataFrame(rows, columns=names)).tables
    assert [(row[2], row[4].shown) for row in table.rows[:5]] == [
        ('CNN', '9.0'),
        ('CNN', '3.0'),
        ('CNN', '1.0'),
        ('Rater B', '7.0'),
        ('Rater A', '2.0'),
    ]
    assert table.rows[0][0].href == 'sub-01_protocol-pair.html'
    assert table.rows[1][0] == 'sub-02'
