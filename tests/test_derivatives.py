from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from tmsprep import __version__
from tmsprep.bids.names import ImageRef
from tmsprep.derivatives import targets_table, write_targets
from tmsprep.disclaimer import DISCLAIMER
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

PROTOCOL = load_protocol('tms')
BIDS = Path('/data')
NAME = 'sub-01_ses-A_acq-mprage_run-1_T1w.nii.gz'
IMAGE = ImageRef.from_path(BIDS, BIDS / 'sub-01' / 'ses-A' / 'anat' / NAME)
STEM = 'sub-01_ses-A_acq-mprage_run-1_desc-'
SHAPE = (200, 240, 220)
AFFINE = np.array([[1.0, 0, 0, -100], [0, 1, 0, -140], [0, 0, 1, -110], [0, 0, 0, 1]])
PROPERTIES = {'shape': list(SHAPE), 'affine': AFFINE.tolist(), 'sha256': 'abc'}
ERROR = {'message': 'no plausible brain', 'traceback': 'Traceback ...'}

# Left targets at x = -30, right ones at x = 30, each on a height of its own.
SIGN = {'L': -1, 'R': 1}
ROWS = {t.label: (30.0 * SIGN[t.hemisphere], 0, 6 * i) for i, t in enumerate(PROTOCOL.targets)}
POINTS = PointSet.from_mapping(ROWS)
SHIFTED = PointSet.from_mapping({k: (x, y + 3, z + 4) for k, (x, y, z) in ROWS.items()})


def write(out: Path, **outcomes: Outcome) -> dict[str, tuple[pd.DataFrame, dict]]:
    """Write, and read back the table and the sidecar of each method."""
    written = write_targets(out, IMAGE, outcomes, PROTOCOL, PROPERTIES, random_seed=7)
    found = {}
    for method in outcomes:
        path = out / 'sub-01' / 'ses-A' / 'anat' / f'{STEM}{method}_targets.tsv'
        assert path in written
        assert path.with_suffix('.json') in written
        table = pd.read_csv(path, sep='\t', keep_default_na=False, dtype=str)
        found[method] = table, json.loads(path.with_suffix('.json').read_text())
    assert len(written) == 2 * len(outcomes)
    return found


def test_both_methods_by_hand(tmp_path: Path) -> None:
    spread = [0.5, None, *[0.25] * 9]
    cnn = Outcome('cnn', POINTS, {'dispersion_mm': spread}, {'EnsembleSize': 2})
    found = write(tmp_path, cnn=cnn, syn=Outcome('syn', SHIFTED))
    table, sidecar = found['cnn']
    assert list(table.columns) == [
        *('label', 'hemisphere', 'region', 'x', 'y', 'z', 'status'),
        *('dispersion_mm', 'distance_to_syn_mm'),
    ]
    assert tuple(table['label']) == PROTOCOL.labels
    assert table.loc[1].tolist() == [
        *('ROFC', 'R', 'right orbitofrontal cortex', '30.0000', '0.0000', '6.0000', 'ok'),
        *('n/a', '5.0000'),
    ]
    assert set(table['distance_to_syn_mm']) == {'5.0000'}
    assert sidecar['EnsembleSize'] == 2
    assert set(table.columns) <= set(sidecar)
    syn, _ = found['syn']
    assert list(syn.columns)[7:] == ['distance_to_cnn_mm']
    assert set(syn['status']) == {'ok'}


def test_the_radius_stands_beside_the_dispersion_and_is_kept(tmp_path: Path) -> None:
    columns = {'dispersion_mm': [0.5] * 11, 'error90_mm': [None, *[3.25] * 10]}
    table, sidecar = write(tmp_path, cnn=Outcome('cnn', POINTS, columns))['cnn']
    assert list(table.columns)[6:] == ['status', 'dispersion_mm', 'error90_mm']
    assert table['error90_mm'].tolist() == ['n/a', *['3.2500'] * 10]
    assert sidecar['error90_mm']['Units'] == 'mm'
    assert 'not by human' in sidecar['error90_mm']['Description']
    # A later run of the other method only writes the table anew, with what it knew.
    write(tmp_path, syn=Outcome('syn', SHIFTED))
    path = tmp_path / 'sub-01' / 'ses-A' / 'anat' / f'{STEM}cnn_targets.tsv'
    table = pd.read_csv(path, sep='\t', keep_default_na=False, dtype=str)
    last = ['status', 'dispersion_mm', 'error90_mm', 'distance_to_syn_mm']
    assert list(table.columns)[6:] == last
    assert table['error90_mm'].tolist() == ['n/a', *['3.2500'] * 10]


def test_a_failed_method_has_all_rows(tmp_path: Path) -> None:
    found = write(tmp_path, cnn=Outcome('cnn', POINTS), syn=Outcome('syn', error=ERROR))
    table, sidecar = found['syn']
    assert tuple(table['label']) == PROTOCOL.labels
    assert set(table[['x', 'y', 'z', 'distance_to_cnn_mm']].to_numpy().ravel()) == {'n/a'}
    assert set(table['status']) == {'failed'}
    assert sidecar['Error'] == 'no plausible brain'
    # The other method stands for itself.
    other, its_sidecar = found['cnn']
    assert set(other['status']) == {'ok'}
    assert set(other['distance_to_syn_mm']) == {'n/a'}
    assert 'Error' not in its_sidecar


def test_one_method_alone_has_no_distance(tmp_path: Path) -> None:
    table, _ = write(tmp_path, cnn=Outcome('cnn', POINTS))['cnn']
    assert list(table.columns)[-1] == 'status'
    assert [p.name for p in (tmp_path / 'sub-01' / 'ses-A' / 'anat').iterdir()] != []


def test_statuses_reach_the_table() -> None:
    rows = dict(ROWS)
    rows['LOFC'] = (30.0, 0, 0)  # on the right
    rows['ROFC'] = (150.0, 0, 6)  # outside
    rows['LDLPFC'] = (-30.0, 13, 12)  # 13 mm from the other method
    del rows['RDLPFC']
    outcome = Outcome('cnn', PointSet.from_mapping(rows))
    table = targets_table(outcome, Outcome('syn', POINTS), PROTOCOL, SHAPE, AFFINE)
    expected = ['wrong_side', 'outside_image', 'disagreement', 'failed', *['ok'] * 7]
    assert table['status'].tolist() == expected


def test_points_in_another_order_find_their_rows() -> None:
    backwards = POINTS.reindex(reversed(PROTOCOL.labels))
    table = targets_table(Outcome('cnn', backwards), None, PROTOCOL, SHAPE, AFFINE)
    np.testing.assert_array_equal(table[['x', 'y', 'z']], POINTS.coordinates)


def test_the_sidecar_says_which_frame(tmp_path: Path) -> None:
    _, sidecar = write(tmp_path, cnn=Outcome('cnn', POINTS))['cnn']
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
    assert sidecar['Disclaimer'] == DISCLAIMER
    assert 'not a medical device' in DISCLAIMER.lower()


def test_a_later_run_of_one_method_renews_the_distances_of_the_other(tmp_path: Path) -> None:
    spread = [0.5, None, *[0.25] * 9]
    write(tmp_path, cnn=Outcome('cnn', POINTS, {'dispersion_mm': spread}))
    found = write(tmp_path, syn=Outcome('syn', SHIFTED))
    assert set(found['syn'][0]['distance_to_cnn_mm']) == {'5.0000'}
    path = tmp_path / 'sub-01' / 'ses-A' / 'anat' / f'{STEM}cnn_targets.tsv'
    table = pd.read_csv(path, sep='\t', keep_default_na=False, dtype=str)
    assert set(table['distance_to_syn_mm']) == {'5.0000'}
    assert table['dispersion_mm'].tolist() == ['0.5000', 'n/a', *['0.2500'] * 9]
    assert table['x'].tolist()[0] == '-30.0000'


def test_the_table_of_another_image_of_the_same_name_goes(tmp_path: Path) -> None:
    write(tmp_path, syn=Outcome('syn', SHIFTED))
    other = {**PROPERTIES, 'sha256': 'another'}
    write_targets(tmp_path, IMAGE, {'cnn': Outcome('cnn', POINTS)}, PROTOCOL, other, 7)
    names = sorted(p.name for p in (tmp_path / 'sub-01' / 'ses-A' / 'anat').iterdir())
    assert names == [f'{STEM}cnn_targets.json', f'{STEM}cnn_targets.tsv']
