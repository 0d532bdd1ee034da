"""Grey matter by a plain rule, and how far points are from it."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from scipy import ndimage
from scipy.ndimage import distance_transform_edt

from tmsprep.points import PointSet
from tmsprep.registration.brain import cut_brain
from tmsprep.registration.frames import to_ants

NEAR_MM = 2.0
"""As near counts as in the cortex (our choice: about a voxel of the training images)."""


def grey_matter(conformed: nib.Nifti1Image, mask: nib.Nifti1Image) -> np.ndarray:
    """Middle one of three classes of intensities in the brain mask.

    N4 evens out the bias field (Tustison et al. 2010), then Atropos finds three classes from a
    start by k-means, with a Markov random field of weight 0.1 over neighbours (Avants et al.
    2011). There is no prior and no knowledge of anatomy: deep nuclei and the mixed voxels at the
    edges of the ventricles are in this class as well.

    Parameters
    ----------
    conformed : nibabel.Nifti1Image
        T1w with voxels of 1 mm.
    mask : nibabel.Nifti1Image
        Brain mask on its grid.

    Returns
    -------
    numpy.ndarray
        Boolean, the shape of `conformed`.
    """
    import ants

    brain = cut_brain(conformed, mask, 1)
    inside = ants.image_clone(to_ants(brain.mask)) > 0.5
    image = ants.n4_bias_field_correction(to_ants(brain.image), mask=inside, shrink_factor=4)
    found = ants.atropos(
        a=image, x=inside, i='kmeans[3]', m='[0.1,1x1x1]', c='[5,0]', priorweight=0
    )
    classes = found['segmentation'].numpy()
    values = image.numpy()
    order = np.argsort([values[classes == k].mean() for k in (1, 2, 3)])
    grey = classes == 1 + order[1]
    return _paste(grey, brain.image, conformed)


def nearest_mm(
    points: PointSet, grey: np.ndarray, mask: nib.Nifti1Image
) -> tuple[np.ndarray, float]:
    """Distance of points to the nearest grey voxel, and what chance would give.

    Parameters
    ----------
    points : PointSet
        mm, RAS+.
    grey : numpy.ndarray
        Boolean, grid of `mask`, voxels of 1 mm.
    mask : nibabel.Nifti1Image
        Brain.

    Returns
    -------
    distance : numpy.ndarray
        Shape (n,), mm, 0 in grey matter, NaN for missing points.
    chance : float
        Share of the brain's voxels that lie in grey matter or within `NEAR_MM` of it.
    """
    away = distance_transform_edt(~grey).astype(np.float32)
    inside = np.asarray(mask.dataobj) > 0.5
    voxels = points.transformed(np.linalg.inv(mask.affine)).coordinates
    distance = ndimage.map_coordinates(away, np.nan_to_num(voxels).T, order=1, mode='nearest')
    distance = np.where(points.found, distance.astype(float), np.nan)
    return distance, float((away[inside] <= NEAR_MM).mean())


def _paste(grey: np.ndarray, small: nib.Nifti1Image, large: nib.Nifti1Image) -> np.ndarray:
    """Put a mask on a cropped grid back onto the whole one."""
    offset = np.linalg.inv(large.affine) @ small.affine[:, 3]
    offset = np.rint(offset[:3]).astype(int)
    whole = np.zeros(large.shape, bool)
    voxels = np.argwhere(grey) + offset
    voxels = voxels[((voxels >= 0) & (voxels < large.shape)).all(axis=1)]
    whole[tuple(voxels.T)] = True
    return whole
