"""Give the tissues of a parcellated image another brightness.

After SynthSeg (Billot et al. 2023, doi:10.1016/j.media.2023.102789), but with the texture of the
real image: its network sees what other sequences and scanners could have made of the same head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

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
