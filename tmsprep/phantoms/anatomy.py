"""A whole head in template space: nilearn's brain with skull, scalp, face and neck around it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import affine_transform, distance_transform_edt, gaussian_filter

from tmsprep.phantoms.shapes import ORGANS, OUTLINE, SPINAL_CANAL

# The template's grid (98, 134 and 72 voxels before 0) with room for scalp, face and neck.
_ORIGIN = np.array([-104, -144, -172])
_SHAPE = (209, 273, 289)

# Signal of T1-weighted gradient echo at 3 T, white matter = 1. Our choice, by eye.
_CSF, _BONE, _MARROW, _FAT, _MUSCLE, _SKIN = 0.17, 0.06, 0.33, 0.85, 0.55, 0.55

# Where one layer ends and the next begins, mm outside the brain's hull. Our choice.
_SKULL, _DIPLOE, _OUTER_TABLE, _SCALP, _SURFACE = 2.0, 4.5, 6.5, 8.5, 14.0


@dataclass(frozen=True, eq=False)
class HeadTemplate:
    """A whole head in template space.

    Parameters
    ----------
    t1w : numpy.ndarray
        T1-weighted signal, white matter = 1, float32.
    brain : numpy.ndarray
        1 inside, 0 outside, float32, with soft edges.
    affine : numpy.ndarray
        Of both, shape (4, 4), mm, RAS+.
    """

    t1w: np.ndarray
    brain: np.ndarray
    affine: np.ndarray


@lru_cache(maxsize=1)
def head_template() -> HeadTemplate:
    """Build the head once for each process."""
    brain, contrast = _bundled_brain()
    hull = _outside_hull(brain[::2, ::2, ::2] > 0.5)
    depth = _depth_below_skin(hull)
    hull, depth = _to_full_grid(hull), _to_full_grid(depth)
    t1w = _soft_tissue(depth)
    for organ in ORGANS:
        organ.paint(t1w, _ORIGIN)
    _paint_cranium(t1w, hull)
    for part in SPINAL_CANAL:
        part.paint(t1w, _ORIGIN)
    t1w += brain * (contrast - t1w)
    t1w = gaussian_filter(t1w * np.clip(depth + 0.5, 0, 1), 0.5)
    affine = np.eye(4)
    affine[:3, 3] = _ORIGIN
    for shared in (t1w, brain, affine):
        shared.setflags(write=False)
    return HeadTemplate(t1w, brain, affine)


def _bundled_brain() -> tuple[np.ndarray, np.ndarray]:
    """Brain mask with soft edges, and brain signal with the contrast of a single person's."""
    from nilearn.datasets import load_mni152_brain_mask, load_mni152_template

    template = load_mni152_template(resolution=1)
    mask = load_mni152_brain_mask(resolution=1)
    signal = np.zeros(_SHAPE, np.float32)
    brain = np.zeros(_SHAPE, np.float32)
    start = np.round(template.affine[:3, 3]).astype(int) - _ORIGIN
    box = tuple(slice(a, a + n) for a, n in zip(start, template.shape, strict=True))
    signal[box] = template.get_fdata(dtype=np.float32)
    brain[box] = mask.get_fdata(dtype=np.float32)
    # In the average of 152 people fluid is 0.28, grey matter 0.65 and white matter 0.87, and
    # small sulci are blurred: stretch to one person's contrast and undo a part of the blur.
    signal += 0.8 * (signal - gaussian_filter(signal, 1.5))
    return gaussian_filter(brain, 0.6), np.clip((signal - 0.15) / 0.72, 0.1, 1.15)


def _outside_hull(brain: np.ndarray) -> np.ndarray:
    """Distance from the brain's hull (closed by 12 mm) on the 2 mm grid, mm, negative inside."""
    dilated = 2 * distance_transform_edt(~brain) <= 12
    hull = 2 * distance_transform_edt(dilated) > 12
    distance = 2 * (distance_transform_edt(~hull) - distance_transform_edt(hull))
    # The skull is thinner at the temples than in front and behind.
    x = 2 * np.arange(brain.shape[0])[:, None, None] + _ORIGIN[0]
    distance *= 1 + 0.3 * np.minimum(x / 75, 1) ** 2
    return gaussian_filter(distance.astype(np.float32), 1.0)


def _depth_below_skin(hull: np.ndarray) -> np.ndarray:
    """Distance from the head's outline on the 2 mm grid, mm, negative outside."""
    outline = (hull < _SURFACE).astype(np.float32)
    for part in OUTLINE:
        part.paint(outline, _ORIGIN, spacing=2.0)
    inside = gaussian_filter(outline, 1.5) > 0.5
    depth = 2 * (distance_transform_edt(inside) - distance_transform_edt(~inside))
    return gaussian_filter(depth.astype(np.float32), 0.7)


def _to_full_grid(coarse: np.ndarray) -> np.ndarray:
    """From every second voxel to all."""
    return affine_transform(coarse, np.eye(3) / 2, output_shape=_SHAPE, order=1, mode='nearest')


def _soft_tissue(depth: np.ndarray) -> np.ndarray:
    """Skin, fat, and muscle with streaks of fat, by depth below the skin (mm)."""
    rng = np.random.default_rng(0)
    streaks = gaussian_filter(rng.standard_normal(depth.shape, dtype=np.float32), (2, 2, 3))
    muscle = _MUSCLE * (1 + 0.3 * streaks / streaks.std())
    tissue = np.where(depth < 5.0, np.float32(_FAT), np.clip(muscle, 0.15, 1.1))
    return np.where(depth < 1.5, np.float32(_SKIN), tissue)


def _paint_cranium(t1w: np.ndarray, hull: np.ndarray) -> None:
    """Fluid and the three layers of the skull, by distance from the hull (mm)."""
    t1w[hull < _SCALP] = _BONE
    t1w[(hull >= _DIPLOE) & (hull < _OUTER_TABLE)] = _MARROW
    t1w[hull < _SKULL] = _CSF
