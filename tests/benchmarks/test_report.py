from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from report import rows
from report_data import FakeOutput, make_row

from tmsprep.protocols import load_protocol
from tmsprep.reports.head_volume import head_volume, write_head
from tmsprep.reports.planes import Volume


def test_row_of_a_participant(tmp_path: Path) -> None:
    """A page with a head is larger than without; the outputs that are measured stay."""
    image = tmp_path / 'data' / 'sub-01' / 'anat' / 'sub-01_T1w.nii.gz'
    image.parent.mkdir(parents=True)
    voxels = np.random.default_rng(1).integers(100, 200, (60, 60, 60)).astype(np.int16)
    head = nib.Nifti1Image(voxels, np.diag([2.0, 2, 2, 1]))
    nib.save(head, image)
    output = FakeOutput(tmp_path / 'out')
    reference = {'Path': 'sub-01/anat/sub-01_T1w.nii.gz'}
    row = make_row('LOFC', ('50.0', '60.0', '40.0'))
    output.table('sub-01', 'cnn', [row], ReferenceImage=reference)
    path = output.path('sub-01', 'viewer', 'T1w.bin.gz', 'figures')
    write_head(path, head_volume(Volume.from_image(head), np.full((1, 3), np.nan)))
    (row,) = rows(tmp_path / 'data', tmp_path / 'out', load_protocol('tms'), '')
    participant, _, size, *_, browser = row.strip('| ').split(' | ')
    assert (participant, browser) == ('sub-01', 'n/a')
    assert float(size) > 1.1
    assert path.is_file()
