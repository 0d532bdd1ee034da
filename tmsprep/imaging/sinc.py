"""Finer voxels by sinc interpolation, as raters see neuromelanin images."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from scipy.signal import resample

from tmsprep.imaging.conform import as_image


def upsample_sinc(image: nib.spatialimages.SpatialImage, factor: int = 2) -> nib.Nifti1Image:
    """Interpolate an image by zero padding of its Fourier transform.

    Duennwald et al. 2021, section 2.1, bring 0.75 mm to 0.375 mm "by means of a sinc filter"
    before the raters draw. The centre of the first voxel stays where it is and every voxel of the
    input is found again, unchanged, at `factor` times its index. So the last ``factor - 1`` new
    voxels along an axis lie beyond the last old centre, between it and the first one: the Fourier
    transform takes the image as periodic. Where opposite faces differ, or at a sharp edge, the
    result rings (overshoots of some 10 % of the step, also below 0), fading with the distance
    from it; a head in air, or a region far from the faces, is not touched by the former.

    Parameters
    ----------
    image : nibabel spatial image
        Three-dimensional, finite.
    factor : int
        New voxels per old voxel along each axis.

    Returns
    -------
    nibabel.Nifti1Image
        float32, `factor` times the shape, voxels smaller by `factor`, in the same frame (mm,
        RAS+), qform and sform equal; ``factor ** 3`` times the memory of the input.

    Raises
    ------
    ValueError
        If the factor is not a whole number from 1.
    """
    if factor != int(factor) or factor < 1:
        raise ValueError(f'the factor is a whole number from 1, not {factor}')
    data = np.asanyarray(image.dataobj, dtype=np.float32)
    for axis in range(3):
        data = resample(data, int(factor) * data.shape[axis], axis=axis)
    finer = image.affine @ np.diag([1 / factor] * 3 + [1.0])
    return as_image(np.ascontiguousarray(data), finer)
