"""Corruptions of the intensities; the head does not move."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tmsprep.imaging.conform import as_image

from corruptions.scan import Corrupted, Scan, random_direction

#: Wavelengths of the bias field: longer than a head, like the fields of coils.
_WAVELENGTHS_MM = (250.0, 400.0)

_FWHM_PER_SD = 2.3548


def change_contrast(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Change the contrast by a power law.

    Parameters
    ----------
    scan : Scan
        Scan to corrupt.
    strength : float
        Exponent for even seeds, its inverse for odd ones; 1 changes nothing. The 99.5th percentile
        of the image is preserved.
    seed : int
        Chooses the direction.
    """
    exponent = strength if seed % 2 == 0 else 1 / strength
    top = np.percentile(scan.data, 99.5)
    return _like(scan, top * (scan.data.clip(0) / top) ** exponent)


def add_bias_field(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Multiply by a smooth gain, the exponential of two waves in random directions.

    Parameters
    ----------
    scan : Scan
        Scan to corrupt.
    strength : float
        Ratio of the highest to the lowest gain in the brain; 1.5 is the 40 % of BrainWeb.
    seed : int
        Random seed of the waves.
    """
    rng = np.random.default_rng(seed)
    logarithm = np.zeros(scan.image.shape, np.float32)
    for wavelength in rng.uniform(*_WAVELENGTHS_MM, size=2):
        direction = random_direction(rng)
        phase = rng.uniform(0, 2 * np.pi)
        logarithm += np.cos(2 * np.pi / wavelength * scan.along(direction) + phase)
    inside = logarithm[scan.brain]
    share = (logarithm - inside.mean()) / np.ptp(inside)
    return _like(scan, scan.data * strength**share)


def add_noise(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Add Rician noise: independent Gaussian noise in two channels, then the magnitude.

    Parameters
    ----------
    scan : Scan
        Scan to corrupt.
    strength : float
        Standard deviation in each channel in percent of the median intensity of the brain.
    seed : int
        Random seed of the noise.
    """
    rng = np.random.default_rng(seed)
    deviation = strength / 100 * float(np.median(scan.data[scan.brain]))
    real, imaginary = rng.normal(0, deviation, (2, *scan.image.shape))
    return _like(scan, np.hypot(scan.data + real, imaginary))


def blur(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Blur by an isotropic Gaussian.

    Parameters
    ----------
    scan : Scan
        Scan to corrupt.
    strength : float
        Full width at half maximum in mm.
    seed : int
        Ignored, as nothing is random.
    """
    spacing = np.linalg.norm(scan.image.affine[:3, :3], axis=0)
    return _like(scan, ndimage.gaussian_filter(scan.data, strength / _FWHM_PER_SD / spacing))


def strip_skull(scan: Scan, strength: float, seed: int) -> Corrupted:
    """Keep the brain alone and set everything else to 0.

    Parameters
    ----------
    scan : Scan
        Scan to corrupt.
    strength : float
        Voxels by which the mask is dilated (negative: eroded), in steps over faces: at -1 the
        outer rim of the cortex is lost.
    seed : int
        Ignored, as nothing is random.
    """
    steps = round(abs(strength))
    change = ndimage.binary_dilation if strength > 0 else ndimage.binary_erosion
    mask = change(scan.brain, iterations=steps) if steps else scan.brain
    return _like(scan, scan.data * mask)


def _like(scan: Scan, data: np.ndarray) -> Corrupted:
    return Corrupted(as_image(data.astype(np.float32), scan.image.affine), scan.points)
