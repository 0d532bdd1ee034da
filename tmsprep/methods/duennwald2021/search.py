"""Find the locus coeruleus in two stages: the place in the image, then each nucleus in a crop.

The second stage is CoRe-Unet (Duennwald et al. 2021) on a small field of view; that it looks at a
crop that another network places is not in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import torch
from nibabel.affines import apply_affine, voxel_sizes

from tmsprep.evaluation.errors import dispersion
from tmsprep.imaging.conform import as_image, conform
from tmsprep.imaging.similarity import similarity
from tmsprep.imaging.volume import average_pyramid, normalise, percentile_window, to_world_mm
from tmsprep.methods.baxter2021.locate import locate
from tmsprep.methods.baxter2021.network import empty_outside, pyramid_sampler
from tmsprep.methods.baxter2021.weights import Localizer
from tmsprep.methods.duennwald2021.sighting import Sighting
from tmsprep.methods.duennwald2021.status import heatmap_spread
from tmsprep.methods.duennwald2021.two_stages import TwoStages
from tmsprep.networks.windows import read_patch

#: Levels of the pyramid that the first stage sees.
_LEVELS = 6

#: Furthest distance of a crop's middle from the image, mm: the second stage was trained with crops
#: that end at the edge of an image, but have their middle in it.
_BEYOND_MM = 4.0

#: The most probable voxels of a crop that show whether there is a nucleus, mm3: a third of a small
#: one, so that part of it suffices, and a bright dot does not.
_SEEN_MM3 = 8.0

#: Largest deviation from the median of a crop, in interquartile ranges.
_FURTHEST = np.float32(4.0)


def locate_stages(
    model: TwoStages, intensities: np.ndarray, affine: np.ndarray, device: str = 'cpu'
) -> Sighting:
    """Localise and segment both nuclei.

    The second stage looks twice: around the mean of the first stage's points, then around what it
    has found itself, so that an error of the first stage of half a crop is repaired.

    Parameters
    ----------
    model : TwoStages
        The networks.
    intensities : numpy.ndarray
        Shape (n, m, k), float32, any scale: see `imaging.isotropic.conform_isotropic`.
    affine : numpy.ndarray
        Shape (4, 4), voxel indices to mm, RAS+; cubic voxels of `model.crop.voxel_mm`, along axes
        that are nearest to right, anterior, superior.
    device : str
        'cpu' or 'cuda'.

    Raises
    ------
    ValueError
        If the volume is not of this kind, or is constant.
    """
    voxel_mm = model.crop.voxel_mm
    if intensities.ndim != 3:
        raise ValueError(f'a volume has three dimensions, not the shape {intensities.shape}')
    if nib.aff2axcodes(affine) != ('R', 'A', 'S') or not np.allclose(
        voxel_sizes(affine), voxel_mm, atol=1e-2
    ):
        raise ValueError(f'a volume has cubic voxels of {voxel_mm} mm along R, A and S')
    model.to(device)
    first = find_place(model.finder, intensities, voxel_mm, device)
    targets = [model.finder.labels.index(label) for label in model.labels]
    expected = first.mean(axis=0)[targets]
    sides = [
        _look(model, intensities, expected[side], mirrored=side == 1, device=device)
        for side in (0, 1)
    ]
    points = np.stack([side.points for side in sides], axis=1)
    heatmaps = np.stack([side.heatmap for side in sides])
    looked = np.array([side.looked for side in sides])
    spread = [
        heatmap_spread(h, voxel_mm) if there else np.nan
        for h, there in zip(heatmaps, looked, strict=True)
    ]
    shift = np.linalg.norm(points.mean(axis=0) - expected, axis=1) * voxel_mm
    return Sighting(
        first=apply_affine(affine, first),
        members=apply_affine(affine, points),
        looked=looked,
        starts=np.stack([side.start for side in sides]),
        heatmaps=heatmaps,
        probabilities=np.stack([side.probability for side in sides]),
        spread_mm=np.array(spread),
        dispersion_mm=np.where(looked, dispersion(points * voxel_mm), np.nan),
        shift_mm=np.where(looked, shift, np.nan),
        visibility=np.array([visibility_of(side.probability, voxel_mm) for side in sides]),
        finder_mm=float(dispersion(first * voxel_mm).mean()),
        **_arrangement(model.finder, first.mean(axis=0) * voxel_mm),
    )


def find_place(
    finder: Localizer, intensities: np.ndarray, voxel_mm: float, device: str = 'cpu'
) -> np.ndarray:
    """Find the landmarks of the first stage in a whole head, a slab or a stem.

    The axes of the image are those of the grid, as a slab has its thickness along one of them; the
    pyramid begins at 2 mm, and is 0 outside the image, as in training.

    Parameters
    ----------
    finder : Localizer
        The first stage.
    intensities : numpy.ndarray
        Shape (n, m, k), axes nearest to right, anterior, superior.
    voxel_mm : float
        Edge of the cubic voxels.
    device : str
        'cpu' or 'cuda'.

    Returns
    -------
    numpy.ndarray
        Shape (members, landmarks, 3), voxel indices.
    """
    values = normalise(intensities, percentile_window(intensities))
    conformed = conform(as_image(values, np.diag([voxel_mm] * 3 + [1.0])))
    levels = average_pyramid(np.asarray(conformed.dataobj), _LEVELS)
    pyramid = [torch.from_numpy(level).to(device) for level in (levels[1], *levels[1:])]
    found = []
    with torch.inference_mode():
        for member in finder.members:
            sampler = empty_outside(pyramid_sampler(pyramid, member.settings.extent))
            points = locate(member.to(device), sampler, finder.shape, finder.mirror)
            found.append(points.double().cpu().numpy())
    return to_world_mm(np.stack(found), conformed.affine) / voxel_mm


@dataclass(frozen=True, eq=False)
class _Side:
    """Second stage of one side; points are voxel indices of the image, shape (localizers, 3)."""

    points: np.ndarray
    looked: bool
    start: np.ndarray
    heatmap: np.ndarray
    probability: np.ndarray


def _look(
    model: TwoStages, intensities: np.ndarray, centre: np.ndarray, *, mirrored: bool, device: str
) -> _Side:
    """Look at the crop around a place, and again around what is found there."""
    last = np.array(intensities.shape) - 1
    points = np.repeat(centre[None], len(model.crop.localizers), axis=0)
    heatmap, start = np.zeros(model.shape, np.float32), _start(centre, model.shape)
    for number in (1, 2):
        middle = points.mean(axis=0)
        beyond = np.maximum(np.maximum(-middle, middle - last), 0).max() * model.crop.voxel_mm
        if beyond > _BEYOND_MM:
            empty = np.zeros(model.shape, np.float32)
            return _Side(points, number > 1, start, heatmap, empty)
        start = _start(middle, model.shape)
        crop = read_crop(intensities, start, model.shape, mirrored=mirrored)
        found, heatmap = _localise(model, crop, mirrored=mirrored, device=device)
        points = start + found
    probability = _segment(model, crop, mirrored=mirrored, device=device)
    return _Side(points, True, start, heatmap, probability)


def _start(centre: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Index of the first voxel of the crop around a place."""
    return np.rint(centre - (np.array(shape) - 1) / 2).astype(int)


def read_crop(
    intensities: np.ndarray,
    start: Sequence[int] | np.ndarray,
    shape: tuple[int, int, int],
    *,
    mirrored: bool,
) -> np.ndarray:
    """Crop as the second stage sees it.

    Parameters
    ----------
    intensities : numpy.ndarray
        Shape (n, m, k); beyond its edges it is continued by reflection.
    start : sequence of int
        Index of the first voxel.
    shape : tuple of int
        Voxels along each axis.
    mirrored : bool
        Whether the first axis is turned, as for a right nucleus.

    Returns
    -------
    numpy.ndarray
        Of this shape, float32; see `scale_crop`.
    """
    crop = scale_crop(read_patch(intensities, tuple(int(i) for i in start), shape))
    return np.ascontiguousarray(crop[::-1]) if mirrored else crop


def scale_crop(crop: np.ndarray) -> np.ndarray:
    """Shift and scale a crop so that its median is 0 and its interquartile range 1; clip at 4.

    Most of a crop is tissue, so that the faint signal of a nucleus is about 1 in whatever
    contrast; fluid and vessels, which are far brighter or darker, are clipped. With percentiles 5
    and 95 at 0 and 1 training needed about twice as many steps.

    Examples
    --------
    >>> scale_crop(np.array([[[1.0, 2, 3, 4, 90]]])).ravel().tolist()
    [-1.0, -0.5, 0.0, 0.5, 4.0]
    """
    low, middle, high = np.percentile(crop, (25, 50, 75)).astype(np.float32)
    # A crop without contrast stays flat.
    scaled = (crop.astype(np.float32, copy=False) - middle) / max(high - low, np.float32(1e-6))
    return scaled.clip(-_FURTHEST, _FURTHEST)


def _localise(
    model: TwoStages, crop: np.ndarray, *, mirrored: bool, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return each localizer's point, in voxels of the crop, and the mean heatmap, turned back."""
    points, heatmap = [], np.zeros(crop.shape, np.float32)
    volume = torch.from_numpy(crop)[None].to(device)
    with torch.inference_mode():
        for network in model.crop.localizers:
            found, maps = network(volume)
            points.append(found[0, 0].double().cpu().numpy())
            heatmap += maps[0, 0].float().cpu().numpy() / len(model.crop.localizers)
    at = np.stack(points)
    if mirrored:
        at[:, 0] = model.shape[0] - 1 - at[:, 0]
    return at, heatmap[::-1] if mirrored else heatmap


def _segment(model: TwoStages, crop: np.ndarray, *, mirrored: bool, device: str) -> np.ndarray:
    """Return the probability of the nucleus in the middle of a crop, turned back."""
    networks = model.crop.segmenters
    if not networks:
        return np.full(crop.shape, np.nan, np.float32)
    total = np.zeros(crop.shape, np.float32)
    volume = torch.from_numpy(crop)[None].to(device)
    with torch.inference_mode():
        for network in networks:
            logits = network(volume)[0].float()
            total += logits.softmax(dim=0)[1].cpu().numpy() / len(networks)
    return total[::-1] if mirrored else total


def visibility_of(probability: np.ndarray, voxel_mm: float) -> float:
    """Mean of the largest probabilities that fill 8 mm3; NaN if they are not known.

    Parameters
    ----------
    probability : numpy.ndarray
        Shape (n, m, k): of the nucleus in a crop.
    voxel_mm : float
        Edge of the cubic voxels.
    """
    count = round(_SEEN_MM3 / voxel_mm**3)
    return float(np.sort(probability, axis=None)[-count:].mean())


def _arrangement(finder: Localizer, points: np.ndarray) -> dict[str, float]:
    """Compare landmarks, mm along R, A and S, with their mean configuration; see `Sighting`."""
    if finder.shape is None:
        return dict.fromkeys(('misfit_mm', 'turn', 'size'), float('nan'))
    # The mean configuration lies along L, P and S.
    shape = finder.shape.double().cpu().numpy() * [-1, -1, 1]
    matrix, shift = similarity(shape, points)
    off = shape @ matrix.T + shift - points
    size = float(np.cbrt(np.linalg.det(matrix)))
    cosine = (np.trace(matrix) / size - 1) / 2 if size > 0 else -1.0
    return {
        'misfit_mm': float(np.sqrt(np.square(off).sum(axis=1).mean())),
        'turn': float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))),
        'size': size,
    }
