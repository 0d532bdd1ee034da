"""Axial slices through the targets, to look at."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from tmsprep.atomic import atomic_path
from tmsprep.points import PointSet

_HALF_MM = 32
"""Half the width of a slice: enough to know the gyrus, too little to know the person."""


def cut_slices(conformed: nib.Nifti1Image, cnn: PointSet, syn: PointSet) -> dict[str, np.ndarray]:
    """Square axial slices around the network's points.

    Parameters
    ----------
    conformed : nibabel.Nifti1Image
        T1w, axes L-P-S, voxels of 1 mm.
    cnn, syn : PointSet
        mm, RAS+, the same labels.

    Returns
    -------
    dict
        ``slices`` of shape (targets, n, n), uint8, indexed left, posterior; ``syn`` of shape
        (targets, 3), mm from the network's point along L, P, S; ``labels``.
    """
    data = np.asarray(conformed.dataobj)
    # What stands out of the head is bright: the scale is that of the tissue.
    top = np.percentile(data[data > data.mean()], 95)
    padded = np.pad(data, _HALF_MM)
    inverse = np.linalg.inv(conformed.affine)
    centres, others = (p.transformed(inverse).coordinates for p in (cnn, syn))
    slices = []
    for x, y, z in np.rint(centres).astype(int).clip(0, 255) + _HALF_MM:
        square = padded[x - _HALF_MM : x + _HALF_MM + 1, y - _HALF_MM : y + _HALF_MM + 1, z]
        slices.append((255 * square / top).clip(0, 255).astype(np.uint8))
    return {
        'slices': np.stack(slices),
        'syn': others - np.rint(centres),
        'labels': np.array(cnn.labels),
    }


def montage(files: list[Path], names: list[str], path: Path) -> Path:
    """Draw one row per person and one column per target; left is left.

    Parameters
    ----------
    files : list of Path
        Results of `cut_slices`.
    names : list of str
        Of the people.
    path : Path
        JPEG to write.
    """
    import matplotlib.pyplot as plt

    parts = [dict(np.load(file)) for file in files]
    labels = parts[0]['labels']
    size = (1.25 * len(labels), 1.25 * len(parts) + 0.35)
    figure, axes = plt.subplots(len(parts), len(labels), figsize=size, squeeze=False)
    for row, part, name in zip(axes, parts, names, strict=True):
        for panel, square, other in zip(row, part['slices'], part['syn'], strict=True):
            _draw(panel, square, other)
        row[0].set_ylabel(name, fontsize=7)
    for panel, label in zip(axes[0], labels, strict=True):
        panel.set_title(label, fontsize=7)
    figure.subplots_adjust(0.03, 0.01, 0.995, 1 - 0.25 / size[1], 0.03, 0.03)
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=80, pil_kwargs={'quality': 70})
    plt.close(figure)
    return path


def _draw(panel: object, square: np.ndarray, other: np.ndarray) -> None:
    """Show a slice from above, with the network's point in its middle and SyN's beside it."""
    extent = (-_HALF_MM, _HALF_MM, -_HALF_MM, _HALF_MM)
    panel.imshow(square[::-1].T, cmap='gray', vmin=0, vmax=255, extent=extent)
    panel.plot(0, 0, 'o', color='#4dabff', markersize=5, fillstyle='none')
    panel.plot(-other[0], -other[1], 's', color='#3fe07c', markersize=4, fillstyle='none')
    panel.set(xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:])
