"""Entries of points that were set after a run, on a head of spheres."""

from __future__ import annotations

import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scalp_data import CENTRE, grid, spheres

from tmsprep.evaluation.shape import protocol_shape
from tmsprep.files import file_sha256
from tmsprep.points import PointSet
from tmsprep.protocols import load_protocol
from tmsprep.scalp.image import entries_in_image, entries_kept
from tmsprep.tables import COIL_COLUMNS

TMS = load_protocol('tms')
#: 15 mm below the surface, obliquely.
AWAY = np.array([-0.6, 0.48, 0.64])
MOVED = PointSet(('LDLPFC',), [CENTRE + 75 * AWAY])


def located() -> PointSet:
    """All targets 20 mm below the surface of a ball of 90 mm, in the directions of MNI152."""
    shape = protocol_shape(TMS)
    assert shape is not None
    away = shape.coordinates - [0, -15, 10]
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return PointSet(TMS.labels, CENTRE + 70 * away)


@pytest.fixture(scope='module')
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('head') / 'sub-01_T1w.nii.gz'
    affine, shape = grid()
    head = spheres(affine, shape, ((90.0, 800.0), (84.0, 60.0), (75.0, 1000.0)))
    nib.Nifti1Image(np.asanyarray(head.dataobj).astype(np.int16), head.affine).to_filename(path)
    return path


def test_entry_of_a_moved_point(image: Path) -> None:
    (found,) = entries_in_image(image, file_sha256(image), MOVED, located(), TMS).values()
    entry, normal, handle = (
        np.array([found[f'{name}_{axis}'] for axis in 'xyz'])
        for name in ('entry', 'normal', 'handle')
    )
    np.testing.assert_allclose(entry, CENTRE + 90 * AWAY, atol=0.4)
    assert found['scalp_distance_mm'] == pytest.approx(15, abs=0.3)
    assert normal @ AWAY > np.cos(np.radians(1))
    assert handle @ normal == pytest.approx(0, abs=1e-9)


def test_another_image(image: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert entries_in_image(image, 'ab' * 32, MOVED, located(), TMS) == {}
    assert 'is not the image that the points are of' in caplog.text


def write(path: Path, **changes: float) -> Path:
    """A table with an entry 15 mm from the moved point."""
    entry = dict(zip(('entry_x', 'entry_y', 'entry_z'), CENTRE + 90 * AWAY, strict=True))
    numbers = {**dict.fromkeys(COIL_COLUMNS, 1.0), **entry, 'scalp_distance_mm': 15, **changes}
    cells = ['LDLPFC', *(f'{numbers[name]:.4f}' for name in COIL_COLUMNS)]
    path.write_text('\t'.join(['label', *COIL_COLUMNS]) + '\n' + '\t'.join(cells) + '\n')
    return path


def test_kept(tmp_path: Path) -> None:
    found = entries_kept(write(tmp_path / 'a.tsv'), MOVED)
    assert found['LDLPFC']['scalp_distance_mm'] == 15
    # The point was changed by hand since, or the entry was.
    assert entries_kept(write(tmp_path / 'b.tsv', entry_x=0), MOVED) == {}
    other = PointSet(MOVED.labels, np.add(MOVED.coordinates, [0, 0, 1]))
    assert entries_kept(write(tmp_path / 'c.tsv'), other) == {}
    assert entries_kept(tmp_path / 'missing.tsv', MOVED) == {}
    assert entries_kept(write(tmp_path / 'd.tsv', scalp_distance_mm=np.nan), MOVED) == {}
