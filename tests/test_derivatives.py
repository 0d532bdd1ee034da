from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tmsprep import __version__
from tmsprep.bids.names import ImageRef, Layout
from tmsprep.derivatives.tables import targets_table, write_outcomes
from tmsprep.disclaimer import disclaimer
from tmsprep.evaluation.template import MNI
from tmsprep.methods import get_method
from tmsprep.outcome import ImplausibleImage, Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol, load_protocol
from tmsprep.tables import COIL_COLUMNS

PROTOCOL = load_protocol('tms')
BIDS = Path('/data')
NAME = 'sub-01_ses-A_acq-mprage_run-1_T1w.nii.gz'
IMAGE = ImageRef.from_path(BIDS, BIDS / 'sub-01' / 'ses-A' / 'anat' / NAME)
SHAPE = (200, 240, 220)
AFFINE = np.array([[1.0, 0, 0, -100], [0, 1, 0, -140], [0, 0, 1, -110], [0, 0, 0, 1]])
PROPERTIES = {'shape': list(SHAPE), 'affine': AFFINE.tolist(), 'sha256': 'abc'}
ERROR = {'message': 'no plausible brain', 'traceback': 'Traceback ...'}

# Left targets at x = -30, right ones at x = 30, each on a height of its own.
SIGN = {'L': -1, 'R': 1}
ROWS = {t.label: (30.0 * SIGN[t.hemisphere], 0, 6 * i) for i, t in enumerate(PROTOCOL.targets)}
POINTS = PointSet.from_mapping(ROWS)
SHIFTED = PointSet.from_mapping({k: (x, y + 3, z + 4) for k, (x, y, z) in ROWS.items()})
SPREAD = [0.5, None, *[0.25] * 9]


def layout(out: Path) -> Layout:
    return Layout(out, 'tms')


def read(out: Path, method: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    path = layout(out).table(IMAGE, method)
    table = pd.read_csv(path, sep='\t', keep_default_na=False, dtype=str)
    return table, json.loads(path.with_suffix('.json').read_text())


def write(out: Path, **outcomes: Outcome) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
    """Write, and read back the table and the sidecar of each method."""
    written = write_outcomes(layout(out), IMAGE, outcomes, PROTOCOL, PROPERTIES, random_seed=7)
    assert written == {method: layout(out).table(IMAGE, method) for method in outcomes}
    return {method: read(out, method) for method in outcomes}


def test_both_methods(tmp_path: Path) -> None:
    cnn = Outcome('cnn', POINTS, {'dispersion_mm': SPREAD}, {'EnsembleSize': 2})
    found = write(tmp_path, cnn=cnn, syn=Outcome('syn', SHIFTED))
    table, sidecar = found['cnn']
    assert list(table.columns) == [
        *('label', 'hemisphere', 'region', 'x', 'y', 'z', 'status'),
        *('dispersion_mm', 'distance_to_syn_mm', *MNI),
    ]
    assert tuple(table['label']) == PROTOCOL.labels
    assert table.loc[1].tolist() == [
        *('ROFC', 'R', 'right orbitofrontal cortex', '30.0000', '0.0000', '6.0000', 'ok'),
        *('n/a', '5.0000', *table.loc[1, list(MNI)]),
    ]
    assert set(table['distance_to_syn_mm']) == {'5.0000'}
    assert sidecar['EnsembleSize'] == 2
    assert set(table.columns) <= set(sidecar)
    syn, _ = found['syn']
    assert list(syn.columns)[7:] == ['distance_to_cnn_mm', *MNI]
    assert set(syn['status']) == {'ok'}


def test_failed_method(tmp_path: Path) -> None:
    found = write(tmp_path, cnn=Outcome('cnn', POINTS), syn=Outcome('syn', error=ERROR))
    table, sidecar = found['syn']
    assert tuple(table['label']) == PROTOCOL.labels
    assert set(table[['x', 'y', 'z', 'distance_to_cnn_mm']].to_numpy().ravel()) == {'n/a'}
    assert set(table['status']) == {'failed'}
    assert sidecar['Error'] == 'no plausible brain'
    # The other method does not suffer.
    other, its_sidecar = found['cnn']
    assert set(other['status']) == {'ok'}
    assert set(other['distance_to_syn_mm']) == {'n/a'}
    assert 'Error' not in its_sidecar


def test_one_method(tmp_path: Path) -> None:
    table, _ = write(tmp_path, cnn=Outcome('cnn', POINTS))['cnn']
    assert list(table.columns)[6:] == ['status', *MNI]


def test_statuses() -> None:
    rows = dict(ROWS)
    rows['LOFC'] = (30.0, 0, 0)  # on the right
    rows['ROFC'] = (150.0, 0, 6)  # outside
    rows['LDLPFC'] = (-30.0, 13, 12)  # 13 mm from the other method
    del rows['RDLPFC']
    outcome, other = Outcome('cnn', PointSet.from_mapping(rows)), Outcome('syn', POINTS)
    table = targets_table(get_method('cnn'), outcome, [other], PROTOCOL, PROPERTIES)
    expected = ['wrong_side', 'outside_image', 'disagreement', 'failed', *['ok'] * 7]
    assert table['status'].tolist() == expected


def test_order_of_points() -> None:
    backwards = Outcome('cnn', POINTS.reindex(reversed(PROTOCOL.labels)))
    table = targets_table(get_method('cnn'), backwards, [], PROTOCOL, PROPERTIES)
    np.testing.assert_array_equal(table[['x', 'y', 'z']], POINTS.coordinates)


def test_sidecar(tmp_path: Path) -> None:
    _, sidecar = write(tmp_path, cnn=Outcome('cnn', POINTS))['cnn']
    assert sidecar['Method'] == 'cnn'
    assert sidecar['Protocol'] == 'tms'
    assert sidecar['CoordinateSystem'] == 'scanner, RAS+'
    assert sidecar['CoordinateUnits'] == 'mm'
    assert sidecar['Sources'] == [f'bids:raw:sub-01/ses-A/anat/{NAME}']
    assert sidecar['ReferenceImage'] == {
        'Path': f'sub-01/ses-A/anat/{NAME}',
        'Shape': [200, 240, 220],
        'Affine': AFFINE.tolist(),
        'SHA256': 'abc',
    }
    assert sidecar['RandomSeed'] == 7
    assert sidecar['SoftwareVersion'] == __version__
    assert sidecar['Disclaimer'] == disclaimer(PROTOCOL)
    assert 'not a medical device' in sidecar['Disclaimer']


def test_other_method_later(tmp_path: Path) -> None:
    columns = {'dispersion_mm': SPREAD, 'error90_mm': [None, *[3.25] * 10]}
    write(tmp_path, cnn=Outcome('cnn', POINTS, columns, {'EnsembleSize': 2}))
    found = write(tmp_path, syn=Outcome('syn', SHIFTED))
    assert set(found['syn'][0]['distance_to_cnn_mm']) == {'5.0000'}
    table, sidecar = read(tmp_path, 'cnn')
    last = ['status', 'dispersion_mm', 'error90_mm', 'distance_to_syn_mm']
    assert list(table.columns)[6:] == [*last, *MNI]
    assert set(table['distance_to_syn_mm']) == {'5.0000'}
    assert table['dispersion_mm'].tolist() == ['0.5000', 'n/a', *['0.2500'] * 9]
    assert table['error90_mm'].tolist() == ['n/a', *['3.2500'] * 10]
    assert table['x'].tolist()[0] == '-30.0000'
    # The sidecar says how the points were made then, and describes the new column.
    assert sidecar['EnsembleSize'] == 2
    assert sidecar['distance_to_syn_mm']['Units'] == 'mm'


def fewer_targets() -> Protocol:
    """Protocol of the same name with one target less."""
    return Protocol('tms', 't', 's', PROTOCOL.targets[:-1], methods=('cnn', 'syn'))


CHOSEN = ('LDLPFC', 'RULIMBMC')


def write_chosen(out: Path, **outcomes: Outcome) -> pd.DataFrame:
    """Write the chosen targets of one method, and read them back."""
    where = (layout(out), IMAGE, outcomes, PROTOCOL, PROPERTIES)
    write_outcomes(*where, random_seed=7, chosen=CHOSEN)
    (method,) = outcomes
    return read(out, method)[0]


def test_chosen_targets(tmp_path: Path) -> None:
    """Their rows are those of the table of all targets, whatever is run afterwards."""
    rows = dict(ROWS)
    # Only the others show that it is on the wrong side.
    rows['RULIMBMC'] = (-30.0, 0, 60)
    columns = {'dispersion_mm': SPREAD, 'error90_mm': [None, *[3.25] * 10]}
    cnn = Outcome('cnn', PointSet.from_mapping(rows), columns)
    syn = Outcome('syn', SHIFTED)
    whole = write(tmp_path / 'all', cnn=cnn, syn=syn)['cnn'][0]
    expected = whole[whole['label'].isin(CHOSEN)].reset_index(drop=True)
    assert expected['status'].tolist() == ['ok', 'wrong_side']
    first = write_chosen(tmp_path / 'some', cnn=cnn)
    assert first['status'].tolist() == ['ok', 'wrong_side']
    write_chosen(tmp_path / 'some', syn=syn)
    again, sidecar = read(tmp_path / 'some', 'cnn')
    pd.testing.assert_frame_equal(again, expected)
    assert sidecar['ChosenTargets'] == [*CHOSEN]
    assert sidecar['PointsNotChosen']['LOFC'] == [-30, 0, 0]
    # All targets again by one method; the table of the other keeps its rows.
    table = write(tmp_path / 'some', syn=syn)['syn'][0]
    assert tuple(table['label']) == PROTOCOL.labels
    assert (table['distance_to_cnn_mm'] != 'n/a').all()
    pd.testing.assert_frame_equal(read(tmp_path / 'some', 'cnn')[0], expected)
    assert write(tmp_path / 'some', cnn=cnn)['cnn'][0].equals(whole)


@pytest.mark.parametrize(
    'entries',
    [
        {'PointsNotChosen': 3},
        {'PointsNotChosen': {'LOFC': 'x'}},
        {'PointsNotChosen': {'LOFC': [1, 2]}},
        {'ChosenTargets': 3},
        {'ChosenTargets': ['LDLPFC']},
        {'ChosenTargets': ['X', 'LDLPFC', 'RULIMBMC', 'ROFC']},
    ],
)
def test_damaged_choice(tmp_path: Path, entries: dict[str, Any]) -> None:
    """A sidecar that does not fit makes a table outdated, as other damage does."""
    write_chosen(tmp_path, cnn=Outcome('cnn', POINTS))
    path = layout(tmp_path).table(IMAGE, 'cnn')
    sidecar = json.loads(path.with_suffix('.json').read_text())
    path.with_suffix('.json').write_text(json.dumps({**sidecar, **entries}))
    write(tmp_path, syn=Outcome('syn', SHIFTED))
    assert not path.exists()


@pytest.mark.parametrize(('protocol', 'sha256'), [(PROTOCOL, 'another'), (fewer_targets(), 'abc')])
def test_outdated_table(
    tmp_path: Path, protocol: Protocol, sha256: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, syn=Outcome('syn', SHIFTED))
    old = layout(tmp_path).figure(IMAGE, PROTOCOL.labels[-1])
    of_another = Layout(tmp_path, 'afids').figure(IMAGE, '1')
    mask = layout(tmp_path).derivative(IMAGE, 'mask', '.nii.gz', desc='brain')
    for path in (old, of_another, mask):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    properties = {**PROPERTIES, 'sha256': sha256}
    cnn = {'cnn': Outcome('cnn', POINTS)}
    table = write_outcomes(layout(tmp_path), IMAGE, cnn, protocol, properties, 7)['cnn']
    # The mask is still that of the image if only the targets are others.
    kept = [mask] if sha256 == 'abc' else []
    assert sorted(table.parent.iterdir()) == [*kept, table.with_suffix('.json'), table]
    assert len(pd.read_csv(table, sep='\t')) == len(protocol.targets)
    assert list(old.parent.iterdir()) == [of_another]
    assert 'syn_targets.tsv: deleted, because it was damaged, of other targets' in caplog.text


@pytest.mark.parametrize(
    'damage',
    [
        lambda text: text[: len(text) // 2],
        lambda text: '\0' * len(text),
        lambda text: '',
        lambda text: text.replace('\t30.0000', '\t3O.0000', 1),
        lambda text: text.replace('\t0.2500', '\ta quarter', 1),
    ],
    ids=['cut', 'zeros', 'empty', 'letter', 'words'],
)
def test_damaged_table(
    tmp_path: Path, damage: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged table of a method that is not run is no obstacle, and no source of distances."""
    write(tmp_path, syn=Outcome('syn', SHIFTED, {'dispersion_mm': SPREAD}))
    path = layout(tmp_path).table(IMAGE, 'syn')
    path.write_text(damage(path.read_text()))
    table, _ = write(tmp_path, cnn=Outcome('cnn', POINTS))['cnn']
    assert 'distance_to_syn_mm' not in table
    assert not path.exists()
    assert f'{path}: deleted, because it was damaged' in caplog.text


@pytest.mark.parametrize(
    'sidecar', ['', '{"ReferenceImage": 3, "SoftwareVersion": ""}', '[' * 9**5]
)
def test_damaged_sidecar(tmp_path: Path, sidecar: str) -> None:
    write(tmp_path, syn=Outcome('syn', SHIFTED))
    layout(tmp_path).table(IMAGE, 'syn').with_suffix('.json').write_text(sidecar)
    table, _ = write(tmp_path, cnn=Outcome('cnn', POINTS))['cnn']
    assert 'distance_to_syn_mm' not in table
    assert set(table['status']) == {'ok'}


def test_two_protocols(tmp_path: Path) -> None:
    write(tmp_path, cnn=Outcome('cnn', POINTS))
    before = {path: path.read_bytes() for path in tmp_path.rglob('*.*')}
    afids = load_protocol('afids')
    points = PointSet(afids.labels, np.random.default_rng(1).normal(0, 30, (32, 3)))
    other = Layout(tmp_path, 'afids')
    write_outcomes(other, IMAGE, {'syn': Outcome('syn', points)}, afids, PROPERTIES, 7)
    assert {path: path.read_bytes() for path in before} == before
    assert 'distance_to_cnn_mm' not in other.table(IMAGE, 'syn').read_text()


def test_refused(tmp_path: Path) -> None:
    """What one method says of the image is held against the points of the other."""
    radius = {'error90_mm': [2.5] * 11}
    refusal = Outcome.failed('syn', ImplausibleImage('the brain found measures 5117 mL'))
    found = write(tmp_path, cnn=Outcome('cnn', POINTS, dict(radius)), syn=refusal)
    table, _ = found['cnn']
    assert set(table['status']) == {'unreliable'}
    assert set(table['error90_mm']) == {'n/a'}
    assert found['syn'][1]['Refused'] is True
    # A method that crashes says nothing of the image.
    crash = Outcome.failed('syn', MemoryError('no room'))
    table, _ = write(tmp_path / 'crash', cnn=Outcome('cnn', POINTS, dict(radius)), syn=crash)[
        'cnn'
    ]
    assert set(table['status']) == {'ok'}
    # The refusal of an earlier run is known from its table.
    table, _ = write(tmp_path, cnn=Outcome('cnn', POINTS, dict(radius)))['cnn']
    assert set(table['status']) == {'unreliable'}


def test_scalp_columns(tmp_path: Path) -> None:
    """They last when the table is written again, but not over a point that must not be used."""
    columns = {name: [0.5] * 11 for name in COIL_COLUMNS}
    outcome = Outcome('cnn', POINTS, columns, {'Scalp': {'Missing': {}}}, unreliable=['LOFC'])
    write(tmp_path, cnn=outcome)
    write(tmp_path, syn=Outcome('syn', SHIFTED))
    table, sidecar = read(tmp_path, 'cnn')
    cells = table.set_index('label')[list(COIL_COLUMNS)]
    assert set(cells.loc['LOFC']) == {'n/a'}
    assert set(cells.drop('LOFC').to_numpy().ravel()) == {'0.5000'}
    assert sidecar['Scalp'] == {'Missing': {}}
    assert sidecar['scalp_distance_mm']['Units'] == 'mm'


def test_findings(tmp_path: Path) -> None:
    doubtful = PROTOCOL.labels[:2]
    outcome = Outcome('cnn', POINTS, findings=['it is dark'], unreliable=list(doubtful))
    table, sidecar = write(tmp_path, cnn=outcome)['cnn']
    assert table['status'].tolist() == ['unreliable'] * 2 + ['ok'] * 9
    assert (sidecar['Findings'], sidecar['Unreliable']) == (['it is dark'], list(doubtful))
    # They last when the table is written again for the sake of another method.
    write(tmp_path, syn=Outcome('syn', SHIFTED))
    table, sidecar = read(tmp_path, 'cnn')
    assert table['status'].tolist() == ['unreliable'] * 2 + ['ok'] * 9
    assert sidecar['Findings'] == ['it is dark']


def test_gyri(tmp_path: Path) -> None:
    """Columns and statuses of the gyri last when the table is written again."""
    columns = {
        'gyrus_probability': [0.95, 0.0, *[None] * 9],
        'crown_depth_mm': [2.1, 1.0, *[None] * 9],
        'error90_mm': [3.25] * 11,
    }
    words = {'gyrus': ['left orbital gyri', 'right gyrus rectus', *[''] * 9]}
    doubts = {'wrong_gyrus': ['ROFC'], 'gyrus_unknown': ['LDLPFC']}
    outcome = Outcome('cnn', POINTS, columns, words=words, doubts=doubts)
    write(tmp_path, cnn=outcome)
    for _ in range(2):
        table, sidecar = read(tmp_path, 'cnn')
        assert list(table.columns)[6:10] == [
            *('status', 'gyrus', 'gyrus_probability', 'crown_depth_mm'),
        ]
        assert table['status'].tolist() == ['ok', 'wrong_gyrus', 'gyrus_unknown', *['ok'] * 8]
        assert table['gyrus'].tolist() == [*words['gyrus'][:2], *['n/a'] * 9]
        assert table['gyrus_probability'].tolist() == ['0.9500', '0.0000', *['n/a'] * 9]
        assert table['error90_mm'].tolist() == ['3.2500', 'n/a', 'n/a', *['3.2500'] * 8]
        assert (sidecar['WrongGyrus'], sidecar['GyrusUnknown']) == (['ROFC'], ['LDLPFC'])
        assert 'parcellation network' in sidecar['gyrus']['Description']
        write(tmp_path, syn=Outcome('syn', SHIFTED))


def test_sources(tmp_path: Path) -> None:
    """What was taken from elsewhere is a source of the table, once."""
    uris = ['bids:prep:a.nii.gz', 'bids:prep:b.h5', 'bids:prep:b.h5']
    details = {'Reused': [{'File': uri, 'What': 'x'} for uri in uris]}
    found = write(
        tmp_path, syn=Outcome('syn', POINTS, details=details), cnn=Outcome('cnn', POINTS)
    )
    assert found['syn'][1]['Sources'] == [IMAGE.uri, *uris[:2]]
    assert found['cnn'][1]['Sources'] == [IMAGE.uri]
