"""What the networks of two stages say about one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tmsprep.methods.duennwald2021.segmentation import connected
from tmsprep.networks.windows import inside_volume

#: Longest step between voxels of one part of a nucleus, which may be faint in between, in voxels.
_GAP = 3.0


@dataclass(frozen=True, eq=False)
class Sighting:
    """What the networks say about one image; sides are left, right.

    Parameters
    ----------
    first : numpy.ndarray
        Shape (finders, landmarks, 3), mm, RAS+: the first stage.
    members : numpy.ndarray
        Shape (localizers, 2, 3), mm, RAS+: the second stage. If the crop would lie outside the
        image, the mean of the first stage.
    looked : numpy.ndarray
        Shape (2,), boolean: whether the second stage looked at the side.
    starts : numpy.ndarray
        Shape (2, 3), voxel index of the first voxel of the crop; it may lie outside the image.
    heatmaps : numpy.ndarray
        Shape (2, n, n, n), float32, in the crop as it lies in the image: mean of the localizers'
        heatmaps, each summing to 1; 0 where no one looked.
    probabilities : numpy.ndarray
        The same shape: probability of the nucleus in its own crop, mean of the segmenters; NaN
        without segmenters, 0 where no one looked.
    spread_mm, dispersion_mm, shift_mm, visibility : numpy.ndarray
        Shape (2,): spread of the heatmap, see `heatmap_spread`; dispersion of the localizers;
        distance of the point from where the first stage put it; mean probability of the most
        probable 8 mm3. NaN where not known.
    finder_mm : float
        Mean dispersion of the first stage's landmarks; 0 for a single network.
    misfit_mm : float
        Root mean square distance of the first stage's landmarks from their mean configuration,
        moved, turned and scaled to them.
    turn, size : float
        Angle, degrees, and scale of that: how the brainstem lies along the axes of the image.
        These three are NaN if the finder has no mean configuration.
    """

    first: np.ndarray
    members: np.ndarray
    looked: np.ndarray
    starts: np.ndarray
    heatmaps: np.ndarray
    probabilities: np.ndarray
    spread_mm: np.ndarray
    dispersion_mm: np.ndarray
    shift_mm: np.ndarray
    visibility: np.ndarray
    finder_mm: float
    misfit_mm: float
    turn: float
    size: float

    @property
    def points(self) -> np.ndarray:
        """Mean of the members, shape (2, 3), mm, RAS+."""
        return self.members.mean(axis=0)

    def heatmap(self, side: int, shape: tuple[int, int, int]) -> np.ndarray:
        """Heatmap of one side in the whole image, float32; 0 outside its crop."""
        whole = np.zeros(shape, np.float32)
        _paste(whole, self.heatmaps[side], self.starts[side])
        return whole

    def labels(self, shape: tuple[int, int, int], threshold: float = 0.5) -> np.ndarray:
        """Voxels of the whole image over a threshold, uint8: 1 left, 2 right.

        A voxel over it on both sides has the label of the larger probability. Of each side the
        largest part is kept: there is one nucleus.
        """
        labels, best = np.zeros(shape, np.uint8), np.full(shape, threshold, np.float32)
        for side in (0, 1):
            here = np.zeros(shape, np.float32)
            _paste(here, self.probabilities[side], self.starts[side])
            labels[here > best] = side + 1
            best = np.maximum(best, here)
        for number in (1, 2):
            parts = connected(np.argwhere(labels == number), _GAP)
            for part in sorted(parts, key=len)[:-1]:
                labels[tuple(part.T)] = 0
        return labels


def _paste(whole: np.ndarray, crop: np.ndarray, start: np.ndarray) -> None:
    inside, within = inside_volume(tuple(start.tolist()), crop.shape, whole.shape)
    whole[inside] = np.nan_to_num(crop[within])
