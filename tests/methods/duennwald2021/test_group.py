from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tmsprep.bids.names import BidsError, Layout
from tmsprep.cli.group import run_level
from tmsprep.config import GroupConfig
from tmsprep.methods.duennwald2021.comparison import POINTS, SEGMENTATION
from tmsprep.methods.duennwald2021.group import measure_crossval
from tmsprep.methods.duennwald2021.group_tables import (
    DESCRIPTIONS,
    Measured,
    all_tables,
    paired_tests,
)

ERRORS_MM = {'with': 1.0, 'without': 3.0}
DICE = {'npp': 0.2, 'pp': 0.4, 'lpp': 0.6}
PARTICIPANTS = [f'sub-{number:02d}' for number in range(1, 9)]


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep='\t', keep_default_na=False, na_values=['n/a'])


def write(path: Path, rows: list[dict], columns: Iterable[str]) -> None:
    table = pd.DataFrame(rows, columns=list(columns))
    table.to_csv(path, sep='\t', index=False, na_rep='n/a')


def point_rows(who: str, fold: int, number: int) -> list[dict]:
    """Errors straight up: 1 mm with and 3 mm without, 0.01 mm more for each participant."""
    rows = []
    for augmentation, error in ERRORS_MM.items():
        for label, x in (('LLC', -5.0), ('RLC', 5.0)):
            row = {'image': f'{who}_acq-neuromelanin', 'participant': who, 'fold': fold}
            row |= {'augmentation': augmentation, 'label': label, 'status': 'ok'}
            row |= {'x': x, 'y': -37.0, 'z': -26.0 + error + number / 100}
            rows.append(row | {'reference_x': x, 'reference_y': -37.0, 'reference_z': -26.0})
    return rows


def segment_rows(who: str, fold: int, number: int) -> list[dict]:
    rows = []
    for method, overlap in DICE.items():
        for side in 'LR':
            row = {'image': f'{who}_acq-neuromelanin', 'participant': who, 'fold': fold}
            row |= {'method': method, 'hemisphere': side, 'status': 'ok', 'seconds': 1.0}
            row |= {'dice': overlap + number / 100, 'fdr': 1 - overlap, 'volume_mm3': 20.0}
            ratios = {'cr_median': 1.1 + number / 50, 'cr_maximum': 1.2 + number / 50}
            rows.append(row | ratios | {f'manual_{name}': r for name, r in ratios.items()})
    return rows


def crossval(config: GroupConfig, name: str) -> Path:
    return Layout(config.out_dir, config.protocol).level('crossval', name)


def table_path(config: GroupConfig, name: str) -> Path:
    return Layout(config.out_dir, config.protocol).level('group', name)


@pytest.fixture
def config(tmp_path: Path) -> GroupConfig:
    """Return a run on the outputs of a cross-validation: 8 held out, 2 trained on."""
    bids, out = tmp_path / 'bids', tmp_path / 'out'
    for who in [*PARTICIPANTS, 'sub-09', 'sub-10']:
        (bids / who).mkdir(parents=True)
    (bids / 'dataset_description.json').write_text('{"Name": "made", "BIDSVersion": "1.10.0"}')
    out.mkdir()
    tested = [(who, fold, n) for n, who in enumerate(PARTICIPANTS) for fold in (1, 2)]
    points = [row for given in tested for row in point_rows(*given)]
    segments = [row for given in tested for row in segment_rows(*given)]
    roles = [{'participant': who, 'role': 'held out'} for who in PARTICIPANTS]
    roles += [{'participant': f'sub-{9 + i:02d}', 'role': str(i + 1)} for i in range(2)]
    config = GroupConfig(bids_dir=bids, out_dir=out, protocol='locus-coeruleus')
    write(crossval(config, 'points'), points, POINTS)
    write(crossval(config, 'segmentation'), segments, SEGMENTATION)
    write(crossval(config, 'folds'), roles, ('participant', 'role'))
    settings = {'Data': 'made', 'Folds': 2, 'HeldOut': 8, 'x': {'Units': 'mm'}}
    crossval(config, 'points').with_suffix('.json').write_text(json.dumps(settings))
    return config


def measured(config: GroupConfig) -> Measured:
    return measure_crossval(Layout(config.out_dir, config.protocol))


def tables_of(config: GroupConfig) -> dict[str, pd.DataFrame]:
    return all_tables({'crossval': measured(config)}, 0.75, 1)


def test_tables_by_hand(config: GroupConfig) -> None:
    tables = tables_of(config)
    row = tables['table1'].set_index(['augmentation', 'label']).loc[('with', 'LLC')]
    # 1.00 to 1.07 mm, each twice.
    assert row['mean_mm'] == pytest.approx(1.035)
    assert row['mean_vx'] == pytest.approx(1.38)
    assert (row['n'], row['people'], row['missing']) == (16, 8, 0)
    effect = tables['augmentation'].set_index('label').loc['RLC']
    assert effect['ratio'] == pytest.approx(1.035 / 3.035)
    assert effect['difference_mm'] == pytest.approx(-2)
    axes = tables['axes'].set_index(['augmentation', 'label', 'axis'])
    assert axes.loc[('without', 'LLC', 'axial'), 'mae_mm'] == pytest.approx(3.035)
    assert axes.loc[('without', 'LLC', 'coronal'), 'mse_mm2'] == 0
    boxes = tables['segmentation'].set_index(['method', 'hemisphere', 'measure'])
    assert boxes.loc[('lpp', 'L', 'dice'), 'median'] == pytest.approx(0.635)
    assert boxes.loc[('npp', 'R', 'fdr'), 'mean'] == pytest.approx(0.8)
    assert (tables['icc']['icc'] == 1).all()
    assert set(tables['icc']['fold']) == {1, 2}


def test_paired_by_participant(config: GroupConfig) -> None:
    tests = tables_of(config)['tests'].set_index(['family', 'hemisphere', 'first', 'second'])
    row = tests.loc[('error_mm', 'L', 'with', 'without')]
    # All 8 differences are -2: z of a rank sum of 0 with 8 ties.
    assert (row['n'], row['effect'], row['stars']) == (8, -1, '**')
    assert row['z'] == pytest.approx(-18 / np.sqrt(8 * 4.5**2 / 4))
    # Two tests on errors, six on Dice, all with this p.
    assert row['p_holm'] == pytest.approx(2 * row['p'])
    dice = tests.loc[('dice', 'R', 'lpp', 'npp')]
    assert dice['difference'] == pytest.approx(0.4)
    assert dice['p_holm'] == pytest.approx(6 * row['p'])
    assert len(tests) == 2 + 6 + 6


def test_augmented_only(config: GroupConfig) -> None:
    given = measured(config)
    one = replace(given, points=given.points[given.points['augmentation'] == 'with'])
    tables = all_tables({'crossval': one}, 0.75, 1)
    assert 'augmentation' not in tables
    assert set(tables['tests']['family']) == {'dice', 'fdr'}
    assert len(paired_tests(tables['errors'], given.segments.iloc[:0])) == 0


def test_written_tables(config: GroupConfig) -> None:
    assert run_level(config) == 0
    for name in DESCRIPTIONS:
        path = table_path(config, name)
        sidecar = json.loads(path.with_suffix('.json').read_text())
        for column in read(path).columns:
            assert sidecar[column]['Description']
    stem = 'group_protocol-locuscoeruleus'
    assert (config.out_dir / f'{stem}.html').is_file()
    assert (config.out_dir / 'figures' / f'{stem}_crossval-overlap.svg').is_file()
    table = read(table_path(config, 'icc'))
    assert table['fold'].tolist()[0] == 1
    assert read(table_path(config, 'tests'))['p'].iloc[0] < 0.01
    first = {p.name: p.read_bytes() for p in config.out_dir.glob('group_*')}
    run_level(config)
    assert {p.name: p.read_bytes() for p in config.out_dir.glob('group_*')} == first


def test_missing_participants(config: GroupConfig, caplog: pytest.LogCaptureFixture) -> None:
    path = crossval(config, 'points')
    points = read(path)
    points = points[points['participant'] != 'sub-03']
    lost = points['participant'] == 'sub-04'
    points.loc[lost, ['x', 'y', 'z']] = np.nan
    points.loc[lost, 'status'] = 'failed'
    silent = (points['participant'] == 'sub-05') & (points['label'] == 'LLC')
    points.loc[silent, ['reference_x', 'reference_y', 'reference_z']] = np.nan
    points.loc[silent, 'status'] = 'no_reference'
    points.to_csv(path, sep='\t', index=False, na_rep='n/a')
    (config.bids_dir / 'sub-11').mkdir()
    with caplog.at_level('INFO'):
        assert run_level(config) == 1
    table = read(table_path(config, 'participants')).set_index('participant_id')
    assert table['outcome'].to_dict() == {
        **dict.fromkeys(PARTICIPANTS, 'complete'),
        **{'sub-03': 'failed', 'sub-04': 'failed', 'sub-09': 'trained on'},
        **{'sub-10': 'trained on', 'sub-11': 'missing'},
    }
    assert table.loc['sub-05', 'points'] == 4
    assert 'sub-05: the rater has no LLC' in caplog.text
    row = read(table_path(config, 'table1')).set_index(['augmentation', 'label'])
    assert row.loc[('with', 'LLC'), ['n', 'missing']].tolist() == [10, 4]
    assert 'sub-03, sub-04' in caplog.messages[-1]


def test_no_outputs(tmp_path: Path) -> None:
    config = GroupConfig(bids_dir=tmp_path, out_dir=tmp_path / 'out', protocol='locus-coeruleus')
    with pytest.raises(BidsError, match=r'no tables .* Run crossval'):
        run_level(config)


@pytest.mark.parametrize(
    ('content', 'words'),
    [('image\tfold\na\t1\n', "it has no column 'participant'"), ('', 'No columns to parse')],
)
def test_damaged_table(config: GroupConfig, content: str, words: str) -> None:
    crossval(config, 'points').write_text(content)
    with pytest.raises(BidsError, match=rf'points\.tsv: cannot be read \({words}'):
        run_level(config)


def test_unknown_participant(config: GroupConfig) -> None:
    crossval(config, 'segmentation').unlink()
    with pytest.raises(BidsError, match='no 77 in the data set'):
        run_level(replace(config, participant_label=('01', '77')))


AFFINE = np.diag([0.75, 0.75, 0.75, 1.0])
AFFINE[:3, 3] = (-15, -50, -40)
# First voxels of the rods, at x of -5.25 and 5.25 mm.
VOXELS = {1: (13, 16, 18), 2: (27, 16, 18)}


def labels(shift: int = 0) -> np.ndarray:
    """Two rods of 2 x 2 x 8 voxels on the image's grid."""
    data = np.zeros((42, 40, 40), np.uint8)
    for label, (i, j, k) in VOXELS.items():
        data[i : i + 2, j : j + 2, k + shift : k + 8 + shift] = label
    return data


def middle_of(label: int, shift: int) -> np.ndarray:
    """Middle of a rod of `labels`, mm."""
    voxel = np.add(VOXELS[label], (0.5, 0.5, 3.5 + shift))
    return AFFINE[:3, :3] @ voxel + AFFINE[:3, 3]


def participant_outputs(bids: Path, out: Path, masks: Path, *, image: bool) -> None:
    """Write one image: signal 120 in the rods and 100 elsewhere; labels 2 voxels too high."""
    stem, home = 'sub-01_acq-neuromelanin', Path('sub-01', 'anat')
    for folder in (bids, out, masks):
        (folder / home).mkdir(parents=True)
    if image:
        signal = np.where(labels() > 0, 120, 100).astype(np.float32)
        nib.save(nib.Nifti1Image(signal, AFFINE), bids / home / f'{stem}_T1w.nii.gz')
    double = labels().repeat(2, 0).repeat(2, 1).repeat(2, 2)
    fine = AFFINE @ np.diag([0.5, 0.5, 0.5, 1.0])
    fine[:3, 3] -= 0.375 / 2
    nib.save(nib.Nifti1Image(double, fine), masks / home / f'{stem}_desc-manual_dseg.nii.gz')
    nib.save(
        nib.Nifti1Image(labels(2), AFFINE),
        out / home / f'{stem}_protocol-locuscoeruleus_desc-lpp_dseg.nii.gz',
    )
    points = [
        {'label': label, 'hemisphere': label[0], 'region': 'locus coeruleus', 'status': 'ok'}
        | dict(zip('xyz', middle_of(n, 2), strict=True))
        for n, label in ((1, 'LLC'), (2, 'RLC'))
    ]
    table = out / home / f'{stem}_protocol-locuscoeruleus_desc-coreunet_targets.tsv'
    write(table, points, ('label', 'hemisphere', 'region', 'x', 'y', 'z', 'status'))
    table.with_suffix('.json').write_text('{}')
    measured = [
        {'label': label, 'hemisphere': label[0], 'status': 'ok', 'volume_mm3': 13.5}
        | {'cr_median': 1.2, 'cr_maximum': 1.2}
        for label in ('LLC', 'RLC')
    ]
    columns = ('label', 'hemisphere', 'status', 'volume_mm3', 'cr_median', 'cr_maximum')
    path = out / home / f'{stem}_protocol-locuscoeruleus_desc-lpp_segmentation.tsv'
    write(path, measured, columns)


@pytest.mark.parametrize('image', [True, False])
def test_participant_level(tmp_path: Path, image: bool) -> None:
    bids, out, masks = (tmp_path / name for name in ('bids', 'out', 'rater1'))
    participant_outputs(bids, out, masks, image=image)
    config = GroupConfig(bids_dir=bids, out_dir=out, protocol='locus-coeruleus', annotations=masks)
    assert run_level(config) == 0
    table = read(table_path(config, 'table1')).set_index('label')
    # Two voxels of 0.75 mm.
    assert table.loc['LLC', ['source', 'mean_mm', 'mean_vx']].tolist() == ['participant', 1.5, 2]
    assert table['augmentation'].isna().all()
    row = read(table_path(config, 'overlaps')).iloc[0]
    # 6 of 8 slices in common.
    assert (row['dice'], row['fdr'], row['manual_volume_mm3']) == (0.75, 0.25, 13.5)
    assert np.isnan(row['fold'])
    message = read(table_path(config, 'participants'))['message'].iloc[0]
    if image:
        assert (row['manual_cr_median'], row['manual_cr_maximum']) == (1.2, 1.2)
        assert not isinstance(message, str)
    else:
        assert np.isnan(row['manual_cr_median'])
        assert 'no contrast ratios' in message


def test_replaced_image(tmp_path: Path) -> None:
    """Contrast ratios are not measured in another image than the one that was segmented."""
    bids, out, masks = (tmp_path / name for name in ('bids', 'out', 'rater1'))
    participant_outputs(bids, out, masks, image=True)
    (table,) = out.rglob('*_segmentation.tsv')
    sidecar = {'ReferenceImage': {'SHA256': 64 * 'a'}}
    table.with_suffix('.json').write_text(json.dumps(sidecar))
    config = GroupConfig(bids_dir=bids, out_dir=out, protocol='locus-coeruleus', annotations=masks)
    assert run_level(config) == 1
    row = read(table_path(config, 'participants')).iloc[0]
    assert (row['participant_id'], row['outcome']) == ('sub-01', 'failed')
    assert 'of another image of this name' in row['message']


def test_damaged_mask(tmp_path: Path) -> None:
    bids, out, masks = (tmp_path / name for name in ('bids', 'out', 'rater1'))
    participant_outputs(bids, out, masks, image=True)
    (mask,) = masks.rglob('*.nii.gz')
    mask.write_bytes(b'no image')
    config = GroupConfig(bids_dir=bids, out_dir=out, protocol='locus-coeruleus', annotations=masks)
    assert run_level(config) == 1
    row = read(table_path(config, 'participants')).iloc[0]
    assert (row['participant_id'], row['outcome']) == ('sub-01', 'failed')
    assert 'cannot be compared' in row['message']
    assert not table_path(config, 'errors').exists()


def test_no_masks(tmp_path: Path) -> None:
    bids, out, masks = (tmp_path / name for name in ('bids', 'out', 'rater1'))
    participant_outputs(bids, out, masks, image=False)
    config = GroupConfig(bids_dir=bids, out_dir=out, protocol='locus-coeruleus')
    with pytest.raises(BidsError, match='group with --annotations DIR, the masks of one rater'):
        run_level(config)
