from __future__ import annotations

import logging
from pathlib import Path

import pytest
from report_data import FakeOutput, make_row

from tmsprep.cli.parser import parse_args
from tmsprep.cli.participant import ParticipantRun
from tmsprep.cli.points import own_points, tell_of_earlier_points
from tmsprep.group.derivatives import image_of
from tmsprep.methods.resources import ResourceError
from tmsprep.own_points import OwnPoints
from tmsprep.protocols import load_protocol


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    folder = tmp_path / 'bids'
    (folder / 'sub-01' / 'anat').mkdir(parents=True)
    (folder / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz').touch()
    (folder / 'dataset_description.json').write_text('{"Name": "n"}')
    return folder


def read(bids: Path, *options: str) -> OwnPoints | None:
    where = [str(bids), str(bids.parent / 'out'), 'participant', '-w', str(bids.parent / 'work')]
    config = parse_args([*where, '--device', 'cpu', *options])
    run = ParticipantRun.of(config)
    return own_points(config, run.protocol, run.methods, run.resources())


def test_given(bids: Path) -> None:
    table = bids.parent / 'points.tsv'
    table.write_text('label\tx\ty\tz\nV5\t45\t-68\t0\n')
    options = ['--point', 'SMA', '0', '-6', '58', '--point', 'PMd', '-30', '-5.5', '60']
    space = ['--point-space', 'MNI152NLin6Asym', '--snap-to-cortex']
    assert read(bids, *options, '--points', str(table), *space) == OwnPoints(
        {'SMA': (0, -6, 58), 'PMd': (-30, -5.5, 60), 'V5': (45, -68, 0)},
        'MNI152NLin6Asym',
        snap=True,
    )


def test_none(bids: Path) -> None:
    assert read(bids) is None


SMA = ('--point', 'SMA', '0', '-6', '58')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ((*SMA, '--localizers', 'cnn'), 'Run syn as well: --localizers cnn syn'),
        (('--point', 'SMA', '0', '-6', '158'), r'SMA \(0, -6, 158\) lies far outside the brain'),
        (('--point', 'SMA', '0', '-6', '96'), r'SMA \(0, -6, 96\) lies \d\d mm outside the brain'),
        # Voxel indices of the middle of a grid.
        (('--point', 'SMA', '98', '128', '130'), r'lies 1\d\d mm outside the brain.*Give mm'),
        (('--point', 'LOFC', '0', '-6', '58'), 'LOFC is a target of protocol tms'),
        (('--snap-to-cortex',), 'give some'),
    ],
)
def test_refused(bids: Path, options: tuple[str, ...], message: str) -> None:
    with pytest.raises(ResourceError, match=message):
        read(bids, *options)


def test_own_atlas(bids: Path) -> None:
    """Where the user's own atlas lies in MNI space is not known."""
    import nibabel as nib
    import numpy as np

    image, targets = bids.parent / 'atlas.nii.gz', bids.parent / 'atlas.tsv'
    voxels = np.random.default_rng(1).random((40, 40, 40), dtype=np.float32)
    affine = np.diag([5.0, 5, 5, 1])
    affine[:3, 3] = -100
    nib.save(nib.Nifti1Image(voxels, affine), image)
    label = load_protocol('tms').labels[0]
    targets.write_text(f'label\tx\ty\tz\n{label}\t1\t2\t3\n')
    atlas = ('--atlas', str(image), '--atlas-targets', str(targets))
    with pytest.raises(ResourceError, match=r'whose place in MNI152NLin2009aSym, .* is not known'):
        read(bids, *SMA, *atlas)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--point', 'SMA', '0', '-6'), 'expected 4 arguments'),
        (('--point', 'S-MA', '0', '-6', '58'), 'letters and digits'),
        (('--point', 'SMA', '0', '-6', '5z'), "'5z' is not a coordinate"),
        (('--points', 'nowhere.tsv'), 'no file'),
        ((*SMA, '--point-space', 'Talairach'), 'Talairach'),
    ],
)
def test_command_line(
    bids: Path, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        read(bids, *options)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_settings_file(bids: Path, tmp_path: Path) -> None:
    """What a run saves gives the same points."""
    where = [str(bids), str(tmp_path / 'out'), 'participant']
    config = parse_args([*where, '--device', 'cpu', *SMA, '--point', 'PMd', '-30', '-5.5', '60'])
    path = config.to_toml(tmp_path / 'config.toml')
    again = parse_args([*where, '--device', 'cpu', '--config-file', str(path)])
    assert again.point == config.point == ('SMA 0 -6 58', 'PMd -30 -5.5 60')


def test_reports_only(bids: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read(bids, *SMA, '--reports-only')
    assert '--point has to be carried into the image first' in capsys.readouterr().err


def test_points_of_an_earlier_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A run without points says which of an earlier one it keeps, once for all images."""
    output = FakeOutput(tmp_path)
    entries = {'SoftwareVersion': '1', 'PointSpace': {'Name': 'MNI152NLin6Asym'}}
    for name in ('sub-01', 'sub-02'):
        output.table(name, 'points', [make_row('SMA', (1, 2, 3)), make_row('V5L')], **entries)
    images = [image_of({'sub': label}, tmp_path) for label in ('01', '02', '03')]
    with caplog.at_level(logging.INFO):
        tell_of_earlier_points(output.layout, images)
    (line,) = caplog.messages
    assert line.startswith('SMA, V5L (given in MNI152NLin6Asym): points of an earlier run, kept')
    assert 'for 2 images' in line
