"""What the networks of both stages are trained on, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from nibabel.affines import apply_affine
from torch import nn

from tmsprep.imaging.conform import CONFORMED_SIZE
from tmsprep.imaging.volume import average_pyramid, normalise, percentile_window
from tmsprep.learning.loop import Schedule, Task, cosine_rate, generator_of
from tmsprep.methods.baxter2021.augmentation import Augmentation
from tmsprep.methods.baxter2021.prepared import PreparedImage
from tmsprep.methods.baxter2021.recipes import Recipe
from tmsprep.methods.baxter2021.task import Images, MultiResolutionTask
from tmsprep.methods.duennwald2021.networks import CoReUNet, PatchUNet
from tmsprep.methods.duennwald2021.search import scale_crop
from tmsprep.methods.duennwald2021.settings import CoReUNetSettings, PatchUNetSettings
from tmsprep.methods.duennwald2021.tasks import euclidean_loss, segmentation_loss
from tmsprep.protocols import Protocol

from coeruleus_simulation.crops import CROP, CROP_MM, LANDMARKS, Crop, draw_crop, draw_view
from coeruleus_simulation.heads import Head
from coeruleus_simulation.nuclei import expected_centres

#: Points of the first stage, and the number of each one's mirror image.
FIRST_LABELS = ('LLC', 'RLC', *LANDMARKS)
FIRST_MIRROR = (1, 0, 2, 4, 3, 5)

#: Edge of the voxels of views, mm: those of the second level of the first stage.
VIEW_MM = 2.0

#: Shapes of the networks of the second stage.
LOCALIZER = CoReUNetSettings(features=(16, 16, 32, 48), block=1, targets=1)
SEGMENTER = PatchUNetSettings(features=(16, 16, 32, 48), block=1, patch=(CROP,) * 3)

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

#: Share of crops that end at the edge of the image, and voxels beyond it at most.
EDGES, BEYOND = 0.2, 15

#: Excess signal of nuclei in the first crops, see `crops.draw_crop`: most of what is realistic is
#: hard to see, and from it alone thousands of steps pass before networks look at the nucleus.
CLEARER = 2.0

#: From this crop on nuclei are further from where the registration puts them than is realistic, by
#: this factor, so that the stem alone tells little.
WIDE_FROM, WIDE = 12000, 1.8

#: Weight of left and right in the cross-entropy at the start; it falls to 1.
RARE = 30.0

#: Weight of the loss that shapes heatmaps.
FOCUS = 1.0

_CROPS, _EDGE = 3, 4


class Bank:
    """Crops that are drawn when they are first needed, and kept in files.

    Parameters
    ----------
    folder : Path
        Where they are kept; those of other heads or another simulation must go elsewhere.
    heads : sequence of Head
        Cut around the pons.
    size : int
        Number of crops.
    seed : int
        Of the first; the others follow.
    clear : int
        Number of crops at the beginning in which the nucleus is clearer, less and less so.
    """

    def __init__(
        self, folder: Path, heads: Sequence[Head], size: int, seed: int, clear: int = 0
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.heads, self.size, self.seed, self.clear = heads, size, seed, clear
        cube = (CROP,) * 3
        self._volumes = _kept(folder / 'volumes.npy', (size, *cube), np.float16)
        self._labels = _kept(folder / 'labels.npy', (size, *cube), np.uint8)
        self._points = _kept(folder / 'points.npy', (size, 2, 3), np.float32)
        self._drawn = _kept(folder / 'drawn.npy', (size,), np.uint8)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Intensities and labels of a crop, and its point and where it is expected, (2, 3)."""
        if not self._drawn[number]:
            self._draw(number)
        volume = torch.from_numpy(self._volumes[number].astype(np.float32))
        labels = torch.from_numpy(self._labels[number].astype(np.int64))
        return volume, labels, torch.from_numpy(self._points[number].copy())

    def _draw(self, number: int) -> None:
        clearer = CLEARER * max(0.0, 1 - number / self.clear) if self.clear else 0.0
        spread = WIDE if self.clear and number >= WIDE_FROM else 1.0
        crop = draw_crop(self.heads, self.seed + number, clearer, spread)
        self._volumes[number], self._labels[number] = crop.volume, own_labels(crop)
        self._points[number] = crop.point, crop.expected
        self._drawn[number] = 1

    def points(self) -> np.ndarray:
        """Points, and where they are expected, of all crops drawn, shape (n, 2, 3), voxels."""
        return np.array(self._points[np.flatnonzero(self._drawn)], dtype=float)


def _kept(path: Path, shape: tuple[int, ...], kind: type) -> np.ndarray:
    if not path.exists():
        np.lib.format.open_memmap(path, 'w+', kind, shape).flush()
    kept = np.lib.format.open_memmap(path, 'r+')
    if kept.shape != shape:
        raise ValueError(f'{path} holds another number of crops: delete its folder')
    return kept


def own_labels(crop: Crop) -> np.ndarray:
    """Labels of a crop: 1 the nucleus in its middle, 2 that of the other side; uint8."""
    labels = crop.scan.labels
    return labels if crop.side == 0 else np.array([0, 2, 1], np.uint8)[labels]


def cut_off(
    volume: torch.Tensor, labels: torch.Tensor, point: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """End a crop at the edge of an image, beyond which it is continued by reflection.

    Parameters
    ----------
    volume, labels : torch.Tensor
        Shape (n, n, n); slices along the last axis.
    point : torch.Tensor
        Shape (3,), voxel indices.
    generator : torch.Generator
        Draws whether, at which end, and how many slices are beyond.

    Returns
    -------
    tuple of torch.Tensor
        The same, the labels beyond 0, and the point NaN if it is beyond.
    """
    chance, end, share = torch.rand(3, generator=generator).tolist()
    if chance >= EDGES:
        return volume, labels, point
    beyond, n = 1 + int(share * BEYOND), volume.shape[-1]
    index = torch.arange(n)
    upper = end < 0.5
    last = n - 1 - beyond if upper else beyond
    outside = index > last if upper else index < last
    mirrored = torch.where(outside, 2 * last - index, index)
    gone = bool(point[2] > last if upper else point[2] < last)
    return (
        volume[..., mirrored],
        labels.masked_fill(outside, 0),
        torch.full_like(point, torch.nan) if gone else point,
    )


def _scaled(volume: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(scale_crop(volume.numpy()))


def make_schedule(steps: int, rate: float) -> Schedule:
    """Schedule of a network of the second stage: a running mean of the weights is kept."""
    return Schedule(
        steps,
        50,
        partial(torch.optim.AdamW, lr=rate, weight_decay=1e-3),
        cosine_rate(rate, steps),
        clip=10.0,
        keep='average',
        averaging=0.99,
        validate_every=5,
    )


class CropTask(Task):
    """Training of a network of the second stage.

    Parameters
    ----------
    training, validation : Bank
        Crops.
    network : CoReUNet or PatchUNet
        To train.
    steps, batch, seed : int
        Optimiser steps, crops per step, and seed of the order of the crops; with seed 1 they come
        in the order of the bank, with others the clear ones alone do.
    rate : float
        Learning rate.
    half_precision : bool
        Compute convolutions in bfloat16.
    """

    def __init__(
        self,
        training: Bank,
        validation: Bank,
        network: nn.Module,
        steps: int,
        batch: int,
        seed: int,
        *,
        rate: float = 4e-3,
        half_precision: bool = False,
    ) -> None:
        self.training, self.validation = training, validation
        self.networks, self.batch, self.seed = [network], batch, seed
        self.half_precision = half_precision
        self.schedule = make_schedule(steps, rate)
        clear, size = training.clear, len(training)
        order = torch.arange(size)
        if seed != 1:
            generator = generator_of(seed, _CROPS)
            order[clear:] = clear + torch.randperm(size - clear, generator=generator)
        self._order = order.tolist()

    def draw(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Draw intensities, labels and points of the crops of a step."""
        drawn = []
        for place in range(step * self.batch, (step + 1) * self.batch):
            volume, labels, points = self.training[self._order[place % len(self._order)]]
            generator = generator_of(self.seed, _EDGE, place)
            volume, labels, point = cut_off(volume, labels, points[0], generator)
            drawn.append((_scaled(volume), labels, point))
        volume, labels, points = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        return volume, labels, points

    def loss(self, network: nn.Module, step: int) -> torch.Tensor:
        """See `Task.loss`."""
        volume, labels, points = self.draw(step)
        with torch.autocast('cpu', torch.bfloat16, enabled=self.half_precision):
            found = network(volume)
        if isinstance(network, CoReUNet):
            error = euclidean_loss(found[0][:, 0].float(), points, CROP_MM)
            return error + FOCUS * heatmap_loss(found[1][:, 0].float(), labels)
        weight = RARE ** max(0.0, 1 - 2 * step / self.schedule.steps)
        return segmentation_loss(found.float(), labels, weight)

    def validate(self, network: nn.Module) -> float:
        """Mean error in mm of a localizer, or loss of a segmenter, in the validation set."""
        losses = []
        for number in range(len(self.validation)):
            volume, labels, points = self.validation[number]
            with torch.autocast('cpu', torch.bfloat16, enabled=self.half_precision):
                found = network(_scaled(volume)[None])
            if not isinstance(network, CoReUNet):
                losses.append(segmentation_loss(found.float(), labels[None]).item())
            elif points[0].isfinite().all():
                losses.append(euclidean_loss(found[0][:, 0].float(), points[:1], CROP_MM).item())
        return float(np.mean(losses))


def heatmap_loss(heatmaps: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of heatmaps with the nucleus, whose centre of mass is the point.

    Nibali et al. 2018, section 3.3, add a term that shapes the heatmap to the distance. With the
    distance alone, or with a peak in the middle of the nucleus, little is learned in the first
    thousand steps.

    Parameters
    ----------
    heatmaps : torch.Tensor
        Shape (images, n, n, n), each summing to 1.
    labels : torch.Tensor
        Shape (images, n, n, n): 1 in the nucleus; where there is none there is no loss.
    """
    inside = (labels == 1).float().flatten(1)
    size = inside.sum(dim=1)
    wanted = inside / size.clamp_min(1)[:, None]
    entropy = -(wanted * heatmaps.flatten(1).clamp_min(1e-12).log()).sum(dim=1)
    return entropy.sum() / max(int((size > 0).sum()), 1)


def localizer_of(seed: int) -> CoReUNet:
    """Return an untrained localizer of the second stage."""
    torch.manual_seed(seed)
    return CoReUNet(LOCALIZER)


def segmenter_of(seed: int, start: CoReUNet) -> PatchUNet:
    """Return a segmenter of the second stage that has all but the last layer of a localizer."""
    torch.manual_seed(seed)
    network = PatchUNet(SEGMENTER)
    learned = {name: w for name, w in start.state_dict().items() if not name.startswith('head.')}
    network.load_state_dict(learned, strict=False)
    return network


def blind_error(training: np.ndarray, measured: np.ndarray) -> float:
    """Mean error of a guess that knows the stem, but has not looked at the nucleus, mm.

    It is where the registration puts the nucleus, plus the mean offset in the training set.

    Parameters
    ----------
    training, measured : numpy.ndarray
        Shape (n, 2, 3): points, NaN where not visible, and where they are expected, voxels.
    """
    mean = np.nanmean(training[:, 0] - training[:, 1], axis=0)
    off = measured[:, 0] - measured[:, 1] - mean
    return float(np.nanmean(np.linalg.norm(off, axis=1)) * CROP_MM)


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
    images: Images, seed: int, steps: int, *, half_precision: bool = False
) -> MultiResolutionTask:
    """Training of a network of the first stage."""
    recipe = Recipe(**{**vars(FIRST_RECIPE), 'steps': steps})
    settings = recipe.network_settings(len(FIRST_LABELS))
    return MultiResolutionTask(
        images, settings, recipe, FIRST_PROTOCOL, seed, half_precision=half_precision
    )


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
    values = normalise(scan.volume, percentile_window(scan.volume))[::-1, ::-1]
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
    tones: float = 0.0,
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
    tones : float
        Share of views in changed contrast, see `draw_tones`.
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
                views.append(_prepared(f'{name}-{j}', volume, points, tones))
    return views


def _prepared(name: str, volume: np.ndarray, points: np.ndarray, tones: float) -> PreparedImage:
    rng = np.random.default_rng([ord(letter) for letter in name])
    seen = volume.astype(np.float32)
    levels = average_pyramid(draw_tones(seen, rng) if rng.random() < tones else seen, 5)
    pyramid = tuple(torch.from_numpy(level) for level in (levels[0], *levels))
    return PreparedImage(name, pyramid, torch.from_numpy(points).float())


def draw_tones(volume: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give a view another contrast: a random curve from old to new intensities, 0 to 0.

    The simulated sequences are few, and all outside of the brain are as in a T1w.

    Parameters
    ----------
    volume : numpy.ndarray
        Shape (n, m, k), float32; 0 where there is no image.
    rng : numpy.random.Generator
        Draws the values of the curve.
    """
    knots = np.array([0.0, 0.12, *np.linspace(0.25, 1.5, 6)])
    values = np.array([0.0, *rng.uniform(0.0, 0.3, 1), *rng.uniform(0.05, 1.3, 6)])
    changed = np.interp(volume, knots, values).astype(np.float32)
    low, high = percentile_window(changed[volume != 0])
    changed = normalise(changed, (low, max(high, low + 1e-3)))
    changed[volume == 0] = 0
    return changed
