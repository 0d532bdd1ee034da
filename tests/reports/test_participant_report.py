from __future__ import annotations

import base64
import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tmsprep.disclaimer import DISCLAIMER
from tmsprep.reports.participant import entity_title, write_participant_report

HOSTILE = '<script>alert("x")</script>'
CNN = {
    'SoftwareVersion': '7.8.9',
    'RandomSeed': 4711,
    'Weights': {'Name': 'ball-net', 'SHA256': 'ab' * 32},
    'EnsembleSize': 5,
    'ReferenceImage': {'Path': 'sub-01/anat/sub-01_T1w.nii.gz'},
}
SYN = {
    'SoftwareVersion': '7.8.9',
    'RandomSeed': 4711,
    'Atlas': {'Name': 'MNI152NLin2009aSym'},
    'SynPreset': 'paper',
}


class Page(HTMLParser):
    """The tags, links, numbers and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags, self.links, self.numbers, self.ids, self.words = set(), [], [], [], []
        self.source = path.read_text(encoding='utf-8')
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.add(tag)
        self.links += [(tag, attributes[key]) for key in ('src', 'href') if key in attributes]
        if 'id' in attributes:
            self.ids.append(attributes['id'])
        if tag == 'data':
            self.numbers.append(attributes['value'])

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return ' '.join(' '.join(self.words).split())


@pytest.fixture
def both(output, row):
    cnn = [
        row('LA', ('-40.1234', '10.0000', '20.5000'), dispersion_mm='1.5000',
            error90_mm='6.2500', distance_to_syn_mm='5.4321'),
        row('RA', ('40.0000', '-10.9876', '20.0000'), 'disagreement', dispersion_mm='n/a',
            error90_mm='7.0000', distance_to_syn_mm='13.7654'),
    ]  # fmt: skip
    syn = [
        row('LA', ('-37.0000', '14.0000', '20.0000'), distance_to_cnn_mm='5.4321'),
        row('RA', ('40.0000', '1.0000', '26.0000'), 'disagreement', distance_to_cnn_mm='13.7654'),
    ]
    output.table('sub-01', 'cnn', cnn, **CNN)
    output.table('sub-01', 'syn', syn, **SYN)
    for what in ('LA', 'RA', 'overview', 'brain', 'registration', 'extra'):
        output.figure('sub-01', what)
    return output


def write(output) -> Page:
    return Page(write_participant_report(output.root, '01'))


def test_numbers_are_those_of_the_tables(both):
    expected = []
    tables = {}
    for method in ('cnn', 'syn'):
        path = both.root / f'sub-01/anat/sub-01_desc-{method}_targets.tsv'
        with path.open(newline='') as stream:
            tables[method] = list(csv.DictReader(stream, delimiter='\t'))
    for index in range(2):
        cnn, syn = tables['cnn'][index], tables['syn'][index]
        cells = [cnn[key] for key in ('x', 'y', 'z', 'dispersion_mm', 'error90_mm')]
        expected += [*cells, cnn['distance_to_syn_mm'], *(syn[key] for key in 'xyz')]
    page = write(both)
    assert page.numbers == [cell for cell in expected if cell != 'n/a']
    assert '<data value="-40.1234">-40.1</data>' in page.source


def test_summary_says_what_was_found(both):
    text = write(both).text
    assert 'Look before use: 1 of 2 targets carry a warning.' in text
    assert 'CNN : 2 of 2 targets found, 1 without a warning.' in text
    assert 'Largest disagreement: 13.8 mm , CNN to Atlas (SyN), at RA (region of RA).' in text
    assert 'CNN and Atlas (SyN): found, but over 12 mm from the other method (RA).' in text
    assert DISCLAIMER in text


def test_experts_are_shown_with_their_variability_and_warn_of_nothing(both, row):
    both.table(
        'sub-01',
        'expert',
        [
            row('LA', ('-40.1234', '10.0000', '24.5000'), 'consensus', variability_mm='2.3456'),
            row('RA', status='no_consensus', variability_mm='n/a'),
        ],
        Raters=['ann', 'bob'],
        ConsensusThreshold=12.0,
    )
    page = write(both)
    # Beside the 17 numbers without experts: a point, EV, NE and RE.
    assert len(page.numbers) == 17 + 3 + 1 + 2
    assert '<data value="2.3456">2.3</data>' in page.source
    assert '<small>CNN to Expert (NE)</small> <data value="4.0000">4.0</data>' in page.source
    assert 'Atlas (SyN) to Expert (RE)' in page.text
    assert 'Look before use: 1 of 2 targets carry a warning.' in page.text
    assert 'the raters do not agree: no point' in page.text
    assert 'EV: mean distance of the raters from their consensus' in page.text
    assert 'Points by ann, bob.' in page.text
    assert 'each is within 12 mm of the others' in page.text


def test_the_experts_table_is_not_of_an_earlier_run(output, row):
    output.table('sub-01', 'expert', [row('LA', (1, 2, 3), 'consensus')])
    output.error('sub-01', 'a', node='conform', image='sub-01_T1w.nii.gz', message='cut short')
    page = write(output)
    assert page.numbers == []
    assert 'earlier run' not in page.text


def test_methods_name_versions_seed_weights_and_atlas(both):
    text = write(both).text
    assert 'weights ball-net (SHA-256 ' + 'ab' * 32 + ' ); the mean of 5 networks.' in text
    assert 'from the atlas MNI152NLin2009aSym by rigid' in text
    assert 'preset paper' in text
    assert text.count('tmsprep 7.8.9, random seed 4711.') == 2
    assert 'sub-01/anat/sub-01_T1w.nii.gz' in text


def test_page_stands_alone(both):
    page = write(both)
    assert not page.tags & {'script', 'link', 'iframe', 'object', 'embed', 'base', 'form'}
    assert not re.search(r'url\(|@import', page.source)
    sources = [link for tag, link in page.links if tag == 'img']
    assert len(sources) == 6
    assert all(link.startswith('data:image/svg+xml;base64,') for link in sources)
    assert base64.b64decode(sources[0].split(',')[1]).startswith(b'<svg')
    assert "default-src 'none'" in page.source
    for tag, link in page.links:
        if tag == 'a':
            assert link.startswith(('#', 'https://doi.org/'))


def test_links_inside_the_page_lead_somewhere(both):
    page = write(both)
    inner = {link[1:] for tag, link in page.links if tag == 'a' and link.startswith('#')}
    assert inner
    assert inner <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_same_derivatives_give_the_same_bytes(both):
    first = write_participant_report(both.root, '01').read_bytes()
    assert write_participant_report(both.root, 'sub-01').read_bytes() == first
    assert [p.name for p in both.root.glob('*.html')] == ['sub-01.html']


def test_hostile_text_is_escaped(output, row):
    hostile = {'Weights': {'Name': HOSTILE}, 'ReferenceImage': {'Path': HOSTILE}, HOSTILE: HOSTILE}
    rows = [row('LA', (1, 2, 3), HOSTILE, region=HOSTILE)]
    output.table('sub-01', 'cnn', rows, **hostile)
    output.figure('sub-01', 'LA', f'<svg xmlns="x">{HOSTILE}</svg>')
    record = dict.fromkeys(('node', 'message', 'cure', 'traceback'), HOSTILE)
    output.error('sub-01', 'a', image='sub-01_T1w.nii.gz', node_dir='wf/syn', **record)
    page = write(output)
    assert 'script' not in page.tags
    assert page.text.count('<script>alert("x")</script>') >= 8


@pytest.mark.parametrize(('method', 'sidecar'), [('cnn', CNN), ('syn', SYN)])
def test_one_method_is_enough(output, row, method, sidecar):
    output.table('sub-01', method, [row('LA', (1, 2, 3)), row('RA', (4, 5, 6))], **sidecar)
    page = write(output)
    assert 'There are points of one method only, so nothing confirms them.' in page.text
    assert page.numbers == list('123456')
    assert 'No warnings.' in page.text
    assert ('multi-resolution convolutional network' in page.text) == (method == 'cnn')
    assert ('symmetric diffeomorphic' in page.text.split('References')[0]) == (method == 'syn')


def test_the_radius_is_explained_with_its_source(output, row):
    rows = [row('LA', (1, 2, 3), error90_mm='4.5000'), row('RA', (4, 5, 6), error90_mm='n/a')]
    people = {'LA': 20, 'RA': 8}
    calibration = {'Level': 0.9, 'People': people, 'ScaledByDispersion': True}
    output.table('sub-01', 'cnn', rows, **CNN, Calibration=calibration)
    output.figure('sub-01', 'LA')
    text = write(output).text
    assert 'The radius of 90 % of errors was found by split conformal prediction' in text
    assert 'scaled by the dispersion of the networks' in text
    assert 'from the errors of 8 to 20 people per target' in text
    assert 'Lei J, ' in text
    assert 'Dashed circle: 90\xa0% of errors' in text.replace('90 %', '90\xa0%')


def test_without_a_calibration_nothing_is_said_of_it(output, row):
    output.table('sub-01', 'cnn', [row('LA', (1, 2, 3))], **CNN)
    text = write(output).text
    assert 'onformal' not in text
    assert '90' not in text.split('Targets')[1].split('Methods')[0]


@pytest.mark.parametrize('node', ['conform', 'derivatives', 'cnn'])
def test_points_of_an_earlier_run_are_named_but_not_shown(both, node):
    # A method that fails as foreseen has its working folder in the record; a crash has not.
    both.error('sub-01', 'a', node=node, image='sub-01_T1w.nii.gz', message='cut short')
    page = write(both)
    assert page.numbers == []
    assert 'img' not in page.tags
    assert 'No targets: the last run of this image failed.' in page.text
    assert 'An earlier run left points of this image: sub-01_desc-cnn_targets.tsv' in page.text
    assert 'cut short' in page.text


def test_points_of_the_same_run_are_shown(both):
    record = {'image': 'sub-01_T1w.nii.gz', 'message': 'no plausible brain'}
    both.error('sub-01', 'a', node='syn', node_dir='wf/syn', **record)
    page = write(both)
    assert len(page.numbers) == 17
    assert 'img' in page.tags
    both.error('sub-01', 'b', node='figures', image='sub-01_T1w.nii.gz', message='disk full')
    page = write(both)
    assert len(page.numbers) == 17
    # Which figures are of this run is not known.
    assert 'img' not in page.tags
    assert 'earlier run' not in page.text


def test_all_failed_is_said(output):
    output.error(
        'sub-01',
        'conform',
        node='conform',
        image='sub-01_T1w.nii.gz',
        message='the file is cut off',
        cure='copy it again',
        traceback='EOFError',
    )
    page = write(output)
    for words in ('No targets', 'conform failed', 'the file is cut off', 'copy it again'):
        assert words in page.text
    assert 'EOFError' in page.text
    assert '1 step failed' in page.text


def test_a_person_without_anything_gets_a_page(output):
    text = write(output).text
    assert 'The output folder holds no target of this person.' in text
    assert 'No method left a result' in text


def test_unreadable_files_are_named(output, row):
    output.table('sub-01', 'cnn', [{'label': 'LA'}])
    text = write(output).text
    assert 'sub-01_desc-cnn_targets.tsv could not be read' in text


def test_each_image_has_its_section(output, row):
    for image, place in (('sub-01_ses-A_run-1', 1), ('sub-01_ses-B_acq-mprage', 2)):
        output.table(image, 'cnn', [row('LA', (place, 0, 0))], **CNN)
    page = write(output)
    assert 'session A, run 1' in page.text
    assert 'session B, acquisition mprage' in page.text
    assert page.numbers == ['1', '0', '0', '2', '0', '0']
    assert len(page.ids) == len(set(page.ids))
    # One way of running the method, so one paragraph that names both images.
    assert page.text.count('random seed 4711') == 1
    assert 'Images: sub-01_ses-A_run-1, sub-01_ses-B_acq-mprage.' in page.text


def test_entities_in_words():
    assert entity_title('sub-01') == 'T1w'
    assert entity_title('sub-01_ses-pre_rec-norm_run-02') == (
        'session pre, reconstruction norm, run 02'
    )
