"""Pictures of the points that are farthest from their gyrus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from nibabel.affines import apply_affine
from scipy.ndimage import map_coordinates

from tmsprep.atomic import atomic_path
from tmsprep.imaging.read import load_nifti
from tmsprep.protocols import Protocol

from accuracy_parts.gyri import Labels
from accuracy_parts.subjects import Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Half the width of a slice, and its voxels, mm: enough to know the gyrus, too little to know the
#: person.
_HALF_MM, _STEP_MM = 24.0, 0.5

#: Axes of the two slices in the frame of the scanner, across and up, and their names.
_PLANES = {'axial': (0, 1), 'coronal': (0, 2)}

#: Data sets whose licence lets crops of the images be shown.
_SHOWN = ('ixi',)

#: Columns that tell which point of which method a row is, but the method.
_IDENTITY = ['dataset', 'participant_id', 'label']

_MARKS = {
    'cnn': {'marker': 'o', 'color': '#1c7ed6'},
    'syn': {'marker': 's', 'color': '#2f9e44'},
    'reference': {'marker': '+', 'color': '#e03131'},
}


def worst_points(rows: pd.DataFrame, count: int, method: str = 'cnn') -> pd.DataFrame:
    """Return the rows of one method that are farthest from their gyrus, the farthest first."""
    found = rows[(rows['method'] == method) & rows['gyrus_mm'].notna()]
    order = ['gyrus_mm', 'participant_id', 'label']
    return found.sort_values(order, ascending=[False, True, True]).head(count)


def draw_worst(
    worst: pd.DataFrame,
    rows: pd.DataFrame,
    people: Sequence[Subject],
    protocol: Protocol,
    path: Path,
) -> Path:
    """Draw an axial and a coronal slice through each point; left is left.

    Without intensities where the licence of the images forbids to pass them on.

    Parameters
    ----------
    worst : pandas.DataFrame
        Result of `worst_points`.
    rows : pandas.DataFrame
        All points, to draw those of other methods.
    people : sequence of Subject
        Among whom those of `worst` are.
    protocol : Protocol
        The targets.
    path : Path
        JPEG to write.
    """
    import matplotlib.pyplot as plt

    half = -(-len(worst) // 2)
    figure, axes = plt.subplots(half, 4, figsize=(7.6, 2.05 * half), squeeze=False)
    targets = {target.label: target for target in protocol.targets}
    pairs = axes.reshape(-1, 2)
    for pair, (_, row) in zip(pairs, worst.iterrows(), strict=False):
        person = next(
            p for p in people if (p.dataset, p.name) == (row['dataset'], row['participant_id'])
        )
        same = rows[(rows[_IDENTITY] == row[_IDENTITY]).all(axis=1)]
        points = {m: same.loc[same['method'] == m, ['x', 'y', 'z']] for m in ('cnn', 'syn')}
        marks = {m: xyz.to_numpy(float)[0] for m, xyz in points.items() if len(xyz)}
        marks['reference'] = person.points[row['label']]
        target = targets[row['label']]
        assert person.mask is not None
        labels = Labels.read(person.mask)
        gyrus = labels.mask(target.gyrus, target.hemisphere)
        for panel, plane in zip(pair, _PLANES, strict=True):
            _draw(panel, person, labels, gyrus, marks, plane)
        title = f'{row["dataset"]} {row["participant_id"]}, {row["label"]}'
        pair[0].set_title(f'{title}: {row["gyrus_mm"]:.1f} mm', fontsize=6.5, loc='left')
    for panel in pairs[len(worst) :].flat:
        panel.axis('off')
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.97, 0.03, 0.14)
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=100, format='jpeg', pil_kwargs={'quality': 75})
    plt.close(figure)
    return path


def _draw(
    panel: Axes,
    person: Subject,
    labels: Labels,
    gyrus: np.ndarray,
    marks: Mapping[str, np.ndarray],
    plane: str,
) -> None:
    """Show one slice through the network's point: image, gyrus and edge of the brain, points."""
    middle, (across, up) = marks['cnn'], _PLANES[plane]
    steps = np.arange(-_HALF_MM, _HALF_MM + _STEP_MM / 2, _STEP_MM)
    places = np.tile(middle, (len(steps), len(steps), 1))
    places[..., across] += steps[None, :]
    places[..., up] += steps[:, None]
    extent = (-_HALF_MM, _HALF_MM, -_HALF_MM, _HALF_MM)
    if person.dataset in _SHOWN:
        image = load_nifti(person.image)
        values = _sample(image.get_fdata(dtype=np.float32), image.affine, places, 1)
        panel.imshow(values, cmap='gray', origin='lower', extent=extent)
    brain = (labels.codes > 1).astype(np.float32)
    for mask, colour in ((brain, '#adb5bd'), (gyrus.astype(np.float32), '#f59f00')):
        share = _sample(mask, labels.affine, places, 0)
        if share.min() < share.max():
            panel.contour(steps, steps, share, [0.5], colors=colour, linewidths=0.8)
    for name, place in marks.items():
        offset = place - middle
        panel.plot(offset[across], offset[up], markersize=5, fillstyle='none', **_MARKS[name])
    panel.set(xticks=[], yticks=[], xlim=extent[:2], ylim=extent[2:], aspect='equal')


def _sample(data: np.ndarray, affine: np.ndarray, places: np.ndarray, order: int) -> np.ndarray:
    index = apply_affine(np.linalg.inv(affine), places)
    return map_coordinates(data, np.moveaxis(index, -1, 0), order=order, mode='constant')
