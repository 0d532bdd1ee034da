"""Images to test the localiser of the locus coeruleus on: simulated in heads never trained on."""

from __future__ import annotations

from dataclasses import dataclass, field

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.spatial.transform import Rotation

from tmsprep.evaluation.masks import centres_of_mass
from tmsprep.imaging.conform import as_image
from tmsprep.phantoms.deformation import random_map
from tmsprep.phantoms.neuromelanin import make_neuromelanin
from tmsprep.phantoms.neuromelanin.anatomy import MIDDLE

from coeruleus_simulation.crops import HEAD_CENTRE, LANDMARKS
from coeruleus_simulation.heads import Head
from coeruleus_simulation.nuclei import SIDES, expected_centres
from coeruleus_simulation.scans import make_scan
from coeruleus_testing.simulator import make_test_scan, stem_frame

#: Voxels of images of the first simulator, mm, edges of a whole head and of a slab, and thickness
#: of slabs; the same of the second, whose voxels differ from image to image.
VOXEL_MM = 0.8
WHOLE_MM, SLAB_MM = (180.0, 220.0, 190.0), (36.0, 60.0)
SECOND_WHOLE_MM, SECOND_SLAB_MM = (150.0, 190.0, 150.0), (150.0, 180.0)

#: Standard deviation of a head's pose, degrees, and of the shift of the field of view, mm.
POSE, SHIFT_MM = 8.0, 6.0

#: Where the second simulator puts nuclei on average, along the axes of the stem, mm: to the side,
#: to the front and up from the floor of the ventricle.
SECOND_MIDDLE = np.array([4.6, 2.05, 0.0])


@dataclass(frozen=True, eq=False)
class Shown:
    """A test image and its truth.

    Parameters
    ----------
    image : nibabel.Nifti1Image
        As a scanner would give it.
    points : numpy.ndarray
        Shape (2, 3), mm, RAS+, left and right; NaN where not visible.
    expected : numpy.ndarray
        Shape (2, 3), mm: where one who knows the stem alone expects them.
    axes : numpy.ndarray
        Shape (2, 3, 3), rows: to the side, to the front and up along the stem, of each side.
    masks : nibabel.Nifti1Image
        Exact masks: 1 left, 2 right.
    raters : tuple of nibabel.Nifti1Image
        Masks of simulated raters, where there are any.
    rater_points : numpy.ndarray
        Shape (raters, 2, 3): their centres of mass, mm.
    """

    image: nib.Nifti1Image
    points: np.ndarray
    expected: np.ndarray
    axes: np.ndarray
    masks: nib.Nifti1Image
    raters: tuple[nib.Nifti1Image, ...] = ()
    rater_points: np.ndarray = field(default_factory=lambda: np.empty((0, 2, 3)))


def show_head(head: Head, coverage: str, seed: int) -> Shown:
    """Simulate a whole head or a slab in a real head; the head is not cut.

    Parameters
    ----------
    head : Head
        Never trained on.
    coverage : str
        'whole' or 'slab'.
    seed : int
        Draws pose, field of view and all else.
    """
    rng = np.random.default_rng([seed, 5])
    turned = Rotation.from_euler('xyz', rng.normal(0, POSE, 3), degrees=True).as_matrix()
    extent = np.array(WHOLE_MM)
    shift = rng.normal(0, SHIFT_MM, 3)
    anchor = head.from_template(HEAD_CENTRE)
    if coverage == 'slab':
        extent[2] = rng.uniform(*SLAB_MM)
        shift[1] += 25
        shift[2] = rng.uniform(-1, 1) * max(0.0, extent[2] / 2 - 16)
        anchor = expected_centres(head).mean(axis=0)
    shape = tuple(np.round(extent / VOXEL_MM).astype(int).tolist())
    affine = np.eye(4)
    affine[:3, :3] = turned * VOXEL_MM
    affine[:3, 3] = anchor + turned @ (shift - VOXEL_MM * (np.array(shape) - 1) / 2)
    scan = make_scan(head, affine, shape, seed)
    low, high = head.from_template(np.add(LANDMARKS['PONS'], [[0, 0, -6], [0, 0, 6]]))
    return Shown(
        as_image(scan.volume * np.float32(500), affine),
        apply_affine(affine, scan.points),
        expected_centres(head),
        _side_axes(high - low, np.array([0.0, 1, 0])),
        as_image(scan.labels, affine),
    )


def show_labels(labels: np.ndarray, affine: np.ndarray, coverage: str, seed: int) -> Shown:
    """Simulate a whole head or a slab of a label map, by the second simulator."""
    rng = np.random.default_rng([seed, 6])
    third = SECOND_WHOLE_MM[2] if coverage == 'whole' else rng.uniform(*SLAB_MM)
    extent = (*SECOND_WHOLE_MM[:2], third) if coverage == 'whole' else (*SECOND_SLAB_MM, third)
    scan = make_test_scan(labels, affine, seed, extent_mm=extent)
    frame = stem_frame(labels, affine)
    offsets = np.stack([SECOND_MIDDLE * [sign, 1, 1] for sign in SIDES])
    axes = np.stack([frame.axes * np.array([[sign], [1], [1]]) for sign in SIDES])
    return Shown(
        as_image(scan.volume * np.float32(500), scan.affine),
        scan.points,
        frame.floor + offsets @ frame.axes,
        axes,
        as_image(scan.masks, scan.affine),
    )


def show_phantom(seed: int) -> Shown:
    """Simulate a brainstem by the phantom of the package, with two raters."""
    phantom = make_neuromelanin(seed, coverage='stem')
    middles = random_map(seed).forward(np.stack([MIDDLE * [sign, 1, 1] for sign in SIDES]))
    labels = [np.asarray(mask.dataobj) for mask in phantom.raters]
    centres = [
        centres_of_mass(data, mask.affine, (1, 2))
        for data, mask in zip(labels, phantom.raters, strict=True)
    ]
    return Shown(
        phantom.image,
        phantom.points.coordinates,
        middles,
        _side_axes(np.array([0.0, 0, 1]), np.array([0.0, 1, 0])),
        phantom.truth,
        tuple(phantom.raters),
        np.stack(centres),
    )


def _side_axes(up: np.ndarray, forwards: np.ndarray) -> np.ndarray:
    """Axes of both sides, shape (2, 3, 3), from two directions."""
    up = up / np.linalg.norm(up)
    forwards = forwards - up * (forwards @ up)
    forwards /= np.linalg.norm(forwards)
    right = np.cross(forwards, up)
    return np.stack([np.stack([sign * right, forwards, up]) for sign in SIDES])


def slice_mm(image: nib.Nifti1Image) -> float:
    """Size of the largest voxel edge, mm."""
    return float(voxel_sizes(image.affine).max())
