from __future__ import annotations

from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine

from tmsprep.protocols import load_protocol

from coeruleus_simulation.heads import Head, make_head, template_lattice
from coeruleus_whole import VOXEL_MM, visible_scan, whole_scan, write_protocol


def head() -> Head:
    """A pons as bright as all, with a fourth ventricle behind it, where the template has it."""
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = [-100, -130, -100]
    index = np.moveaxis(np.indices((51, 61, 51)), 0, -1)
    x, y, z = np.moveaxis(apply_affine(affine, index), -1, 0)
    t1w = np.ones(index.shape[:3], np.float32)
    t1w[(np.abs(x) < 6) & (y < -40) & (y > -50) & (np.abs(z + 28) < 10)] = 0.2
    return make_head('one', t1w, np.ones(t1w.shape, np.uint8), affine, template_lattice())


def test_whole_head_in_the_scanner() -> None:
    """Both nuclei 11 mm apart in the middle of 192 x 240 x 216 mm, whichever seed shows both."""
    one = head()
    scan = visible_scan(one, 1)
    assert scan.volume.shape == (64, 80, 72)
    left, right = scan.points
    assert abs(np.linalg.norm(right - left) * VOXEL_MM - 11) < 4
    assert (np.abs(scan.points * VOXEL_MM - [96, 98, 76]) < 30).all()
    np.testing.assert_array_equal(visible_scan(one, 1).volume, scan.volume)
    unseen = next(s for s in range(100) if np.isnan(whole_scan(one, s).points).any())
    assert np.isfinite(visible_scan(one, unseen).points).all()


def test_protocol(tmp_path: Path) -> None:
    protocol = load_protocol(str(write_protocol(tmp_path / 'whole.toml')))
    assert (protocol.voxel_mm, protocol.labels) == (3.0, ('LLC', 'RLC'))
