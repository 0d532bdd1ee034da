from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tmsprep.reports.head_volume import (
    BLACK,
    FORMAT,
    LEVELS,
    WIDER_MM,
    HeadVolume,
    head_volume,
    read_head,
    write_head,
)
from tmsprep.reports.planes import Volume

NOWHERE = np.full((1, 3), np.nan)


def volume(data: np.ndarray, affine: np.ndarray) -> Volume:
    """An image whose window is 0 to 100 and whose box is the grid."""
    ends = np.stack([affine[:3, 3], affine[:3, 3] + affine[:3, :3] @ (np.array(data.shape) - 1)])
    return Volume(data.astype(np.float32), affine, (0.0, 100.0), np.sort(ends, axis=0))


def test_levels_and_frame() -> None:
    data = np.zeros((10, 12, 14))
    # In axes L, P, S the voxel (2, 3, 4) lies at x = 5 - 2, y = 6 - 3, z = -7 + 4.
    affine = np.array([[-1.0, 0, 0, 5], [0, -1, 0, 6], [0, 0, 1, -7], [0, 0, 0, 1]])
    data[2, 3, 4] = 100
    data[3, 3, 4] = 100 * BLACK
    data[4, 3, 4] = 100 * (BLACK + (1 - BLACK) * 20 / (LEVELS - 1))
    head = head_volume(volume(data, affine), NOWHERE)
    assert (head.levels.shape, head.spacing) == ((10, 12, 14), 1.0)
    assert head.first.tolist() == [-4, -5, -7]
    x, y, z = (np.array([3, 3, -3]) - head.first).astype(int)
    assert head.levels[x, y, z] == LEVELS - 1
    assert head.levels[x - 1, y, z] == 0
    assert head.levels[x - 2, y, z] == 20
    assert np.count_nonzero(head.levels) == 2


def test_oblique_is_resampled() -> None:
    turn = nib.eulerangles.euler2mat(z=0.3)
    affine = nib.affines.from_matvec(turn, [-20, -20, -20])
    index = np.moveaxis(np.indices((60, 60, 60)), 0, -1)
    world = nib.affines.apply_affine(affine, index)
    # Intensity rises along x by 1 per mm from -20.
    image = volume((world[..., 0] + 20).clip(0), affine)
    box = np.array([[-10.0, 10, 0], [10, 20, 10]]) - WIDER_MM
    head = head_volume(Volume(image.data, affine, image.window, box), NOWHERE)
    assert head.first.tolist() == [-9.5, 10.5, 0.5]
    expected = (10.5 + np.arange(20) - 100 * BLACK) / (100 * (1 - BLACK)) * (LEVELS - 1)
    np.testing.assert_allclose(head.levels[:, 5, 5], expected.clip(0), atol=0.51)


def test_points_are_inside() -> None:
    affine = nib.affines.from_matvec(np.eye(3), [-100, -100, -100])
    data = np.zeros((200, 200, 200), np.float32)
    box = np.array([[-50.0, -50, -50], [50, 50, 50]]) - WIDER_MM
    image = Volume(data, affine, (0.0, 1.0), box)
    head = head_volume(image, np.array([[70.0, 0, 0], [np.nan] * 3]))
    last = head.first + (np.array(head.levels.shape) - 1) * head.spacing
    assert (head.first.tolist(), last.tolist()) == ([-50, -50, -50], [85, 50, 50])


def test_large_image_has_larger_voxels() -> None:
    data = np.broadcast_to(np.float32(1), (300, 300, 300))
    box = np.array([[0.0, 0, 0], [290, 290, 290]]) - WIDER_MM
    thin = Volume(data, np.eye(4), (0.0, 1.0), box)
    head = head_volume(thin, NOWHERE)
    # 290 ** 3 mm of 9.5 million voxels: an edge of 1.36927 mm.
    assert head.spacing == pytest.approx(1.36927, abs=1e-5)


def test_written_by_hand(tmp_path: Path) -> None:
    levels = np.array([[[9, 1], [5, 0]], [[6, 2], [8, 7]]], np.uint8)
    path = write_head(
        tmp_path / 'h.gz', HeadVolume(levels, np.array([1.0, 2, 3]), 1.0), sha256='a'
    )
    header, _, voxels = gzip.decompress(path.read_bytes()).partition(b'\n')
    assert json.loads(header) == {
        'format': FORMAT, 'shape': [2, 2, 2], 'first': [1, 2, 3], 'spacing': 1,
        'greys': LEVELS, 'sha256': 'a',
    }  # fmt: skip
    # x runs fastest; 6 - 9 // 3, 5 - 9 // 3, 8 - (5 + 6) // 3, 1 - 9 // 3, ...
    expected = [9, 3, 2, 5, 1 - 3, 2 - (1 + 6) // 3, 0 - (1 + 5) // 3, 7 - (0 + 2 + 8) // 3]
    assert list(voxels) == [value % 256 for value in expected]
    # Nothing of the clock or the name of the file is in it.
    again = write_head(
        tmp_path / 'i.gz', HeadVolume(levels, np.array([1.0, 2, 3]), 1.0), sha256='a'
    )
    assert path.read_bytes() == again.read_bytes()
    assert read_head(path) == (json.loads(header), path.read_bytes())


@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'no gzip',
        gzip.compress(b'{}\n', mtime=0),
        gzip.compress(b'[1]\n', mtime=0),
        gzip.compress(
            b'{"format": "tmsprep-head-1", "shape": [1, 2, 1e9], "first": [0, 0, 0]}\n', mtime=0
        ),
        gzip.compress(b' ' * 5000, mtime=0),
        gzip.compress(
            b'{"format": "tmsprep-head-1", "shape": [1, 1, 1], "first": [0, 0, NaN], '
            b'"spacing": 1, "greys": 48}\n',
            mtime=0,
        ),
    ],
)
def test_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'head.bin.gz'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'damaged|no file of the kind'):
        read_head(path)
