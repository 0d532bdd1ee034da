from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tmsprep.disclaimer import DISCLAIMER
from tmsprep.evaluation.errors import errors_against_consensus, leave_one_rater_out
from tmsprep.evaluation.paper_tables import table2, table3
from tmsprep.protocols import Protocol, Target
from tmsprep.reports.group import write_group_report
from tmsprep.reports.group_answer import group_answer
from tmsprep.reports.group_content import GroupContent, LeftOut

HOSTILE = '<script>alert("x")</script>'
PAIR = Protocol(
    'pair',
    'Two made-up targets',
    'nobody',
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


def points_of(people: int, methods: tuple[str, ...]) -> pd.DataFrame:
    """Person k: the CNN k mm to the right of the consensus, SyN 2k + 1 mm in front of it, raters
    2 mm above and below it."""
    rows = [
        (f'sub-{k:02d}', f'sub-{k:02d}', m, np.nan, label, *(place + offset), 'ok', np.nan)
        for k in range(1, people + 1)
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


def content_of(points: pd.DataFrame, **more: object) -> GroupContent:
    errors = errors_against_consensus(points)
    tables = {}
    if errors['error_mm'].notna().any():
        alone = leave_one_rater_out(points)
        tables = {
            'table2': table2(points, errors, PAIR, network='cnn', registration='syn'),
            'table3': table3(errors, PAIR, network='cnn', registration='syn', leave_one_out=alone),
        }
    return GroupContent(PAIR, points, errors, tables, **more)


class Page(HTMLParser):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding='utf-8')
        self.tags, self.links, self.images, self.ids, self.words = set(), [], [], [], []
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.add(tag)
        self.ids += [attributes['id']] if 'id' in attributes else []
        self.links += [attributes['href']] if 'href' in attributes else []
        self.images += [attributes['src']] if 'src' in attributes else []

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return ' '.join(' '.join(self.words).split())


@pytest.fixture(scope='module')
def whole(tmp_path_factory) -> Page:
    out = tmp_path_factory.mktemp('out')
    (out / 'sub-08.html').write_text('own report', encoding='utf-8')
    points = points_of(8, ALL)
    left_out = [LeftOut('sub-09', 'no T1w; copy it'), LeftOut('sub-10', 'not marked', 'note')]
    content = content_of(
        points,
        left_out=left_out,
        reference='Raters that a test made up.',
        template_points=points[points['method'] == 'consensus'],
    )
    return Page(write_group_report(out, content))


def test_the_answer_has_the_numbers_worked_by_hand() -> None:
    answer = group_answer(content_of(points_of(8, ALL)))
    # Errors are 1..8, 3..17 and always 2: means 4.5, 10 and 2.
    assert answer.verdict.replace('\N{NO-BREAK SPACE}', ' ') == (
        'Mean distance from the consensus of the raters: the raters themselves 2.0 mm, the CNN '
        '4.5 mm and the atlas registration 10.0 mm.'
    )
    assert answer.targets == 'the 1 target for chronic pain (LA)'
    cnn = answer.rows[1]
    assert (cnn.mean, cnn.half, cnn.largest) == ('4.5', '4.5', '8.0')
    assert float(cnn.most) == pytest.approx(7.65, abs=0.051)
    assert (cnn.where, cnn.n, cnn.people) == ('sub-08, LA', '8', '8')
    assert answer.rows[0].interval == '2.0 to 2.0'
    # Differences CNN - SyN are -2..-9, all of one sign: Z = 36 / sqrt(204), p = 0.0117, the
    # smallest of three tests: times 3.
    first = answer.sentences[0]
    assert first.startswith(
        'On average the CNN was 5.5 mm nearer to the consensus than the atlas registration '
        '(95 % confidence interval '
    )
    assert 'The difference is significant (Wilcoxon, p = 0.035).' in first
    assert 'It is not shown that their mean errors differ by less than 3 mm' in first
    assert 'the CNN was 2.5 mm further from the consensus than the raters' in answer.sentences[1]
    assert any('Each rater lay 4.0 mm from the consensus of the other' in s
               for s in answer.sentences)  # fmt: skip
    assert any('If these people were among those it was trained on' in s
               for s in answer.sentences)  # fmt: skip


def test_the_intervals_of_a_nearer_method_are_turned_with_the_sign() -> None:
    first = group_answer(content_of(points_of(8, ALL))).sentences[0]
    low, high = map(float, re.search(r'interval (\S+) to (\S+) mm', first).groups())
    assert 2 < low < 5.5 < high < 9


def test_no_reference_gives_no_verdict() -> None:
    answer = group_answer(content_of(points_of(8, ('cnn', 'syn'))))
    assert not answer.measured
    assert answer.verdict == 'How far the points are off cannot be told.'
    assert "Nobody's points were marked" in answer.sentences[0]


def test_disagreement_of_raters_is_said() -> None:
    points = points_of(8, ALL)
    consensus = points['method'] == 'consensus'
    points.loc[consensus & (points['participant_id'] == 'sub-01'), 'status'] = 'single'
    last = consensus & (points['participant_id'] == 'sub-02')
    points.loc[last, ['x', 'y', 'z']] = np.nan
    points.loc[last, 'status'] = 'no_consensus'
    text = ' '.join(group_answer(content_of(points)).sentences)
    assert '2 of 16 reference points are by one rater alone.' in text
    assert 'On 2 of 16 targets in images no two raters agreed' in text


def test_the_page_says_it_all(whole: Page) -> None:
    assert '8 people, 2 targets' in whole.text
    assert 'Raters that a test made up.' in whole.text
    assert 'sub-09 error no T1w; copy it' in whole.text
    assert '2 remarks on people and files' in whole.text
    assert '1 of them is an error or a warning' in whole.text
    assert '1 to look at' in whole.text
    assert whole.text.count(DISCLAIMER) == 2
    assert 'Left out:' not in whole.text
    assert len(whole.images) == 5


def test_the_page_stands_alone(whole: Page) -> None:
    assert not whole.tags & {'script', 'link', 'iframe', 'object', 'embed', 'base', 'form'}
    assert not re.search(r'url\(|@import', whole.source)
    assert all(image.startswith('data:image/svg+xml;base64,') for image in whole.images)
    inner = {link[1:] for link in whole.links if link.startswith('#')}
    assert inner <= set(whole.ids)
    assert len(whole.ids) == len(set(whole.ids))


def test_links_lead_to_reports_that_exist(whole: Page) -> None:
    outer = {link for link in whole.links if not link.startswith(('#', 'https://doi.org/'))}
    assert outer == {'sub-08.html'}


def test_the_tables_are_those_of_the_paper(whole: Page) -> None:
    text = whole.text.replace('\N{NO-BREAK SPACE}', ' ')
    assert '10.00 ± 4.90 (n = 8)' in text
    assert '<strong>2.52</strong> * CNN' in whole.source


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    content = content_of(points_of(3, ALL))
    first = write_group_report(tmp_path, content).read_bytes()
    assert write_group_report(tmp_path, content).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ['group.html']


def test_nobody_annotated(tmp_path: Path) -> None:
    text = Page(write_group_report(tmp_path, content_of(points_of(3, ('cnn', 'syn'))))).text
    assert 'How far the points are off cannot be told.' in text
    assert 'Left out: no point can be compared with a consensus of raters.' in text
    assert 'CNN minus Atlas (SyN)' not in text
    assert 'Atlas (SyN) minus CNN' in text
    assert 'nothing to tabulate' in text


def test_raters_alone(tmp_path: Path) -> None:
    points = points_of(3, ('rater-A', 'rater-B', 'consensus'))
    page = Page(write_group_report(tmp_path, content_of(points)))
    text = page.text.replace('\N{NO-BREAK SPACE}', ' ')
    assert 'consensus of the raters: the raters themselves 2.0 mm.' in text
    assert 'If these people were among' not in text
    assert 'Left out: there are no two methods with points in common.' in text
    assert len(page.images) == 2


def test_one_person(tmp_path: Path) -> None:
    page = Page(write_group_report(tmp_path, content_of(points_of(1, ALL))))
    assert '1 person, 2 targets' in page.text
    assert '2.0 mm nearer to the consensus than the atlas registration (1 person, paired). ' in (
        page.text
    )
    assert 'Not tested: only one participant' in page.text
    assert 'nan' not in page.text.replace('nano', '')


def test_nobody_at_all(tmp_path: Path) -> None:
    content = content_of(points_of(0, ALL), left_out=[LeftOut('sub-01', 'failed')])
    page = Page(write_group_report(tmp_path, content))
    assert 'There are no points of anybody.' in page.text
    assert 'sub-01 error failed' in page.text
    assert page.images == []
    assert page.text.count('Left out:') == 6


def test_hostile_text_is_escaped(tmp_path: Path) -> None:
    points = points_of(3, ALL)
    swap = {'rater-A': f'rater-{HOSTILE}'}
    points = points.assign(
        method=points['method'].replace(swap),
        participant_id=points['participant_id'].replace({'sub-01': HOSTILE}),
    )
    content = content_of(points, left_out=[LeftOut(HOSTILE, HOSTILE)], reference=HOSTILE)
    page = Page(write_group_report(tmp_path, content))
    assert 'script' not in page.tags
    assert page.text.count('<script>alert("x")</script>') >= 5


def test_of_very_many_remarks_the_first_are_listed_and_the_rest_counted(tmp_path: Path) -> None:
    left_out = [LeftOut(f'sub-{i:03d}', f'failed in its own way {i}') for i in range(230)]
    page = Page(write_group_report(tmp_path, content_of(points_of(2, ALL), left_out=left_out)))
    assert 'failed in its own way 199' in page.text
    assert 'failed in its own way 200' not in page.text
    assert 'And 30 more, which group_people.tsv beside this file and the log have.' in page.text
    assert '230 remarks' in page.text
