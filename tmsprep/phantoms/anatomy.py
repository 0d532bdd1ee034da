"""A whole head in template space: nilearn's brain with skull, scalp, face and neck around it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from nilearn.datasets import load_mni152_brain_mask, load_mni152_template
from scipy.ndimage import affine_transform, distance_transform_edt, gaussian_filter

#: Grid of the head: the template's (98, 134 and 72 voxels before 0 mm) and room for scalp, face
#: and neck, 1 mm voxels.
_ORIGIN = np.array([-104, -144, -172])
_SHAPE = (209, 273, 289)

#: T1-weighted gradient-echo signal at 3 T, white matter = 1; chosen by eye.
_CSF, _BONE, _MARROW, _FAT, _MUSCLE, _SKIN = 0.17, 0.06, 0.33, 0.85, 0.55, 0.55

#: Outer limits of the layers around the brain's hull, mm; chosen by eye.
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


@dataclass(frozen=True)
class Ellipsoid:
    """A part of the head; mm, RAS+ of the template.

    Parameters
    ----------
    centre, radii : tuple of float
        Along x, y and z, mm.
    intensity : float
        T1-weighted signal, white matter = 1; 1 for a part of the outline.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    intensity: float = 1.0

    def paint(self, volume: np.ndarray, origin: np.ndarray, spacing: float = 1.0) -> None:
        """Paint the ellipsoid into a volume, with an edge as wide as one voxel.

        Parameters
        ----------
        volume : numpy.ndarray
            Shape (n, m, k), axes R-A-S; changed in place.
        origin : numpy.ndarray
            Centre of the first voxel, shape (3,), mm, RAS+ of the template.
        spacing : float
            Voxel size, mm.
        """
        box, axes = [], []
        for axis in range(3):
            index = np.arange(volume.shape[axis]) * spacing + origin[axis]
            near = np.abs(index - self.centre[axis]) <= self.radii[axis] + spacing
            box.append(near)
            scaled = (index[near] - self.centre[axis]) / self.radii[axis]
            axes.append(scaled.reshape([-1 if i == axis else 1 for i in range(3)]))
        distance = np.sqrt(sum(scaled**2 for scaled in axes))
        inside = np.clip((1 - distance) * min(self.radii) / spacing + 0.5, 0, 1)
        where = np.ix_(*box)
        volume[where] += inside * (self.intensity - volume[where])


def _both_sides(*shapes: Ellipsoid) -> tuple[Ellipsoid, ...]:
    return tuple(
        Ellipsoid((sign * shape.centre[0], *shape.centre[1:]), shape.radii, shape.intensity)
        for shape in shapes
        for sign in (-1, 1)
    )


#: Parts of the head's outline besides the cranium. These and the following numbers are round
#: values, chosen by eye, that fit eyes, nose, mouth and neck to the template.
_OUTLINE = (
    Ellipsoid((0, 30, -70), (64, 48, 60)),  # cheeks
    Ellipsoid((0, 38, -98), (50, 44, 36)),  # mouth and chin
    Ellipsoid((0, 80, -62), (11, 22, 11)),  # nose
    Ellipsoid((0, 74, -50), (8, 16, 24)),  # bridge of the nose
    Ellipsoid((0, 8, -88), (63, 64, 46)),  # jaw
    Ellipsoid((0, -32, -150), (60, 60, 130)),  # neck
    *_both_sides(Ellipsoid((80, -24, -42), (8, 17, 28))),  # ears
)

#: Painted in this order over fat and muscle, under the cranium.
_ORGANS = (
    Ellipsoid((0, -28, -135), (16, 13, 72), 0.45),  # vertebral bodies
    *(Ellipsoid((0, -28, z), (15, 12, 3), 0.25) for z in range(-168, -80, 18)),  # discs
    Ellipsoid((0, -78, -130), (5, 14, 52), 0.2),  # spinous processes
    Ellipsoid((0, 44, -46), (16, 30, 20), 0.12),  # nasal cavity and sphenoid sinus
    *_both_sides(
        Ellipsoid((6, 48, -54), (3, 22, 8), 0.5),  # turbinates
        Ellipsoid((28, 44, -66), (13, 16, 14), 0.06),  # maxillary sinus
        Ellipsoid((34, 56, -40), (17, 21, 16), 1.1),  # orbital fat
        Ellipsoid((32, 44, -40), (3, 15, 3), 0.55),  # optic nerve
        Ellipsoid((34, 62, -40), (12.5, 12.5, 12.5), 0.22),  # eyeball
        Ellipsoid((34, 71, -40), (4.5, 2.5, 4.5), 0.45),  # lens
        Ellipsoid((52, -36, -52), (13, 18, 16), 0.08),  # mastoid
        Ellipsoid((48, 22, -78), (7, 18, 26), 0.35),  # ramus of the mandible
        Ellipsoid((30, -2, -110), (5, 5, 55), 1.0),  # vessels of the neck
    ),
    Ellipsoid((0, 40, -90), (25, 27, 24), 0.6),  # tongue
    Ellipsoid((0, 50, -67), (20, 26, 3), 0.15),  # palate
    Ellipsoid((0, 68, -84), (24, 7, 10), 0.12),  # teeth
    Ellipsoid((0, 66, -114), (22, 8, 9), 0.6),  # chin
    Ellipsoid((0, 4, -100), (10, 6, 50), 0.03),  # throat
)

#: Painted last, through the foramen magnum.
_SPINAL_CANAL = (
    Ellipsoid((0, -51, -140), (12, 11, 84), 0.2),  # fluid
    Ellipsoid((0, -49, -135), (6.5, 5.5, 80), 0.85),  # cord
)


@lru_cache(maxsize=1)
def head_template() -> HeadTemplate:
    """Return the head, built once per process."""
    brain, contrast = _bundled_brain()
    hull = _outside_hull(brain[::2, ::2, ::2] > 0.5)
    depth = _depth_below_skin(hull)
    hull, depth = _to_full_grid(hull), _to_full_grid(depth)
    t1w = _soft_tissue(depth)
    for organ in _ORGANS:
        organ.paint(t1w, _ORIGIN)
    _paint_cranium(t1w, hull)
    for part in _SPINAL_CANAL:
        part.paint(t1w, _ORIGIN)
    t1w += brain * (contrast - t1w)
    t1w = gaussian_filter(t1w * np.clip(depth + 0.5, 0, 1), 0.5)
    affine = np.eye(4)
    affine[:3, 3] = _ORIGIN
    for shared in (t1w, brain, affine):
        shared.setflags(write=False)
    return HeadTemplate(t1w, brain, affine)


def _bundled_brain() -> tuple[np.ndarray, np.ndarray]:
    """Brain mask with soft edges, and brain signal with the contrast of an individual."""
    template = load_mni152_template(resolution=1)
    mask = load_mni152_brain_mask(resolution=1)
    signal = np.zeros(_SHAPE, np.float32)
    brain = np.zeros(_SHAPE, np.float32)
    start = np.round(template.affine[:3, 3]).astype(int) - _ORIGIN
    box = tuple(slice(a, a + n) for a, n in zip(start, template.shape, strict=True))
    signal[box] = template.get_fdata(dtype=np.float32)
    brain[box] = mask.get_fdata(dtype=np.float32)
    # In the average of 152 participants fluid is 0.28, grey matter 0.65 and white matter 0.87, and
    # small sulci are blurred: stretch to the contrast of an individual and undo part of the blur.
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
    for part in _OUTLINE:
        part.paint(outline, _ORIGIN, spacing=2.0)
    inside = gaussian_filter(outline, 1.5) > 0.5
    depth = 2 * (distance_transform_edt(inside) - distance_transform_edt(~inside))
    return gaussian_filter(depth.astype(np.float32), 0.7)


def _to_full_grid(coarse: np.ndarray) -> np.ndarray:
    """Resample from 2 mm to 1 mm."""
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
