"""Markers and headers with numbers that are worked out by hand."""

from __future__ import annotations

import nibabel as nib
import numpy as np

from tmsprep.formats.markers import Marker
from tmsprep.formats.navigators import Grid
from tmsprep.imaging.forms import Forms

#: A coil above the vertex, 4 mm from the scalp: handle to the back, z downwards, x = y cross z.
POSE = np.array([[1.0, 0, 0, -10], [0, -1, 0, 20], [0, 0, -1, 94], [0, 0, 0, 1]])

GOOD = Marker(
    'LDLPFC',
    np.array([-10.0, 20.0, 70.5]),
    'left DLPFC',
    np.array([-10.0, 20.0, 90.0]),
    POSE,
    'ok',
    5.25,
    'CNN',
)
WARNED = Marker(
    'RHESCHL',
    np.array([40.125, -20.0, 8.0]),
    'right Heschl gyrus',
    status='near_edge',
    method='SyN',
    warning='near_edge',
    reason='SyN, though no method is without a warning',
)
MISSING = Marker('ROFC', name='right orbitofrontal', reason='No point may be used')
MARKERS = (GOOD, WARNED, MISSING)

SHAPE = (80, 72, 80)


def oblique(left_handed: bool = False, shift: float = 0.0) -> np.ndarray:
    """Voxels of 1 x 2 x 3 mm, turned by 30 degrees about z and 20 about x."""
    a, b = np.radians((30, 20))
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tilt @ np.diag([-1.0 if left_handed else 1.0, 2, 3])
    affine[:3, 3] = [-30 + shift, 11, -60]
    return affine


def header(
    qcode: int, scode: int, affine: np.ndarray | None = None, sform: np.ndarray | None = None
) -> nib.Nifti1Header:
    """Header with both forms; the sform is that of the qform if it is not given."""
    affine = oblique() if affine is None else affine
    made = nib.Nifti1Header()
    made.set_data_shape(SHAPE)
    made.set_qform(affine, qcode)
    made.set_sform(affine if sform is None else sform, scode)
    return made


def grid(
    qcode: int, scode: int, affine: np.ndarray | None = None, sform: np.ndarray | None = None
) -> Grid:
    made = header(qcode, scode, affine, sform)
    return Grid('sub-01_protocol-x', SHAPE, made.get_best_affine(), Forms.of_header(made))
