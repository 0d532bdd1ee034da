from __future__ import annotations

from pathlib import Path

import pytest

from tmsprep.bids.names import ImageRef, Layout
from tmsprep.cli.parser import parse_args
from tmsprep.cli.run import run
from tmsprep.cli.warned import MOST_NAMED, Warned
from tmsprep.derivatives.tables import write_outcomes
from tmsprep.files import file_sha256
from tmsprep.outcome import Outcome
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol

TABLES = {
    'sub-04': {'a': {'X': 'ok', 'Y': 'ok'}, 'b': {'X': 'ok', 'Y': 'ok'}},
    'sub-05_ses-1': {'a': {'X': 'ok', 'Y': 'wrong_side'}, 'b': {'X': 'near_edge', 'Y': 'ok'}},
    'sub-06': {'a': {'X': 'failed', 'Y': 'disagreement'}, 'b': {'Y': 'disagreement'}},
}


def test_targets_are_named() -> None:
    """A target of an image counts once, whatever the number of methods."""
    assert Warned.of(TABLES).in_words == (
        '4 of 6 targets carry a warning: sub-05_ses-1 X near_edge (b); sub-05_ses-1 Y wrong_side '
        '(a); sub-06 X failed (a); sub-06 Y disagreement (a, b)'
    )


def test_no_warnings() -> None:
    assert Warned.of({'sub-04': TABLES['sub-04']}).in_words == ''
    assert Warned.of({}).in_words == ''


def test_bounded_length() -> None:
    many = {f'sub-{i}': {'a': {'X': 'failed'}} for i in range(1000)}
    words = Warned.of(many).in_words
    assert words.startswith('1000 of 1000 targets carry a warning: sub-0 X failed (a); ')
    assert words.endswith(f'; and {1000 - MOST_NAMED} more, named in the reports')
    assert len(words) < 400


@pytest.mark.parametrize(('away', 'code'), [(0, 0), (500, 3)])
def test_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], away: float, code: int
) -> None:
    """The reports are written again, of points one of which is in the image or far outside."""
    protocol, bids = load_protocol('tms'), tmp_path / 'bids'
    path = bids / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    path.parent.mkdir(parents=True)
    path.write_text('voxels')
    (bids / 'dataset_description.json').write_text('{"Name": "n"}')
    affine = [[1, 0, 0, -100], [0, 1, 0, -100], [0, 0, 1, -100], [0, 0, 0, 1]]
    properties = {'shape': [200] * 3, 'affine': affine, 'sha256': file_sha256(path)}
    side = {'L': -30.0, 'R': 30.0}
    rows = {t.label: (side[t.hemisphere], 0.0, 4.0 * i) for i, t in enumerate(protocol.targets)}
    rows['LOFC'] = (side['L'], away, 0.0)
    write_outcomes(
        Layout(tmp_path / 'out', 'tms'),
        ImageRef.from_path(bids, path),
        {'cnn': Outcome('cnn', PointSet.from_mapping(rows))},
        protocol,
        properties,
        random_seed=1,
    )
    command = [str(bids), str(tmp_path / 'out'), 'participant', '--localizers', 'cnn']
    command += ['--reports-only', '-w', str(tmp_path / 'work')]
    assert run(parse_args([*command, '--fail-on-warning'])) == code
    *_, before, last = capsys.readouterr().err.splitlines()
    warned = '1 of 11 targets carries a warning: sub-01 LOFC outside_image (cnn)' in before
    assert warned == (code == 3)
    assert ('1 target with a warning, named above' in last) == warned
    assert run(parse_args(command)) == 0
