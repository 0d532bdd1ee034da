"""The annotated atlas that SyN registers to the subject."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np

from tmsprep.evaluation.shape import read_places
from tmsprep.evaluation.status import outside_field_of_view
from tmsprep.imaging.conform import conform, resample_mask
from tmsprep.imaging.intensities import mend_image
from tmsprep.imaging.read import read_image
from tmsprep.points import PointSet
from tmsprep.protocols import Protocol
from tmsprep.registration.brain import Brain, brain_mask, cut_brain
from tmsprep.registration.names import DEFAULT_ATLAS, USER_ATLAS


@dataclass(frozen=True, eq=False)
class Atlas:
    """A T1w brain and the targets in it.

    Parameters
    ----------
    name : str
        Name in file names and sidecars.
    image : nibabel.Nifti1Image
        T1w with voxels of 1 mm.
    mask : nibabel.Nifti1Image
        Brain mask on the same grid.
    points : PointSet
        mm, RAS+, in the atlas image's world; missing where the atlas lacks a target.
    """

    name: str
    image: nib.Nifti1Image
    mask: nib.Nifti1Image
    points: PointSet

    def brain(self, spacing_mm: int) -> Brain:
        """Cut the brain out on a grid of `spacing_mm`."""
        return cut_brain(self.image, self.mask, spacing_mm)


def default_atlas(protocol: Protocol) -> Atlas:
    """Take nilearn's MNI152, with the points that the protocol names.

    Raises
    ------
    ValueError
        If the protocol names none, a table with none of its targets, or with one outside the head.
    """
    points = PointSet.from_mapping({}, protocol.labels)
    if protocol.atlas:
        points = read_places(protocol.file(protocol.atlas['points']), protocol)
    if not points.found.any():
        raise ValueError(
            f'the default atlas has no target of the protocol {protocol.name!r}: give another '
            'with --atlas and --atlas-targets'
        )
    image, mask = _template()
    return Atlas(DEFAULT_ATLAS, image, mask, points)


def user_atlas(image: Path, points: PointSet, mask: Path | None = None) -> Atlas:
    """Read a user's own annotated T1w.

    Parameters
    ----------
    image : Path
        Skull-stripped, or a whole head together with `mask`.
    points : PointSet
        mm, RAS+, in the image's scanner frame; at least one known.
    mask : Path or None
        Brain mask; may have another grid.

    Raises
    ------
    ValueError
        If no point is known, a point lies outside the image, or a whole head has no mask. An
        unreadable image raises its subclass `tmsprep.imaging.read.ImageError`.
    """
    grid = conform(read_atlas_image(image, points))
    own = resample_mask(read_image(mask), grid) if mask is not None else None
    try:
        return Atlas(USER_ATLAS, grid, brain_mask(grid, own), points)
    except ValueError as error:
        raise ValueError(f'atlas {image}: {error}') from error


def read_atlas_image(image: Path, points: PointSet) -> nib.Nifti1Image:
    """Read a user's own T1w, and refuse points that cannot be in it.

    Raises
    ------
    ValueError
        As `user_atlas`, but for the mask.
    """
    if not points.found.any():
        raise ValueError(f'no target is known in the atlas {image}')
    source = mend_image(read_image(image), image).image
    _require_inside(points, source, Path(image))
    return source


def default_mask() -> nib.Nifti1Image:
    """Return the brain mask of the default atlas, with voxels of 2 mm."""
    from nilearn.datasets import load_mni152_brain_mask

    return load_mni152_brain_mask(resolution=2)


@lru_cache(maxsize=1)
def _template() -> tuple[nib.Nifti1Image, nib.Nifti1Image]:
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    return load_mni152_template(resolution=1), load_mni152_brain_mask(resolution=1)


def _require_inside(points: PointSet, image: nib.spatialimages.SpatialImage, where: Path) -> None:
    """Refuse points beyond the field of view: they belong to another image or frame."""
    outside = outside_field_of_view(points, image.shape, image.affine)
    if outside.any():
        names = ', '.join(np.array(points.labels)[outside])
        raise ValueError(
            f'{names}: outside the atlas image {where}; the points must be in mm, RAS+, in the '
            'scanner frame of that image'
        )
