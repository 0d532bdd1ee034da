from __future__ import annotations

from pathlib import Path

import pytest
from report_data import SVG, FakeOutput, make_row

from tmsprep.methods.duennwald2021.measures import MEASURES, SEGMENTATION_STATUSES
from tmsprep.methods.duennwald2021.status import PAIR_STATUSES

IMAGE = 'sub-01_acq-neuromelanin'
SIMULATED = {'Weights': {'Name': 'w', 'TrainingData': 'simulated <images>'}}


@pytest.fixture
def output(tmp_path: Path) -> FakeOutput:
    """Points of both sides, of which the right one is diffuse."""
    output = FakeOutput(tmp_path / 'out', 'locus-coeruleus')
    points = [
        make_row('LLC', ('-5.1234', '-30.0', '-20.0'), heatmap_spread_mm='2.5'),
        make_row('RLC', ('5.0', '-30.0', '-20.0'), 'diffuse', heatmap_spread_mm='30.25'),
    ]
    output.table(IMAGE, 'coreunet', points, **SIMULATED)
    return output


def segment(output: FakeOutput, desc: str, status: str = 'ok', volume: str = '12.6563') -> None:
    names = ('volume_mm3', 'cr_median', 'cr_maximum', 'reference_median')
    names += ('reference_x', 'reference_y', 'reference_z')
    cells = (volume, '1.1234', '1.3', '900', '0.1', '-20.0', '-20.0')
    left = {
        'label': 'LLC',
        'hemisphere': 'L',
        'status': status,
        **dict(zip(names, cells, strict=True)),
    }
    right = {'label': 'RLC', 'hemisphere': 'R', 'status': 'empty', **dict.fromkeys(names, 'n/a')}
    rows = [left, {**right, 'volume_mm3': '0.0'}]
    output.table(IMAGE, desc, rows, 'segmentation', ReferenceRegion='ball in the pons')


def test_numbers(output: FakeOutput) -> None:
    segment(output, 'lpp')
    page = output.write()
    for exact, shown in (
        ('-5.1234', '-5.1'),
        ('30.25', '30.2'),
        ('12.6563', '12.7'),
        ('1.1234', '1.123'),
    ):
        assert f'<data value="{exact}">{shown}</data>' in page.source
    assert 'Reference region: ball in the pons; its centre is at 0.1, -20.0, -20.0 mm' in page.text
    assert 'Networks trained on simulated <images>.' in page.text
    assert 'Nibali A, He Z' in page.text
    page.assert_alone()


def test_warning_of_the_card(output: FakeOutput) -> None:
    rows = [make_row(label, ('0', '0', '0')) for label in ('LLC', 'RLC')]
    weights = {'TrainingData': 'rods', 'Warning': 'they are off by 9 mm: do not use them'}
    output.table(IMAGE, 'coreunet', rows, Weights=weights)
    text = output.write().text
    first = 'Networks trained on rods. They are off by 9 mm: do not use them.'
    assert text.index(first) < text.index('No warnings.')


def test_warnings(output: FakeOutput) -> None:
    segment(output, 'lpp')
    text = output.write().text.split('Targets')[0]
    assert 'Look before use: 1 of 2 targets carry a warning.' in text
    assert 'CoRe-Unet: found, but the heatmap spreads over more than 10 mm' in text
    assert 'LPP: one patch at the localised points, right: no voxel was labelled' in text
    assert 'one method only' not in text


def test_pictures(output: FakeOutput) -> None:
    segment(output, 'lpp')
    output.figure(IMAGE, 'coreunet', SVG, 'heatmap')
    output.figure(IMAGE, 'lpp', SVG, 'dseg')
    # A picture without labels is of an earlier run.
    assert len(output.write().images) == 1
    output.path(IMAGE, 'lpp', 'dseg.nii.gz').write_bytes(b'')
    assert len(output.write().images) == 2
    output.error(f'{IMAGE}_T1w', 'figures', message='disk full')
    page = output.write()
    assert page.images == []
    assert '12.7' in page.text


def test_earlier_run(output: FakeOutput) -> None:
    segment(output, 'lpp')
    output.error(f'{IMAGE}_T1w', 'conform', message='cut')
    text = output.write().text
    assert 'No loci coerulei: the last run of this image failed.' in text
    assert f'{IMAGE}_protocol-locuscoeruleus_desc-coreunet_targets.tsv' in text
    assert '-5.1' not in text
    assert '12.7' not in text


def test_failed_segmentation(output: FakeOutput, tmp_path: Path) -> None:
    segment(output, 'lpp', 'failed', 'n/a')
    output.error(f'{IMAGE}_T1w', 'coreunet', message='no memory', tables_written=True)
    text = output.write().text
    assert 'Incomplete: 1 step failed' in text
    assert 'no memory' in text
    assert '-5.1' in text
    assert 'left: the segmentation failed.' in text


def test_unreadable_segmentation(output: FakeOutput) -> None:
    path = output.path(IMAGE, 'lpp', 'segmentation.tsv')
    path.write_bytes(b'\xff\xfe')
    text = output.write().text
    assert f'{path.name} could not be read' in text
    assert '-5.1' in text


def test_users_page() -> None:
    page = Path(__file__).parents[3] / 'docs' / 'locus_coeruleus_usage.md'
    names = {*PAIR_STATUSES, *SEGMENTATION_STATUSES, *MEASURES, 'heatmap_spread_mm'}
    text = page.read_text(encoding='utf-8')
    assert [name for name in sorted(names) if f'`{name}`' not in text] == []
