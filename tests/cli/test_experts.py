from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tmsprep.bids import BidsError, survey
from tmsprep.bids.annotations import find_annotations
from tmsprep.bids.description import write_dataset_description
from tmsprep.bids.names import ImageRef, Layout
from tmsprep.cli.checks import check_paths
from tmsprep.cli.experts import read_experts, table_path, write_experts
from tmsprep.cli.run import main
from tmsprep.config import RunConfig
from tmsprep.group.derivatives import read_derivatives
from tmsprep.interfaces.figures import scatter
from tmsprep.protocols import load_protocol

RATERS = {
    'ann': {'LOFC': (-30.0, 40, 0), 'ROFC': (30.0, 40, 0), 'LHESCHL': (-45.0, -20, 5)},
    'bob': {'LOFC': (-30.0, 46, 0), 'ROFC': (30.0, 70, 0)},
    'eve': {'LOFC': (-30.0, 40, 30)},
}
# LOFC: ann and bob agree on y = 43, 3 mm from each; eve is sqrt(9 + 900) mm off.
LOFC_VARIABILITY = (3 + 3 + np.sqrt(909)) / 3


def write_image(path: Path, value: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = -100, -120, -80
    data = np.random.default_rng(1).random((50, 60, 50)).astype(np.float32) * 1000 * value
    nib.save(nib.Nifti1Image(data, affine), path)


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    bids = tmp_path / 'bids'
    for label in ('01', '02'):
        write_image(bids / f'sub-{label}' / 'anat' / f'sub-{label}_T1w.nii.gz')
    description = {'Name': 'a study', 'BIDSVersion': '1.9.0'}
    (bids / 'dataset_description.json').write_text(json.dumps(description))
    (tmp_path / 'points').mkdir()
    for rater, points in RATERS.items():
        rows = [f'{label}\t{x}\t{y}\t{z}\n' for label, (x, y, z) in points.items()]
        path = tmp_path / 'points' / f'sub-01_desc-{rater}_targets.tsv'
        path.write_text('label\tx\ty\tz\n' + ''.join(rows))
    return RunConfig(
        bids, tmp_path / 'out', annotations=tmp_path / 'points', work_dir=tmp_path / 'work'
    )


def write(config: RunConfig) -> list[ImageRef]:
    images = survey(config).images
    several = [image for each in images.values() for image in each]
    write_experts(config, several, read_experts(config, images))
    return several


def without(config: RunConfig) -> RunConfig:
    return RunConfig(config.bids_dir, config.out_dir, work_dir=config.work_dir)


def test_consensus_and_variability_are_those_worked_by_hand(config: RunConfig) -> None:
    first, second = write(config)
    path = table_path(config.out_dir, first)
    assert not table_path(config.out_dir, second).exists()
    table = pd.read_csv(path, sep='\t', na_values=['n/a'], keep_default_na=False)
    assert tuple(table['label']) == load_protocol('tms').labels
    table = table.set_index('label')
    row = table.loc['LOFC']
    assert (row['x'], row['y'], row['z'], row['status']) == (-30.0, 43.0, 0.0, 'consensus')
    assert (row['n_raters'], row['agreeing']) == (3, 'ann bob')
    assert row['variability_mm'] == pytest.approx(LOFC_VARIABILITY, abs=1e-4)
    assert table.loc['ROFC', 'status'] == 'no_consensus'
    assert table.loc['ROFC', ['x', 'variability_mm']].isna().all()
    assert table.loc['LHESCHL', ['status', 'y']].tolist() == ['single', -20.0]
    assert np.isnan(table.loc['LHESCHL', 'variability_mm'])
    assert table.loc['RDLPFC', 'status'] == 'missing'
    sidecar = json.loads(path.with_suffix('.json').read_text())
    assert sidecar['Raters'] == ['ann', 'bob', 'eve']
    assert sidecar['ReferenceImage']['Shape'] == [50, 60, 50]
    assert {'label', *table.columns} <= set(sidecar)


def test_a_table_goes_with_its_image_and_its_points(config: RunConfig) -> None:
    first, _ = write(config)
    path = table_path(config.out_dir, first)
    before = path.read_bytes()
    write(without(config))
    assert path.read_bytes() == before
    write_image(first.path, 2.0)
    write(without(config))
    assert not path.exists()
    assert not path.with_suffix('.json').exists()
    write(config)
    for rater in RATERS:
        (config.annotations / f'sub-01_desc-{rater}_targets.tsv').unlink()
    (config.annotations / 'sub-02_desc-ann_targets.tsv').write_text('label\tx\ty\tz\n')
    write(config)
    assert not path.exists()


def test_without_annotations_nothing_is_written(config: RunConfig) -> None:
    write(without(config))
    assert not config.out_dir.exists()


def test_a_file_of_somebody_else_is_not_overwritten(config: RunConfig) -> None:
    path = table_path(config.out_dir, survey(config).images['01'][0])
    path.parent.mkdir(parents=True)
    path.write_text('mine')
    with pytest.raises(BidsError, match='tmsprep has not written this file'):
        write(config)
    write(without(config))
    assert path.read_text() == 'mine'


def test_own_tables_are_no_annotations_and_no_method_of_the_group(config: RunConfig) -> None:
    write(config)
    write_dataset_description(config.out_dir, config.bids_dir)
    with pytest.raises(BidsError, match='Outputs of tmsprep itself'):
        find_annotations(survey(config).images, config.out_dir)
    protocol, layout = load_protocol('tms'), Layout(config.out_dir, 'tms')
    derived = read_derivatives(layout, config.bids_dir, protocol, ('cnn', 'syn'))
    assert (len(derived.points), derived.issues) == (0, [])


def test_figures_get_variability_and_dispersion(config: RunConfig, tmp_path: Path) -> None:
    first, _ = write(config)
    cnn = tmp_path / 'cnn.tsv'
    head = 'label\themisphere\tregion\tx\ty\tz\tstatus\tdispersion_mm\n'
    cnn.write_text(head + 'LOFC\tL\ta\t-30\t43\t4\tok\t1.25\n')
    cnn.with_suffix('.json').write_text('{}')
    expert = str(table_path(config.out_dir, first))
    found = scatter({'cnn': str(cnn), 'expert': expert})
    assert found['LOFC'] == {
        'Expert variability (EV)': pytest.approx(LOFC_VARIABILITY, abs=1e-4),
        'CNN dispersion (ND)': 1.25,
    }
    assert list(found['ROFC']) == ['Expert variability (EV)']
    assert np.isnan(found['ROFC']['Expert variability (EV)'])
    assert scatter({'cnn': str(cnn)}) == {}


def test_the_workflow_takes_up_the_table(config: RunConfig) -> None:
    from tmsprep.workflows.resources import RunResources
    from tmsprep.workflows.t1w import init_t1w_wf

    first, second = write(config)
    # Any file will do: nothing is run.
    resources = RunResources((), first.path, 'abc', first.path)
    settings = RunConfig(config.bids_dir, config.out_dir, localizers=('cnn',))
    given = []
    for image in (first, second):
        workflow = init_t1w_wf(image=image, config=settings, resources=resources)
        given.append(workflow.get_node('figures').inputs.expert)
    assert given[0] == str(table_path(config.out_dir, first))
    assert not isinstance(given[1], str)


def test_an_error_in_a_file_ends_a_dry_run_with_one(
    config: RunConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [config.bids_dir, config.out_dir, 'participant', '--dry-run', '-w', config.work_dir]
    line = [str(word) for word in (*line, '--annotations', config.annotations)]
    assert main(line) == 0
    log = capsys.readouterr().err
    assert 'sub-01_T1w.nii.gz: the raters do not agree on ROFC' in log
    assert log.strip().endswith('dry run: nothing was written')
    (config.annotations / 'sub-02_desc-ann_targets.tsv').write_text('nonsense\n')
    assert main(line) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.endswith('of 1 participants, named above: sub-02')
    assert not config.out_dir.exists()


def test_annotations_need_a_folder_and_a_run(config: RunConfig) -> None:
    def given(**settings: object) -> RunConfig:
        return RunConfig(config.bids_dir, config.out_dir, work_dir=config.work_dir, **settings)

    with pytest.raises(ValueError, match='--annotations: no folder'):
        check_paths(given(annotations=config.annotations / 'absent'))
    with pytest.raises(ValueError, match='--reports-only takes what is in OUT_DIR'):
        check_paths(given(annotations=config.annotations, reports_only=True))
