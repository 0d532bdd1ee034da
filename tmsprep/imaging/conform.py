"""One grid for all inputs: 256 x 256 x 256 voxels of 1 mm, RAI."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy.ndimage import affine_transform

#: Voxels along each axis, also mm (Baxter et al. 2021, 2.1).
CONFORMED_SIZE = 256

#: nibabel's name for the orientation that ITK calls RAI (from right, anterior, inferior).
_CONFORMED_AXES = ('L', 'P', 'S')

#: An affine whose skew displaces no voxel of the grid by more than this counts as axis-aligned.
_SKEW_TOLERANCE_MM = 1e-3

#: Room kept above the head if the field of view is too tall for the grid; not given in the paper.
_AIR_ABOVE_VERTEX_MM = 10.0

#: Height of an adult head above the shoulders, as far as it counts for its middle.
_HEAD_MM = 180.0


def conform(image: nib.spatialimages.SpatialImage) -> nib.Nifti1Image:
    """Resample an image to the grid that all localizers share, by linear interpolation.

    The world frame is kept: a point found in the result, through its affine, is a point in mm,
    RAS+, in the input's own scanner frame, whatever its axis order, voxel size or obliqueness.
    The grid is aligned with the world axes and one of its voxel centres falls on a voxel centre
    of the input, so that an axis-aligned 1 mm image is copied, not blurred. The grid has the
    middle of the field of view. A larger field of view is cut below the head rather than through
    the vertex, and the grid is moved across to the head if it would cut it. Voxels outside the
    field of view are 0.

    Parameters
    ----------
    image : nibabel spatial image
        Three-dimensional, with an invertible affine without shear (see `read_image`).

    Returns
    -------
    nibabel.Nifti1Image
        float32, shape (256, 256, 256), 1 mm, axes L-P-S (ITK: RAI), qform and sform equal.

    Examples
    --------
    A bright voxel of a 2 mm image in RAS order stays at (20, 40, 60) mm:

    >>> data = np.zeros((40, 50, 60), np.float32)
    >>> data[10, 20, 30] = 1
    >>> conformed = conform(nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1])))
    >>> conformed.shape, nib.aff2axcodes(conformed.affine)
    ((256, 256, 256), ('L', 'P', 'S'))
    >>> brightest = np.unravel_index(np.argmax(conformed.dataobj), conformed.shape)
    >>> apply_affine(conformed.affine, brightest)
    array([20., 40., 60.])
    """
    data, affine = _reorient(image)
    grid = _grid_affine(data, affine)
    return as_image(_resample(data, affine, grid), grid)


def voxels_in_grid(
    image: nib.spatialimages.SpatialImage, conformed: nib.spatialimages.SpatialImage
) -> np.ndarray:
    """Return the intensities of an image that lie in the grid, of which percentiles are taken.

    In a field of view that is much larger than a head, percentiles of all voxels are those of air.

    Parameters
    ----------
    image : nibabel spatial image
        The input of `conform`.
    conformed : nibabel spatial image
        Its result.

    Returns
    -------
    numpy.ndarray
        All voxels, in the shape of the image, unless the image is longer than the grid along one
        of its axes; then those inside the grid, at most some 16 million of them evenly spread,
        shape (n,).
    """
    data = np.asanyarray(image.dataobj)
    if (data.shape * np.linalg.norm(image.affine[:3, :3], axis=0) <= CONFORMED_SIZE).all():
        return data
    step = int(np.ceil((data.size / 2**24) ** (1 / 3)))
    mapping = np.linalg.inv(conformed.affine) @ image.affine
    axes = np.ogrid[tuple(slice(0, n, step) for n in data.shape)]
    inside = np.ones(tuple(axis.size for axis in axes), bool)
    for row in mapping[:3]:
        place = sum(factor * axis for factor, axis in zip(row, axes, strict=False)) + row[3]
        inside &= (place >= -0.5) & (place <= CONFORMED_SIZE - 0.5)
    return data[::step, ::step, ::step][inside]


def resample_mask(
    mask: nib.spatialimages.SpatialImage, like: nib.spatialimages.SpatialImage
) -> nib.Nifti1Image:
    """Resample a binary mask to the grid of another image, nearest neighbour.

    Parameters
    ----------
    mask : nibabel spatial image
        Voxels over 0.5 are inside.
    like : nibabel spatial image
        Image in the same world frame whose grid is used.

    Returns
    -------
    nibabel.Nifti1Image
        uint8, the shape of `like`.
    """
    inside = (np.asanyarray(mask.dataobj) > 0.5).astype(np.uint8)
    mapping = np.linalg.inv(mask.affine) @ like.affine
    moved = affine_transform(
        inside, mapping[:3, :3], mapping[:3, 3], output_shape=like.shape[:3], order=0
    )
    return as_image(moved, like.affine)


def as_image(data: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    """Wrap an array whose affine is certain: qform and sform equal, codes 1, unit mm."""
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units('mm')
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    return image


def _reorient(image: nib.spatialimages.SpatialImage) -> tuple[np.ndarray, np.ndarray]:
    """Voxels as float32 and their affine, axes flipped and swapped (never resampled) to L-P-S."""
    data = np.asanyarray(image.dataobj, dtype=np.float32)
    current = nib.io_orientation(image.affine)
    wanted = nib.orientations.axcodes2ornt(_CONFORMED_AXES)
    change = nib.orientations.ornt_transform(current, wanted)
    affine = image.affine @ nib.orientations.inv_ornt_aff(change, image.shape)
    return nib.orientations.apply_orientation(data, change), affine


def _grid_affine(data: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Affine of the conformed grid, anchored on the input voxel nearest the wanted centre."""
    size_mm = np.linalg.norm(affine[:3, :3], axis=0)
    anchor = np.rint((np.array(data.shape) - 1) / 2)
    too_large = np.array(data.shape) * size_mm > CONFORMED_SIZE
    if too_large.any():
        around_head = _middle_of_head(data > data.mean(), size_mm)
        anchor = np.where(too_large, around_head, anchor)
    grid = np.diag([-1.0, -1.0, 1.0, 1.0])
    grid[:3, 3] = apply_affine(affine, anchor) - grid[:3, :3] @ np.full(3, CONFORMED_SIZE // 2)
    return grid


def _middle_of_head(bright: np.ndarray, size_mm: np.ndarray) -> np.ndarray:
    """Index of the voxel to put at mid-grid, so that a grid smaller than the view shows the head.

    Its vertex comes just below the top. Across, the view's own middle is kept as long as the whole
    head is on the grid; arms and shoulders do not count.
    """
    vertex = _extent(bright, 2)[1]
    top_mm = vertex * size_mm[2] + _AIR_ABOVE_VERTEX_MM
    height = np.rint((top_mm - CONFORMED_SIZE / 2) / size_mm[2])
    head = bright[..., max(0, vertex - round(_HEAD_MM / size_mm[2])) : vertex + 1]
    middle = np.rint((np.array(bright.shape) - 1) / 2)
    middle[2] = np.clip(height, 0, bright.shape[2] - 1)
    for axis in (0, 1):
        ends = _extent(head, axis)
        if (np.abs(ends - middle[axis]) * size_mm[axis] > CONFORMED_SIZE / 2).any():
            middle[axis] = np.rint(ends.mean())
    return middle


def _extent(bright: np.ndarray, axis: int) -> np.ndarray:
    """First and last index along an axis at which more than a trace is bright."""
    profile = bright.mean(axis=tuple({0, 1, 2} - {axis}))
    return np.flatnonzero(profile > 0.05 * profile.max())[[0, -1]]


def _resample(data: np.ndarray, affine: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Linear interpolation on the grid: axis by axis where no axis is oblique, else in one go."""
    mapping = np.linalg.inv(affine) @ grid
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    skew = mapping[:3, :3] - np.diag(np.diag(mapping)[:3])
    if np.abs(skew * spacing[:, None]).max() * CONFORMED_SIZE > _SKEW_TOLERANCE_MM:
        return affine_transform(
            data, mapping[:3, :3], mapping[:3, 3], output_shape=(CONFORMED_SIZE,) * 3, order=1
        )
    for axis in range(3):
        data = _interpolate_axis(data, axis, mapping[axis, axis], mapping[axis, 3])
    return np.ascontiguousarray(data)


def _interpolate_axis(data: np.ndarray, axis: int, step: float, start: float) -> np.ndarray:
    """Sample one axis at ``start + step * i``; positions outside the field of view give 0."""
    length = data.shape[axis]
    # Rounding to a millionth of a voxel keeps exact copies exact (2.9999999 is slice 3).
    position = np.round(start + step * np.arange(CONFORMED_SIZE), 6)
    covered = (position >= -0.5) & (position <= length - 0.5)
    position = np.clip(position, 0, length - 1)
    lower = np.floor(position).astype(np.intp)
    weight = np.where(covered, position - lower, 0).astype(np.float32)
    along = tuple(-1 if a == axis else 1 for a in range(3))
    result = np.take(data, lower, axis=axis)
    if weight.any():
        upper = np.take(data, np.minimum(lower + 1, length - 1), axis=axis)
        upper -= result
        upper *= weight.reshape(along)
        result += upper
    if not covered.all():
        result *= covered.astype(np.float32).reshape(along)
    return result
