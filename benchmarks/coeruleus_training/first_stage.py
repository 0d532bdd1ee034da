"""The first stage: views of whole heads and slabs, and the training on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from nibabel.affines import apply_affine
from scipy.ndimage import gaussian_filter

from tmsprep.imaging.conform import CONFORMED_SIZE
from tmsprep.imaging.volume import average_pyramid, normalise, percentile_window
from tmsprep.methods.baxter2021.augmentation import Augmentation
from tmsprep.methods.baxter2021.network import MultiResolutionNet
from tmsprep.methods.baxter2021.prepared import PreparedImage
from tmsprep.methods.baxter2021.recipes import Recipe
from tmsprep.methods.baxter2021.task import Images, MultiResolutionTask
from tmsprep.protocols import Protocol

from coeruleus_simulation.crops import LANDMARKS, draw_view
from coeruleus_simulation.heads import Head
from coeruleus_simulation.nuclei import expected_centres

#: Points of the first stage, and the number of each one's mirror image.
FIRST_LABELS = ('LLC', 'RLC', *LANDMARKS)
FIRST_MIRROR = (1, 0, 2, 4, 3, 5)

#: Edge of the voxels of views, mm: those of the second level of the first stage.
VIEW_MM = 2.0

#: Share of views that are painted anew, see `repaint`; numbers of tissues, and widths (SD) of the
#: blur before and after, voxels.
REPAINTED, TISSUES = 0.5, (4, 10)
BLUR_BEFORE, BLUR_AFTER = (0.3, 1.0), (0.3, 0.7)

#: The first stage: the quick recipe of TMS targets with twice its features, more steps, and crops
#: around the reference. Views are drawn in random poses, so that few more are needed.
FIRST_RECIPE = Recipe(
    'coeruleus-first',
    steps=3000,
    batch=4,
    optimiser='adamw',
    learning_rate=4e-3,
    averaging=0.98,
    jitter=0.7,
    forcing=0.7,
    augmentation=Augmentation(
        rotation=8.0,
        translation=10.0,
        far=0.15,
        scale=0.06,
        mirror=0.5,
        gamma=0.2,
        bias=0.15,
        noise=0.06,
        blur=0.25,
    ),
    network={'crops': (8,) * 6, 'kernels': 16, 'channels': 4, 'readout': 3},
    second_look=True,
)


class _FirstProtocol:
    """As much of a protocol as the training of the first stage asks for."""

    labels = FIRST_LABELS

    def mirror_permutation(self) -> np.ndarray:
        """See `Protocol.mirror_permutation`."""
        return np.array(FIRST_MIRROR)

    def has_mirror(self) -> np.ndarray:
        """See `Protocol.has_mirror`; those on the midline are their own."""
        return np.ones(len(FIRST_LABELS), bool)


FIRST_PROTOCOL = cast(Protocol, _FirstProtocol())


def first_task(
    images: Images,
    seed: int,
    steps: int,
    *,
    half_precision: bool = False,
    start: MultiResolutionNet | None = None,
) -> MultiResolutionTask:
    """Training of a network of the first stage; from `start` on at half the rate."""
    changed: dict[str, Any] = {'steps': steps}
    if start is not None:
        changed['learning_rate'] = FIRST_RECIPE.learning_rate / 2
    recipe = Recipe(**{**vars(FIRST_RECIPE), **changed})
    settings = recipe.network_settings(len(FIRST_LABELS))
    return MultiResolutionTask(
        images,
        settings,
        recipe,
        FIRST_PROTOCOL,
        seed,
        half_precision=half_precision,
        start=start,
    )


def repaint(volume: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give a view another contrast and little texture, so that only shapes tell where the stem is.

    Voxels of similar brightness become one tissue, and each tissue gets a brightness of its own.
    It stands in for painting label maps (Billot et al. 2023, Med Image Anal 86:102789), and needs
    none; what is darkest, mostly air, stays dark.

    Parameters
    ----------
    volume : numpy.ndarray
        Shape (n, m, k), not negative.
    rng : numpy.random.Generator
        Draws the tissues and everything else.

    Returns
    -------
    numpy.ndarray
        The same shape, float32, not negative.
    """
    smooth = gaussian_filter(volume, rng.uniform(*BLUR_BEFORE))
    low, high = np.percentile(smooth, (5, 99.5))
    air = low + 0.15 * (high - low)
    # Half of the borders are quantiles, half evenly spread, as fluid and vessels fill little.
    count = int(rng.integers(*TISSUES))
    shares, steps = rng.random((2, count - 2))
    quantiles = np.quantile(smooth[smooth >= air], shares)
    borders = np.where(rng.random(count - 2) < 0.5, quantiles, air + steps * (high - air))
    tissue = np.digitize(smooth, np.sort([air, *borders]))
    levels = np.concatenate([[rng.uniform(0, 0.1)], rng.uniform(0.05, 1.5, count - 1)])
    texture = rng.uniform(0, 0.5) * (volume - smooth) / max(float(high - low), 1e-6)
    painted = gaussian_filter(levels[tissue] + texture, rng.uniform(*BLUR_AFTER))
    noise = rng.uniform(0, 0.06) * rng.standard_normal(volume.shape)
    return np.abs(painted + noise).astype(np.float32)


def view_image(head: Head, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a view as the first stage sees an image.

    Returns
    -------
    volume : numpy.ndarray
        Shape (128, 128, 128), float32, voxels of `VIEW_MM` along L, P, S; the 5th and 95th
        percentiles of the field of view are 0 and 1, and what is beyond it is 0.
    points : numpy.ndarray
        Shape (6, 3), the `FIRST_LABELS`, mm from the corner.
    """
    scan, landmarks = draw_view(head, VIEW_MM, seed)
    nuclei = apply_affine(np.linalg.inv(scan.affine), expected_centres(head))
    rng = np.random.default_rng([seed, 7])
    drawn = repaint(scan.volume, rng) if rng.random() < REPAINTED else scan.volume
    values = normalise(drawn, percentile_window(drawn))[::-1, ::-1]
    shape = np.array(values.shape)
    index = np.concatenate([nuclei, landmarks])
    index[:, :2] = shape[:2] - 1 - index[:, :2]
    edge = round(CONFORMED_SIZE / VIEW_MM)
    start = (edge - shape) // 2
    volume = np.zeros((edge,) * 3, np.float32)
    volume[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))] = values
    return volume, VIEW_MM * (index + start + 0.5)


def load_views(
    folder: Path,
    names: Sequence[str],
    load: Callable[[str], Head],
    per_head: int,
    seed: int,
) -> list[PreparedImage]:
    """Draw views of heads, or read those drawn earlier.

    Parameters
    ----------
    folder : Path
        Where they are kept.
    names : sequence of str
        Names of the heads.
    load : callable
        Reads a head, not cut, by its name.
    per_head : int
        Views of each.
    seed : int
        Of the first view of the first head.
    """
    folder.mkdir(parents=True, exist_ok=True)
    views = []
    for i, name in enumerate(names):
        path = folder / f'{name}.npz'
        if not path.exists():
            head = load(name)
            drawn = [view_image(head, seed + i * per_head + j) for j in range(per_head)]
            volumes, points = (np.stack(parts) for parts in zip(*drawn, strict=True))
            np.savez(path, volumes=volumes.astype(np.float16), points=points)
        with np.load(path) as kept:
            for j, (volume, points) in enumerate(
                zip(kept['volumes'], kept['points'], strict=True)
            ):
                views.append(_prepared(f'{name}-{j}', volume, points))
    return views


def _prepared(name: str, volume: np.ndarray, points: np.ndarray) -> PreparedImage:
    levels = average_pyramid(volume.astype(np.float32), 5)
    pyramid = tuple(torch.from_numpy(level) for level in (levels[0], *levels))
    return PreparedImage(name, pyramid, torch.from_numpy(points).float())
