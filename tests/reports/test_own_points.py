from __future__ import annotations

from report_data import HOSTILE, FakeOutput, make_row

PLACES = {'given_x': '0.0000', 'given_y': '-6.0000', 'given_z': '58.5000', 'snap_mm': '1.2345'}
SIDECAR = {
    'PointSpace': {'Name': 'MNI152NLin6Asym', 'Accuracy': 'by an affine'},
    'MNI': {'Space': 'MNI152NLin2009aSym', 'Mapping': 'through the registration'},
}


def written(output: FakeOutput, status: str = 'ok', label: str = 'SMA', **sidecar: object) -> str:
    row = make_row(label, ('-3.0000', '-14.0000', '64.5000'), status, **PLACES)
    output.table('sub-01', 'cnn', [make_row('LA', ('1', '2', '3'))])
    output.table('sub-01', 'points', [row], **{**SIDECAR, **sidecar})
    return output.write().text


def test_table_of_their_own(output: FakeOutput) -> None:
    text = written(output)
    assert 'Points of your own' in text
    assert 'Points given in MNI152NLin6Asym, carried into this image through' in text
    assert '0, -6, 58.5' in text
    # They are no targets of the protocol, and no method.
    assert '1 of 1 targets found' in text
    page = output.write()
    assert page.source.count('<data value="-14.0000">') == 1
    assert '<data value="1.2345">1.2</data>' in page.source


def test_gyrus(output: FakeOutput) -> None:
    assert 'Gyrus' not in written(output)
    row = make_row('SMA', ('-3.0000', '-14.0000', '64.5000'), **PLACES)
    row |= {'gyrus': 'left supplementary motor cortex', 'crown_depth_mm': '2.5000'}
    output.table('sub-01', 'points', [row], **SIDECAR)
    assert 'left supplementary motor cortex, 2.5 mm below the crown' in output.write().text


def test_warning(output: FakeOutput) -> None:
    text = written(output, 'off_cortex')
    assert 'SMA (point of your own): found, but not moved, as no grey matter' in text
    assert 'Look before use' in text


def test_figure_is_shown_once(output: FakeOutput) -> None:
    output.figure('sub-01', 'SMA', '<svg xmlns="http://www.w3.org/2000/svg" id="SMA"/>')
    text = written(output)
    page = output.write()
    assert 'Further figures' not in text
    assert sum('SMA' in alt for alt in page.source.split('alt="')[1:]) == 1


def test_not_carried(output: FakeOutput) -> None:
    text = written(output, 'failed', MNI={'Space': 'MNI152NLin6Asym', 'Mapping': ''})
    assert 'which could not be carried here' in text


def test_hostile(output: FakeOutput) -> None:
    row = make_row('SMA', ('1', '2', '3'), HOSTILE, **PLACES)
    output.table('sub-01', 'points', [row], PointSpace=HOSTILE, MNI=[HOSTILE])
    assert HOSTILE not in output.write().source
