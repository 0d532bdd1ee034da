"""One simulated scan on any grid, with its truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes
from scipy.ndimage import gaussian_filter

from coeruleus_simulation import priors
from coeruleus_simulation.heads import Head
from coeruleus_simulation.nuclei import Nucleus, draw_nuclei
from coeruleus_simulation.scanner import acquire, ghost, shading, texture
from coeruleus_simulation.sequences import Sequence, draw_sequence, tissue_signal
from coeruleus_simulation.structures import draw_structures, paint


@dataclass(frozen=True, eq=False)
class Scan:
    """A simulated image and what it shows.

    Parameters
    ----------
    volume : numpy.ndarray
        Shape (n, m, k), float32; the pons is about 1.
    labels : numpy.ndarray
        The same shape, uint8: 1 left, 2 right, where more than half of a voxel lies in a visible
        nucleus.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+ of the head.
    nuclei : tuple of Nucleus
        Left and right.
    sequence : Sequence
        Signals.
    """

    volume: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    nuclei: tuple[Nucleus, Nucleus]
    sequence: Sequence

    @property
    def points(self) -> np.ndarray:
        """Centres of mass of left and right, shape (2, 3), voxel indices; NaN if invisible."""
        places = [n.rod.centroid if n.visible else np.full(3, np.nan) for n in self.nuclei]
        return apply_affine(np.linalg.inv(self.affine), np.stack(places))


def make_scan(
    head: Head,
    affine: np.ndarray,
    shape: tuple[int, int, int],
    seed: int,
    clearer: float = 0.0,
    spread: float = 1.0,
) -> Scan:
    """Draw a participant and a sequence, and scan.

    Parameters
    ----------
    head : Head
        The anatomy.
    affine : numpy.ndarray
        Shape (4, 4), indices of cubic voxels to mm, RAS+ of the head. The third axis is that of
        the slices.
    shape : tuple of int
        Voxels.
    seed : int
        The same seed draws the same nuclei, sequence and vessels on any grid.
    clearer, spread : float
        See `crops.draw_crop`.
    """
    sequence = draw_sequence(np.random.default_rng([seed, 2]))
    rated = priors.CLASSES[sequence.name].coeruleus
    first, second = draw_nuclei(head, np.random.default_rng([seed, 1]), rated, spread)
    more = 1 + clearer
    sequence = replace(sequence, noise=sequence.noise / more)
    nuclei = (
        replace(first, contrast=1 + more * (first.contrast - 1)),
        replace(second, contrast=1 + more * (second.contrast - 1)),
    )
    return scan(head, affine, shape, nuclei, sequence, seed)


def scan(
    head: Head,
    affine: np.ndarray,
    shape: tuple[int, int, int],
    nuclei: tuple[Nucleus, Nucleus],
    sequence: Sequence,
    seed: int,
) -> Scan:
    """Scan given nuclei by a given sequence; the seed draws the rest, see `make_scan`."""
    voxel = float(voxel_sizes(affine)[0])
    rng = np.random.default_rng([seed, 3])
    index = np.moveaxis(np.indices(shape, dtype=np.float64), 0, -1)
    signal, fluid = tissue_signal(head, apply_affine(affine, index), sequence)
    signal *= texture(shape, voxel, rng)
    # Bright or dark where fluid and tissue meet.
    signal += np.float32(sequence.rim) * 4 * fluid * (1 - fluid)
    for painted in draw_structures(head, nuclei, sequence, np.random.default_rng([seed, 4])):
        paint(signal, affine, painted, 1 - fluid)
    labels = np.zeros(shape, np.uint8)
    for side, nucleus in enumerate(nuclei):
        if nucleus.visible:
            paint(signal, affine, (nucleus.rod, nucleus.excess, True), 1 - fluid)
            box, _, inside = nucleus.rod.shares(shape, affine)
            labels[box][inside > 0.5] = side + 1
    volume = _acquire(signal, fluid, voxel, sequence, rng)
    return Scan(volume, labels, affine, nuclei, sequence)


def contrast_to_noise(head: Head, shown: Scan, side: int, seed: int) -> float:
    """Contrast-to-noise ratio of a nucleus: what it adds to the image, over the SD of the noise.

    Parameters
    ----------
    head, seed
        What `shown` was made of, see `scan`.
    shown : Scan
        With the nucleus.
    side : int
        0 left, 1 right.

    Returns
    -------
    float
        Mean over the `priors.SEEN_MM3` to which most is added; 0 if the nucleus is not drawn.
    """
    nuclei = list(shown.nuclei)
    nuclei[side] = replace(nuclei[side], visible=False)
    pair = nuclei[0], nuclei[1]
    shape = (shown.volume.shape[0], shown.volume.shape[1], shown.volume.shape[2])
    without = scan(head, shown.affine, shape, pair, shown.sequence, seed)
    added = np.sort(shown.volume - without.volume, axis=None)
    count = max(1, round(priors.SEEN_MM3 / float(np.prod(voxel_sizes(shown.affine)))))
    return float(added[-count:].mean() / shown.sequence.noise)


def _acquire(
    signal: np.ndarray,
    fluid: np.ndarray,
    voxel: float,
    sequence: Sequence,
    rng: np.random.Generator,
) -> np.ndarray:
    """Blur, ghosts, coil field, slices and noise."""
    seen = gaussian_filter(signal, sequence.blur_mm / voxel, truncate=3)
    if rng.random() < priors.GHOST_CHANCE:
        seen = seen + ghost(fluid, sequence.fluid, voxel, rng)
    seen = np.maximum(seen * shading(signal.shape, voxel, rng), 0)
    size = (voxel, voxel, max(voxel, sequence.slice_mm))
    return acquire(seen, voxel, size, sequence.noise, rng)
