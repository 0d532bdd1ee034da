from __future__ import annotations

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
from report_data import HOSTILE, FakeOutput, Page, make_row

from tmsprep.reports.first_screen import cards, common_reason, off_centre, recommended

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
LEAD = {
    'ReferenceImage': {'Path': 'sub-01/anat/sub-01_T1w.nii.gz'},
    'MNI': {'Space': 'MNI152', 'Mapping': 'through a registration'},
}


def card_of(page: Page, label: str) -> str:
    """Text of one card, with single spaces."""
    (found,) = [
        item
        for item in re.findall(
            r'<li class="(?:good|look|bad)[^>]*>.*?</li>', page.source, re.DOTALL
        )
        if f'<small>{label}</small>' in item
    ]
    return unescape(' '.join(re.sub('<[^>]*>', ' ', found).split()))


def level_of(page: Page, label: str) -> str:
    before = page.source.split(f'<small>{label}</small>')[0]
    return re.findall(r'<li class="(good|look|bad)', before)[-1]


@pytest.fixture
def two(output: FakeOutput) -> FakeOutput:
    """Points of two methods: one target without a warning, one with, one missing, one second."""
    more = {'error90_mm': '2.5000', 'scalp_distance_mm': '21.4321', 'mni_x': '-42.1',
            'mni_y': '-21.2', 'mni_z': '62.3'}  # fmt: skip
    none = dict.fromkeys(more, 'n/a')
    output.table('sub-01', 'cnn', [
        make_row('LULIMBMC', ('-40.0', '-20.0', '50.0'), **more),
        make_row('RULIMBMC', ('40.0', '-20.0', '50.0'), 'disagreement', **none),
        make_row('LHESCHL', status='failed', **none),
        make_row('LOFC', ('-30.0', '50.0', '0.0'), 'wrong_side', **none),
    ], **LEAD)  # fmt: skip
    output.table('sub-01', 'syn', [
        make_row('LULIMBMC', ('-40.0', '-17.0', '54.0')),
        make_row('RULIMBMC', ('40.0', '-20.0', '70.0'), 'disagreement'),
        make_row('LHESCHL', status='failed'),
        make_row('LOFC', ('-31.0', '51.0', '1.0')),
    ], **LEAD)  # fmt: skip
    return output


def test_clear_target(two):
    page = two.write()
    text = card_of(page, 'LULIMBMC')
    assert text.startswith(
        'Left left hand M1 LULIMBMC if in doubt CNN -40.0 -20.0 50.0 2.5 5.0 21.4'
    )
    assert 'Left primary motor cortex, upper limb.' in text
    assert 'CNN is preferred by this protocol and has no warning.' in text
    assert 'Atlas (SyN) lies 5.0 mm away.' in text
    assert 'In MNI152: -42.1 -21.2 62.3 mm (through a registration).' in text
    assert 'If in doubt. On axial slices the precentral gyrus has a knob' in text
    assert level_of(page, 'LULIMBMC') == 'good'


def test_gyrus(output):
    """In words on the card and in the table; not as numbers in mm."""
    where = {'gyrus': 'left precentral gyrus', 'gyrus_probability': '0.9712'}
    other = {'gyrus': 'right postcentral gyrus', 'gyrus_probability': '0.0312'}
    output.table('sub-01', 'cnn', [
        make_row('LULIMBMC', ('-40.0', '-20.0', '50.0'), **where, crown_depth_mm='2.0871'),
        make_row('RULIMBMC', ('40.0', '-20.0', '50.0'), 'wrong_gyrus', **other,
                 crown_depth_mm='0.0123'),
    ], **LEAD)  # fmt: skip
    page = output.write()
    text = card_of(page, 'LULIMBMC')
    words = 'left precentral gyrus, 2.1 mm below the crown (expected gyrus: 97 %)'
    assert f'The point lies in: {words}.' in text
    assert page.text.count(words) == 2
    text = card_of(page, 'RULIMBMC')
    assert 'right postcentral gyrus, on the crown (expected gyrus: 3 %)' in text
    assert 'CNN: found, but not in the gyrus of the target' in text
    assert level_of(page, 'RULIMBMC') == 'look'
    assert '0.9712' not in page.source
    assert '2.0871' not in page.source


def test_warned_target(two):
    page = two.write()
    text = card_of(page, 'RULIMBMC')
    assert 'CNN, though no method is without a warning: found, but over 12 mm' in text
    assert 'Atlas (SyN) lies 20.0 mm away.' in text
    assert level_of(page, 'RULIMBMC') == 'look'


def test_other_method(two):
    page = two.write()
    text = card_of(page, 'LOFC')
    assert 'Atlas (SyN) -31.0 51.0 1.0' in text
    assert (
        'Atlas (SyN) has no warning, but CNN has: found, but on the other side of the midline; '
        'nothing confirms it.'
    ) in text
    assert level_of(page, 'LOFC') == 'look'


def test_no_point(two):
    page = two.write()
    text = card_of(page, 'LHESCHL')
    assert "Left left Heschl's gyrus LHESCHL if in doubt no point" in text
    assert 'No point may be used (CNN: the method failed; Atlas (SyN): the method failed).' in text
    assert level_of(page, 'LHESCHL') == 'bad'


def test_only_targets_of_the_tables(two):
    assert two.write().source.count('class="target-name"') == 4


def test_order_of_the_page(two):
    two.figure('sub-01', 'overview')
    two.figure('sub-01', 'LULIMBMC')
    page = two.write()
    order = ['sub-01-points', 'sub-01-table', 'sub-01-overview', 'sub-01-each-target',
             'sub-01-LULIMBMC', 'methods']  # fmt: skip
    assert [place for place in page.ids if place in order] == order
    for folded in ('overview', 'each-target'):
        assert f'<details class="unfold fold" id="sub-01-{folded}">' in page.source
    assert page.source.count('<img') == 2 + 4


def test_sketches(two):
    page = two.write()
    page.assert_alone()
    assert page.source.count('class="sketch"') == 4
    # The sketch of the second hand is not printed again.
    assert re.findall(r'<li class="\w+ twin">', page.source) == ['<li class="look twin">']


def test_columns_that_are_known(output):
    output.table('sub-01', 'cnn', [make_row('LULIMBMC', ('-40.0', '-20.0', '50.0'))])
    page = output.write()
    assert card_of(page, 'LULIMBMC').startswith(
        'Left left hand M1 LULIMBMC if in doubt CNN -40.0 -20.0 50.0 CNN has no'
    )
    for words in ('90 %', 'Scalp', 'Other method', 'through'):
        assert words not in page.text
    assert 'CNN has no warning; nothing confirms it.' in page.text


def test_unusual_entry(output):
    scalp = {'Unusual': {'LULIMBMC': 'the surface is turned by 22 degrees', 'LOFC': 'not here'}}
    row = make_row('LULIMBMC', ('-40.0', '-20.0', '50.0'), scalp_distance_mm='21.4')
    output.table('sub-01', 'cnn', [row], **LEAD, Scalp=scalp)
    page = output.write()
    assert 'Scalp entry of left hand M1 : the surface is turned by 22 degrees.' in ' '.join(
        page.text.split()
    )
    assert 'not here' not in page.source.partition('<dl>')[0]
    assert 'class="summary look"' in page.source


def test_common_reason(two):
    found = cards(recommended({}, two.protocol), two.protocol, {})
    assert (found, common_reason(found)) == ([], '')
    rows = [make_row(label, (1, 2, 3)) for label in ('LOFC', 'ROFC', 'LDLPFC')]
    two.table('sub-01', 'cnn', rows)
    two.table('sub-01', 'syn', [make_row('LDLPFC', (1, 2, 4))])
    reason = 'CNN has no warning; nothing confirms it.'
    page = two.write()
    assert f'{reason} Where this does not hold, the row says why.' in page.text
    assert re.findall('<span class="why">(.*?)</span>', page.source) == [
        'CNN is preferred by this protocol and has no warning.'
    ]


# Middles by hand: (8.8 + 22.8) / 2 = 15.8 and (-22 + 54) / 2 = 16; their median is 15.9.
LEFT, RIGHT = (8.8, -22.0), (22.8, 54.0)


@pytest.mark.parametrize('shift', [0.0, -16.0])
def test_head_off_centre(output, shift):
    rows = [
        make_row(side + what, (x + shift, 0, 0))
        for side, places in (('L', LEFT), ('R', RIGHT))
        for what, x in zip(('LLIMBMC', 'ULIMBMC'), places, strict=True)
    ]
    output.table('sub-01', 'cnn', rows)
    text = output.write().text
    words = (
        'The sign of x does not show the side here: left leg M1 lies at x = 8.8 mm. This is no '
        'error: x is counted from the origin of the scanner frame, not from the middle of the '
        'head, which lies at about x = 15.9 mm'
    )
    assert (words in text) == (shift == 0)
    assert ('The sign of x' in text) == (shift == 0)


def test_wrong_side_is_not_explained_away(output):
    rows = [make_row('LLLIMBMC', (9, 0, 0), 'wrong_side'), make_row('RLLIMBMC', (8, 0, 0))]
    output.table('sub-01', 'cnn', rows)
    assert 'The sign of x' not in output.write().text
    assert off_centre([], output.protocol) == ''


def test_further_points(output):
    output.table('sub-01', 'cnn', [make_row('LOFC', (1, 2, 3))])
    own = make_row('SMA', (0, -6, 58), 'off_cortex', region=HOSTILE)
    output.table('sub-01', 'points', [{**own, 'hemisphere': 'n/a'}])
    page = output.write()
    assert 'script' not in page.tags
    assert 'Midline SMA Given point 0.0 -6.0 58.0 Given point, though it has' in page.text
    assert 'found, but not moved, as no grey matter was found within 10 mm' in page.text
    page.assert_alone()


def test_reviewed(output):
    output.table('sub-01', 'cnn', [make_row('LOFC', (1, 2, 3)), make_row('ROFC', (4, 5, 6))])
    review = {'reviewer': 'AB', 'date': '2026-11-27', 'comment': 'on the crown'}
    output.table('sub-01', 'reviewed', [
        make_row('LOFC', (1, 2, 7), decision='moved', **review),
        make_row('ROFC', decision='rejected', **review),
    ])  # fmt: skip
    page = output.write()
    assert 'Moved by AB on 2026-11-27: on the crown.' in card_of(page, 'LOFC')
    assert ' 1.0 2.0 7.0 ' in card_of(page, 'LOFC')
    assert 'CNN lies 4.0 mm away.' in card_of(page, 'LOFC')
    assert 'no point' in card_of(page, 'ROFC')
    assert 'Rejected by AB on 2026-11-27: on the crown.' in card_of(page, 'ROFC')


def chromium(page: Path, place: str, *options: str) -> bytes:
    """Open a page at one of its places and return what the browser prints to standard output."""
    profile = f'--user-data-dir={page.parent / "browser"}'
    command = [str(CHROMIUM), '--headless', '--no-sandbox', '--disable-gpu', profile, *options]
    url = f'{page.as_uri()}#{place}'
    return subprocess.run([*command, url], capture_output=True, timeout=120, check=True).stdout


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason='needs Chromium')
def test_folded_figures(two, tmp_path):
    # Each figure is too high for a second one on a sheet of A4.
    tall = '<svg xmlns="http://www.w3.org/2000/svg" width="600" height="700"/>'
    for label in ('LULIMBMC', 'RULIMBMC', 'LOFC'):
        two.figure('sub-01', label, tall)
    page = two.write().path
    # On the screen a link opens what is folded, and nothing else does.
    fold = '<details class="unfold fold" id="sub-01-each-target"'
    shown = chromium(page, 'sub-01-LOFC', '--dump-dom').decode()
    assert f'{fold} open="">' in shown
    assert f'{fold}>' in chromium(page, 'sub-01-table', '--dump-dom').decode()
    # On paper all of it is there.
    sheets = tmp_path / 'sheets.pdf'
    chromium(page, '', f'--print-to-pdf={sheets}')
    assert len(re.findall(rb'/Type /Page\b', sheets.read_bytes())) >= 5
    # Without figures the same report takes fewer.
    for path in two.root.rglob('*.svg'):
        path.unlink()
    chromium(two.write().path, '', f'--print-to-pdf={sheets}')
    assert len(re.findall(rb'/Type /Page\b', sheets.read_bytes())) <= 3
