from __future__ import annotations

from urllib.parse import unquote

import pytest
from report_data import HOSTILE, FakeOutput, Page, make_row

from tmsprep.disclaimer import disclaimer
from tmsprep.reports.collect import entities_in_words

CNN = {
    'SoftwareVersion': '7.8.9',
    'RandomSeed': 4711,
    'Weights': {'Name': 'ball-net', 'SHA256': 'ab' * 32},
    'EnsembleSize': 5,
    'ReferenceImage': {'Path': 'sub-01/anat/sub-01_T1w.nii.gz'},
    'dispersion_mm': {'Description': 'Spread of the networks'},
    'error90_mm': {'Description': 'Radius of a ball', 'LongName': '90 % error'},
}
SYN = {
    'SoftwareVersion': '7.8.9',
    'RandomSeed': 4711,
    'Atlas': {'Name': 'MNI152NLin2009aSym'},
    'SynPreset': 'paper',
}


@pytest.fixture
def both(output: FakeOutput) -> FakeOutput:
    cnn = [
        make_row('LA', ('-40.1234', '10.0000', '20.5000'), dispersion_mm='1.5000',
                 error90_mm='6.2500', distance_to_syn_mm='5.4321'),
        make_row('RA', ('40.0000', '-10.9876', '20.0000'), 'disagreement', dispersion_mm='n/a',
                 error90_mm='7.0000', distance_to_syn_mm='13.7654'),
    ]  # fmt: skip
    syn = [
        make_row('LA', ('-37.0000', '14.0000', '20.0000'), distance_to_cnn_mm='5.4321'),
        make_row(
            'RA', ('40.0000', '1.0000', '26.0000'), 'disagreement', distance_to_cnn_mm='13.7654'
        ),
    ]
    output.table('sub-01', 'cnn', cnn, **CNN)
    output.table('sub-01', 'syn', syn, **SYN)
    for what in ('LA', 'RA', 'overview', 'brain', 'registration', 'extra'):
        output.figure('sub-01', what, f'<svg xmlns="http://www.w3.org/2000/svg" id="{what}"/>')
    return output


def test_numbers(both):
    page = both.write()
    la = ['-40.1234', '10.0000', '20.5000', '1.5000', '6.2500', '5.4321']
    la += ['-37.0000', '14.0000', '20.0000']
    ra = ['40.0000', '-10.9876', '20.0000', '7.0000', '13.7654', '40.0000', '1.0000', '26.0000']
    assert page.numbers == [*la, *ra]
    assert '<data value="-40.1234">-40.1</data>' in page.source


def test_summary(both):
    page = both.write()
    assert 'Look before use: 1 of 2 targets carry a warning.' in page.text
    assert 'CNN : 2 of 2 targets found, 1 without a warning.' in page.text
    assert 'Largest disagreement: 13.8 mm , CNN to Atlas (SyN), at RA (region of RA).' in page.text
    assert 'CNN and Atlas (SyN): found, but over 12 mm from the other method (RA).' in page.text
    assert page.text.count(disclaimer(both.protocol)) == 1


def test_columns(both):
    text = both.write().text
    assert 'Dispersion 90 % error Between methods' in text
    assert 'Dispersion: Spread of the networks. 90 % error: Radius of a ball.' in text


def test_experts(both):
    rows = [
        make_row('LA', ('-40.1234', '10.0000', '24.5000'), 'consensus', variability_mm='2.3456'),
        make_row('RA', status='no_consensus', variability_mm='n/a'),
    ]
    both.table('sub-01', 'expert', rows, Raters=['ann', 'bob'], ConsensusThreshold=12.0)
    page = both.write()
    # Besides the 17 numbers without experts: a point, its variability, and two distances.
    assert len(page.numbers) == 17 + 3 + 1 + 2
    assert '<data value="2.3456">2.3</data>' in page.source
    assert '<small>CNN to Expert</small> <data value="4.0000">4.0</data>' in page.source
    assert 'Look before use: 1 of 2 targets carry a warning.' in page.text
    assert 'raters gave the point, but no two of them agree' in page.text
    assert 'Points by ann, bob.' in page.text
    assert 'who are all within 12 mm of each other' in page.text


def test_experts_after_failed_run(output):
    output.table('sub-01', 'expert', [make_row('LA', (1, 2, 3), 'consensus')])
    output.error('sub-01_T1w', 'conform', message='cut short')
    page = output.write()
    assert page.numbers == []
    assert 'earlier run' not in page.text


def test_methods(both):
    text = both.write().text
    assert 'weights ball-net (SHA-256 ' + 'ab' * 32 + ' ); the mean of 5 networks.' in text
    assert 'from the atlas MNI152NLin2009aSym by rigid' in text
    assert 'preset paper' in text
    assert text.count('tmsprep 7.8.9, random seed 4711.') == 2
    assert 'sub-01/anat/sub-01_T1w.nii.gz' in text
    assert 'doi:10.1007/s11548-021-02386-1' in text


def test_stands_alone(both):
    page = both.write()
    page.assert_alone()
    shown = [unquote(image.split(',', 1)[1]) for image in page.images]
    places = [image.split('id="')[1].split('"')[0] for image in shown]
    # Every figure is shown once; that which no section claims comes before the method's.
    assert places == ['overview', 'LA', 'RA', 'extra', 'brain', 'registration']
    assert all(link.startswith(('#', 'https://doi.org/')) for link in page.links)


def test_repeatable(both):
    first = both.write().source
    assert both.write('sub-01').source == first
    assert [p.name for p in both.root.glob('*.html')] == ['sub-01_protocol-tms.html']


def test_escaping(output):
    hostile = {'Weights': {'Name': HOSTILE}, 'ReferenceImage': {'Path': HOSTILE}, HOSTILE: HOSTILE}
    output.table('sub-01', 'cnn', [make_row('LA', (1, 2, 3), HOSTILE, region=HOSTILE)], **hostile)
    output.figure('sub-01', 'LA', f'<svg xmlns="x">{HOSTILE}</svg>')
    record = dict.fromkeys(('message', 'cure', 'traceback'), HOSTILE)
    output.error('sub-01_T1w', 'syn', tables_written=True, **record)
    page = output.write()
    assert 'script' not in page.tags
    assert page.text.count(HOSTILE) >= 8


@pytest.mark.parametrize(('method', 'sidecar'), [('cnn', CNN), ('syn', SYN)])
def test_one_method(output, method, sidecar):
    rows = [make_row('LA', (1, 2, 3)), make_row('RA', (4, 5, 6))]
    output.table('sub-01', method, rows, **sidecar)
    page = output.write()
    assert 'There are points of one method only, so nothing confirms them.' in page.text
    assert page.numbers == list('123456')
    assert 'No warnings.' in page.text
    assert ('multi-resolution convolutional network' in page.text) == (method == 'cnn')
    assert ('symmetric diffeomorphic' in page.text.split('References')[0]) == (method == 'syn')


def test_unknown_method(output):
    output.table('sub-01', 'mine', [make_row('LA', (1, 2, 3))], Description='Points by hand')
    text = output.write().text
    assert 'mine : 1 of 1 targets found.' in text
    assert 'mine. Points by hand.' in text


def test_error_radius(output):
    rows = [
        make_row('LA', (1, 2, 3), error90_mm='4.5'),
        make_row('RA', (4, 5, 6), error90_mm='n/a'),
    ]
    calibration = {'Level': 0.9, 'People': {'LA': 20, 'RA': 8}, 'ScaledByDispersion': True}
    calibration['Missing'] = {'RA': 'the image is odd'}
    output.table('sub-01', 'cnn', rows, **CNN, Calibration=calibration)
    output.figure('sub-01', 'LA')
    text = output.write().text
    assert 'The radius of 90 % of errors was found by split conformal prediction' in text
    assert 'scaled by the dispersion of the networks' in text
    assert 'from the errors of 8 to 20 participants per target' in text
    assert 'Lei J, ' in text
    assert 'Dashed circle: 90 % of errors' in text
    assert 'No 90 % error for RA: the image is odd.' in text
    assert 'human experts differ by about 7 mm' in text


def test_no_error_radius(output):
    output.table('sub-01', 'cnn', [make_row('LA', (1, 2, 3))], EnsembleSize=1)
    output.figure('sub-01', 'LA')
    text = output.write().text
    assert 'onformal' not in text
    assert '90 %' not in text
    assert 'the mean of 1 network.' in text


@pytest.mark.parametrize('node', ['conform', 'derivatives', 'cnn'])
def test_earlier_points(both, node):
    # A method that fails as foreseen has its working folder in the record; a crash has not.
    both.error('sub-01_T1w', node, message='cut short')
    page = both.write()
    assert page.numbers == []
    assert 'img' not in page.tags
    assert 'No stimulation targets: the last run of this image failed.' in page.text
    assert 'left points of this image: sub-01_protocol-tms_desc-cnn_targets.tsv' in page.text
    assert 'cut short' in page.text


def test_points_of_same_run(both):
    both.error('sub-01_T1w', 'syn', tables_written=True, message='no plausible brain')
    page = both.write()
    assert len(page.numbers) == 17
    assert 'img' in page.tags
    both.error('sub-01_T1w', 'figures', message='disk full')
    page = both.write()
    assert len(page.numbers) == 17
    # It is not known which figures are of this run.
    assert 'img' not in page.tags
    assert 'earlier run' not in page.text


def test_all_failed(output):
    record = {'message': 'the file is cut off', 'cure': 'copy it again', 'traceback': 'EOFError'}
    output.error('sub-01_T1w', 'conform', image='sub-01_T1w.nii.gz', **record)
    text = output.write().text
    for words in ('conform failed', 'the file is cut off', 'copy it again', 'EOFError'):
        assert words in text
    assert 'No stimulation targets: no method left a table.' in text
    assert '1 failed step' in text


def test_input_problem(output):
    output.error('sub-01', 'input', message='two images of one name')
    text = output.write().text
    assert 'input failed two images of one name' in text
    assert 'See what went wrong' in text


def test_nothing(output):
    text = output.write().text
    assert 'The output folder holds no stimulation targets of this participant.' in text
    assert 'No method left a result' in text


def test_unreadable_table(output):
    output.table('sub-01', 'cnn', [{'label': 'LA'}])
    assert 'sub-01_protocol-tms_desc-cnn_targets.tsv cannot be used' in output.write().text


def test_several_images(output):
    for image, place in (('sub-01_ses-A_run-1', 1), ('sub-01_ses-B_acq-mprage', 2)):
        output.table(image, 'cnn', [make_row('LA', (place, 0, 0))], **CNN)
    page = output.write()
    page.assert_alone()
    assert 'Session A, run 1' in page.text
    assert 'Session B, acquisition mprage' in page.text
    assert page.numbers == ['1', '0', '0', '2', '0', '0']
    # One way of running the method, so one paragraph that names both images.
    assert page.text.count('random seed 4711. Images:') == 1
    assert 'Images: sub-01_ses-A_run-1, sub-01_ses-B_acq-mprage.' in page.text


def test_two_protocols(both):
    other = FakeOutput(both.root, 'afids')
    other.table('sub-01', 'cnn', [make_row('1', (7, 8, 9))])
    other.error('sub-01_T1w', 'figures', message='trouble elsewhere')
    page = Page(both.write().path)
    assert len(page.numbers) == 17
    assert 'trouble' not in page.text
    assert other.write().numbers == list('789')


def test_entities_in_words():
    assert entities_in_words('sub-01') == ''
    assert entities_in_words('sub-01_ses-pre_rec-norm_run-02') == (
        'session pre, reconstruction norm, run 02'
    )
