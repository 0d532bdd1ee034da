"""Checks that a registration is plausible for a human brain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from tmsprep.imaging.similarity import affine_fit
from tmsprep.outcome import ImplausibleImage
from tmsprep.registration.transforms import move_coordinates

#: mm in the subject per mm of the atlas, along any direction. The MNI template is large (1880 mL):
#: six adults gave 0.80 to 1.06, a brain of 900 mL would give about 0.72.
SCALE_BOUNDS = (0.7, 1.3)

#: Cosine of the smallest angle between two axes after the stretch; adults reached 0.06.
SHEAR_BOUND = 0.2

#: Dice of the two brain masks after the linear part; good registrations reached 0.94. Not after
#: the warp, which pulls even half a brain over the atlas.
OVERLAP_BOUND = 0.85

#: Local volume in the subject per volume of the atlas, 1st and 99th percentile.
JACOBIAN_BOUNDS = (0.1, 8.0)

#: mm by which a point may come back elsewhere through both transforms of a pair, median and 95th
#: percentile in the brain. Warps of ANTs are inverse to 0.1 mm; SimNIBS says of its own that they
#: do not recover a point exactly.
ROUND_TRIP_BOUNDS = (1.0, 4.0)

_JACOBIAN_SPACING_MM = 5.0

#: Points by which a pair of transforms is judged.
_LATTICE_MM = 8.0

#: What to do about it, at the end of each message.
CURE = (
    'Look at the brain mask and at the orientation of the image; give a mask of your own, or '
    "start from the CNN's points by running both localizers."
)


class ImplausibleRegistration(ImplausibleImage):
    """A registration that is impossible for a human brain; the message gives the reason."""


@dataclass(frozen=True)
class LinearReport:
    """Components of the linear part of a registration, atlas to subject.

    Parameters
    ----------
    scales : tuple of float
        Stretch along the atlas's x, y and z, mm per mm.
    extreme_scales : tuple of float
        Smallest and largest stretch along any direction (singular values).
    shear : float
        Largest cosine between two axes of the atlas after the stretch; 0 for none.
    determinant : float
        Volume in the subject per volume of the atlas; negative for a mirror image.
    rotation_deg : float
        Angle of the rotation.
    """

    scales: tuple[float, float, float]
    extreme_scales: tuple[float, float]
    shear: float
    determinant: float
    rotation_deg: float


def describe_linear(affine: np.ndarray) -> LinearReport:
    """Split a 4 x 4 matrix, points of the atlas to the subject, into rotation times stretch.

    The polar decomposition ``A = R S`` with S symmetric: the columns of S are the atlas's axes
    after the stretch and before the rotation. It does not depend on how the head lies.

    Raises
    ------
    ValueError
        If the matrix is singular or not finite.
    """
    linear = np.asarray(affine, dtype=np.float64)[:3, :3]
    determinant = np.linalg.det(linear) if np.isfinite(linear).all() else 0.0
    if abs(determinant) < 1e-6:
        raise ValueError('the affine is singular or not finite')
    u, stretch, vt = np.linalg.svd(linear)
    columns = vt.T @ np.diag(stretch) @ vt
    scales = np.linalg.norm(columns, axis=0)
    cosines = (columns.T @ columns) / np.outer(scales, scales) - np.eye(3)
    rotation = u @ vt * np.sign(determinant)
    angle = np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
    return LinearReport(
        scales=(float(scales[0]), float(scales[1]), float(scales[2])),
        extreme_scales=(float(stretch[-1]), float(stretch[0])),
        shear=float(np.abs(cosines).max()),
        determinant=float(determinant),
        rotation_deg=float(angle),
    )


def check_linear(affine: np.ndarray) -> LinearReport:
    """Describe the linear part and refuse it outside `SCALE_BOUNDS` and `SHEAR_BOUND`.

    Raises
    ------
    ImplausibleRegistration
        If it mirrors, stretches, shrinks or shears more than brains differ.
    """
    report = describe_linear(affine)
    low, high = report.extreme_scales
    problems = []
    if report.determinant < 0:
        problems.append('it mirrors the brain')
    if low < SCALE_BOUNDS[0] or high > SCALE_BOUNDS[1]:
        problems.append(
            f'it scales by {low:.2f} to {high:.2f} '
            f'(plausible: {SCALE_BOUNDS[0]} to {SCALE_BOUNDS[1]})'
        )
    if report.shear > SHEAR_BOUND:
        problems.append(f'its shear is {report.shear:.2f} (plausible: up to {SHEAR_BOUND})')
    if problems:
        raise ImplausibleRegistration(
            f'The linear registration is implausible: {"; ".join(problems)}. {CURE}'
        )
    return report


def check_overlap(overlap: float) -> float:
    """Return the Dice overlap after the linear part, or refuse it below `OVERLAP_BOUND`.

    Raises
    ------
    ImplausibleRegistration
        If the brains do not lie on each other.
    """
    if not overlap >= OVERLAP_BOUND:
        raise ImplausibleRegistration(
            f"After the linear registration the atlas's and the subject's brain masks overlap by "
            f'Dice {overlap:.2f} (plausible: over {OVERLAP_BOUND}). {CURE}'
        )
    return overlap


def check_pair(
    to_atlas: Callable[[np.ndarray], np.ndarray],
    from_atlas: Callable[[np.ndarray], np.ndarray],
    atlas_mask: nib.spatialimages.SpatialImage,
    mask: nib.spatialimages.SpatialImage | None,
) -> None:
    """Refuse a pair of transforms from elsewhere that cannot be those of a brain.

    Parameters
    ----------
    to_atlas, from_atlas : callable
        Move points of shape (n, 3), mm, RAS+: from the atlas to the T1w, and back.
    atlas_mask : nibabel spatial image
        Brain of the atlas; over 0.5 is inside.
    mask : nibabel spatial image or None
        Brain of the T1w; None if it is not known.

    Raises
    ------
    ImplausibleRegistration
        If the linear part, the change of volume or the overlap of the brains are refused as those
        of a registration are, or one transform is not the inverse of the other.
    """
    places = lattice(atlas_mask, _LATTICE_MM)
    around = _around(places)
    moved = to_atlas(around.reshape(-1, 3)).reshape(around.shape)
    middle = moved.mean(axis=0)
    check_linear(affine_fit(places, middle))
    check_jacobian(_jacobian_range(moved))
    own = np.empty((0, 3)) if mask is None else lattice(mask, _LATTICE_MM)
    # At once: reading a transform takes a second.
    back = from_atlas(np.concatenate([middle, own]))
    away = np.linalg.norm(back[: len(middle)] - places, axis=1)
    found = np.median(away), np.percentile(away, 95)
    if not (found[0] <= ROUND_TRIP_BOUNDS[0] and found[1] <= ROUND_TRIP_BOUNDS[1]):
        raise ImplausibleRegistration(
            f'One transform is not the inverse of the other: points come back {found[0]:.1f} mm '
            f'away (median; 95 % within {found[1]:.1f} mm). {CURE}'
        )
    if mask is not None:
        own_back = back[len(middle) :]
        shares = _share_inside(middle, mask), _share_inside(own_back, atlas_mask)
        check_overlap(2 * shares[0] * shares[1] / max(sum(shares), 1e-9))


def lattice(mask: nib.spatialimages.SpatialImage, spacing_mm: float) -> np.ndarray:
    """Return evenly spaced points inside a mask; shape (n, 3), mm, RAS+."""
    inside = np.argwhere(np.asarray(mask.dataobj) > 0.5)
    step = max(1, round(spacing_mm / np.linalg.norm(mask.affine[:3, 0])))
    return apply_affine(mask.affine, inside[np.all(inside % step == 0, axis=1)])


def _share_inside(points: np.ndarray, mask: nib.spatialimages.SpatialImage) -> float:
    """Share of points whose voxel is inside a mask."""
    voxels = np.rint(apply_affine(np.linalg.inv(mask.affine), points))
    there = np.all((voxels >= 0) & (voxels < mask.shape), axis=1)
    data = np.asarray(mask.dataobj)
    return float(np.sum(data[tuple(voxels[there].astype(np.intp).T)] > 0.5) / len(points))


def jacobian_range(transform: Path, mask: nib.spatialimages.SpatialImage) -> tuple[float, float]:
    """Measure how much a transform stretches volume: 1st and 99th percentile inside a mask.

    Parameters
    ----------
    transform : Path
        Transform file; its fixed side is the mask's world.
    mask : nibabel spatial image
        Mask; over 0.5 is inside.
    """
    around = _around(lattice(mask, _JACOBIAN_SPACING_MM))
    moved = move_coordinates(around.reshape(-1, 3), transform)
    return _jacobian_range(moved.reshape(around.shape))


def _around(places: np.ndarray) -> np.ndarray:
    """Points 1 mm to each side; shape (6, n, 3) in the order +x -x +y -y +z -z."""
    offsets = np.stack([sign * axis for axis in np.eye(3) for sign in (1, -1)])
    return places[None] + offsets[:, None]


def _jacobian_range(moved: np.ndarray) -> tuple[float, float]:
    """Take central differences between the points that `_around` gave, after the move."""
    gradient = (moved[0::2] - moved[1::2]).transpose(1, 2, 0) / 2
    low, high = np.percentile(np.linalg.det(gradient), [1, 99])
    return float(low), float(high)


def check_jacobian(limits: tuple[float, float]) -> tuple[float, float]:
    """Return the range of the Jacobian determinant, or refuse it outside `JACOBIAN_BOUNDS`.

    Raises
    ------
    ImplausibleRegistration
        If the warp folds, crushes or blows up parts of the brain.
    """
    low, high = limits
    if not (low >= JACOBIAN_BOUNDS[0] and high <= JACOBIAN_BOUNDS[1]):
        raise ImplausibleRegistration(
            f'The warp changes volume by a factor of {low:.2f} to {high:.2f} (plausible: '
            f'{JACOBIAN_BOUNDS[0]} to {JACOBIAN_BOUNDS[1]}). {CURE}'
        )
    return limits
