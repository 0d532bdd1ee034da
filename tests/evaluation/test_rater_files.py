from __future__ import annotations

import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.bids.annotations import AnnotationFile
from tmsprep.bids.names import ImageRef
from tmsprep.evaluation.rater_files import read_checked
from tmsprep.evaluation.shape import protocol_shape
from tmsprep.formats import write_points
from tmsprep.protocols import load_protocol

PROTOCOL = load_protocol('tms')


def rater(root: Path, name: str = 'sub-01_desc-me_targets.tsv') -> AnnotationFile:
    image = root / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    return AnnotationFile(root / name, ImageRef.from_path(root, image), 'me')


def write_header(file: AnnotationFile, qform_code: int, sform_code: int) -> None:
    file.image.path.parent.mkdir(parents=True)
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
    image.set_qform(np.eye(4), qform_code)
    image.set_sform(np.eye(4), sform_code)
    nib.save(image, file.image.path)


@pytest.mark.parametrize(
    ('system', 'codes', 'right'),
    [
        ('NIfTI:S:Scanner', (1, 1), True),
        ('NIfTI:S:MNI-152', (1, 1), False),
        ('NIfTI:S:MNI-152', (1, 4), True),
        ('NIfTI:Q:Aligned', (1, 2), False),
        ('NIfTI:S:Scanner', None, True),
        ('NIfTI:S:MNI-152', None, False),
    ],
)
def test_frame_of_brainsight(
    tmp_path: Path, system: str, codes: tuple[int, int] | None, right: bool
) -> None:
    file = rater(tmp_path, 'sub-01_desc-me_targets.txt')
    if codes:
        write_header(file, *codes)
    places = protocol_shape(PROTOCOL)
    assert places is not None
    write_points(file.path, places, system=system)
    points, findings = read_checked(file, PROTOCOL)
    assert (points is not None, findings == []) == (right, right)
    assert all(f'{file.path}: coordinate system {system}' in f.message for f in findings)


def test_no_points(tmp_path: Path) -> None:
    file = rater(tmp_path)
    os.mkfifo(file.path)
    points, (finding,) = read_checked(file, PROTOCOL)
    assert points is None
    assert (finding.severity, finding.label) == ('error', None)
    assert finding.message.startswith(f'{file.path}: cannot be read as a file of points')


def test_names_the_file(tmp_path: Path) -> None:
    file = rater(tmp_path)
    file.path.write_text('label\tx\ty\tz\nLOFC\t1\t2\t3\nlofc2\t4\t5\t6\n')
    points, findings = read_checked(file, PROTOCOL)
    assert points is not None
    assert points.labels == ('LOFC', 'lofc2')
    assert [f.severity for f in findings] == ['warning', 'note']
    assert all(f.message.startswith(f'{file.path}: ') for f in findings)


def test_many_unknown_names(tmp_path: Path) -> None:
    file = rater(tmp_path)
    rows = [f'F-{i}\t{i}\t2\t3\n' for i in range(1000)]
    file.path.write_text('label\tx\ty\tz\n' + ''.join(rows))
    (finding,) = read_checked(file, PROTOCOL)[1]
    assert "'F-19' and 980 more" in finding.message
    file.path.write_text('label\tx\ty\tz\nLOFC\t1\t2\t3\n' + ''.join(rows))
    findings = read_checked(file, PROTOCOL)[1]
    assert len(findings) == 22
    assert '980 further names' in findings[20].message
