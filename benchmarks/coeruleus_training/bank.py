"""Crops that networks are trained on, kept in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from coeruleus_simulation import priors
from coeruleus_simulation.crops import CROP, Crop, draw_crop
from coeruleus_simulation.heads import Head

#: Excess signal of nuclei in the first crops, see `crops.draw_crop`: most of what is realistic is
#: hard to see, and from it alone thousands of steps pass before networks look at the nucleus.
CLEARER = 1.0


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
    spread : float
        Factor of the distance of the nuclei of the others from where the registration puts them.
    judged : bool
        Whether to keep which nuclei can be seen, see `seen`; this takes as long as drawing.
    """

    def __init__(
        self,
        folder: Path,
        heads: Sequence[Head],
        size: int,
        seed: int,
        clear: int = 0,
        spread: float = 1.0,
        judged: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.heads, self.size, self.seed, self.clear = heads, size, seed, clear
        self.spread = spread
        cube = (CROP,) * 3
        self._volumes = _kept(folder / 'volumes.npy', (size, *cube), np.float16)
        self._labels = _kept(folder / 'labels.npy', (size, *cube), np.uint8)
        self._points = _kept(folder / 'points.npy', (size, 2, 3), np.float32)
        self._contrast: np.ndarray | None = None
        if judged:
            self._contrast = _kept(folder / 'contrast.npy', (size,), np.float32, np.nan)
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
        spread = self.spread if number >= self.clear else 1.0
        crop = draw_crop(self.heads, self.seed + number, clearer, spread)
        self._volumes[number], self._labels[number] = crop.volume, own_labels(crop)
        self._points[number] = crop.point, crop.expected
        if self._contrast is not None:
            self._contrast[number] = crop.contrast_to_noise
        self._drawn[number] = 1

    def seen(self) -> np.ndarray:
        """Tell of all crops whether a reader could see the nucleus, shape (size,); draw them."""
        if self._contrast is None:
            raise ValueError('which nuclei can be seen is not kept of these crops')
        for number in np.flatnonzero(np.isnan(self._contrast)):
            self._draw(int(number))
        return np.array(self._contrast) >= priors.SEEN

    def points(self) -> np.ndarray:
        """Points, and where they are expected, of all crops drawn, shape (n, 2, 3), voxels."""
        return np.array(self._points[np.flatnonzero(self._drawn)], dtype=float)


def _kept(path: Path, shape: tuple[int, ...], kind: type, empty: float = 0) -> np.ndarray:
    if not path.exists():
        made = np.lib.format.open_memmap(path, 'w+', kind, shape)
        if empty:
            made[:] = empty
        made.flush()
    kept = np.lib.format.open_memmap(path, 'r+')
    if kept.shape != shape:
        raise ValueError(f'{path} holds another number of crops: delete its folder')
    return kept


def own_labels(crop: Crop) -> np.ndarray:
    """Labels of a crop: 1 the nucleus in its middle, 2 that of the other side; uint8."""
    labels = crop.scan.labels
    return labels if crop.side == 0 else np.array([0, 2, 1], np.uint8)[labels]
