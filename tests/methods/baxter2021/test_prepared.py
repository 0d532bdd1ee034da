from __future__ import annotations

import gzip
import math
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from brain_weights import segmentation_loss

from tmsprep.imaging.read import ImageError
from tmsprep.learning.examples import Example
from tmsprep.methods.baxter2021.prepared import load_prepared
from tmsprep.points import PointSet

# 2 mm voxels, LAS, a bright cube of brain inside a dim cube of head.
AFFINE = np.array([[-2.0, 0, 0, 80], [0, 2, 0, -70], [0, 0, 2, -60], [0, 0, 0, 1]])
INSIDE = slice(30, 50)


@pytest.fixture
def example(tmp_path: Path) -> Example:
    data = np.zeros((80, 80, 80), np.float32)
    data[20:60, 20:60, 20:60] = 50
    data[INSIDE, INSIDE, INSIDE] = 100
    image, mask = tmp_path / 'sub-01_T1w.nii.gz', tmp_path / 'sub-01_mask.nii.gz'
    nib.save(nib.Nifti1Image(data, AFFINE), image)
    nib.save(nib.Nifti1Image((data == 100).astype(np.uint8), AFFINE), mask)
    corner = AFFINE[:3, :3] @ [29.5, 29.5, 29.5] + AFFINE[:3, 3]
    points = PointSet.from_mapping({'A': corner, 'B': (np.nan,) * 3})
    return Example('sub-01', image, points, mask)


def test_points(example: Example, tmp_path: Path) -> None:
    (loaded,) = load_prepared([example], tmp_path / 'cache')
    fine = loaded.pyramid[0]
    assert [level.shape[0] for level in loaded.pyramid] == [256, 128, 64, 32, 16, 8]
    # The point is the corner of the bright cube: brain on one side of it, head on the other.
    corner = loaded.points[0]
    assert math.isnan(loaded.points[1, 0])
    # The head fills an eighth of the field of view: its 50 is the 95th percentile and becomes 1.
    brain, head = (fine > 1.5), (fine > 0.5)
    index = corner.round().long()
    # Axes are L, P, S; the file's i, j, k run to L, A, S.
    assert brain[index[0] + 2, index[1] - 3, index[2] + 2]
    assert head[index[0] - 3, index[1] + 2, index[2] - 3]
    assert not brain[index[0] - 3, index[1] + 2, index[2] - 3]


def test_stripped(example: Example, tmp_path: Path) -> None:
    (loaded,) = load_prepared([example], tmp_path / 'cache')
    assert [level.shape[0] for level in loaded.stripped] == [128, 64, 32, 16, 8]
    # 20 voxels of 2 mm along each edge.
    assert loaded.stripped[0].count_nonzero() == pytest.approx(20**3, rel=0.12)
    # The hull is taken every 4 mm, so it lies up to 4 mm inside the cube of 40 mm.
    extent = loaded.hull.max(0).values - loaded.hull.min(0).values
    assert torch.all((extent >= 34) & (extent <= 40))


def test_cache(example: Example, tmp_path: Path) -> None:
    (first,) = load_prepared([example], tmp_path / 'cache')
    example.image.unlink()
    (again,) = load_prepared([example], tmp_path / 'cache')
    assert torch.equal(first.pyramid[2], again.pyramid[2])
    assert torch.equal(first.points[0], again.points[0])


def test_segmentation_loss() -> None:
    truth = torch.zeros(1, 2, 2, 2)
    truth[0, 0, 0, 0] = 1
    # Log-odds 0: cross-entropy log 2; Dice 2 * 0.5 / (8 * 0.25 + 1 + 1) = 0.25.
    loss = segmentation_loss(torch.zeros(1, 2, 2, 2), truth)
    assert loss.item() == pytest.approx(math.log(2) + 0.75)


def test_mask_of_another_image(example: Example, tmp_path: Path) -> None:
    mask = nib.load(example.mask)
    moved = AFFINE.copy()
    moved[0, 3] += 6
    nib.save(nib.Nifti1Image(np.asarray(mask.dataobj), moved), tmp_path / 'moved.nii.gz')
    other = replace(example, mask=tmp_path / 'moved.nii.gz')
    with pytest.raises(ImageError, match=r'moved\.nii\.gz: no mask of .* up to 6.0 mm away'):
        load_prepared([other], tmp_path / 'cache')


def test_image_and_mask_within_bounds(example: Example, tmp_path: Path) -> None:
    """A header that announces 20 GB is refused on this road, too."""
    header = nib.Nifti1Header()
    header.set_data_shape((2000, 2000, 2500))
    header.set_data_dtype(np.int16)
    header.set_sform(AFFINE, 1)
    header['vox_offset'], header['magic'] = 352, b'n+1'
    bomb = tmp_path / 'bomb.nii.gz'
    bomb.write_bytes(gzip.compress(header.binaryblock + bytes(16_000)))
    for changed in (replace(example, image=bomb), replace(example, mask=bomb)):
        with pytest.raises(ImageError, match=r'bomb\.nii\.gz: .* cannot hold them'):
            load_prepared([changed], tmp_path / 'cache')
