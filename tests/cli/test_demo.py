from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from tmsprep.bids.names import Layout, derivative_path
from tmsprep.cli.demo import SUBJECT, describe, distances, main, phantom_image
from tmsprep.formats import read_points
from tmsprep.phantoms import write_dataset
from tmsprep.protocols import load_protocol

LABELS = load_protocol('tms').labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a demo whose data set was made earlier, with large voxels."""
    write_dataset(tmp_path / 'bids', [1], [SUBJECT], voxel_size=(4.0, 4.0, 4.0))
    return tmp_path


def test_distances(folder: Path) -> None:
    image = phantom_image(folder / 'bids')
    truth = derivative_path(
        folder / 'bids' / 'derivatives' / 'truth',
        image,
        desc='truth',
        suffix='targets',
        extension='.tsv',
    )
    rows = ['label\tx\ty\tz']
    for label, (x, y, z) in zip(LABELS, read_points(truth).coordinates, strict=True):
        rows.append(f'{label}\t{x + 3:.4f}\t{y:.4f}\t{z - 4:.4f}')
    rows[1] = 'LOFC\tn/a\tn/a\tn/a'
    layout = Layout(folder / 'out', 'tms')
    table = layout.table(image, 'cnn')
    table.parent.mkdir(parents=True)
    table.write_text('\n'.join(rows) + '\n')

    measured = distances(folder / 'bids', layout, image)

    assert list(measured) == ['cnn']
    assert math.isnan(measured['cnn'].pop('LOFC'))
    assert list(measured['cnn'].values()) == pytest.approx([5.0] * 10, abs=1e-3)


def test_describe() -> None:
    nothing = {'A': math.nan, 'B': math.nan, 'C': math.nan}
    table = describe({'cnn': {'A': 1.0, 'B': math.nan, 'C': 4.0}, 'syn': nothing})

    assert [line.split() for line in table.splitlines()[1:]] == [
        ['target', 'cnn', 'syn'],
        ['A', '1.00', 'n/a'],
        ['B', 'n/a', 'n/a'],
        ['C', '4.00', 'n/a'],
        ['mean', '2.50', 'n/a'],
        ['maximum', '4.00', 'n/a'],
    ]


def test_demo(folder: Path, shipped_weights: Path) -> None:
    scan = folder / 'bids' / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    before = scan.stat().st_mtime_ns

    # A process of its own, because a run changes logging and Nipype for all that follows.
    options = [
        '--localizers',
        'cnn',
        '--weights',
        shipped_weights,
        '--nprocs',
        '1',
        '--device',
        'cpu',
    ]
    command = [sys.executable, '-m', 'tmsprep.cli.demo', folder, *options]
    run = subprocess.run(command, capture_output=True, text=True)

    assert run.returncode == 0, run.stderr
    out = run.stdout.splitlines()
    assert scan.stat().st_mtime_ns == before
    assert out[-1] == f'report: {folder / "out" / "sub-01_protocol-tms.html"}'
    assert (folder / 'out' / 'sub-01_protocol-tms.html').is_file()
    assert [line.split()[0] for line in out if line[:1].isupper()] == list(LABELS)


@pytest.mark.parametrize('option', ['--localizer', '--nprocs=many'])
def test_wrong_option(tmp_path: Path, option: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path / 'demo'), option])
    assert stop.value.code == 2
    assert not (tmp_path / 'demo').exists()


def test_other_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'bids').mkdir()
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path)])
    assert stop.value.code == 2
    assert 'is not the data set of a demo' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / 'bids']
