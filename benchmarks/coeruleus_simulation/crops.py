"""Training examples: crops around one nucleus, and whole heads or slabs."""

from __future__ import annotations

from collections.abc import Sequence as Several
from dataclasses import dataclass

import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from coeruleus_simulation.heads import Head
from coeruleus_simulation.nuclei import SIDES, expected_centres
from coeruleus_simulation.scans import Scan, contrast_to_noise, make_scan

#: Voxels along the edges of a crop, and their size, mm.
CROP, CROP_MM = 32, 0.75

#: Furthest distance of a crop's middle from where the registration puts the nucleus, mm; largest
#: angle about each axis, degrees; largest change of size. The first stage is off by 1 to 2 mm, and
#: slabs are tilted along the stem.
SHIFT_MM, ANGLES, SIZE = 4.0, np.array([25.0, 15.0, 15.0]), 0.15

#: The same for whole heads and slabs, and the thickness of slabs, mm: from 10 slices of 2 mm on.
VIEW_ANGLE, VIEW_SIZE, VIEW_SHIFT_MM = 20.0, 0.1, 15.0
SLAB_MM, SLAB_TILT = (20.0, 110.0), 25.0

#: Edges of a view of a whole head, mm, and share of views that are slabs.
WHOLE_MM, SLABS = (192.0, 240.0, 216.0), 0.5

#: Middle of a head in the template, mm, and the landmarks of a view.
HEAD_CENTRE = np.array([0.0, -18.0, 4.0])
LANDMARKS = {
    'PONS': (0.0, -26.0, -29.0),
    'LSN': (-9.5, -18.0, -11.5),
    'RSN': (9.5, -18.0, -11.5),
    'PINEAL': (0.0, -32.0, 1.0),
}


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop around one nucleus; that of a right one is mirrored.

    Parameters
    ----------
    volume : numpy.ndarray
        Shape (32, 32, 32), float32; the 5th and 95th percentiles are 0 and 1.
    mask : numpy.ndarray
        The same shape, uint8: the nucleus.
    point : numpy.ndarray
        Its centre of mass, shape (3,), voxel indices; NaN if it cannot be seen.
    expected : numpy.ndarray
        Where the registration alone puts it, shape (3,), voxel indices.
    scan : Scan
        What was drawn.
    side : int
        0 left, 1 right.
    head, seed
        What it was drawn in, and of.
    """

    volume: np.ndarray
    mask: np.ndarray
    point: np.ndarray
    expected: np.ndarray
    scan: Scan
    side: int
    head: Head
    seed: int

    @property
    def contrast_to_noise(self) -> float:
        """See `scans.contrast_to_noise`."""
        return contrast_to_noise(self.head, self.scan, self.side, self.seed)


def draw_crop(heads: Several[Head], seed: int, clearer: float = 0.0, spread: float = 1.0) -> Crop:
    """Draw a crop of a random head; the same seed gives the same bytes.

    Parameters
    ----------
    heads : sequence of Head
        One is drawn.
    seed : int
        Draws everything.
    clearer : float
        By how much more than drawn nuclei stand out, for the start of a training: with 1 they have
        twice the excess signal, and images half of the noise.
    spread : float
        Factor of the distance of nuclei from where the registration puts them.
    """
    rng = np.random.default_rng([seed, 0])
    head, side = heads[rng.integers(len(heads))], int(rng.integers(2))
    expected = expected_centres(head)[side]
    centre = expected + _in_ball(SHIFT_MM, rng)
    angles = rng.uniform(-ANGLES, ANGLES)
    turned = Rotation.from_euler('xyz', angles, degrees=True).as_matrix()
    size = CROP_MM * (1 + rng.uniform(-SIZE, SIZE))
    # Right nuclei look like left ones.
    axes = turned * size @ np.diag([-SIDES[side], 1, 1])
    affine = _around(axes, centre, (CROP,) * 3)
    scan = make_scan(head, affine, (CROP,) * 3, seed, clearer, spread)
    low, high = np.percentile(scan.volume, (5, 95))
    return Crop(
        (scan.volume - np.float32(low)) / np.float32(max(high - low, 1e-6)),
        (scan.labels == side + 1).astype(np.uint8),
        scan.points[side],
        apply_affine(np.linalg.inv(affine), expected),
        scan,
        side,
        head,
        seed,
    )


def draw_view(head: Head, voxel_mm: float, seed: int) -> tuple[Scan, np.ndarray]:
    """Draw a view of a whole head, or a slab of it through the brainstem.

    Parameters
    ----------
    head : Head
        Not cut.
    voxel_mm : float
        Edge of the voxels: 2 to 4 mm suffice to tell where the stem is.
    seed : int
        Draws pose and field of view, and what `make_scan` draws.

    Returns
    -------
    tuple
        The scan, and the landmarks of `LANDMARKS`, shape (4, 3), voxel indices.
    """
    rng = np.random.default_rng([seed, 0])
    slab = rng.random() < SLABS
    angles = rng.uniform(-VIEW_ANGLE, VIEW_ANGLE, 3)
    extent = np.array(WHOLE_MM)
    anchor = head.from_template(LANDMARKS['PONS'])
    if slab:
        # Half are thinner than 47 mm, as these are the harder ones, and the usual ones.
        extent[2] = np.exp(rng.uniform(*np.log(SLAB_MM)))
        angles[0] += rng.uniform(-SLAB_TILT, SLAB_TILT)
        # The pons may lie anywhere in the slab but its outermost sixth.
        shift = np.array([0.0, 25.0, rng.uniform(-1, 1) * extent[2] / 3])
        shift[:2] += rng.uniform(-VIEW_SHIFT_MM, VIEW_SHIFT_MM, 2)
    else:
        shift = HEAD_CENTRE - LANDMARKS['PONS'] + rng.uniform(-VIEW_SHIFT_MM, VIEW_SHIFT_MM, 3)
    turned = Rotation.from_euler('xyz', angles, degrees=True).as_matrix()
    size = 1 + rng.uniform(-VIEW_SIZE, VIEW_SIZE)
    shape = tuple(np.round(extent / voxel_mm).astype(int).tolist())
    affine = _around(turned * voxel_mm * size, anchor + turned @ shift, shape)
    places = head.from_template(np.array(list(LANDMARKS.values())))
    made = make_scan(head, affine, shape, seed)
    return made, apply_affine(np.linalg.inv(affine), places)


def _around(axes: np.ndarray, centre: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Affine of a grid with these columns and this middle, mm."""
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = centre - axes @ ((np.array(shape) - 1) / 2)
    return affine


def _in_ball(radius: float, rng: np.random.Generator) -> np.ndarray:
    """Point uniform in a ball."""
    direction = rng.standard_normal(3)
    return direction / np.linalg.norm(direction) * radius * rng.random() ** (1 / 3)
