"""Decisions and faces at the command line, without any computation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from report_data import FakeOutput, make_row

from tmsprep.cli.run import main
from tmsprep.files import file_sha256

NAME = 'sub-01_protocol-tms_desc-reviewed_targets.tsv'
COLUMNS = ('label', 'x', 'y', 'z', 'status', 'decision', 'method', 'reviewer', 'date', 'comment',
           'image_sha256', 'software_version')  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> FakeOutput:
    """A data set of one image, which is never read, and the table of a method."""
    image = tmp_path / 'bids' / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    image.parent.mkdir(parents=True)
    image.write_bytes(b'not read')
    output = FakeOutput(tmp_path / 'out')
    reference = {
        'Path': 'sub-01/anat/sub-01_T1w.nii.gz',
        'Shape': [200, 200, 200],
        'Affine': [[1, 0, 0, -100], [0, 1, 0, -100], [0, 0, 1, -100], [0, 0, 0, 1]],
        'SHA256': file_sha256(image),
        'SformCode': 1,
        'QformCode': 1,
    }
    rows = [
        make_row(target.label, ('1.0000', '2.0000', '3.0000'))
        for target in output.protocol.targets
    ]
    output.table('sub-01', 'cnn', rows, ReferenceImage=reference, SoftwareVersion='1')
    return output


def run(study: FakeOutput, *options: object) -> int:
    bids = study.root.parent / 'bids'
    common = ('participant', '--localizers', 'cnn', '--reports-only', '--skip-bids-validation')
    work = ('-w', study.root.parent / 'work')
    return main([str(item) for item in (bids, study.root, *common, *work, *options)])


def decide(study: FakeOutput, sha256: Sequence[str] = (), name: str = NAME) -> Path:
    image = study.root.parent / 'bids' / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    row = ('LDLPFC', '-31.0000', '2.0000', '3.0000', 'moved', 'moved', 'n/a', 'Anna',
           '2030-01-31', 'on the crown', *(sha256 or [file_sha256(image)]), '1')  # fmt: skip
    path = study.root.parent / name
    path.write_text('\t'.join(COLUMNS) + '\n' + '\t'.join(row) + '\n')
    return path


def test_review_is_taken(study: FakeOutput) -> None:
    assert run(study, '--review', decide(study)) == 0
    page = (study.root / 'sub-01_protocol-tms.html').read_text()
    assert 'Moved by Anna on 2030-01-31: on the crown' in page
    sheets = list((study.root / 'sub-01' / 'nav').rglob('*_sheet.html'))
    assert ['-31.0' in sheet.read_text() for sheet in sheets] == [True]


def test_review_far_from_the_methods(study: FakeOutput, capsys: pytest.CaptureFixture) -> None:
    """The point is 32 mm from that of the one method."""
    assert run(study, '--review', decide(study), '--fail-on-warning') == 3
    assert '1 of 11 targets carries a warning: sub-01 LDLPFC far_from_methods (reviewed)' in (
        capsys.readouterr().err
    )
    markers = (study.root / 'sub-01' / 'nav').rglob('*_markers.tsv')
    assert ['\tfar_from_methods\t' in marker.read_text() for marker in markers] == [True]


def test_review_of_another_image(study: FakeOutput, capsys: pytest.CaptureFixture) -> None:
    assert run(study, '--review', decide(study, ['ab' * 32])) == 1
    assert 'decided in another image' in capsys.readouterr().err
    assert not study.layout.out_dir.joinpath('sub-01', 'anat', NAME).exists()
    assert 'Moved by Anna' not in (study.root / 'sub-01_protocol-tms.html').read_text()


def test_review_of_nobody(study: FakeOutput, capsys: pytest.CaptureFixture) -> None:
    assert run(study, '--review', decide(study, name=NAME.replace('01', '02', 1))) == 2
    assert 'belongs to no image of this run' in capsys.readouterr().err


def test_faces_of_earlier_pictures(study: FakeOutput, capsys: pytest.CaptureFixture) -> None:
    assert run(study, '--deface-report') == 2
    assert 'shows the pictures of an earlier run as they are' in capsys.readouterr().err
