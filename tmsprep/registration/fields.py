"""Coordinate fields of SimNIBS as displacement fields of ITK."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from tmsprep.imaging.similarity import affine_fit
from tmsprep.registration.frames import flip_points

#: The fields are smooth: voxels closer than this are left out, so that files have an eighth of
#: the size.
SPACING_MM = 2.0


def displacement_field(coordinates: nib.spatialimages.SpatialImage) -> nib.Nifti1Image:
    """Convert an image that holds, at each voxel, where its place lies in another space.

    So SimNIBS writes ``toMNI/MNI2Conform_nonl.nii.gz``, on a grid of MNI, with the place in the
    T1w, and ``Conform2MNI_nonl.nii.gz`` the other way (``coordinates_nonlinear`` in its
    ``utils/transformations.py`` moves points by looking them up).

    Parameters
    ----------
    coordinates : nibabel spatial image
        Shape (i, j, k, 3) or (i, j, k, 1, 3), mm, RAS+; (0, 0, 0) where nothing is known.

    Returns
    -------
    nibabel.Nifti1Image
        Shape (l, m, n, 1, 3), float32: displacement in mm, LPS. Where nothing is known, beyond
        the head, it is that of the affine fitted to the rest: ITK reads NaN as 0.

    Raises
    ------
    ValueError
        If there are not three numbers at each voxel, or nothing is known anywhere.
    """
    data = np.asanyarray(coordinates.dataobj, dtype=np.float32)
    steps = [max(1, int(SPACING_MM / size)) for size in _voxel_sizes(coordinates.affine)]
    affine = coordinates.affine @ np.diag([*steps, 1])
    if data.ndim == 5 and data.shape[3] == 1:
        data = data[:, :, :, 0]
    if data.ndim != 4 or data.shape[3] != 3:
        raise ValueError(f'its shape is {data.shape}; three coordinates per voxel are needed')
    data = data[:: steps[0], :: steps[1], :: steps[2]]
    known = np.asarray(np.isfinite(data).all(axis=-1) & data.any(axis=-1))
    if np.count_nonzero(known) < 4:
        raise ValueError('it holds no coordinates')
    here = apply_affine(affine, np.moveaxis(np.indices(known.shape), 0, -1))
    beyond = apply_affine(affine_fit(here[known], data[known]), here)
    data = np.where(known[..., None], data, beyond)
    moved = flip_points(data - here).astype(np.float32)
    field = nib.Nifti1Image(moved[:, :, :, None], affine)
    field.header.set_intent('vector')
    field.set_sform(affine, code=1)
    field.set_qform(affine, code=1)
    return field


def _voxel_sizes(affine: np.ndarray) -> list[float]:
    return [float(size) for size in np.linalg.norm(affine[:3, :3], axis=0).round(3)]
