"""Make of a parcellated image what other sequences and scanners could have made of it.

After SynthSeg (Billot et al. 2023, doi:10.1016/j.media.2023.102789), but with the texture of the
real image.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from tmsprep.gyri.frame import SHAPE

#: Fluid by the numbers of MUSE; the rest follows from their order.
_FLUID = (1, 4, 11, 46, 49, 50, 51, 52)


def _tissues() -> torch.Tensor:
    """Tissue of each number: outside, fluid, cortex, other grey matter, white matter."""
    tissue = torch.zeros(256, dtype=torch.long)
    tissue[1:80] = 3
    tissue[list(_FLUID)] = 1
    tissue[81:96] = 4
    tissue[[44, 45]] = 4
    tissue[100:208] = 2
    return tissue


_TISSUE = _tissues()

_AXES = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing='ij')
_SHADING = torch.stack(
    [*_AXES, *(axis * axis for axis in _AXES), *(_AXES[i] * _AXES[i - 1] for i in range(3))]
)


def corrupt(values: torch.Tensor, codes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Give a view another contrast, shading, noise, resolution and field of view."""

    def uniform(low: float, high: float) -> float:
        return low + (high - low) * torch.rand(1, generator=generator).item()

    if uniform(0, 1) < 0.4:
        values = paint(values, codes, generator)
    values = values.clamp(0, 3) ** math.exp(uniform(-0.6, 0.6))
    if uniform(0, 1) < 0.4:
        inside = _grown(codes > 0, round(uniform(-1.4, 2.4)))
        values = values * inside
    shading = 0.25 * torch.randn(9, generator=generator)
    values = values * torch.einsum('c,cxyz->xyz', shading, _SHADING).exp()
    if uniform(0, 1) < 0.3:
        values = _thicken(values, generator)
    if uniform(0, 1) < 0.25:
        values = F.avg_pool3d(values[None], 3, stride=1, padding=1)[0]
    if uniform(0, 1) < 0.3:
        # A gain above 1 sharpens, as fine voxels look beside those of the training images.
        smooth = F.avg_pool3d(values[None], 3, stride=1, padding=1)[0]
        values = values + uniform(0, 0.8) * (values - smooth)
    values = values + 0.12 * uniform(0, 1) ** 2 * torch.randn(SHAPE, generator=generator)
    if uniform(0, 1) < 0.15:
        normal = torch.randn(3, generator=generator)
        along = torch.einsum('c,cxyz->xyz', normal / normal.norm(), _SHADING[:3])
        values = values.masked_fill(along > uniform(0.6, 1.4), 0.0)
    return values.abs()


def _grown(mask: torch.Tensor, voxels: int) -> torch.Tensor:
    """Grow a mask, or shrink it by a negative number of voxels."""
    volume = mask.float()[None]
    for _ in range(abs(voxels)):
        volume = F.max_pool3d(volume if voxels > 0 else -volume, 3, stride=1, padding=1)
        volume = volume if voxels > 0 else -volume
    return volume[0]


def _thicken(values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Average along one axis, and interpolate again: slices of 4 or 6 mm."""
    axis = int(torch.randint(3, (1,), generator=generator))
    count = 2 + int(torch.randint(2, (1,), generator=generator))
    kernel = [1, 1, 1]
    kernel[axis] = count
    coarse = F.avg_pool3d(values[None, None], kernel)
    return F.interpolate(coarse, SHAPE, mode='trilinear', align_corners=False)[0, 0]


def paint(
    values: torch.Tensor,
    codes: torch.Tensor,
    generator: torch.Generator,
    ordered: float = 0.7,
) -> torch.Tensor:
    """Replace the brightness of tissues by random ones, and keep some of the texture.

    Parameters
    ----------
    values : torch.Tensor
        Shape (n, m, k): intensities of a T1w, about 0 to 1.
    codes : torch.Tensor
        The same shape, whole numbers: the parcellation.
    generator : torch.Generator
        The same state gives the same brightnesses.
    ordered : float
        Probability of a T1w's order: fluid darkest, white matter brightest.

    Returns
    -------
    torch.Tensor
        The shape of `values`, not negative.
    """
    tissue = _TISSUE[codes]
    if torch.rand(1, generator=generator) < ordered:
        fluid, white = torch.rand(2, generator=generator).tolist()
        fluid, white = 0.4 * fluid, 0.7 + 0.6 * white
        share = 0.3 + 0.5 * torch.rand(1, generator=generator).item()
        grey = fluid + share * (white - fluid)
        deep = grey + 0.5 * torch.rand(1, generator=generator).item() * (white - grey)
        levels = [fluid, grey, deep, white]
    else:
        levels = (1.2 * torch.rand(4, generator=generator)).tolist()
    texture = 0.4 + 0.6 * torch.rand(1, generator=generator).item()
    outside = 0.3 + torch.rand(1, generator=generator).item()
    count = torch.bincount(tissue.flatten(), minlength=5).clamp_min(1)
    mean = torch.bincount(tissue.flatten(), values.flatten(), minlength=5) / count
    gain = torch.tensor([outside, texture, texture, texture, texture])
    shift = torch.tensor([0.0, *levels]) - gain * mean
    shift[0] = 0.0
    painted = values * gain[tissue] + shift[tissue]
    smooth = F.avg_pool3d(painted[None], 3, stride=1, padding=1)[0]
    share = 0.3 + 0.5 * torch.rand(1, generator=generator).item()
    return (painted * share + smooth * (1 - share)).clamp_min(0)
