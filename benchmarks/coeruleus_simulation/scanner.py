"""What a scanner makes of a signal: slices, blur, ghosts, coil field, noise and texture."""

from __future__ import annotations

from collections.abc import Sequence as Numbers

import numpy as np
from scipy.ndimage import gaussian_filter

from coeruleus_simulation import priors


def texture(shape: tuple[int, int, int], voxel_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the factor by which tissue varies from place to place, float32, about 1."""
    factor = np.ones(shape, np.float32)
    for widths, strengths in ((priors.FINE_MM, priors.FINE), (priors.COARSE_MM, priors.COARSE)):
        width, strength = rng.uniform(*widths) / voxel_mm, rng.uniform(*strengths)
        grains = rng.standard_normal(shape, dtype=np.float32)
        # Where voxels are far larger than its grains a texture averages out.
        smooth = gaussian_filter(grains, max(width, 0.3), truncate=3)
        scale = strength * min(1.0, width / 0.5) / max(float(smooth.std()), 1e-6)
        factor += np.float32(scale) * smooth
    return factor


def slice_weights(
    count: int, voxel_mm: float, acquired_mm: float, start: float
) -> tuple[np.ndarray, np.ndarray]:
    """Averaging of fine voxels to acquired ones along one axis, and interpolation back.

    Parameters
    ----------
    count : int
        Fine voxels.
    voxel_mm, acquired_mm : float
        Sizes of fine and acquired voxels.
    start : float
        Where the first acquired voxel begins, as a share of its size before the fine ones: 0 to 1.

    Returns
    -------
    tuple of numpy.ndarray
        Shapes (m, count) and (count, m); all rows sum to 1, and a linear course is kept (but for
        the ends, where the outermost voxels are repeated).
    """
    ratio = acquired_mm / voxel_mm
    edges = np.arange(-start * ratio, count + ratio, ratio)
    low, high = edges[:-1, None], edges[1:, None]
    fine = np.arange(count)
    cover = (np.minimum(high, fine + 1) - np.maximum(low, fine)).clip(0)
    kept = cover.sum(axis=1) > 1e-3
    average = cover[kept] / cover[kept].sum(axis=1, keepdims=True)
    centres = average @ (fine + 0.5)
    back = np.stack([np.interp(fine + 0.5, centres, row) for row in np.eye(len(centres))], axis=1)
    return average.astype(np.float32), back.astype(np.float32)


def acquire(
    signal: np.ndarray,
    voxel_mm: float,
    acquired_mm: Numbers[float],
    noise: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Average a signal to acquired voxels, add Rician noise, and interpolate it back.

    Parameters
    ----------
    signal : numpy.ndarray
        Shape (n, m, k), float32, cubic voxels of `voxel_mm`.
    voxel_mm : float
        Their size.
    acquired_mm : sequence of float
        Acquired size along each axis; not below `voxel_mm`.
    noise : float
        SD in acquired voxels.
    rng : numpy.random.Generator
        Draws where voxels begin, and the noise.
    """
    seen, backs = signal, []
    for axis, size in enumerate(acquired_mm):
        start = rng.random()
        average, back = slice_weights(signal.shape[axis], voxel_mm, size, start)
        backs.append(back)
        if len(average) < signal.shape[axis]:
            seen = np.moveaxis(np.tensordot(average, seen, (1, axis)), 0, axis)
    real, imaginary = noise * rng.standard_normal((2, *seen.shape), dtype=np.float32)
    seen = np.hypot(seen + real, imaginary)
    for axis, back in enumerate(backs):
        if seen.shape[axis] < signal.shape[axis]:
            seen = np.moveaxis(np.tensordot(back, seen, (1, axis)), 0, axis)
    return np.ascontiguousarray(seen, np.float32)


def shading(shape: tuple[int, int, int], voxel_mm: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the coil field that a correction leaves: a smooth factor, float32."""
    axes = np.meshgrid(
        *((np.arange(n, dtype=np.float32) - (n - 1) / 2) * voxel_mm / 30 for n in shape),
        indexing='ij',
        sparse=True,
    )
    linear, bent = priors.SHADING * rng.standard_normal((2, 3))
    terms = [a * x + b / 2 * x * x for a, b, x in zip(linear, bent, axes, strict=True)]
    return np.exp(np.clip(terms[0] + terms[1] + terms[2], -0.5, 0.5)).astype(np.float32)


def ghost(
    fluid: np.ndarray, level: float, voxel_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """Return copies of pulsating fluid along the first or second axis, to add to a signal.

    Parameters
    ----------
    fluid : numpy.ndarray
        Shape (n, m, k): share of fluid.
    level : float
        Its signal.
    voxel_mm : float
        Size of the voxels.
    rng : numpy.random.Generator
        Draws direction, distance and size.
    """
    axis, sign = int(rng.integers(2)), rng.choice([-1.0, 1.0])
    strength = sign * level * rng.uniform(*priors.GHOST)
    step = max(1, round(rng.uniform(*priors.GHOST_MM) / voxel_mm))
    copies = np.zeros_like(fluid)
    near, far = [slice(None)] * 3, [slice(None)] * 3
    near[axis], far[axis] = slice(None, -step), slice(step, None)
    copies[tuple(far)] += strength * fluid[tuple(near)]
    copies[tuple(near)] += strength * fluid[tuple(far)]
    return copies
