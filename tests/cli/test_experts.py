from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tmsprep.bids import BidsError, find_images
from tmsprep.bids.annotations import find_annotations
from tmsprep.bids.description import write_dataset_description
from tmsprep.bids.names import ImageRef, Layout
from tmsprep.cli.checks import check_paths
from tmsprep.cli.experts import read_experts, warn_of_far_experts, write_expert_tables
from tmsprep.cli.run import main
from tmsprep.config import ParticipantConfig
from tmsprep.group.derivatives import read_derivatives
from tmsprep.interfaces.figures import scatter
from tmsprep.methods import get_method
from tmsprep.protocols import load_protocol

PROTOCOL = load_protocol('tms')
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
def config(tmp_path: Path) -> ParticipantConfig:
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
    return ParticipantConfig(
        bids_dir=bids,
        out_dir=tmp_path / 'out',
        annotations=tmp_path / 'points',
        work_dir=tmp_path / 'work',
    )


def write(config: ParticipantConfig) -> list[ImageRef]:
    images = find_images(config.image_query).images
    several = [image for each in images.values() for image in each]
    experts = read_experts(config, PROTOCOL, layout(config), images)
    write_expert_tables(PROTOCOL, layout(config), several, experts, config.consensus_threshold)
    return several


def layout(config: ParticipantConfig) -> Layout:
    return Layout(config.out_dir, PROTOCOL.name)


def table_path(config: ParticipantConfig, image: ImageRef) -> Path:
    return layout(config).table(image, 'expert')


def without(config: ParticipantConfig) -> ParticipantConfig:
    return ParticipantConfig(
        bids_dir=config.bids_dir, out_dir=config.out_dir, work_dir=config.work_dir
    )


def test_consensus(config: ParticipantConfig) -> None:
    first, second = write(config)
    path = table_path(config, first)
    assert not table_path(config, second).exists()
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


def test_outdated_table(config: ParticipantConfig) -> None:
    first, _ = write(config)
    path = table_path(config, first)
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


def test_no_annotations(config: ParticipantConfig) -> None:
    write(without(config))
    assert not config.out_dir.exists()


def test_file_of_other_origin(config: ParticipantConfig) -> None:
    path = table_path(config, find_images(config.image_query).images['01'][0])
    path.parent.mkdir(parents=True)
    path.write_text('mine')
    with pytest.raises(BidsError, match='tmsprep has not written this file'):
        write(config)
    write(without(config))
    assert path.read_text() == 'mine'


def test_own_table(config: ParticipantConfig) -> None:
    write(config)
    write_dataset_description(config.out_dir, config.bids_dir, PROTOCOL)
    with pytest.raises(BidsError, match='Outputs of tmsprep itself'):
        find_annotations(find_images(config.image_query).images, config.out_dir)

    protocol, layout = load_protocol('tms'), Layout(config.out_dir, 'tms')
    derived = read_derivatives(layout, config.bids_dir, protocol, ('cnn', 'syn'))
    assert (len(derived.points), derived.issues) == (0, [])


def test_scatter(config: ParticipantConfig, tmp_path: Path) -> None:
    first, _ = write(config)
    cnn = tmp_path / 'cnn.tsv'
    head = 'label\themisphere\tregion\tx\ty\tz\tstatus\tdispersion_mm\n'
    cnn.write_text(head + 'LOFC\tL\ta\t-30\t43\t4\tok\t1.25\n')
    cnn.with_suffix('.json').write_text('{}')
    found = scatter({'cnn': cnn, 'expert': table_path(config, first)})
    assert found['LOFC'] == {
        'Expert variability (EV)': pytest.approx(LOFC_VARIABILITY, abs=1e-4),
        'CNN dispersion (ND)': 1.25,
    }
    assert list(found['ROFC']) == ['Expert variability (EV)']
    assert np.isnan(found['ROFC']['Expert variability (EV)'])
    assert scatter({'cnn': cnn}) == {}


def test_far_from_methods(config: ParticipantConfig, caplog: pytest.LogCaptureFixture) -> None:
    points = {label: (i, 10 * i, 5) for i, label in enumerate(PROTOCOL.labels)}
    rows = [f'{label}\t{x}\t{y}\t{z}\n' for label, (x, y, z) in points.items()]
    first, _ = write(config)
    experts = read_experts(config, PROTOCOL, layout(config), {'01': [first]})
    assert experts is not None
    experts.tables[first.stem][['x', 'y', 'z']] = list(points.values())
    for method, text in (('cnn', rows), ('syn', ['damaged\n'])):
        path = layout(config).table(first, method)
        path.write_text('label\tx\ty\tz\n' + ''.join(text))
    caplog.clear()
    warn_of_far_experts(layout(config), [first], ('cnn', 'syn'), experts)
    assert caplog.messages == []
    experts.tables[first.stem]['y'] += 34
    warn_of_far_experts(layout(config), [first], ('cnn', 'syn'), experts)
    (message,) = caplog.messages
    assert message.startswith(f'{first.path.name}, points of raters: the points are 34 mm from')


def test_workflow(config: ParticipantConfig) -> None:
    from tmsprep.workflows.base import init_participant_wf
    from tmsprep.workflows.image import Computing

    first, second = write(config)
    workflow = init_participant_wf(
        images=[first, second],
        protocol=PROTOCOL,
        layout=layout(config),
        methods=[get_method('cnn')],
        resources={'cnn': {}},
        mem_gb={'cnn': 1.0},
        computing=Computing(),
        work_dir=config.work_dir,
    )
    nodes = [workflow.get_node(f'sub_0{n}_T1w_wf.figures') for n in (1, 2)]
    assert nodes[0].inputs.expert == str(table_path(config, first))
    assert not isinstance(nodes[1].inputs.expert, str)


def test_dry_run(config: ParticipantConfig, capsys: pytest.CaptureFixture[str]) -> None:
    line = [config.bids_dir, config.out_dir, 'participant', '--dry-run', '-w', config.work_dir]
    line = [str(word) for word in (*line, '--annotations', config.annotations)]
    assert main(line) == 0
    log = capsys.readouterr().err
    assert 'sub-01_T1w.nii.gz: the raters do not agree on ROFC' in log
    assert log.strip().endswith('dry run: nothing was written')
    (config.annotations / 'sub-02_desc-ann_targets.tsv').write_text('nonsense\n')
    assert main(line) == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.endswith('of 1 participant, named above: sub-02')
    assert not config.out_dir.exists()


def test_reports_only(config: ParticipantConfig) -> None:
    with pytest.raises(ValueError, match='--reports-only uses what is in OUT_DIR'):
        check_paths(replace(config, reports_only=True))
