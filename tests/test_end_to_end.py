from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from tmsprep.cli import pending
from tmsprep.derivatives.earlier import POINTS
from tmsprep.evaluation.status import STATUSES
from tmsprep.formats.slicer import read_markups
from tmsprep.formats.targets_tsv import read_targets
from tmsprep.phantoms import write_dataset
from tmsprep.phantoms.deformation import random_map
from tmsprep.phantoms.head import atlas_points
from tmsprep.protocols import load_protocol

pytestmark = pytest.mark.slow

LABELS = load_protocol('tms').labels
ATLAS = 'MNI152NLin2009aSym'
OWN = {'SMA': (0.0, -6.0, 58.0), 'PMd': (-30.0, -5.0, 60.0)}


@pytest.fixture(scope='session')
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(
        tmp_path_factory.mktemp('end') / 'bids', [2], ['007'], voxel_size=(2.0, 2.0, 2.0)
    )


def last_line(run: subprocess.CompletedProcess) -> str:
    return run.stderr.strip().splitlines()[-1]


def contents(folder: Path, pattern: str) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob(pattern))}


def check_files(out: Path) -> None:
    anat = out / 'sub-007' / 'anat'
    name = 'sub-007_protocol-tms'
    stem = f'{name}_from-'
    expected = {
        *(f'{name}_desc-{m}_targets.{e}' for m in ('cnn', 'syn', POINTS) for e in ('tsv', 'json')),
        *(f'{name}_desc-brain_mask.{e}' for e in ('nii.gz', 'json')),
        *(f'{name}_hemi-{s}_desc-gyri_dseg.{e}' for s in 'LR' for e in ('nii.gz', 'tsv', 'json')),
        *(f'{name}_desc-tentwenty_positions.{e}' for e in ('tsv', 'json')),
        *(f'{stem}T1w_to-{ATLAS}_mode-image_xfm.{e}' for e in ('h5', 'json')),
        *(f'{stem}{ATLAS}_to-T1w_mode-image_xfm.{e}' for e in ('h5', 'json')),
    }
    assert {path.name for path in anat.iterdir()} == expected
    figures = {path.name for path in (out / 'sub-007' / 'figures').iterdir()}
    assert {f'{name}_desc-{label}_T1w.svg' for label in (*LABELS, *OWN)} <= figures
    top = {path.name for path in out.iterdir()}
    files = {'.bidsignore', 'dataset_description.json', f'{name}.html'}
    assert top == {*files, 'logs', 'sub-007'}
    hidden = [path for path in out.rglob('.*') if path.name != '.bidsignore']
    assert hidden == []
    shared = [path for path in out.rglob('*') if path.is_file() and 'logs' not in path.parts]
    assert [path for path in shared if os.fsencode(out.parent) in path.read_bytes()] == []


def check_tables(out: Path, data_set: Path) -> None:
    reference = nib.load(data_set / 'sub-007' / 'anat' / 'sub-007_T1w.nii.gz')
    for method, other in (('cnn', 'syn'), ('syn', 'cnn')):
        path = out / 'sub-007' / 'anat' / f'sub-007_protocol-tms_desc-{method}_targets.tsv'
        table = pd.read_csv(path, sep='\t', keep_default_na=False)
        assert tuple(table['label']) == LABELS
        assert list(table.columns)[:7] == [
            *['label', 'hemisphere', 'region', 'x', 'y', 'z', 'status']
        ]
        assert set(table['status']) <= set(STATUSES) - {'failed'}
        assert ('dispersion_mm' in table) == (method == 'cnn')
        assert f'distance_to_{other}_mm' in table
        assert read_targets(path).found.all()
        sidecar = json.loads(path.with_suffix('.json').read_text())
        assert sidecar['CoordinateSystem'] == 'scanner, RAS+'
        assert sidecar['Sources'] == ['bids:raw:sub-007/anat/sub-007_T1w.nii.gz']
        np.testing.assert_allclose(sidecar['ReferenceImage']['Affine'], reference.affine)
        assert sidecar['ReferenceImage']['Shape'] == list(reference.shape)
        assert set(table.columns) <= set(sidecar)


def test_phantom(
    tmp_path: Path,
    tmsprep: Callable,
    data_set: Path,
    shipped_weights: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, work = tmp_path / 'out', tmp_path / 'work'
    points = [word for name, place in OWN.items() for word in ('--point', name, *map(str, place))]
    options = ('--sloppy', '--weights', shipped_weights, '-w', work, '--nprocs', 2)
    options = (*options, *points, '--point-space', ATLAS)
    first = tmsprep(data_set, out, 'participant', *options)
    assert first.returncode == 0, first.stderr
    assert 'finished without errors: 1 participant' in last_line(first)
    check_files(out)
    check_own_points(out)
    check_tables(out, data_set)
    check_truth(out, data_set)
    check_report(out)
    check_navigators(out, tmsprep)
    validate(out)

    before = contents(out, '*_targets.*')
    kept = {path: path.stat().st_mtime_ns for path in work.rglob('outcome.json')}
    assert {path.parts[-3] for path in kept} == {'cnn', 'syn'}
    second = tmsprep(data_set, out, 'participant', *options)
    assert second.returncode == 0, second.stderr
    assert contents(out, '*_targets.*') == before
    # What takes time was not repeated.
    assert {path: path.stat().st_mtime_ns for path in work.rglob('outcome.json')} == kept
    check_files(out)
    # What the run notes is what the job files compare.
    command = [str(argument) for argument in (data_set, out, 'participant', *options)]
    assert pending.main(command) == 0
    assert capsys.readouterr().out == 'participant_id\treason\n'
    assert pending.main([*command, '--random-seed', '2']) == 0
    assert 'made with another seed' in capsys.readouterr().out
    logs = list((out / 'logs').glob('*/tmsprep.log'))
    # Two runs and one export.
    assert len(logs) == 3
    assert all('finished without errors' in log.read_text().splitlines()[-1] for log in logs)


def check_own_points(out: Path) -> None:
    """Points given in the template lie where the phantom was deformed to."""
    anat = out / 'sub-007' / 'anat'
    found = read_targets(anat / f'sub-007_protocol-tms_desc-{POINTS}_targets.tsv')
    expected = random_map(2).forward(np.array(list(OWN.values())))
    assert np.linalg.norm(found.coordinates - expected, axis=1).max() < 4.0
    # And the points of the network, moved back, are near the atlas.
    table = pd.read_csv(anat / 'sub-007_protocol-tms_desc-cnn_targets.tsv', sep='\t')
    atlas = atlas_points().reindex(LABELS).coordinates
    apart = np.linalg.norm(table[['mni_x', 'mni_y', 'mni_z']] - atlas, axis=1)
    assert apart.mean() < 5.0


def check_truth(out: Path, data_set: Path) -> None:
    """A rough registration of a phantom is near the truth."""
    truth = data_set / 'derivatives' / 'truth' / 'sub-007' / 'anat'
    known = read_targets(truth / 'sub-007_desc-truth_targets.tsv')
    found = read_targets(out / 'sub-007' / 'anat' / 'sub-007_protocol-tms_desc-syn_targets.tsv')
    assert found.distance(known).mean() < 5.0
    mask = nib.load(out / 'sub-007' / 'anat' / 'sub-007_protocol-tms_desc-brain_mask.nii.gz')
    expected = nib.load(truth / 'sub-007_desc-brain_mask.nii.gz')
    volumes = [
        np.count_nonzero(m.dataobj) * abs(np.linalg.det(m.affine)) for m in (mask, expected)
    ]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.15)


def check_navigators(out: Path, tmsprep: Callable) -> None:
    """The run wrote the files; the command `export` writes the same bytes again."""
    folder = out / 'sub-007' / 'nav' / 'sub-007_protocol-tms'
    manifest = json.loads((folder / 'export.json').read_text())
    labels = {point['Label'] for point in manifest['Points']} | {*manifest['Missing']}
    assert labels == {*LABELS, *OWN}
    assert max(file['Difference_mm'] for file in manifest['Files']) <= 0.001
    points = read_markups(folder / 'sub-007_protocol-tms_slicer.mrk.json')
    names = [name.partition(' ')[0] for name in points.labels]
    for point in manifest['Points']:
        place = points.coordinates[names.index(point['Label'])]
        np.testing.assert_allclose(place, point['Position'], atol=1e-4)
    before = contents(folder, '*.*')
    again = tmsprep(out, 'export')
    assert again.returncode == 0, again.stderr
    assert contents(folder, '*.*') == before


def check_report(out: Path) -> None:
    page = (out / 'sub-007_protocol-tms.html').read_text(encoding='utf-8')
    assert all(label in page for label in LABELS)
    # It opens offline: nothing is loaded from anywhere.
    assert 'src="http' not in page
    assert '<script src' not in page
    assert '<link' not in page


def validate(out: Path) -> None:
    validator = Path(sys.executable).with_name('bids-validator-deno')
    if not validator.is_file():
        pytest.skip('bids-validator-deno is not installed beside this Python')
    run = subprocess.run([validator, out], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
