from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tmsprep.bids.names import BidsError
from tmsprep.cli.coeruleus_group import run_coeruleus_group
from tmsprep.config import RunConfig
from tmsprep.methods.duennwald2021.group import people_table
from tmsprep.methods.duennwald2021.group_columns import COLUMNS, DESCRIPTIONS
from tmsprep.methods.duennwald2021.group_crossval import read_crossval
from tmsprep.methods.duennwald2021.group_sources import POINT_COLUMNS, SEGMENT_COLUMNS
from tmsprep.methods.duennwald2021.group_statistics import coeruleus_tables, paired_tests

ERRORS_MM = {'with': 1.0, 'without': 3.0}
DICE = {'npp': 0.2, 'pp': 0.4, 'lpp': 0.6}
PEOPLE = [f'sub-{number:02d}' for number in range(1, 9)]


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep='\t', keep_default_na=False, na_values=['n/a'])


def write(path: Path, rows: list[dict], columns: tuple[str, ...]) -> None:
    table = pd.DataFrame(rows, columns=list(columns))
    table.to_csv(path, sep='\t', index=False, na_rep='n/a')


def point_rows(who: str, fold: int, number: int) -> list[dict]:
    """Errors straight up: 1 mm with and 3 mm without, 0.01 mm more from person to person."""
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


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Return a run on the outputs of a cross-validation: 8 people held out, 2 trained on."""
    bids, out = tmp_path / 'bids', tmp_path / 'out'
    for who in [*PEOPLE, 'sub-09', 'sub-10']:
        (bids / who).mkdir(parents=True)
    (bids / 'dataset_description.json').write_text('{"Name": "made", "BIDSVersion": "1.10.0"}')
    out.mkdir()
    folds = (1, 2)
    points = [r for n, who in enumerate(PEOPLE) for f in folds for r in point_rows(who, f, n)]
    segments = [r for n, who in enumerate(PEOPLE) for f in folds for r in segment_rows(who, f, n)]
    roles = [{'participant': who, 'role': 'held out'} for who in PEOPLE]
    roles += [{'participant': f'sub-{9 + i:02d}', 'role': str(i + 1)} for i in range(2)]
    write(out / 'crossval_points.tsv', points, POINT_COLUMNS)
    write(out / 'crossval_segmentation.tsv', segments, SEGMENT_COLUMNS)
    write(out / 'crossval_folds.tsv', roles, ('participant', 'role'))
    settings = {'Data': 'made', 'Folds': 2, 'HeldOut': 8, 'x': {'Units': 'mm'}}
    (out / 'crossval_points.json').write_text(json.dumps(settings))
    return RunConfig(bids, out, 'group', protocol='locus-coeruleus', work_dir=tmp_path / 'work')


def tables_of(config: RunConfig) -> dict[str, pd.DataFrame]:
    return coeruleus_tables({'crossval': read_crossval(config.out_dir)}, 0.75, 1)


def test_tables_by_hand(config: RunConfig) -> None:
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


def test_people_and_not_predictions_are_tested(config: RunConfig) -> None:
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


def test_one_way_of_training_has_no_test(config: RunConfig) -> None:
    given = read_crossval(config.out_dir)
    one = given._replace(points=given.points[given.points['augmentation'] == 'with'])
    tables = coeruleus_tables({'crossval': one}, 0.75, 1)
    assert 'augmentation' not in tables
    assert set(tables['tests']['family']) == {'dice', 'fdr'}
    assert len(paired_tests(tables['errors'], given.segments.iloc[:0])) == 0


def test_everything_is_written_and_explained(config: RunConfig) -> None:
    assert run_coeruleus_group(config, config.out_dir / 'logs') == 0
    for name in DESCRIPTIONS:
        path = config.out_dir / f'coeruleus_{name}.tsv'
        sidecar = json.loads(path.with_suffix('.json').read_text())
        for column in read(path).columns:
            assert sidecar[column] == COLUMNS[column]
    assert (config.out_dir / 'coeruleus_group.html').is_file()
    assert (config.out_dir / 'figures' / 'coeruleus_crossval_figure2.svg').is_file()
    table = read(config.out_dir / 'coeruleus_icc.tsv')
    assert table['fold'].tolist()[0] == 1
    assert read(config.out_dir / 'coeruleus_tests.tsv')['p'].iloc[0] < 0.01
    first = {p.name: p.read_bytes() for p in config.out_dir.glob('coeruleus_*')}
    run_coeruleus_group(config, config.out_dir / 'logs')
    assert {p.name: p.read_bytes() for p in config.out_dir.glob('coeruleus_*')} == first


def test_who_is_missing_is_named(config: RunConfig, caplog: pytest.LogCaptureFixture) -> None:
    path = config.out_dir / 'crossval_points.tsv'
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
        assert run_coeruleus_group(config, config.out_dir / 'logs') == 1
    people = read(config.out_dir / 'coeruleus_people.tsv').set_index('participant')
    assert people['outcome'].to_dict() == {
        **dict.fromkeys(PEOPLE, 'measured'),
        **{'sub-03': 'failed', 'sub-04': 'failed', 'sub-09': 'trained on'},
        **{'sub-10': 'trained on', 'sub-11': 'missing'},
    }
    assert people.loc['sub-05', 'points'] == 4
    assert 'rater has no LLC' in people.loc['sub-05', 'message']
    row = read(config.out_dir / 'coeruleus_table1.tsv').set_index(['augmentation', 'label'])
    assert row.loc[('with', 'LLC'), ['n', 'missing']].tolist() == [10, 4]
    assert 'sub-03, sub-04' in caplog.messages[-1]


def test_nothing_there_says_what_to_run(tmp_path: Path) -> None:
    config = RunConfig(tmp_path, tmp_path / 'out', 'group', protocol='locus-coeruleus')
    with pytest.raises(BidsError, match=r'no crossval_points\.tsv .* Run crossval'):
        run_coeruleus_group(config, tmp_path)


@pytest.mark.parametrize(
    ('content', 'words'),
    [('image\tfold\na\t1\n', "it has no column 'participant'"), ('', 'No columns to parse')],
)
def test_a_broken_table_is_named(config: RunConfig, content: str, words: str) -> None:
    (config.out_dir / 'crossval_points.tsv').write_text(content)
    with pytest.raises(BidsError, match=rf'points\.tsv: cannot be read \({words}'):
        run_coeruleus_group(config, config.out_dir)


def test_an_unknown_participant_is_refused(config: RunConfig) -> None:
    (config.out_dir / 'crossval_segmentation.tsv').unlink()
    chosen = RunConfig(
        config.bids_dir,
        config.out_dir,
        'group',
        protocol='locus-coeruleus',
        participant_label=('01', '77'),
    )
    with pytest.raises(BidsError, match='no sub-77'):
        run_coeruleus_group(chosen, config.out_dir / 'logs')


AFFINE = np.diag([0.75, 0.75, 0.75, 1.0])
AFFINE[:3, 3] = (-15, -50, -40)
VOXELS = {1: (13, 16, 18), 2: (27, 16, 18)}
"""Where the rods begin: x -5.25 and 5.25 mm."""


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
    """Write one person: signal 120 in the rods and 100 elsewhere; labels 2 voxels too high."""
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
    nib.save(nib.Nifti1Image(labels(2), AFFINE), out / home / f'{stem}_desc-lpp_dseg.nii.gz')
    points = [
        {'label': label, 'hemisphere': label[0], 'region': 'locus coeruleus', 'status': 'ok'}
        | dict(zip('xyz', middle_of(n, 2), strict=True))
        for n, label in ((1, 'LLC'), (2, 'RLC'))
    ]
    table = out / home / f'{stem}_desc-coreunet_targets.tsv'
    write(table, points, ('label', 'hemisphere', 'region', 'x', 'y', 'z', 'status'))
    table.with_suffix('.json').write_text('{}')
    measured = [
        {'label': label, 'hemisphere': label[0], 'status': 'ok', 'volume_mm3': 13.5}
        | {'cr_median': 1.2, 'cr_maximum': 1.2}
        for label in ('LLC', 'RLC')
    ]
    columns = ('label', 'hemisphere', 'status', 'volume_mm3', 'cr_median', 'cr_maximum')
    write(out / home / f'{stem}_desc-lpp_segmentation.tsv', measured, columns)


@pytest.mark.parametrize('image', [True, False])
def test_outputs_of_the_participant_level(tmp_path: Path, image: bool) -> None:
    bids, out, masks = (tmp_path / name for name in ('bids', 'out', 'rater1'))
    participant_outputs(bids, out, masks, image=image)
    config = RunConfig(bids, out, 'group', protocol='locus-coeruleus', annotations=masks)
    assert run_coeruleus_group(config, out / 'logs') == 0
    table = read(out / 'coeruleus_table1.tsv').set_index('label')
    # Two voxels of 0.75 mm.
    assert table.loc['LLC', ['source', 'mean_mm', 'mean_vx']].tolist() == ['participant', 1.5, 2]
    assert table['augmentation'].isna().all()
    row = read(out / 'coeruleus_overlaps.tsv').iloc[0]
    # 6 of 8 slices in common.
    assert (row['dice'], row['fdr'], row['manual_volume_mm3']) == (0.75, 0.25, 13.5)
    assert np.isnan(row['fold'])
    message = read(out / 'coeruleus_people.tsv')['message'].iloc[0]
    if image:
        assert (row['manual_cr_median'], row['manual_cr_maximum']) == (1.2, 1.2)
        assert not isinstance(message, str)
    else:
        assert np.isnan(row['manual_cr_median'])
        assert 'no contrast ratios' in message


def test_the_participant_level_needs_masks(tmp_path: Path) -> None:
    bids, out, masks = (tmp_path / name for name in ('bids', 'out', 'rater1'))
    participant_outputs(bids, out, masks, image=False)
    config = RunConfig(bids, out, 'group', protocol='locus-coeruleus')
    with pytest.raises(BidsError, match='give the masks of one rater by --annotations'):
        run_coeruleus_group(config, out / 'logs')


def test_everybody_known_has_a_row(config: RunConfig) -> None:
    from tmsprep.methods.duennwald2021.group import collect_coeruleus_group

    group = collect_coeruleus_group(config, {}, {})
    assert group.n_measured == 8
    table = people_table(group)
    assert list(table['participant']) == [*PEOPLE, 'sub-09', 'sub-10']
